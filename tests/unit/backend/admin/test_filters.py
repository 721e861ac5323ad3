"""Filters, sort keys and tokens: from a client's text to a selection with bound values."""

import sqlite3

import pytest
from flyteidl.admin.common_pb2 import ResourceListRequest, Sort
from hypothesis import given
from hypothesis import strategies as st

from hydraflyte.backend.admin.columns import COLUMNS, JOINS, Entity
from hydraflyte.backend.admin.filters import (
    FilterError,
    Operator,
    list_selection,
    next_token,
    order_by,
    page,
    parse_filters,
    select,
)
from hydraflyte.backend.store.database import Database


def selected(text, listed=Entity.EXECUTION):
    return select(listed, parse_filters(listed, text))


def test_no_filter_selects_everything():
    assert selected("").where == ()


def test_expressions_are_joined_by_and():
    selection = selected("eq(phase,FAILED)+ne(mode,2)")

    assert selection.where == ("executions.phase = ?", "executions.mode != ?")
    assert selection.parameters == ("FAILED", 2)


@pytest.mark.parametrize(
    ("text", "condition", "value"),
    [
        ("contains(abort_cause,full)", "instr(executions.abort_cause, ?) > 0", "full"),
        ("not_like(cluster,emb%)", "executions.cluster NOT LIKE ?", "emb%"),
        ("gt(state,0)", "executions.state > ?", 0),
        ("gte(state,0)", "executions.state >= ?", 0),
        ("lt(state,1)", "executions.state < ?", 1),
        ("lte(state,1)", "executions.state <= ?", 1),
        ("eq(user,ada)", "executions.user = ?", "ada"),
        ("eq(user, ada)", "executions.user = ?", "ada"),
        ("eq(user,)", "executions.user = ?", ""),
        ("eq(execution.user,ada)", "executions.user = ?", "ada"),
        ("eq(abort_cause,a (b))", "executions.abort_cause = ?", "a (b)"),
        ("eq(name,one)", "executions.execution_name = ?", "one"),
        ("eq(project,p)", "executions.execution_project = ?", "p"),
        ("gt(duration,1.5)", "executions.duration > ?", 1_500_000_000),
        ("gt(duration,1m30s)", "executions.duration > ?", 90_000_000_000),
        ("gt(duration,250ms)", "executions.duration > ?", 250_000_000),
        ("gte(created_at,2024-01-01T00:00:00Z)", "executions.created_at >= ?", "2024-01-01T00:00:00.000000Z"),
        ("gte(created_at,2024-01-01T02:00:00.5-01:30)", "executions.created_at >= ?", "2024-01-01T03:30:00.500000Z"),
        ("gte(created_at,2024-01-01T00:00:00.123456789Z)", "executions.created_at >= ?", "2024-01-01T00:00:00.123456Z"),
        ("gte(started_at,2024-01-01)", "executions.started_at >= ?", "2024-01-01T00:00:00.000000Z"),
    ],
)
def test_each_function_makes_its_condition(text, condition, value):
    selection = selected(text)

    assert selection.where == (condition,)
    assert selection.parameters == (value,)


def test_value_in_splits_at_semicolons():
    selection = selected("value_in(phase,FAILED;ABORTED)+value_not_in(mode,1;2)")

    assert selection.where == ("executions.phase IN (?, ?)", "executions.mode NOT IN (?, ?)")
    assert selection.parameters == ("FAILED", "ABORTED", 1, 2)


def test_the_split_between_field_and_value_is_at_the_last_comma():
    with pytest.raises(FilterError, match=r"phase,FAILED is an invalid filter"):
        selected("eq(phase,FAILED,ABORTED)")


def test_other_rows_are_reached_by_one_join():
    selection = selected("eq(workflow.name,main)+eq(workflow.version,v1)+eq(launch_plan.name,lp)")

    assert selection.joins == (
        "JOIN workflows ON workflows.id = executions.workflow_id",
        "JOIN launch_plans ON launch_plans.id = executions.launch_plan_id",
    )


def test_tag_filters_speak_of_one_tag_and_never_double_a_row():
    selection = selected("eq(execution_tag.key,k)+eq(execution_tag.value,v)")

    assert selection.joins == ()
    assert selection.where == (
        "EXISTS (SELECT 1 FROM execution_tags AS tag WHERE tag.execution_id = executions.id"
        " AND tag.key = ? AND tag.value = ?)",
    )
    assert selection.parameters == ("k", "v")


@pytest.mark.parametrize(
    ("listed", "text"),
    [
        (Entity.EXECUTION, "eq(phase)"),
        (Entity.EXECUTION, "phase=FAILED"),
        (Entity.EXECUTION, "like(phase,F%)"),
        (Entity.EXECUTION, "eq(colour,red)"),
        (Entity.EXECUTION, "eq(planet.name,mars)"),
        (Entity.EXECUTION, "eq(project.name,p)"),
        (Entity.EXECUTION, "eq(state,active)"),
        (Entity.EXECUTION, "eq(state,99999999999999999999)"),
        (Entity.EXECUTION, "gt(duration,soon)"),
        (Entity.EXECUTION, "gt(duration,1e300)"),
        (Entity.EXECUTION, "gt(duration,nan)"),
        (Entity.EXECUTION, "gt(created_at,yesterday)"),
        (Entity.EXECUTION, "gt(created_at,0001-01-01T00:00:00+14:00)"),
        (Entity.EXECUTION, "eq(phase,FAILED)+"),
        (Entity.TASK, "eq(workflow.name,main)"),
        (Entity.TASK, "eq(execution_tag.key,k)"),
        (Entity.EXECUTION, "value_in(phase," + ";".join(["FAILED"] * 1000) + ")"),
        (Entity.EXECUTION, "eq(phase," + "x" * 70_000 + ")"),
    ],
)
def test_what_cannot_be_understood_is_said(listed, text):
    with pytest.raises(FilterError):
        selected(text, listed)


def test_sorting_is_stable_and_descending_unless_said():
    assert order_by(Entity.TASK, Sort(key="name")) == "tasks.name DESC, tasks.id DESC"
    assert order_by(Entity.TASK, Sort(key="name", direction=Sort.ASCENDING)) == "tasks.name ASC, tasks.id ASC"
    assert order_by(Entity.TASK, Sort()) == "tasks.id"
    assert order_by(Entity.EXECUTION, Sort(key="name")) == "executions.execution_name DESC, executions.id DESC"


@pytest.mark.parametrize("key", ["colour", "name; DROP TABLE tasks", "workflow.name"])
def test_a_sort_key_must_be_a_column(key):
    with pytest.raises(FilterError, match="invalid sort key"):
        order_by(Entity.TASK, Sort(key=key))


def test_pages_are_offsets():
    assert page(10, "") == (10, 0)
    assert page(10, "30") == (10, 30)
    assert page(0, "", unlimited_at_zero=True) == (-1, 0)


@pytest.mark.parametrize(("limit", "token"), [(0, ""), (1, "-1"), (1, "x"), (1, "1.5"), (1, "9" * 30), (1, "١")])
def test_bad_pages_are_refused(limit, token):
    with pytest.raises(FilterError):
        page(limit, token)


def test_a_full_page_has_a_next_one():
    assert next_token(2, 4, 2) == "6"
    assert next_token(2, 4, 1) == ""
    assert next_token(-1, 0, 3) == ""


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    path = tmp_path_factory.mktemp("schema") / "db.sqlite"
    Database.open(path).close()
    connection = sqlite3.connect(path)
    yield connection
    connection.close()


STORED = [entity for entity in Entity if entity not in (Entity.SIGNAL, Entity.ADMIN_TAG, Entity.EXECUTION_TAG)]
TABLES = {
    Entity.TASK: "tasks",
    Entity.WORKFLOW: "workflows",
    Entity.LAUNCH_PLAN: "launch_plans",
    Entity.EXECUTION: "executions",
    Entity.NODE_EXECUTION: "node_executions",
    Entity.TASK_EXECUTION: "task_executions",
    Entity.NAMED_ENTITY: "named_entities",
    Entity.NAMED_ENTITY_METADATA: "named_entities",
    Entity.PROJECT: "projects",
    Entity.DESCRIPTION: "description_entities",
}
SAMPLES = {"text": "a", "number": "1", "time": "2024-01-01T00:00:00Z", "duration": "1"}


@pytest.mark.parametrize("listed", STORED)
def test_every_column_can_be_filtered_in_the_real_schema(connection, listed):
    reachable = [other for other in COLUMNS if other is listed or (listed, other) in JOINS]
    for entity in reachable:
        for name, column in COLUMNS[entity].items():
            selection = selected(f"eq({entity.value}.{name},{SAMPLES[column.kind.value]})", listed)

            statement = selection.statement(f"SELECT {TABLES[listed]}.* FROM {TABLES[listed]}")
            assert connection.execute(statement, selection.parameters).fetchall() is not None


@pytest.mark.parametrize("listed", [entity for entity in STORED if entity is not Entity.NAMED_ENTITY_METADATA])
def test_every_column_can_be_sorted_by_in_the_real_schema(connection, listed):
    for name, column in COLUMNS[listed].items():
        if column.join:
            continue
        request = ResourceListRequest(limit=5, sort_by=Sort(key=name))

        selection = list_selection(listed, request)

        connection.execute(selection.statement(f"SELECT {TABLES[listed]}.* FROM {TABLES[listed]}")).fetchall()


names = st.sampled_from([operator.value for operator in Operator])
fields = st.sampled_from(sorted({name for columns in COLUMNS.values() for name in columns})) | st.text(max_size=8)
expressions = st.builds(lambda name, field, value: f"{name}({field},{value})", names, fields, st.text(max_size=20))


@given(st.sampled_from(STORED), st.lists(expressions | st.text(max_size=20), max_size=4).map("+".join))
def test_any_text_is_understood_or_refused_and_never_becomes_sql(listed, text):
    try:
        selection = selected(text, listed)
    except FilterError:
        return

    statement = selection.statement(f"SELECT 1 FROM {TABLES[listed]}")
    assert statement.count("?") == len(selection.parameters)
