"""Map tasks: how many items an array node has, what each takes, and what all of them give together.

Follows flytepropeller (pkg/controller/nodes/array). The one rule: an item is told its index, and is given an
element only where its command line or its cache key needs one; the task's process reads the whole lists.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from flyteidl.core.literals_pb2 import Literal, LiteralMap, Scalar, Void
from flyteidl.core.workflow_pb2 import ArrayNode

from hydraflyte.backend.engine.failures import ErrorKind, Failure

INVALID_LENGTH = "InvalidArrayLength"
OLDER_FAILURE = "ARRAY_JOB_GENERIC_FAILURE"
INDEX_VARIABLE = "FLYTE_K8S_ARRAY_INDEX"
_MOST_MESSAGES = 10
_NONE = Literal(scalar=Scalar(none_type=Void()))


class ArrayError(Exception):
    """The number of items cannot be told. ``failure`` is what the array node ends with."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(kind=ErrorKind.USER, code=INVALID_LENGTH, message=message)


def size_of(array: ArrayNode, inputs: LiteralMap) -> int:
    """Return the number of items: the length of the lists that are not bound as a whole.

    Raises:
        ArrayError: the lists differ in length, or there is none.
    """
    sizes = {name: len(inputs.literals[name].collection.literals) for name in sorted(_lists(array, inputs))}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} has {size}" for name, size in sizes.items())
        raise ArrayError(f"all input arrays must have the same length: {listed}")
    if sizes:
        return next(iter(sizes.values()))
    if set(inputs.literals) <= set(array.bound_inputs):
        return 1
    raise ArrayError("no input array provided")


def element_inputs(array: ArrayNode, inputs: LiteralMap, index: int) -> LiteralMap:
    """Return what item ``index`` takes: an element of each list that is not bound as a whole, all else as it is."""
    lists = _lists(array, inputs)
    chosen = {
        name: literal.collection.literals[index] if name in lists else literal
        for name, literal in inputs.literals.items()
    }
    return LiteralMap(literals=chosen)


def least_successes(array: ArrayNode, size: int) -> int:
    """Return how many items must succeed."""
    criterion = array.WhichOneof("success_criteria")
    if criterion == "min_successes":
        return min(array.min_successes, size)
    return math.ceil(array.min_success_ratio * size) if criterion == "min_success_ratio" else size


def item_env(index: int) -> dict[str, str]:
    """Return the variables by which flytekit's map task knows its index."""
    return {"BATCH_JOB_ARRAY_INDEX_VAR_NAME": INDEX_VARIABLE, INDEX_VARIABLE: str(index)}


def gather(names: Iterable[str], outputs: Sequence[LiteralMap | None]) -> LiteralMap:
    """Return a list for each of ``names``; an item without that output (None: it failed) gives NONE."""
    gathered = LiteralMap()
    for name in names:
        collection = gathered.literals[name].collection
        collection.SetInParent()
        collection.literals.extend(
            _NONE if item is None or name not in item.literals else item.literals[name] for item in outputs
        )
    return gathered


def summary(messages: Mapping[int, str]) -> Failure:
    """Return the failure of an array of which these items failed, with equal messages told once."""
    return Failure(kind=ErrorKind.UNKNOWN, code="", message=_told_once(messages))


def older_summary(messages: Mapping[int, str]) -> Failure:
    """Return the same for a map task of the older kind: a plugin failed it, after all its attempts."""
    message = f"[1/1] currentAttempt done. Last Error: USER::{_told_once(messages)}"
    return Failure(kind=ErrorKind.USER, code=f"RetriesExhausted|{OLDER_FAILURE}", message=message)


def _told_once(messages: Mapping[int, str]) -> str:
    indexes: dict[str, list[int]] = {}
    for index in sorted(messages):
        indexes.setdefault(messages[index], []).append(index)
    lines = [f"[{_ranges(found)}]: {message}" for message, found in list(indexes.items())[:_MOST_MESSAGES]]
    if len(indexes) > _MOST_MESSAGES:
        lines.append("... and many more.")
    return "\n".join(lines)


def _ranges(indexes: Sequence[int]) -> str:
    """Return sorted numbers as text, neighbours as a range: ``0-2,5``."""
    parts: list[list[int]] = []
    for index in indexes:
        if parts and parts[-1][-1] == index - 1:
            parts[-1] = [parts[-1][0], index]
        else:
            parts.append([index])
    return ",".join("-".join(str(number) for number in part) for part in parts)


def _lists(array: ArrayNode, inputs: LiteralMap) -> set[str]:
    bound = set(array.bound_inputs)
    return {
        name
        for name, literal in inputs.literals.items()
        if name not in bound and literal.WhichOneof("value") == "collection"
    }
