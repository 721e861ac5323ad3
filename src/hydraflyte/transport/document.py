"""Plain data and bytes: one msgpack value with the plain tree on top.

Readers that know nothing of us (flytekit's dataclasses, attribute access on promises, the console, other SDKs) see the
tree. What only OmegaConf needs hangs below one extra entry, ``__hydraflyte__``: the last key of a map, the last item
of a list. A config that is plain has none.
"""

from __future__ import annotations

from typing import Any

import msgpack
from flytekit.core.constants import MESSAGEPACK

from hydraflyte.transport.encode import Document
from hydraflyte.transport.errors import TransportError, damaged
from hydraflyte.transport.settings import TransportSettings

ENVELOPE = "__hydraflyte__"
_FORM = 1


def to_plain(document: Document) -> Any:
    """Return one value that holds the document, its tree on top."""
    tree = document.tree
    envelope: dict[str, Any] = {"form": _FORM, "root": document.root, "shapes": document.shapes}
    if isinstance(tree, dict):
        if ENVELOPE in tree:
            return {ENVELOPE: {**envelope, "tree": tree}}
        return {**tree, ENVELOPE: envelope} if document.shapes else tree
    if isinstance(tree, list):
        if document.shapes or (tree and _envelope_in(tree[-1])):
            return [*tree, {ENVELOPE: envelope}]
        return tree
    return {ENVELOPE: {**envelope, "tree": tree}}


def from_plain(value: Any) -> Document:
    """Find tree and shapes in one value.

    Raises:
        TransportError: if what hangs below ``__hydraflyte__`` is not readable.
    """
    if isinstance(value, dict) and ENVELOPE in value:
        envelope = value[ENVELOPE]
        tree: Any = {key: item for key, item in value.items() if key != ENVELOPE}
        if isinstance(envelope, dict) and "tree" in envelope and not tree:
            tree = envelope["tree"]
    elif isinstance(value, list) and value and _envelope_in(value[-1]):
        envelope = value[-1][ENVELOPE]
        tree = value[:-1]
    else:
        return Document(tree=value)
    return _with_envelope(tree, envelope)


def _with_envelope(tree: Any, envelope: Any) -> Document:
    if not isinstance(envelope, dict) or not isinstance(envelope.get("shapes"), list):
        raise damaged(f"{ENVELOPE} is not readable")
    form, root = envelope.get("form"), envelope.get("root")
    if form != _FORM:
        raise damaged(f"its form is {str(form)[:50]!r}, known is {_FORM}")
    if isinstance(root, float) and root.is_integer():
        root = int(root)
    if type(root) is not int:
        raise damaged(f"its root is {str(root)[:50]!r}")
    return Document(tree=tree, shapes=envelope["shapes"], root=root)


def _envelope_in(item: Any) -> bool:
    return isinstance(item, dict) and len(item) == 1 and ENVELOPE in item


def to_bytes(document: Document, settings: TransportSettings) -> bytes:
    """Write a document.

    Raises:
        TransportError: if it is too large or too deep.
    """
    try:
        packed: bytes = msgpack.packb(to_plain(document))
    except ValueError as error:  # msgpack's own limits on nesting and sizes
        raise TransportError(
            f"The config cannot be written: {error}.", hint="flatten it, or pass data as a file"
        ) from error
    _check_size(len(packed), settings)
    return packed


def unpack(packed: bytes, tag: str, settings: TransportSettings) -> Any:
    """Read one value from the bytes of a binary literal.

    Raises:
        TransportError: if the bytes are no msgpack, or more than the settings allow.
    """
    if tag != MESSAGEPACK:
        raise TransportError(
            f"The literal is binary data with the tag {tag[:50]!r}, readable is {MESSAGEPACK!r}.",
            hint="pass a config, a dataclass or a dict to an input that is annotated as a config",
        )
    _check_size(len(packed), settings)
    try:
        return msgpack.unpackb(packed, strict_map_key=False)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:  # msgpack has no common base class
        raise damaged(f"{type(error).__name__} while reading msgpack: {str(error)[:200]}") from error


def _check_size(size_bytes: int, settings: TransportSettings) -> None:
    if size_bytes > settings.max_bytes:
        raise TransportError(
            f"The config takes {size_bytes:,} bytes, more than {settings.max_bytes:,}.",
            hint="pass data as a file, or raise max_bytes: HYDRAFLYTE_TRANSPORT=max_bytes=…",
        )
