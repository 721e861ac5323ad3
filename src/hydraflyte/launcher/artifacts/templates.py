"""Registered entities as files: admin's protobufs with holes for what only the place of delivery knows.

One rule: project, domain and version are empty, and the code bundle is a mark, as `pyflyte package` leaves them; `fill`
closes these holes and changes nothing else (docs/decisions/0130). Sends nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, MutableSequence, Sequence
from dataclasses import dataclass
from typing import Any

from flyteidl.admin import launch_plan_pb2, task_pb2, workflow_pb2
from flyteidl.core import identifier_pb2, tasks_pb2
from google.protobuf import struct_pb2
from google.protobuf.message import DecodeError, Message

from hydraflyte.errors import ArtifactError
from hydraflyte.launcher.register import SerializedEntity

CODE_MARK = "{{ .remote_package_path }}"
"""Stands for the code bundle's URI; flytekit and flytectl agree on it."""
_FOLDER_MARK = "{{ .dest_dir }}"
_FILE = re.compile(r"(?P<number>\d+)_(?P<name>[^/]+)_(?P<kind>[123])\.pb")
_KINDS: dict[int, tuple[str, Any]] = {  # Any: protobuf's classes have no common type with FromString
    identifier_pb2.TASK: ("1", task_pb2.TaskSpec),
    identifier_pb2.WORKFLOW: ("2", workflow_pb2.WorkflowSpec),
    identifier_pb2.LAUNCH_PLAN: ("3", launch_plan_pb2.LaunchPlan),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where entities are registered.

    Attributes:
        code_uri: the code bundle in the blob store; None if the entities need none.
    """

    project: str
    domain: str
    version: str
    code_uri: str | None


def to_files(entities: Sequence[SerializedEntity]) -> dict[str, bytes]:
    """Return the files by name, numbered in the order of registration, as `pyflyte package` names them."""
    digits = math.ceil(math.log10(len(entities))) if len(entities) > 1 else 0
    files = {}
    for number, entity in enumerate(entities):
        kind, _ = _KINDS[entity.identifier.resource_type]
        name = f"{str(number).zfill(digits)}_{entity.identifier.name}_{kind}.pb"
        files[name] = _message(entity).SerializeToString(deterministic=True)
    return files


def is_entity_file(name: str) -> bool:
    """Tell whether a file is named as those of entities are."""
    return _FILE.fullmatch(name) is not None


def order_of(name: str) -> int:
    """Return the number that an entity's file begins with."""
    match = _FILE.fullmatch(name)
    assert match is not None, "asked of files of entities only"
    return int(match["number"])


def from_file(name: str, content: bytes) -> SerializedEntity:
    """Return the entity of a file.

    Raises:
        ArtifactError: the file is none, or another one than its name says.
    """
    match = _FILE.fullmatch(name)
    assert match is not None, "asked of files of entities only"
    resource_type, kind = next((key, kind) for key, (digit, kind) in _KINDS.items() if digit == match["kind"])
    try:
        message = kind.FromString(content)
    except DecodeError as error:
        raise _no_entity(name, "cannot be parsed") from error
    spec = message.spec if isinstance(message, launch_plan_pb2.LaunchPlan) else message
    identifier = message.id if isinstance(message, launch_plan_pb2.LaunchPlan) else message.template.id
    if identifier.resource_type != resource_type or identifier.name != match["name"]:
        raise _no_entity(name, f"says that it is {identifier.name!r}" if identifier.name else "says that it is nothing")
    return SerializedEntity(identifier=identifier, spec=spec)


def needs_code(entities: Sequence[SerializedEntity]) -> bool:
    """Tell whether a task is to load a code bundle that is not registered with it."""
    return any(CODE_MARK in args for entity in entities for args in _arguments(entity.spec))


def fill(entity: SerializedEntity, place: Place) -> SerializedEntity:
    """Return the entity as it is registered at a place: holes filled, all else as it was.

    Raises:
        ArtifactError: the entity itself is meant for another project, domain or version.
    """
    filled = SerializedEntity(identifier=identifier_pb2.Identifier(), spec=type(entity.spec)())
    filled.identifier.CopyFrom(entity.identifier)
    filled.spec.CopyFrom(entity.spec)
    for identifier in (filled.identifier, *identifiers_in(filled.spec)):
        identifier.project = identifier.project or place.project
        identifier.domain = identifier.domain or place.domain
        identifier.version = identifier.version or place.version
    _refuse_elsewhere(filled, place)
    for args in _arguments(filled.spec):
        for index, argument in enumerate(args):
            if argument == CODE_MARK and place.code_uri is not None:
                args[index] = place.code_uri
            elif argument == _FOLDER_MARK:
                args[index] = "."
    return filled


def _message(entity: SerializedEntity) -> Message:
    if not isinstance(entity.spec, launch_plan_pb2.LaunchPlanSpec):
        return entity.spec
    plan = launch_plan_pb2.LaunchPlan(id=entity.identifier, spec=entity.spec)
    plan.closure.expected_inputs.SetInParent()  # as flytekit writes it
    plan.closure.expected_outputs.SetInParent()
    return plan


def identifiers_in(message: Message) -> Iterator[identifier_pb2.Identifier]:
    """Yield the identifiers of entities inside a message, at any depth; references to other places included."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            parts = value.values()
        else:
            parts = (value,) if isinstance(value, Message) else value
        for part in parts:
            if isinstance(part, identifier_pb2.Identifier):
                yield part
            elif isinstance(part, Message):
                yield from identifiers_in(part)


class _PodArguments(list[str]):
    """The arguments of a container in a pod's Struct, written through."""

    def __init__(self, values: struct_pb2.ListValue) -> None:
        super().__init__(value.string_value for value in values.values)
        self._values = values

    def __setitem__(self, index: object, argument: object) -> None:
        assert isinstance(index, int)
        assert isinstance(argument, str)
        super().__setitem__(index, argument)
        self._values.values[index].string_value = argument


def _arguments(spec: Message) -> Iterator[MutableSequence[str]]:
    """Yield the arguments of every container of a task; changes to them are changes of the spec."""
    if not isinstance(spec, task_pb2.TaskSpec):
        return
    template: tasks_pb2.TaskTemplate = spec.template
    if template.HasField("container"):
        yield template.container.args
    if template.HasField("k8s_pod"):
        containers = template.k8s_pod.pod_spec.fields.get("containers", struct_pb2.Value())
        for container in containers.list_value.values:
            if "args" in container.struct_value.fields:
                yield _PodArguments(container.struct_value.fields["args"].list_value)


def _refuse_elsewhere(entity: SerializedEntity, place: Place) -> None:
    own = entity.identifier
    for key, meant, wanted in (
        ("project", own.project, place.project),
        ("domain", own.domain, place.domain),
        ("version", own.version, place.version),
    ):
        if meant != wanted:
            raise ArtifactError(
                f"{entity.kind} {own.name} was packaged for {key} {meant}, not {wanted}.",
                hint=f"deliver it with --{key} {meant}, or package it without naming one.",
            )


def _no_entity(name: str, why: str) -> ArtifactError:
    return ArtifactError(
        f"The file {name} in the package {why}: it is no {_KIND_NAMES[name[-4]]} of Flyte.",
        hint="have the package written again; this one is damaged or was put together by hand.",
    )


_KIND_NAMES = {"1": "task", "2": "workflow", "3": "launch plan"}
