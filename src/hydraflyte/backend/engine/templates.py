"""``{{.input}}`` and the like -> text, in a task's command line.

Follows flyteplugins' template.go: names in any case, ``.`` or ``$`` before them, unknown names left alone.
The one rule: what a template asks for and cannot be given raises TemplateError; nothing is rendered as empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import msgpack
from flyteidl.core.literals_pb2 import Literal, LiteralMap, Primitive, Scalar
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToJson

from hydraflyte.backend.engine.bindings import MSGPACK_TAG

_VARIABLE = re.compile(r"\{\{\s*[.$](?P<name>[^}\s]+)\s*\}\}")
_INPUTS_PREFIX = "inputs."
_TASK_TEMPLATE_PATH = "tasktemplatepath"
_EMPTY = '""'  # two quote characters: flytekit's entrypoint reads them as "none"


class TemplateError(Exception):
    """A command line asks for an input that is missing or cannot be written as text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateValues:
    """What a command line may ask for. Paths are absolute; ``prev_checkpoint_prefix`` may be ``""``."""

    input: str
    input_prefix: str
    output_prefix: str
    raw_output_prefix: str
    checkpoint_prefix: str
    prev_checkpoint_prefix: str
    generated_name: str
    task_template_path: str
    namespace: str
    inputs: LiteralMap


def render(templates: Sequence[str], values: TemplateValues) -> tuple[str, ...]:
    """Return ``templates`` with their variables replaced.

    Raises:
        TemplateError: an input is missing, or is a map.
    """
    plain = _plain_values(values)

    def replace_variable(found: re.Match[str]) -> str:
        name = found["name"]
        if name.lower().startswith(_INPUTS_PREFIX):
            return _input_text(name[len(_INPUTS_PREFIX) :], values.inputs)
        return plain.get(name.lower(), found[0])

    return tuple(_VARIABLE.sub(replace_variable, template) for template in templates)


def asks_for_task_template(templates: Sequence[str]) -> bool:
    """Return whether ``{{.taskTemplatePath}}`` occurs, so that the file must be written."""
    return any(found["name"].lower() == _TASK_TEMPLATE_PATH for text in templates for found in _VARIABLE.finditer(text))


def asks_for_inputs(templates: Sequence[str]) -> bool:
    """Return whether ``{{.inputs.NAME}}`` occurs for any name."""
    return any(
        found["name"].lower().startswith(_INPUTS_PREFIX) for text in templates for found in _VARIABLE.finditer(text)
    )


def _plain_values(values: TemplateValues) -> Mapping[str, str]:
    return {
        "input": values.input,
        "inputprefix": values.input_prefix,
        "outputprefix": values.output_prefix,
        "rawoutputdataprefix": values.raw_output_prefix,
        "checkpointoutputprefix": values.checkpoint_prefix,
        "prevcheckpointprefix": values.prev_checkpoint_prefix or _EMPTY,
        "perretryuniquekey": _as_identifier(values.generated_name),
        _TASK_TEMPLATE_PATH: values.task_template_path,
        "namespace": values.namespace,
    }


def _as_identifier(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]+", "_", re.sub(r"^[^A-Za-z_]+", "a", name))


def _input_text(name: str, inputs: LiteralMap) -> str:
    if name not in inputs.literals:
        raise TemplateError(f"the command line asks for the input {name!r}, which is not bound")
    try:
        return _literal_text(inputs.literals[name])
    except TemplateError as error:
        raise TemplateError(f"the command line asks for the input {name!r}: {error}") from error


def _literal_text(literal: Literal) -> str:
    kind = literal.WhichOneof("value")
    if kind == "collection":
        return "[" + ",".join(_literal_text(item) for item in literal.collection.literals) + "]"
    if kind == "scalar":
        return _scalar_text(literal.scalar)
    raise TemplateError(f"a {kind or 'missing'} value cannot be written as text")


def _scalar_text(scalar: Scalar) -> str:
    kind = scalar.WhichOneof("value") or ""
    if kind == "binary" and scalar.binary.tag != MSGPACK_TAG:
        raise TemplateError("a binary value cannot be written as text")
    writers: Mapping[str, Callable[[], str]] = {
        "primitive": lambda: _primitive_text(scalar.primitive),
        "blob": lambda: scalar.blob.uri,
        "schema": lambda: scalar.schema.uri,
        "structured_dataset": lambda: scalar.structured_dataset.uri,
        "generic": lambda: MessageToJson(scalar.generic, indent=None),
        "binary": lambda: str(msgpack.unpackb(scalar.binary.value, strict_map_key=False)),
        "union": lambda: _literal_text(scalar.union.value),
    }
    if kind not in writers:
        raise TemplateError(f"a {kind or 'missing'} value cannot be written as text")
    return writers[kind]()


def _primitive_text(primitive: Primitive) -> str:
    kind = primitive.WhichOneof("value")
    if kind == "boolean":
        return "true" if primitive.boolean else "false"
    if kind == "float_value":
        return _float_text(primitive.float_value)
    if kind == "datetime":
        return primitive.datetime.ToJsonString()
    if kind == "duration":
        return duration_text(primitive.duration)
    return str(primitive.integer if kind == "integer" else primitive.string_value)


def _float_text(value: float) -> str:
    """Return what Go prints for ``%v``: the shortest digits, an exponent only below 1e-4 or from 1e21 on."""
    if value != value or value in (float("inf"), float("-inf")):
        return {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}[str(value)]
    if value.is_integer() and abs(value) < 1e21:
        return f"{value:.0f}"
    return repr(value)


def duration_text(duration: Duration) -> str:
    """Return a duration as Go prints it.

    >>> duration_text(Duration(seconds=3661, nanos=500_000_000))
    '1h1m1.5s'
    """
    total = duration.seconds * 1_000_000_000 + duration.nanos
    sign, total = ("-", -total) if total < 0 else ("", total)
    if total < 1_000_000_000:
        return sign + _short_duration(total)
    minutes, nanos = divmod(total, 60_000_000_000)
    seconds = f"{_decimal(nanos, 1_000_000_000)}s"
    if not minutes:
        return sign + seconds
    hours, minutes = divmod(minutes, 60)
    return sign + (f"{hours}h{minutes}m{seconds}" if hours else f"{minutes}m{seconds}")


def timeout_text(timeout: timedelta) -> str:
    """Return a timeout as :func:`duration_text` writes durations."""
    message = Duration()
    message.FromTimedelta(timeout)
    return duration_text(message)


def _short_duration(nanos: int) -> str:
    for unit, size in (("ms", 1_000_000), ("µs", 1_000)):
        if nanos >= size:
            return f"{_decimal(nanos, size)}{unit}"
    return f"{nanos}ns" if nanos else "0s"


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    digits = f"{rest:0{len(str(unit)) - 1}d}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)
