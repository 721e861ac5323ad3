"""The database: grouped writes, isolated failures, readers that cannot write, other versions refused."""

import asyncio
import sqlite3
import threading

import pytest

from hydraflyte.backend.store.database import Database
from hydraflyte.errors import BackendStartError


@pytest.fixture
def database(tmp_path):
    database = Database.open(tmp_path / "backend.sqlite")
    yield database
    database.close()


def put_tag(connection, key):
    connection.execute(
        "INSERT INTO artifacts VALUES (?, 'tag', 'id', x'', 'p/d/e', 'n0', 0, '2026-01-01T00:00:00.000000Z')", (key,)
    )


def datasets(connection):
    return [row["dataset"] for row in connection.execute("SELECT dataset FROM artifacts ORDER BY dataset")]


def test_what_was_written_is_read_back(database):
    async def story():
        await database.write(lambda connection: put_tag(connection, "a"))
        return await database.read(datasets)

    assert asyncio.run(story()) == ["a"]


def test_a_change_that_raises_takes_back_only_itself(database):
    def put_then_fail(connection):
        put_tag(connection, "lost")
        raise ValueError("no")

    async def story():
        results = await asyncio.gather(
            database.write(lambda connection: put_tag(connection, "before")),
            database.write(put_then_fail),
            database.write(lambda connection: put_tag(connection, "after")),
            return_exceptions=True,
        )
        return [type(result) for result in results], await database.read(datasets)

    outcomes, kept = asyncio.run(story())

    assert outcomes == [type(None), ValueError, type(None)]
    assert kept == ["after", "before"]


def test_a_reader_cannot_write(database):
    async def story():
        await database.read(lambda connection: put_tag(connection, "sneaky"))

    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        asyncio.run(story())


def test_many_concurrent_writes_meet_no_lock(database):
    async def story():
        await asyncio.gather(*(database.write(lambda c, n=n: put_tag(c, f"{n:03}")) for n in range(300)))
        return len(await database.read(datasets))

    assert asyncio.run(story()) == 300


def test_what_is_queued_when_it_closes_is_still_written(tmp_path):
    database = Database.open(tmp_path / "backend.sqlite")
    future = database.submit(lambda connection: put_tag(connection, "a"))

    database.close()

    assert future.result(timeout=0) is None
    with sqlite3.connect(tmp_path / "backend.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM artifacts").fetchone()[0] == 1
    connection.close()


def test_a_database_with_other_tables_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "backend.sqlite"
    Database.open(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 7")
    connection.close()

    with pytest.raises(BackendStartError, match="was made by another version of hydraflyte") as refusal:
        Database.open(path)

    assert "choose another folder with --home" in refusal.value.hint


def test_a_database_is_opened_again(tmp_path):
    path = tmp_path / "backend.sqlite"
    Database.open(path).close()

    Database.open(path).close()


def test_a_damaged_file_gets_one_clear_error(tmp_path):
    path = tmp_path / "backend.sqlite"
    path.write_bytes(b"this is not a database, it is a sentence" * 100)

    with pytest.raises(BackendStartError, match="cannot be used: file is not a database"):
        Database.open(path)


def test_a_caller_that_goes_away_does_not_stop_the_writer(database):
    begun, release = threading.Event(), threading.Event()

    def slow(connection):
        begun.set()
        assert release.wait(timeout=10)
        put_tag(connection, "slow")

    async def story():
        under_way = asyncio.create_task(database.write(slow))
        await asyncio.to_thread(begun.wait, 10)
        queued = asyncio.create_task(database.write(lambda connection: put_tag(connection, "never")))
        await asyncio.sleep(0)
        for task in (under_way, queued):
            task.cancel()
        await asyncio.gather(under_way, queued, return_exceptions=True)
        release.set()
        await database.write(lambda connection: put_tag(connection, "later"))
        return await database.read(datasets)

    assert asyncio.run(story()) == ["later", "slow"]
