"""Unique ids of node executions and the names generated from them.

Same rule as flytepropeller (pkg/controller/nodes/common/utils.go, pluginmachinery/encoding/encoder.go): a name
over the limit becomes ``f`` and the base32 text of its FNV-1a-32 hash. Pure text in, text out.
"""

from __future__ import annotations

import re
from functools import lru_cache

from hydraflyte.identifiers import AttemptId, NodeId

_ALPHABET = "abcdefghijklmnopqrstuvwxyz123456"
_MAX_NODE_ID = 20
_MAX_GENERATED_NAME = 50
_MAX_CHILD_NAME = 20
_EXECUTION_NAME = re.compile(r"[a-z][a-z0-9-]*")
_FNV_OFFSET = 0x811C9DC5
_FNV_PRIME = 0x01000193
_FNV_OFFSET_64 = 0xCBF29CE484222325
_FNV_PRIME_64 = 0x100000001B3


@lru_cache(maxsize=65536)  # asked for every upstream of every node; a hash costs some microseconds
def child_id(parent: NodeId | None, attempt: int, spec_node_id: str) -> NodeId:
    """Return the unique id of a node below ``parent`` (at top level, None, it is the compiled id itself).

    >>> child_id(NodeId("n0"), 0, "n1")
    'n0-0-n1'
    """
    if parent is None:
        return NodeId(spec_node_id)
    return NodeId(shorten(f"{parent}-{attempt}-{spec_node_id}", _MAX_NODE_ID))


def item_id(array: NodeId, index: int) -> NodeId:
    """Return the id of an array's item. No client sees it; it is never shortened, lest two of thousands are equal.

    >>> item_id(NodeId("n0"), 12)
    'n0-0-n12'
    """
    return NodeId(f"{array}-0-n{index}")


def generated_name(attempt: AttemptId) -> str:
    """Return the name of an attempt's own resources (flyteidl: ``generated_name``), at most 50 characters long."""
    return shorten(f"{attempt.execution.name}-{attempt.node}-{attempt.attempt}", _MAX_GENERATED_NAME)


def child_execution_name(parent: str, node_id: NodeId, attempt: int) -> str:
    """Return the name of the execution that a launch-plan node of the execution ``parent`` begins.

    A node id may hold characters that no execution's name may have: the name is a hash then, too.

    >>> child_execution_name("e1", NodeId("n0"), 0)
    'e1-n0-0'
    >>> child_execution_name("a6gmqtchm82mdbhx5c8d", NodeId("n0"), 0)
    'fntxnrxq'
    """
    name = f"{parent}-{node_id}-{attempt}"
    return shorten(name, _MAX_CHILD_NAME if _EXECUTION_NAME.fullmatch(name) else 0)


def item_execution_name(parent: str, node_id: NodeId, attempt: int) -> str:
    """Return the same for an item of an array: a hash of 64 bits, as 32 would soon be equal for two of thousands."""
    return "f" + _base32(fnv1a_64(f"{parent}-{node_id}-{attempt}").to_bytes(8, "big"))


def shorten(name: str, limit: int) -> str:
    """Return ``name``, or its eight-character hash if it is longer than ``limit``."""
    if len(name) <= limit:
        return name
    return "f" + _base32(fnv1a_32(name).to_bytes(4, "big"))


def fnv1a_32(text: str) -> int:
    """Return the FNV-1a hash of ``text`` (UTF-8), 32 bits."""
    value = _FNV_OFFSET
    for byte in text.encode():
        value = (value ^ byte) * _FNV_PRIME & 0xFFFFFFFF
    return value


def fnv1a_64(text: str) -> int:
    """Return the FNV-1a hash of ``text`` (UTF-8), 64 bits."""
    value = _FNV_OFFSET_64
    for byte in text.encode():
        value = (value ^ byte) * _FNV_PRIME_64 & 0xFFFFFFFFFFFFFFFF
    return value


def _base32(data: bytes) -> str:
    bits = int.from_bytes(data, "big")
    length = len(data) * 8
    padded = -(-length // 5) * 5
    bits <<= padded - length
    return "".join(_ALPHABET[bits >> shift & 31] for shift in range(padded - 5, -1, -5))
