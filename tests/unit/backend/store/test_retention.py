"""Which executions may be forgotten."""

from contextlib import closing
from datetime import datetime, timezone

import pytest

from hydraflyte.backend.store import database
from hydraflyte.backend.store.retention import find_removable, remove_executions

CUT_OFF = datetime(2026, 1, 15, tzinfo=timezone.utc)
OLD, YOUNG = "2026-01-14T23:59:59.000000Z", "2026-01-15T00:00:00.000000Z"


@pytest.fixture
def connection(tmp_path):
    database.Database.open(tmp_path / "backend.sqlite").close()
    with closing(database._connect(tmp_path / "backend.sqlite")) as connection:
        yield connection


def put(connection, table, **columns):
    """Insert a row; columns that say nothing here get an empty value."""
    for info in connection.execute(f"PRAGMA table_info({table})").fetchall():
        if info["notnull"] and info["dflt_value"] is None and not info["pk"]:
            columns.setdefault(info["name"], 0 if info["type"] == "INTEGER" else "")
    names = ", ".join(columns)
    marks = ", ".join(f":{name}" for name in columns)
    return connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", columns).lastrowid


def execution(connection, name, *, phase="SUCCEEDED", ended_at=OLD, **columns):
    return put(connection, "executions", execution_name=name, phase=phase, ended_at=ended_at, plan="{}", **columns)


def child(connection, parent, name, **columns):
    node = put(connection, "node_executions", execution_id=parent, node_id=name)
    return execution(connection, name, parent_node_execution_id=node, **columns)


def test_only_what_ended_before_the_instant_goes(connection):
    old = execution(connection, "old")
    execution(connection, "young", ended_at=YOUNG)
    execution(connection, "running", phase="RUNNING", ended_at=None)
    aborted = execution(connection, "aborted", phase="ABORTED")

    assert find_removable(connection, CUT_OFF) == [old, aborted]


def test_parents_and_children_go_together_or_not_at_all(connection):
    running = execution(connection, "running", phase="RUNNING", ended_at=None)
    done = child(connection, running, "done")
    child(connection, done, "grandchild")
    parent = execution(connection, "parent")
    child(connection, parent, "still-there", phase="ABORTING", ended_at=None)
    all_over = execution(connection, "all-over")
    with_it = child(connection, all_over, "with-it")

    assert find_removable(connection, CUT_OFF) == [all_over, with_it]


def test_what_a_running_execution_recovers_from_stays_also_if_it_began_a_moment_ago(connection):
    source, other = execution(connection, "source"), execution(connection, "other")
    recovering = execution(connection, "new", phase="RUNNING", ended_at=None, source_execution_id=source)

    assert find_removable(connection, CUT_OFF) == [other]
    assert remove_executions(connection, [source, other, recovering]) == [other]


def test_whoever_waits_to_be_told_of_stays(connection):
    promised, pending, told = (execution(connection, name) for name in ("promised", "pending", "told"))
    put(connection, "promised_notifications", execution_id=promised)
    put(connection, "notifications", execution_id=pending, status="PENDING")
    put(connection, "notifications", execution_id=told, status="DELIVERED")

    assert find_removable(connection, CUT_OFF) == [told]


def test_all_rows_of_an_execution_go_with_it(connection):
    gone = execution(connection, "gone")
    put(connection, "node_executions", execution_id=gone, node_id="n0")
    put(connection, "task_executions", execution_id=gone, node_id="n0")
    put(connection, "events", execution_id=gone, seq=1)
    put(connection, "signals", execution_name="gone", signal_id="s")

    remove_executions(connection, [gone])

    for table in ("executions", "node_executions", "task_executions", "events", "signals"):
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 0
