"""What lists can be filtered and sorted by: the columns of each kind of row, and which other rows it reaches.

Tables only, no code: names are Flyte's (flyteadmin/pkg/repositories/models, pkg/common/entity.go), the places
are ours. A column that is not here does not exist for any client.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Entity(Enum):
    """A kind of row that is listed; the value is the prefix that names it in a filter."""

    TASK = "task"
    WORKFLOW = "workflow"
    LAUNCH_PLAN = "launch_plan"
    EXECUTION = "execution"
    NODE_EXECUTION = "node_execution"
    TASK_EXECUTION = "task_execution"
    NAMED_ENTITY = "entities"
    NAMED_ENTITY_METADATA = "named_entity_metadata"
    PROJECT = "project"
    SIGNAL = "signal"
    ADMIN_TAG = "admin_tag"
    EXECUTION_TAG = "execution_tag"
    DESCRIPTION = "description_entity"


class ColumnKind(Enum):
    """How a filter's text becomes a value."""

    TEXT = "text"
    NUMBER = "number"
    TIME = "time"  # RFC 3339, compared as fixed-width UTC text
    DURATION = "duration"  # float seconds or a Go duration, compared in nanoseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """Where a field is kept: ``place`` is ``table.column``; ``join`` is needed to reach it from the listed table."""

    place: str
    kind: ColumnKind
    join: str = ""


def _columns(table: str, **fields: str) -> dict[str, Column]:
    """Columns of one table by kind; each value is a blank-separated list of column names."""
    return {
        name: Column(place=f"{table}.{name}", kind=ColumnKind(kind))
        for kind, names in fields.items()
        for name in names.split()
    }


_EXECUTIONS_OF_NODES = "JOIN executions ON executions.id = node_executions.execution_id"
_EXECUTIONS_OF_TASKS = "JOIN executions ON executions.id = task_executions.execution_id"


def _execution_names(join: str) -> dict[str, Column]:
    """The execution's identifier, as seen from a table that refers to executions."""
    names = ("execution_project", "execution_domain", "execution_name")
    return {name: Column(place=f"executions.{name}", kind=ColumnKind.TEXT, join=join) for name in names}


_ENTITY_TEXT = "project domain name version"
_AGE = "created_at updated_at"

COLUMNS: Mapping[Entity, Mapping[str, Column]] = {
    Entity.TASK: _columns("tasks", text=f"{_ENTITY_TEXT} type short_description", time=_AGE, number="id"),
    Entity.WORKFLOW: _columns("workflows", text=f"{_ENTITY_TEXT} short_description", time=_AGE, number="id"),
    Entity.LAUNCH_PLAN: _columns(
        "launch_plans",
        text=f"{_ENTITY_TEXT} schedule_type launch_condition_type",
        number="id workflow_id state",
        time=_AGE,
    ),
    Entity.EXECUTION: _columns(
        "executions",
        text="execution_project execution_domain execution_name phase abort_cause cluster inputs_uri user_inputs_uri"
        " error_kind error_code user launch_entity",
        number="id launch_plan_id workflow_id task_id mode source_execution_id parent_node_execution_id state",
        time=f"{_AGE} started_at execution_created_at execution_updated_at",
        duration="duration",
    ),
    Entity.NODE_EXECUTION: {
        **_columns(
            "node_executions",
            text="node_id phase input_uri error_kind error_code cache_status",
            number="id parent_id parent_task_execution_id",
            time=f"{_AGE} started_at node_execution_created_at node_execution_updated_at",
            duration="duration",
        ),
        **_execution_names(_EXECUTIONS_OF_NODES),
    },
    Entity.TASK_EXECUTION: {
        **_columns(
            "task_executions",
            text=f"{_ENTITY_TEXT} node_id phase input_uri",
            number="id retry_attempt phase_version",
            time=f"{_AGE} started_at task_execution_created_at task_execution_updated_at",
            duration="duration",
        ),
        **_execution_names(_EXECUTIONS_OF_TASKS),
    },
    Entity.NAMED_ENTITY: _columns(
        "named_entities", text="project domain name description", number="resource_type state", time=_AGE
    ),
    Entity.NAMED_ENTITY_METADATA: _columns(
        "named_entities", text="project domain name description", number="resource_type state", time=_AGE
    ),
    Entity.PROJECT: _columns("projects", text="identifier name description", number="id state", time=_AGE),
    Entity.SIGNAL: _columns(
        "signals", text="execution_project execution_domain execution_name signal_id", number="id", time=_AGE
    ),
    Entity.ADMIN_TAG: {"name": Column(place="tag.key", kind=ColumnKind.TEXT)},
    Entity.EXECUTION_TAG: {
        "key": Column(place="tag.key", kind=ColumnKind.TEXT),
        "value": Column(place="tag.value", kind=ColumnKind.TEXT),
    },
    Entity.DESCRIPTION: _columns(
        "description_entities", text=f"{_ENTITY_TEXT} short_description", number="id resource_type", time=_AGE
    ),
}

ROW_IDS: Mapping[Entity, str] = {
    Entity.TASK: "tasks.id",
    Entity.WORKFLOW: "workflows.id",
    Entity.LAUNCH_PLAN: "launch_plans.id",
    Entity.EXECUTION: "executions.id",
    Entity.NODE_EXECUTION: "node_executions.id",
    Entity.TASK_EXECUTION: "task_executions.id",
    Entity.NAMED_ENTITY: "named_entities.id",
    Entity.PROJECT: "projects.id",
    Entity.DESCRIPTION: "description_entities.id",
    Entity.SIGNAL: "signals.id",
}
"""What keeps the order of equal rows the same from page to page."""

EXECUTION_FIELDS: Mapping[str, str] = {
    "project": "execution_project",
    "domain": "execution_domain",
    "name": "execution_name",
}
"""Fields of executions, node executions, task executions and signals that Flyte lets clients shorten."""

JOINS: Mapping[tuple[Entity, Entity], tuple[str, ...]] = {
    (Entity.EXECUTION, Entity.LAUNCH_PLAN): ("JOIN launch_plans ON launch_plans.id = executions.launch_plan_id",),
    (Entity.EXECUTION, Entity.WORKFLOW): ("JOIN workflows ON workflows.id = executions.workflow_id",),
    (Entity.EXECUTION, Entity.TASK): ("JOIN tasks ON tasks.id = executions.task_id",),
    (Entity.LAUNCH_PLAN, Entity.WORKFLOW): ("JOIN workflows ON workflows.id = launch_plans.workflow_id",),
    (Entity.NODE_EXECUTION, Entity.EXECUTION): (_EXECUTIONS_OF_NODES,),
    (Entity.TASK_EXECUTION, Entity.EXECUTION): (_EXECUTIONS_OF_TASKS,),
    (Entity.TASK_EXECUTION, Entity.NODE_EXECUTION): (
        "JOIN node_executions ON node_executions.execution_id = task_executions.execution_id"
        " AND node_executions.node_id = task_executions.node_id",
    ),
    (Entity.TASK_EXECUTION, Entity.TASK): (
        "JOIN tasks ON tasks.project = task_executions.project AND tasks.domain = task_executions.domain"
        " AND tasks.name = task_executions.name AND tasks.version = task_executions.version",
    ),
    (Entity.NAMED_ENTITY, Entity.NAMED_ENTITY_METADATA): (),
    (Entity.NAMED_ENTITY_METADATA, Entity.NAMED_ENTITY): (),
}
"""Which other rows a filter of a list may name, and how they are reached."""

TAGS: Mapping[Entity, str] = {
    Entity.EXECUTION_TAG: "execution_tags",
    Entity.ADMIN_TAG: "execution_tags",
}
"""Reached from executions by existence, not by a join: an execution with two matching tags is still one row."""
