"""Which reads are held, for how long, and that they let go."""

import asyncio

import pytest

from hydraflyte.backend.admin.held_reads import HeldReads
from hydraflyte.identifiers import ExecutionId

ONE = ExecutionId(project="p", domain="d", name="one")
OTHER = ExecutionId(project="p", domain="d", name="other")


class ScriptedControl:
    """Executions end when ``ended`` is set; remembers how long it was asked to wait."""

    def __init__(self):
        self.ended = asyncio.Event()
        self.timeouts = []

    async def wait_until_ended(self, execution, *, timeout_s):
        self.timeouts.append(timeout_s)
        await self.ended.wait()
        return True


def run(story, **limits):
    async def tell():
        control = ScriptedControl()
        return await story(HeldReads(control, **limits), control)

    return asyncio.run(tell())


def test_the_first_question_is_answered_at_once():
    async def story(held, control):
        await held.wait(ONE, peer="a", time_remaining_s=60.0)
        return control.timeouts

    assert run(story) == []


@pytest.mark.parametrize(
    ("time_remaining_s", "waits"), [(60.0, [55.0]), (20.0, [15.0]), (300.0, [55.0]), (5.0, []), (None, [])]
)
def test_the_second_is_held_if_the_client_says_how_long_it_waits(time_remaining_s, waits):
    async def story(held, control):
        control.ended.set()
        await held.wait(ONE, peer="a", time_remaining_s=None)
        await held.wait(ONE, peer="a", time_remaining_s=time_remaining_s)
        return control.timeouts

    assert run(story) == waits


def test_other_peers_and_other_executions_begin_anew():
    async def story(held, control):
        await held.wait(ONE, peer="a", time_remaining_s=60.0)
        await held.wait(ONE, peer="b", time_remaining_s=60.0)
        await held.wait(OTHER, peer="a", time_remaining_s=60.0)
        return control.timeouts

    assert run(story) == []


def test_a_held_read_returns_when_the_execution_ends():
    async def story(held, control):
        await held.wait(ONE, peer="a", time_remaining_s=60.0)
        waiting = asyncio.create_task(held.wait(ONE, peer="a", time_remaining_s=60.0))
        await asyncio.sleep(0)
        assert held.held == 1
        control.ended.set()
        await waiting
        return held.held

    assert run(story) == 0


def test_a_cancelled_call_lets_go():
    async def story(held, control):
        await held.wait(ONE, peer="a", time_remaining_s=60.0)
        waiting = asyncio.create_task(held.wait(ONE, peer="a", time_remaining_s=60.0))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        return held.held

    assert run(story) == 0


def test_beyond_the_most_calls_are_answered_at_once():
    async def story(held, control):
        await held.wait(ONE, peer="a", time_remaining_s=60.0)
        first = asyncio.create_task(held.wait(ONE, peer="a", time_remaining_s=60.0))
        await asyncio.sleep(0)
        await held.wait(ONE, peer="a", time_remaining_s=60.0)
        control.ended.set()
        await first
        return control.timeouts

    assert run(story, max_held=1) == [55.0]
