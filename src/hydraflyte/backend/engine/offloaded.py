"""Literals that lie in files of their own: flytekit writes large outputs so if ``_F_L_MIN_SIZE_MB`` is set.

Such a literal is handed on by its address. Only what looks into one (attributes, conditions, maps) needs its content,
and the engine reads no file: a step that lacks a content ends with LiteralNeededError, and is taken again with it. The
one rule: a step changes nothing but what it returns, so taking it again is harmless.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from flyteidl.core.literals_pb2 import Literal, LiteralMap

from hydraflyte.backend.engine.bindings import BindingResolutionError


class LiteralNeededError(Exception):
    """The step needs the content of the literal at ``uri``."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.uri = uri


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The contents of offloaded literals, as far as they were asked for.

    Attributes:
        read: by address.
        unreadable: why there is no content, by address.
    """

    read: Mapping[str, Literal] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)

    def whole(self, literal: Literal) -> Literal:
        """Return ``literal``, or the content that it stands for.

        Raises:
            LiteralNeededError: the content was not asked for yet.
            BindingResolutionError: it cannot be read.
        """
        if not _is_offloaded(literal):
            return literal
        uri = literal.offloaded_metadata.uri
        if uri not in self.read and uri not in self.unreadable:
            raise LiteralNeededError(uri)
        reason = self.unreadable.get(uri, "it stands for another one")
        if uri in self.unreadable or _is_offloaded(self.read[uri]):
            raise BindingResolutionError(f"the offloaded literal {uri} cannot be read: {reason}")
        return self.read[uri]

    def with_content(self, uri: str, content: Literal) -> Contents:
        """Return these and one more."""
        return replace(self, read={**self.read, uri: content})

    def without_content(self, uri: str, reason: str) -> Contents:
        """Return these, and that there is no content at ``uri``."""
        return replace(self, unreadable={**self.unreadable, uri: reason})

    def whole_map(self, literals: LiteralMap) -> LiteralMap:
        """Return ``literals`` with every value whole; raises as :meth:`whole`."""
        return LiteralMap(literals={name: self.whole(literal) for name, literal in literals.literals.items()})


NONE_READ = Contents()


def _is_offloaded(literal: Literal) -> bool:
    return literal.HasField("offloaded_metadata")
