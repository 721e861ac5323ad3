"""Names of things: executions, attempts, registered entities. Values only, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

NodeId = NewType("NodeId", str)
"""Unique id of a node execution inside its execution (``n0``, ``n0-0-n1``, or hashed when over 20 characters)."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ExecutionId:
    """One run of a launch plan."""

    project: str
    domain: str
    name: str

    def __str__(self) -> str:
        return f"{self.project}/{self.domain}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class AttemptId:
    """The n-th try (from 0) of one task node. ``index`` is the item of a map task, else ``None``."""

    execution: ExecutionId
    node: NodeId
    attempt: int
    index: int | None = None

    def __str__(self) -> str:
        item = "" if self.index is None else f"[{self.index}]"
        return f"{self.execution}/{self.node}{item}/{self.attempt}"
