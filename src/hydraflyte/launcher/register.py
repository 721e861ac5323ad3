"""Entities -> registered entities: serialised by flytekit, created over the API, each one reported.

One rule: registering the same content again changes nothing. Tasks go up at the same time, then workflows and
launch plans in the order of their dependence. A version that is taken by other content is an error that shows
the fields that differ. Opens no connection of its own; knows nothing of Hydra.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from flyteidl.admin import launch_plan_pb2, task_pb2, workflow_pb2
from flyteidl.core import identifier_pb2, literals_pb2
from flytekit.configuration import FastSerializationSettings, ImageConfig, SerializationSettings
from flytekit.configuration.default_images import DefaultImages
from flytekit.core.launch_plan import LaunchPlan
from flytekit.core.workflow import WorkflowBase
from flytekit.models.admin.workflow import WorkflowSpec as WorkflowSpecModel
from flytekit.models.core.identifier import Identifier as IdentifierModel
from flytekit.models.launch_plan import LaunchPlan as LaunchPlanModel
from flytekit.models.task import TaskSpec as TaskSpecModel
from flytekit.tools.translator import get_serializable
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from hydraflyte.errors import BackendRefusedError, RegistrationError, VersionTakenError
from hydraflyte.launcher.image_specs import image_specs
from hydraflyte.launcher.remote import Creation, FlyteClient

REGISTRATION_KEY = "hydraflyte.org/registration"
"""Annotation of the main launch plan: digest of everything that went into the registration."""
PYTHON_VARIABLE = "HYDRAFLYTE_PYTHON"
_CONCURRENT_CALLS = 8
_MOST_DIFFERENCES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationPlan:
    """Under which names and with which settings a workflow is registered.

    Attributes:
        version: version of every entity.
        image: reference of the image of tasks that name none; None means flytekit's stock image.
        named_images: name -> reference of the images that tasks refer to by name.
        environment: variables of every task's container.
        bundle_uri: where the code bundle is; None leaves the code to the image.
        key: digest of everything that decides the content, kept as an annotation of the main launch plan.
        defaults: what the main launch plan gives to inputs that an execution does not name.
        annotations: where it comes from; kept with the main launch plan.
        builds_image_specs: whether images that tasks describe with ``ImageSpec`` are built, or only named.
    """

    project: str
    domain: str
    version: str
    image: str | None
    environment: Mapping[str, str]
    bundle_uri: str | None
    key: str
    named_images: Mapping[str, str] = field(default_factory=dict)
    defaults: literals_pb2.LiteralMap = field(default_factory=literals_pb2.LiteralMap)
    annotations: Mapping[str, str] = field(default_factory=dict)
    builds_image_specs: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredEntity:
    """One entity and what became of it."""

    kind: str
    name: str
    creation: Creation


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A workflow that is registered, and can be executed by its launch plan.

    Attributes:
        launch_plan: identifier of the main workflow's launch plan.
        entities: what was registered, in order; empty if all of it was there and nothing was sent.
        annotations: where the code comes from, for every execution of it.
    """

    launch_plan: identifier_pb2.Identifier
    entities: tuple[RegisteredEntity, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)

    def count(self, creation: Creation) -> int:
        """Return how many entities were created, or were there already."""
        return sum(1 for entity in self.entities if entity.creation is creation)


@dataclass(frozen=True, slots=True, kw_only=True)
class SerializedEntity:
    """One entity as the API takes it."""

    identifier: identifier_pb2.Identifier
    spec: Message

    @property
    def kind(self) -> str:
        return {
            identifier_pb2.TASK: "task",
            identifier_pb2.WORKFLOW: "workflow",
            identifier_pb2.LAUNCH_PLAN: "launch plan",
        }[self.identifier.resource_type]


def entities_text(count: int) -> str:
    """Return a number of entities in words."""
    return "1 entity" if count == 1 else f"{count} entities"


def launch_plan_id(workflow_name: str, *, project: str, domain: str, version: str) -> identifier_pb2.Identifier:
    """Return the identifier of a workflow's own launch plan, which bears its name."""
    return identifier_pb2.Identifier(
        resource_type=identifier_pb2.LAUNCH_PLAN, project=project, domain=domain, name=workflow_name, version=version
    )


def find_launch_plan(client: FlyteClient, launch_plan: identifier_pb2.Identifier) -> launch_plan_pb2.LaunchPlan | None:
    """Return the launch plan as it is registered, or None."""
    found = client.fetch(launch_plan)
    assert found is None or isinstance(found, launch_plan_pb2.LaunchPlan)
    return found


def key_of(launch_plan: launch_plan_pb2.LaunchPlan) -> str:
    """Return the key that the launch plan was registered with, or ``""`` if another tool registered it."""
    return dict(launch_plan.spec.annotations.values).get(REGISTRATION_KEY, "")


def serialize(
    workflow: WorkflowBase, entities: Sequence[object], plan: RegistrationPlan
) -> tuple[SerializedEntity, ...]:
    """Return every entity as the API takes it, each after those it uses; the main launch plan last.

    Raises:
        RegistrationError: flytekit cannot serialise an entity.
    """
    settings = _settings(plan)
    mapping: OrderedDict[Any, Any] = OrderedDict()  # Any: flytekit has no types
    main_plan = LaunchPlan.get_default_launch_plan(None, workflow)
    with image_specs(entities, are_built=plan.builds_image_specs):
        for entity in (*entities, workflow, main_plan):
            _serialize_one(mapping, settings, entity)
    serialized = _without_duplicates(_as_messages(mapping.values(), plan))
    main = launch_plan_id(workflow.name, project=plan.project, domain=plan.domain, version=plan.version)
    for entity in serialized:
        if entity.identifier == main and isinstance(entity.spec, launch_plan_pb2.LaunchPlanSpec):
            entity.spec.annotations.values.update({**plan.annotations, REGISTRATION_KEY: plan.key})
            _set_defaults(entity.spec, plan.defaults)
    return tuple(sorted(serialized, key=lambda entity: entity.identifier == main))


def _serialize_one(mapping: Any, settings: SerializationSettings, entity: Any) -> None:  # Any: flytekit has no types
    name = getattr(entity, "name", entity)
    try:
        get_serializable(mapping, settings, entity)
    except (ValueError, TypeError, AssertionError, AttributeError) as error:
        raise RegistrationError(
            f"flytekit cannot serialise {name}: {error}", hint="correct its decorator or its signature."
        ) from error
    except (RuntimeError, OSError) as error:  # of the builder that an ImageSpec names
        raise RegistrationError(
            f"flytekit cannot build the image that {name} describes with ImageSpec: {error}",
            hint="start Docker, log in to the registry, or set hydra.launcher.build_images=false: then the image is "
            "taken as it is in the registry.",
        ) from error


def _set_defaults(spec: launch_plan_pb2.LaunchPlanSpec, defaults: literals_pb2.LiteralMap) -> None:
    for name, default in defaults.literals.items():
        if name in spec.default_inputs.parameters:  # fixed ones are not
            spec.default_inputs.parameters[name].default.CopyFrom(default)


def register(client: FlyteClient, serialized: Sequence[SerializedEntity]) -> Registration:
    """Create every entity that is not there yet.

    Args:
        serialized: from :func:`serialize`: each after those it uses, the main launch plan last.

    Raises:
        RegistrationError: an entity is refused, or its version is taken by other content.
    """
    tasks = [entity for entity in serialized if entity.identifier.resource_type == identifier_pb2.TASK]
    others = [entity for entity in serialized if entity.identifier.resource_type != identifier_pb2.TASK]
    with ThreadPoolExecutor(max_workers=_CONCURRENT_CALLS, thread_name_prefix="register") as pool:
        registered = list(pool.map(lambda entity: _register_one(client, entity), tasks))
    registered.extend(_register_one(client, entity) for entity in others)
    return Registration(launch_plan=serialized[-1].identifier, entities=tuple(registered))


def _settings(plan: RegistrationPlan) -> SerializationSettings:
    fast = None
    if plan.bundle_uri is not None:
        fast = FastSerializationSettings(enabled=True, destination_dir=".", distribution_location=plan.bundle_uri)
    image = DefaultImages.default_image() if plan.image is None else plan.image
    return SerializationSettings(
        project=plan.project,
        domain=plan.domain,
        version=plan.version,
        image_config=ImageConfig.from_images(image, dict(plan.named_images)),
        env=dict(plan.environment) or None,
        fast_serialization_settings=fast,
    )


def _as_messages(models: Any, plan: RegistrationPlan) -> Iterator[SerializedEntity]:  # Any: flytekit has no types
    for model in models:
        if isinstance(model, (TaskSpecModel, WorkflowSpecModel)):
            yield SerializedEntity(identifier=_identifier(model.template.id), spec=model.to_flyte_idl())
        elif isinstance(model, LaunchPlanModel):
            yield SerializedEntity(identifier=_identifier(model.id), spec=model.spec.to_flyte_idl())


def _identifier(model: IdentifierModel) -> identifier_pb2.Identifier:
    identifier: identifier_pb2.Identifier = model.to_flyte_idl()
    return identifier


def _without_duplicates(entities: Iterator[SerializedEntity]) -> list[SerializedEntity]:
    found: dict[bytes, SerializedEntity] = {}
    for entity in entities:
        found.setdefault(entity.identifier.SerializeToString(deterministic=True), entity)
    return list(found.values())


def _register_one(client: FlyteClient, entity: SerializedEntity) -> RegisteredEntity:
    try:
        creation = client.create(entity.identifier, entity.spec)
    except BackendRefusedError as error:
        existing = client.fetch(entity.identifier) if error.code == "INVALID_ARGUMENT" else None
        if not _says_the_same(existing, entity.spec):
            raise _refusal(existing, entity, error) from error
        creation = Creation.UNCHANGED
    return RegisteredEntity(kind=entity.kind, name=entity.identifier.name, creation=creation)


def _says_the_same(existing: Message | None, wanted: Message) -> bool:
    """Tell whether two main launch plans differ at most in who registered them: another launch was a little faster."""
    if not (isinstance(existing, launch_plan_pb2.LaunchPlan) and isinstance(wanted, launch_plan_pb2.LaunchPlanSpec)):
        return False
    return key_of(existing) == wanted.annotations.values.get(REGISTRATION_KEY)


def _refusal(existing: Message | None, entity: SerializedEntity, error: BackendRefusedError) -> RegistrationError:
    """Return what to tell the user: that the entity is not valid, or how it differs from the one that is there."""
    name, version = entity.identifier.name, entity.identifier.version
    if existing is None:
        return RegistrationError(f"The {entity.kind} {name} is not accepted: {error.message}", hint=error.hint)
    differences = differing_fields(_registered_spec(existing), entity.spec)
    lines = "\n".join(f"  - {line}" for line in differences) or f"  - {error.message}"
    return VersionTakenError(
        f"The {entity.kind} {name} is already registered as version {version} with other content:\n{lines}",
        hint="choose another version (hydra.launcher.workflow.version), or leave the version out: "
        "then it follows the code.",
    )


def _registered_spec(existing: Message) -> Message:
    match existing:
        case task_pb2.Task():
            return task_pb2.TaskSpec(template=existing.closure.compiled_task.template)
        case workflow_pb2.Workflow():
            return workflow_pb2.WorkflowSpec(template=existing.closure.compiled_workflow.primary.template)
        case launch_plan_pb2.LaunchPlan():
            return existing.spec
        case _:
            raise AssertionError(f"no such entity: {type(existing).__name__}")


def differing_fields(registered: Message, wanted: Message) -> tuple[str, ...]:
    """Return one line per field in which the two differ, ``path: registered -> wanted``, without what admin adds."""
    before, after = (_comparable(message) for message in (registered, wanted))
    lines = list(_differences(before, after, ""))
    if len(lines) > _MOST_DIFFERENCES:
        lines = [*lines[:_MOST_DIFFERENCES], f"and {len(lines) - _MOST_DIFFERENCES} more"]
    return tuple(lines)


def _comparable(message: Message) -> dict[str, Any]:  # Any: JSON
    content: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    if isinstance(message, workflow_pb2.WorkflowSpec):
        content.pop("sub_workflows", None)
        nodes = content.get("template", {}).get("nodes", [])
        content["template"]["nodes"] = [node for node in nodes if node.get("id") not in ("start-node", "end-node")]
        for node in content["template"]["nodes"]:
            node.pop("upstream_node_ids", None)  # the compiler fills them in
    if isinstance(message, launch_plan_pb2.LaunchPlanSpec):
        content.pop("default_inputs", None)  # admin replaces them by all expected inputs
    content.pop("description", None)
    return content


def _differences(before: Any, after: Any, path: str) -> Iterator[str]:  # Any: JSON
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}):
            yield from _differences(before.get(key), after.get(key), f"{path}.{key}" if path else key)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (left, right) in enumerate(zip(before, after, strict=True)):
            yield from _differences(left, right, f"{path}[{index}]")
    elif before != after:
        yield f"{path}: {_short(before)} -> {_short(after)}"


def _short(value: Any) -> str:  # Any: JSON
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 160 else f"{text[:157]}..."
