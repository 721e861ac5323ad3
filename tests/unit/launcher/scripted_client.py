"""A Flyte backend for tests of the launcher: keeps what it is sent, and runs executions by a script."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from threading import Lock

from flyteidl.admin import execution_pb2, launch_plan_pb2, task_pb2, workflow_pb2
from flyteidl.core import execution_pb2 as core_execution_pb2
from flyteidl.core import identifier_pb2, literals_pb2
from google.protobuf.message import Message

from hydraflyte.errors import BackendRefusedError, BackendUnavailableError
from hydraflyte.launcher.endpoint import Endpoint
from hydraflyte.launcher.remote import Creation, ExecutionQuery, LaunchPlanPlace, Upload

Phase = core_execution_pb2.WorkflowExecution

ENDPOINT = Endpoint(
    target="scripted:1",
    insecure=True,
    console_url="http://console",
    front_page="http://console/console",
    origin="a test",
)


class ScriptedFlyteClient:
    """Every execution goes through the phases of its script, one per question, and stays at the last.

    Args:
        scripts: execution name -> what each ``get_execution`` gives: a phase, or an error to raise.
        default_script: for executions that have none of their own.
        outputs: what every execution that succeeds returns.
        deaf: so many requests to end an execution find nobody.
    """

    def __init__(
        self,
        *,
        scripts: Mapping[str, Sequence[int | Exception]] | None = None,
        default_script: Sequence[int | Exception] = (Phase.RUNNING, Phase.SUCCEEDED),
        outputs: literals_pb2.LiteralMap | None = None,
        deaf: int = 0,
    ) -> None:
        self._scripts = dict(scripts or {})
        self._default_script = default_script
        self._outputs = outputs or literals_pb2.LiteralMap()
        self._entities: dict[bytes, Message] = {}
        self._active: dict[str, str] = {}
        self._asked: dict[str, int] = {}
        self._aborted: dict[str, str] = {}
        self._deaf = deaf
        self._lock = Lock()
        self.executions: dict[str, execution_pb2.ExecutionCreateRequest] = {}
        self.listed: list[ExecutionQuery] = []
        self.created: list[str] = []
        self.uploaded: list[str] = []

    @property
    def endpoint(self) -> Endpoint:
        return ENDPOINT

    @property
    def terminated(self) -> Mapping[str, str]:
        """Execution name -> cause, for those that were asked to end."""
        return self._aborted

    def fetch(self, identifier: identifier_pb2.Identifier) -> Message | None:
        spec = self._entities.get(identifier.SerializeToString(deterministic=True))
        match spec:
            case task_pb2.TaskSpec():
                task = task_pb2.Task(id=identifier)
                task.closure.compiled_task.template.CopyFrom(spec.template)
                return task
            case workflow_pb2.WorkflowSpec():
                workflow = workflow_pb2.Workflow(id=identifier)
                workflow.closure.compiled_workflow.primary.template.CopyFrom(spec.template)
                return workflow
            case launch_plan_pb2.LaunchPlanSpec():
                return launch_plan_pb2.LaunchPlan(id=identifier, spec=spec)
            case _:
                return None

    def create(self, identifier: identifier_pb2.Identifier, spec: Message) -> Creation:
        key = identifier.SerializeToString(deterministic=True)
        with self._lock:
            is_new = key not in self._entities
            known = self._entities.setdefault(key, spec)
        if is_new:
            self.created.append(identifier.name)
            return Creation.CREATED
        if known == spec:
            return Creation.UNCHANGED
        raise _refused("INVALID_ARGUMENT", f"{identifier.name} with different structure already exists")

    def launch_plans(
        self, place: LaunchPlanPlace, *, only_active: bool = False
    ) -> Iterator[launch_plan_pb2.LaunchPlan]:
        for key, spec in reversed(list(self._entities.items())):
            found = identifier_pb2.Identifier.FromString(key)
            if not isinstance(spec, launch_plan_pb2.LaunchPlanSpec):
                continue
            if (found.project, found.domain) != place[:2] or place.name not in ("", found.name):
                continue
            active = self._active.get(found.name) == found.version
            if active or not only_active:
                closure = launch_plan_pb2.LaunchPlanClosure(state=launch_plan_pb2.ACTIVE if active else 0)
                yield launch_plan_pb2.LaunchPlan(id=found, spec=spec, closure=closure)

    def set_active(self, launch_plan: identifier_pb2.Identifier, *, active: bool) -> None:
        if launch_plan.SerializeToString(deterministic=True) not in self._entities:
            raise _refused("NOT_FOUND", f"no launch plan {launch_plan.name}")
        if active:
            self._active[launch_plan.name] = launch_plan.version
        elif self._active.get(launch_plan.name) == launch_plan.version:
            del self._active[launch_plan.name]

    def projects(self) -> tuple[str, ...]:
        return ("flytesnacks", "flyteexamples", "flytetester")

    def domains(self) -> tuple[str, ...]:
        return ("development", "staging", "production")

    def upload(self, project: str, domain: str, file: Upload) -> str:
        assert hashlib.md5(file.path.read_bytes()).digest() == file.digest_md5
        self.uploaded.append(file.path.name)
        return f"/blobs/{project}/{domain}/{file.path.name}"

    def create_execution(
        self, request: execution_pb2.ExecutionCreateRequest
    ) -> identifier_pb2.WorkflowExecutionIdentifier:
        if request.spec.launch_plan.SerializeToString(deterministic=True) not in self._entities:
            raise _refused("NOT_FOUND", f"no launch plan {request.spec.launch_plan.name}")
        with self._lock:
            self.executions.setdefault(request.name, request)
        return identifier_pb2.WorkflowExecutionIdentifier(
            project=request.project, domain=request.domain, name=request.name
        )

    def get_execution(
        self, execution: identifier_pb2.WorkflowExecutionIdentifier, *, patience_s: float
    ) -> execution_pb2.Execution:
        if execution.name not in self.executions:
            raise _refused("NOT_FOUND", f"no execution {execution.name}")
        return self._answer(execution)

    def list_executions(self, query: ExecutionQuery) -> Iterator[execution_pb2.Execution]:
        """Know what sweeps ask for: a name, a label's value, a phase; each by ``eq``, ``value_in`` or its opposite."""
        with self._lock:
            self.listed.append(query)
            created = list(self.executions.values())
        tests = [part for part in query.filters.split("+") if part]
        yes = 0
        for request in reversed(created):
            facts = {"name": {request.name}, "execution_tag.key": set(request.spec.labels.values)}
            facts["execution_tag.value"] = set(request.spec.labels.values.values())
            if (request.project, request.domain) != (query.project, query.domain) or not _all_hold(tests, facts):
                continue
            place = identifier_pb2.WorkflowExecutionIdentifier(
                project=request.project, domain=request.domain, name=request.name
            )
            answer = self._answer(place)
            answer.spec.CopyFrom(request.spec)
            if not _all_hold(tests, {"phase": {Phase.Phase.Name(answer.closure.phase)}}):
                continue
            yes += 1
            yield answer
            if yes == query.limit:
                return

    def _answer(self, execution: identifier_pb2.WorkflowExecutionIdentifier) -> execution_pb2.Execution:
        script = self._scripts.get(execution.name, self._default_script)
        asked = self._asked.get(execution.name, 0)
        self._asked[execution.name] = asked + 1
        step = script[min(asked, len(script) - 1)]
        if isinstance(step, Exception):
            raise step
        return self._execution(execution, step)

    def get_outputs(self, execution: identifier_pb2.WorkflowExecutionIdentifier) -> literals_pb2.LiteralMap:
        return self._outputs

    def get_inputs(self, execution: identifier_pb2.WorkflowExecutionIdentifier) -> literals_pb2.LiteralMap:
        return self.executions[execution.name].inputs

    def terminate(self, execution: identifier_pb2.WorkflowExecutionIdentifier, cause: str) -> None:
        with self._lock:
            self._deaf -= 1
            if self._deaf >= 0:
                raise BackendUnavailableError("nobody there", hint="none")
        self._aborted.setdefault(execution.name, cause)

    def _execution(self, execution: identifier_pb2.WorkflowExecutionIdentifier, phase: int) -> execution_pb2.Execution:
        answer = execution_pb2.Execution(id=execution)
        answer.closure.phase = phase
        answer.closure.duration.FromTimedelta(timedelta(seconds=3))
        if execution.name in self._aborted:
            answer.closure.phase = Phase.ABORTED
            answer.closure.abort_metadata.cause = self._aborted[execution.name]
        elif phase == Phase.FAILED:
            answer.closure.error.message = (
                'Traceback (most recent call last):\n  File "a.py", line 1, in f\nValueError: x'
            )
        return answer


def _all_hold(tests: Sequence[str], facts: Mapping[str, set[str]]) -> bool:
    """Tell whether each test of a fact that is given holds."""
    for test in tests:
        operator, field, text = re.fullmatch(r"(\w+)\(([\w.]+),(.*)\)", test).groups()  # type: ignore[union-attr]
        if field not in facts:
            continue
        meets = not facts[field].isdisjoint(text.split(";"))
        if meets is not (operator in ("eq", "value_in")):
            return False
    return True


def _refused(code: str, text: str) -> BackendRefusedError:
    return BackendRefusedError(f"refused: {code}, {text}", hint="a test", code=code)
