"""What a case is, and how two results are compared: as plain Python values.

A case names a workflow of ``flows``, its inputs, and what has to come out, written down. Whoever runs it in
process and on the backend compares both with that.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from flytekit import StructuredDataset
from flytekit.core.base_task import PythonTask
from flytekit.core.workflow import WorkflowBase
from flytekit.types.directory import FlyteDirectory
from flytekit.types.file import FlyteFile
from flytekit.types.iterator.json_iterator import JSONIterator
from flytekit.types.schema import FlyteSchema


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """How an execution fails: the code to the letter, and part of the message.

    Attributes:
        in_process: part of what flytekit raises; empty if it cannot happen there (it needs processes).
    """

    code: str
    message: str
    in_process: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One workflow, run in process and on the backend.

    Attributes:
        name: unique; the name of the test.
        covers: the points of the issue (``points.POINTS``) that it shows.
        inputs: values, or a function of an empty folder that makes them.
        outputs: what has to come out, plain (:func:`plain`), by name of the output.
        failure: instead of outputs, how it fails.
        answers: what to give to signals, by id; an approval takes True or False.
        nodes: phases by unique node id, of all levels; None if another case says it.
        attempts: phases of the attempts, by unique node id.
        leaves: what the files of its folder say, in parts, by name; None if it has no folder.
        not_in_process: why flytekit cannot run it in process; empty if it can.
        settings: more arguments for ``FlyteRemote.execute``.
    """

    name: str
    covers: tuple[str, ...]
    workflow: WorkflowBase | PythonTask
    inputs: Mapping[str, Any] | Callable[[Path], Mapping[str, Any]] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    failure: Failure | None = None
    answers: Mapping[str, Any] = field(default_factory=dict)
    nodes: Mapping[str, str] | None = None
    attempts: Mapping[str, tuple[str, ...]] | None = None
    leaves: Mapping[str, tuple[str, ...]] | None = None
    not_in_process: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def inputs_in(self, folder: Path) -> Mapping[str, Any]:
        """Return the inputs; what needs files finds them in ``folder``."""
        return self.inputs(folder) if callable(self.inputs) else self.inputs

    def values(self, result: Any) -> dict[str, Any]:
        """Return what a run in process gave, by the name of the output."""
        names = list(self.workflow.python_interface.outputs)
        if not names:
            return {}
        return dict(zip(names, (result,) if len(names) == 1 else tuple(result), strict=True))


def plain(value: Any) -> Any:
    """Return ``value`` in a form that can be written down and compared: files as their text, frames as columns."""
    if isinstance(value, enum.Enum):
        return value
    if isinstance(value, FlyteFile):
        return Path(value).read_bytes().decode(errors="replace")
    if isinstance(value, FlyteDirectory):
        root = Path(value)
        return {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}
    if isinstance(value, StructuredDataset):
        return plain(value.open(pd.DataFrame).all())
    if isinstance(value, FlyteSchema):
        return plain(value.open().all())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return _plain_of_library(value)


def _plain_of_library(value: Any) -> Any:
    if isinstance(value, JSONIterator):
        with value._reader._fp:  # which flytekit opens and leaves open
            return list(value)
    if hasattr(value, "model_dump"):  # pydantic
        return plain(value.model_dump())
    if hasattr(value, "to_pydict"):  # pyarrow
        return value.to_pydict()
    if type(value).__module__.startswith("polars"):
        return value.to_dict(as_series=False)
    if type(value).__module__.startswith("pandas"):
        return value.to_dict(orient="list")
    if type(value).__name__ == "ndarray":
        return value.tolist()
    if hasattr(value, "ListFields"):  # protobuf
        return {name: plain(item) for name, item in value.items()}
    return list(value) if isinstance(value, Iterator) else value
