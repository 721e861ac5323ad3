"""Which path and verb stands for which method: read from flyteidl's ``google.api.http`` annotations. Pure.

The one rule: no path is written down here. A method that gains an annotation gains a path; a template of a form
that this module does not read is an error at start, not a path that is silently missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from google.api import annotations_pb2  # type: ignore[import-untyped]  # generated, without stubs
from google.api.http_pb2 import HttpRule  # type: ignore[import-untyped]  # generated, without stubs
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

FieldPath = tuple[str, ...]
"""Names of fields from a request message inwards: ``("id", "project")``."""

_VARIABLE = re.compile(r"\{([a-z_.]+)\}")
_LITERAL = re.compile(r"[A-Za-z0-9_.-]+")
_ALL = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One verb and path of one method.

    Attributes:
        verb: ``GET``, ``POST``, ``PUT`` or ``DELETE``.
        segments: what stands between the slashes; a text, or the field that a segment fills.
        has_body: whether the request message comes as the body (then there are no query parameters).
    """

    method: MethodDescriptor
    verb: str
    segments: tuple[str | FieldPath, ...]
    has_body: bool

    @property
    def template(self) -> str:
        """The path as text, with the fields in braces."""
        parts = (each if isinstance(each, str) else "{" + ".".join(each) + "}" for each in self.segments)
        return "/" + "/".join(parts)

    @property
    def bound(self) -> tuple[FieldPath, ...]:
        """The fields that the path fills."""
        return tuple(each for each in self.segments if not isinstance(each, str))

    def match(self, segments: Sequence[str]) -> Mapping[FieldPath, str] | None:
        """Return what the segments of a path fill in, or None if the path is another one."""
        if len(segments) != len(self.segments):
            return None
        filled: dict[FieldPath, str] = {}
        for wanted, given in zip(self.segments, segments, strict=True):
            if isinstance(wanted, str):
                if wanted != given:
                    return None
            elif given:
                filled[wanted] = given
            else:
                return None
        return filled


def read_rules(services: Iterable[ServiceDescriptor]) -> tuple[Rule, ...]:
    """Return every rule of the services' methods, in flyteidl's order.

    Raises:
        ValueError: an annotation is of a form that is not read here.
    """
    return tuple(rule for service in services for method in service.methods for rule in _rules_of(method))


def _rules_of(method: MethodDescriptor) -> Iterator[Rule]:
    http = method.GetOptions().Extensions[annotations_pb2.http]
    for each in (http, *http.additional_bindings):
        verb = each.WhichOneof("pattern")
        if verb is not None:
            yield _rule(method, verb, each)


def _rule(method: MethodDescriptor, verb: str, http: HttpRule) -> Rule:
    template = str(getattr(http, verb))
    is_read = verb in ("get", "post", "put", "delete") and http.body in ("", _ALL) and not http.response_body
    if not is_read or not template.startswith("/"):
        raise ValueError(f"{method.full_name}: {verb} {template} body={http.body!r} is of a form that is not read")
    segments = tuple(_segment(method, text) for text in template[1:].split("/"))
    return Rule(method=method, verb=verb.upper(), segments=segments, has_body=http.body == _ALL)


def _segment(method: MethodDescriptor, text: str) -> str | FieldPath:
    variable = _VARIABLE.fullmatch(text)
    if variable is not None:
        return tuple(variable[1].split("."))
    if _LITERAL.fullmatch(text):
        return text
    raise ValueError(f"{method.full_name}: {text!r} is a path segment of a form that is not read")
