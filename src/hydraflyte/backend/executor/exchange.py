"""What Flyte's copilot does around a raw container: fills a folder with its inputs, reads its outputs from another.

Follows flytecopilot/data/{download,upload}.go and coreutils/literals.go. Rule: what copilot cannot do fails here too,
in its words, so that nothing passes that a cluster refuses; data is never copied where it can be mounted or moved.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import yaml
from flyteidl.core.interface_pb2 import VariableMap
from flyteidl.core.literals_pb2 import Binary, Blob, BlobMetadata, Literal, LiteralMap, Primitive, Scalar, Void
from flyteidl.core.tasks_pb2 import DataLoadingConfig, TaskTemplate
from flyteidl.core.types_pb2 import BlobType, Error, LiteralType, SimpleType
from google.protobuf.json_format import MessageToDict, Parse, ParseError
from google.protobuf.struct_pb2 import Struct

from hydraflyte.backend.engine.templates import duration_text

ERROR_FILE = "_ERROR"
_MOST_SIMPLE_BYTES = 1024
_MOST_ERROR_BYTES = 1024 * 1024
_TRIMMED = " \n\t"
_TRUE, _FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_MICROSECONDS = {"ns": 0.001, "us": 1, "µs": 1, "ms": 1e3, "s": 1e6, "m": 60e6, "h": 3600e6}
Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]  # what JSON and YAML hold


class ExchangeError(Exception):
    """Copilot would fail; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """Inputs as a container finds them.

    Attributes:
        mounts: (path here, path inside) of files and folders that need not be copied.
    """

    literal: Literal
    plain: Plain
    mounts: tuple[tuple[str, str], ...] = field(default=())


def exchange_of(task: TaskTemplate) -> DataLoadingConfig | None:
    """Return how the task exchanges files with Flyte, or None if it does not."""
    owner = task.k8s_pod if task.WhichOneof("target") == "k8s_pod" else task.container
    return owner.data_config if owner.data_config.enabled else None


def fill(inputs: LiteralMap, config: DataLoadingConfig, folder: Path) -> tuple[tuple[str, str], ...]:
    """Write the inputs into ``folder``, which the container has as ``input_path``; returns what to mount below it.

    Raises:
        ExchangeError: a value is of a kind that copilot cannot write, or is not on this machine.
        OSError: the disk is full, or the folder cannot be written.
    """
    filled = {name: _fill(value, folder / _safe(name), f"{config.input_path}/{name}") for name, value in _items(inputs)}
    inside = LiteralMap(literals={name: each.literal for name, each in filled.items()})
    (folder / "inputs.pb").write_bytes(inside.SerializeToString(deterministic=True))
    plain = {name: each.plain for name, each in filled.items()}
    if config.format == DataLoadingConfig.JSON:
        (folder / "inputs.json").write_text(json.dumps(plain), encoding="utf-8")
    elif config.format == DataLoadingConfig.YAML:
        (folder / "inputs.yaml").write_text(yaml.safe_dump(plain), encoding="utf-8")
    return tuple(mount for each in filled.values() for mount in each.mounts)


def collect(outputs: VariableMap, folder: Path, raw_prefix: str) -> LiteralMap:
    """Return the outputs that a container left in ``folder``; files and folders among them move to ``raw_prefix``.

    Raises:
        ExchangeError: one is missing or cannot be read as what it should be, or the container left an error.
        OSError: the disk is full, or something cannot be moved.
    """
    error = folder / ERROR_FILE
    if error.exists():
        raise ExchangeError(f"User Error: {_read_text(error, _MOST_ERROR_BYTES)}")
    literals = {}
    for name, variable in sorted(outputs.variables.items()):
        kind = variable.type.WhichOneof("type")
        if kind == "simple":
            literals[name] = _read_simple(_find(folder, name), variable.type.simple)
        elif kind == "blob":
            literals[name] = _take_blob(_find(folder, name), os.path.join(raw_prefix, _safe(name)))
        else:
            raise ExchangeError(f"currently CoPilot uploader does not support [{_type_text(variable.type)}] ({name})")
    return LiteralMap(literals=literals)


def _items(literals: LiteralMap) -> Iterator[tuple[str, Literal]]:
    yield from sorted(literals.literals.items())


def _safe(name: str) -> str:
    if "/" in name or name in ("", ".", ".."):
        raise ExchangeError(f"{name!r} is no name for a file")
    return name


def _fill(value: Literal, path: Path, inside: str) -> Filled:
    match value.WhichOneof("value"):
        case "scalar":
            return _fill_scalar(value, path, inside)
        case "collection":
            parts = {str(index): each for index, each in enumerate(value.collection.literals)}
            filled = _fill_all(parts, path, inside)
            literal = Literal()
            literal.collection.literals.extend(each.literal for each in filled.values())
            literal.collection.SetInParent()
            return Filled(literal=literal, plain=[each.plain for each in filled.values()], mounts=_mounts(filled))
        case "map":
            filled = _fill_all(dict(_items(value.map)), path, inside)
            literal = Literal(map=LiteralMap(literals={name: each.literal for name, each in filled.items()}))
            return Filled(
                literal=literal, plain={name: each.plain for name, each in filled.items()}, mounts=_mounts(filled)
            )
        case kind:
            raise ExchangeError(f"unsupported literal type [{kind}] for {inside}")


def _fill_all(parts: Mapping[str, Literal], path: Path, inside: str) -> dict[str, Filled]:
    path.mkdir(mode=0o700)
    return {name: _fill(each, path / _safe(name), f"{inside}/{name}") for name, each in parts.items()}


def _mounts(filled: Mapping[str, Filled]) -> tuple[tuple[str, str], ...]:
    return tuple(mount for each in filled.values() for mount in each.mounts)


def _fill_scalar(value: Literal, path: Path, inside: str) -> Filled:
    scalar = value.scalar
    match scalar.WhichOneof("value"):
        case "primitive":
            content, plain = _primitive(scalar.primitive)
        case "blob":
            blob = Blob(uri=inside, metadata=scalar.blob.metadata)
            mounts = ((_local(scalar.blob.uri, inside), inside),)
            return Filled(literal=Literal(scalar=Scalar(blob=blob)), plain=inside, mounts=mounts)
        case "generic":
            plain = MessageToDict(scalar.generic)
            content = json.dumps(plain).encode()
        case "binary":
            content = scalar.binary.value
            plain = base64.b64encode(content).decode("ascii")
        case "error":
            content, plain = scalar.error.message.encode(), scalar.error.message
        case "none_type":
            content, plain = b"null", None
        case kind:
            raise ExchangeError(f"unsupported scalar type [{kind}] for {inside}")
    path.write_bytes(content)
    return Filled(literal=value, plain=plain)


def _local(uri: str, inside: str) -> str:
    if not os.path.isabs(uri) or not os.path.exists(uri):
        raise ExchangeError(f"Failed to download from ref [{uri}]: only data on this machine can be shown at {inside}")
    return uri


def _primitive(primitive: Primitive) -> tuple[bytes, Plain]:
    """Return (content of the file, value in JSON). Copilot loses a duration's value in JSON."""
    match primitive.WhichOneof("value"):
        case "integer":
            return str(primitive.integer).encode(), primitive.integer
        case "float_value":
            return _float_text(primitive.float_value).encode(), primitive.float_value
        case "string_value":
            return primitive.string_value.encode(), primitive.string_value
        case "boolean":
            return (b"true" if primitive.boolean else b"false"), primitive.boolean
        case "datetime":
            text = primitive.datetime.ToJsonString()
            return text.encode(), text
        case "duration":
            return duration_text(primitive.duration).encode(), None
        case _:
            return b"null", None


def _float_text(value: float) -> str:
    """Return the shortest decimal text without an exponent, as Go's 'f' format writes it."""
    if value != value or value in (float("inf"), float("-inf")):
        return {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}[str(value)]
    text = format(Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _find(folder: Path, name: str) -> Path:
    """Return the output's path: under its name, or else under its name with any extension."""
    left = {path.name: path for path in sorted(folder.iterdir(), reverse=True)}
    with_extension = {path.stem: path for path in left.values()}
    found = left.get(name) or with_extension.get(name)
    if found is None:
        raise ExchangeError(f"the container left no {name} in the folder of its outputs")
    if found.is_symlink():  # it means something else outside
        raise ExchangeError(f"what the container left as {name} is a link")
    return found


def _read_text(path: Path, most_bytes: int) -> str:
    if path.is_dir():
        raise ExchangeError(f"expected a file, found dir at path [{path.name}]")
    size = path.stat().st_size
    if size > most_bytes:
        raise ExchangeError(f"{path.name}: maximum allowed filesize is [{most_bytes}], but found [{size}]")
    return path.read_bytes().decode("utf-8", errors="replace")


def _read_simple(path: Path, kind: SimpleType) -> Literal:
    text = _read_text(path, _MOST_SIMPLE_BYTES).strip(_TRIMMED)
    try:
        return Literal(scalar=_SIMPLE[kind](text))
    except KeyError:
        raise ExchangeError(f"unsupported type {SimpleType.Name(kind)} of {path.name}") from None
    except (ValueError, ParseError, OverflowError) as error:
        raise ExchangeError(f"{path.name} holds no {SimpleType.Name(kind)}: {text!r} ({error})") from error


def _number(text: str) -> str:
    if "_" in text or not text.isascii():  # Python would take it
        raise ValueError("no number")
    return text


def _boolean(text: str) -> bool:
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ValueError("valid are 1, t, true, 0, f, false")


def _duration(text: str) -> Primitive:
    sign, number = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    parts = _DURATION.findall(number)
    if number != "0" and (not parts or "".join(amount + unit for amount, unit in parts) != number):
        raise ValueError("valid formats: e.g. 300ms, -1.5h, 2h45m")
    primitive = Primitive()
    primitive.duration.FromTimedelta(
        timedelta(microseconds=sign * sum(float(amount) * _MICROSECONDS[unit] for amount, unit in parts))
    )
    return primitive


def _datetime(text: str) -> Primitive:
    primitive = Primitive()
    primitive.datetime.FromJsonString(text)
    return primitive


_SIMPLE: Mapping[int, Callable[[str], Scalar]] = {
    SimpleType.NONE: lambda text: Scalar(none_type=Void()),
    SimpleType.INTEGER: lambda text: Scalar(primitive=Primitive(integer=int(_number(text)))),
    SimpleType.FLOAT: lambda text: Scalar(primitive=Primitive(float_value=float(_number(text)))),
    SimpleType.STRING: lambda text: Scalar(primitive=Primitive(string_value=text)),
    SimpleType.BOOLEAN: lambda text: Scalar(primitive=Primitive(boolean=_boolean(text))),
    SimpleType.DATETIME: lambda text: Scalar(primitive=_datetime(text)),
    SimpleType.DURATION: lambda text: Scalar(primitive=_duration(text)),
    SimpleType.BINARY: lambda text: Scalar(binary=Binary(value=text.encode())),
    SimpleType.ERROR: lambda text: Scalar(error=Error(message=text)),
    SimpleType.STRUCT: lambda text: Scalar(generic=Parse(text, Struct())),
}


def _take_blob(path: Path, target: str) -> Literal:
    """Move what the container left; of a folder the files, which all end up beside one another as with copilot."""
    os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
    if not path.is_dir():
        shutil.move(path, target)
        return _blob(target, BlobType.SINGLE)
    os.makedirs(target, mode=0o700, exist_ok=True)
    for folder, _, files in os.walk(path):
        for name in files:
            shutil.move(os.path.join(folder, name), os.path.join(target, name))
    return _blob(target, BlobType.MULTIPART)


def _blob(uri: str, dimensionality: BlobType.BlobDimensionality) -> Literal:
    metadata = BlobMetadata(type=BlobType(dimensionality=dimensionality))
    return Literal(scalar=Scalar(blob=Blob(uri=uri, metadata=metadata)))


def _type_text(kind: LiteralType) -> str:
    return " ".join(str(kind).split())
