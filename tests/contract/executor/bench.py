"""What the executor's suites share: attempts of real flytekit tasks, and a sink that records."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import ModuleType

from flyteidl.core.literals_pb2 import Literal, LiteralMap, Primitive, Scalar
from flyteidl.core.tasks_pb2 import Container, TaskTemplate
from google.protobuf.message import Message

from hydraflyte.backend.engine.commands import AttemptSpec
from hydraflyte.backend.engine.events import AttemptStarted, Event
from hydraflyte.backend.executor.machine import Machine
from hydraflyte.identifiers import AttemptId, ExecutionId, NodeId

FLOWS = Path(__file__).parent / "flows"
PATIENCE_S = 30.0  # longest wait for an event; only a defect takes that long


class RecordingSink:
    """An EventSink that keeps every event in order and lets a test wait for the next one."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._arrived: asyncio.Queue[Event] = asyncio.Queue()

    def post(self, execution: ExecutionId, event: Event) -> None:
        self.events.append(event)
        self._arrived.put_nowait(event)

    async def next(self) -> Event:
        return await asyncio.wait_for(self._arrived.get(), PATIENCE_S)

    async def next_end(self) -> Event:
        """The next event that is no AttemptStarted."""
        while isinstance(event := await self.next(), AttemptStarted):
            pass
        return event


def load_tasks() -> ModuleType:
    """Import the tasks under the name that they have in a code bundle."""
    name = "attempt_tasks"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, FLOWS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def attempt_id(node: str = "n0", *, attempt: int = 0, execution: str = "e1") -> AttemptId:
    """Return an id in project ``p``, domain ``development``."""
    owner = ExecutionId(project="p", domain="development", name=execution)
    return AttemptId(execution=owner, node=NodeId(node), attempt=attempt)


def machine_with(*, cpus: int, memory_bytes: int = 1 << 40, gpus: tuple[str, ...] = ()) -> Machine:
    """Return a machine of so many processors."""
    return Machine(cpu_millis=1000 * cpus, memory_bytes=memory_bytes, gpus=gpus)


class Bench:
    """Makes attempts below one directory: inputs written, argv and environment as the engine has them."""

    def __init__(self, root: Path, image: str = "example.invalid/flytekit:1") -> None:
        self.root = root
        self.image = image
        self.home = root / "home"
        self._bundle: Path | None = None

    @property
    def bundle(self) -> Path:
        """A code bundle of the tasks, made by flytekit's own packaging."""
        if self._bundle is None:
            from flytekit.tools.fast_registration import fast_package

            folder = self.root / "bundle"
            folder.mkdir(parents=True)
            self._bundle = Path(str(fast_package(FLOWS, folder)))
        return self._bundle

    def serialize(self, task_name: str, dest_dir: str = ".") -> TaskTemplate:
        """Return the template of a task of ``attempt_tasks``, as a fast registration sends it."""
        from flytekit.configuration import FastSerializationSettings, Image, ImageConfig, SerializationSettings
        from flytekit.tools.translator import get_serializable

        fast = FastSerializationSettings(enabled=True, destination_dir=dest_dir, distribution_location=str(self.bundle))
        settings = SerializationSettings(
            image_config=ImageConfig(default_image=Image.look_up_image_info("default", self.image)),
            project="p",
            domain="development",
            version="v1",
            fast_serialization_settings=fast,
        )
        task = getattr(load_tasks(), task_name)
        return get_serializable(OrderedDict(), settings, task).to_flyte_idl().template

    def attempt(
        self, task_name: str, attempt: AttemptId | None = None, *, x: int = 3, env: Mapping[str, str] | None = None
    ) -> AttemptSpec:
        """Return an attempt of a task of ``attempt_tasks`` with the input ``x``."""
        template = self.serialize(task_name)
        return self.place(template, attempt or attempt_id(), argv=template.container.args, x=x, env=env)

    def program(
        self, *argv: str, attempt: AttemptId | None = None, env: Mapping[str, str] | None = None
    ) -> AttemptSpec:
        """Return an attempt of a container without outputs that runs any program."""
        template = TaskTemplate(container=Container(image=self.image, args=argv))
        return self.place(template, attempt or attempt_id(), argv=argv, env=env)

    def writes(self, name: str, content: Message) -> tuple[str, ...]:
        """Return a command line that leaves this file at the output prefix, as an SDK of Flyte would."""
        encoded = "".join(f"\\{byte:03o}" for byte in content.SerializeToString())
        return ("sh", "-c", f"mkdir -p \"$0\" && printf '%b' '{encoded}' > \"$0/{name}\"", "{{.outputPrefix}}")

    def place(
        self,
        template: TaskTemplate,
        attempt: AttemptId,
        *,
        argv: Sequence[str],
        x: int = 3,
        env: Mapping[str, str] | None = None,
    ) -> AttemptSpec:
        """Write the inputs and fill in the templates of ``argv``."""
        node = self.root / "metadata" / attempt.execution.name / attempt.node
        (node / "data").mkdir(parents=True, exist_ok=True)
        inputs = node / "data" / "inputs.pb"
        inputs.write_bytes(literals(x=x).SerializeToString())
        output_prefix = str(node / "data" / str(attempt.attempt))
        raw = str(self.root / "raw" / attempt.execution.name / attempt.node / str(attempt.attempt))
        values = {
            "{{.input}}": str(inputs),
            "{{.outputPrefix}}": output_prefix,
            "{{.rawOutputDataPrefix}}": raw,
            "{{.checkpointOutputPrefix}}": f"{raw}/_flytecheckpoints",
            "{{.prevCheckpointPrefix}}": '""',
        }
        flyte = {"FLYTE_INTERNAL_EXECUTION_ID": attempt.execution.name, "FLYTE_ATTEMPT_NUMBER": str(attempt.attempt)}
        return AttemptSpec(
            attempt=attempt,
            argv=tuple(values.get(argument, argument) for argument in argv),
            env={**flyte, **(env or {})},
            task=template,
            inputs_uri=str(inputs),
            output_prefix=output_prefix,
            raw_output_prefix=raw,
            bundle_uri=dict(pairwise(argv)).get("--additional-distribution", ""),
        )


def literals(**values: int) -> LiteralMap:
    """Return a literal map of integers."""
    return LiteralMap(
        literals={name: Literal(scalar=Scalar(primitive=Primitive(integer=value))) for name, value in values.items()}
    )


def with_dest_dir(spec: AttemptSpec, dest_dir: str) -> AttemptSpec:
    """Return the attempt with another ``--dest-dir``, as an image's own layout would have it."""
    argv = list(spec.argv)
    argv[argv.index("--dest-dir") + 1] = dest_dir
    return replace(spec, argv=tuple(argv))
