"""The executor without processes, when a test wants to decide what happens next."""

import asyncio

from tests.contract.executor.bench import Bench, RecordingSink, attempt_id

from hydraflyte.backend.engine.events import AttemptAborted, AttemptLost, AttemptStarted
from hydraflyte.backend.executor.scripted import IsLost, NeverStarts, ScriptedExecutor
from hydraflyte.identifiers import NodeId


def opened(tmp_path, script):
    executor, sink = ScriptedExecutor(script, is_manual=True), RecordingSink()
    asyncio.run(executor.open(sink))
    return executor, sink, Bench(tmp_path).program("true")


def test_events_are_posted_one_by_one_when_told_to(tmp_path):
    executor, sink, spec = opened(tmp_path, {(NodeId("n0"), 0): IsLost(reason="power cut")})
    executor.start(spec)

    assert sink.events == []
    assert executor.advance() == AttemptStarted(attempt=attempt_id())
    assert executor.running == {attempt_id()}
    assert executor.advance() == AttemptLost(attempt=attempt_id(), reason="power cut")
    assert executor.advance() is None
    assert executor.running == frozenset()
    assert executor.find_result(spec) is None


def test_an_attempt_that_never_starts_can_be_aborted(tmp_path):
    executor, sink, spec = opened(tmp_path, {(NodeId("n0"), 0): NeverStarts()})
    executor.start(spec)
    executor.abort(attempt_id(), "deadline")
    executor.advance()

    assert sink.events == [AttemptAborted(attempt=attempt_id())]
    assert executor.started == [spec]
    assert executor.aborted == [(attempt_id(), "deadline")]
