"""One interpreter kept warm: its zygote is started when needed, restarted when it dies, stopped when idle.

Rule: each attempt that was submitted is answered exactly once (exited, lost or unstartable), whatever the zygote
does. Knows nothing of slots, results or the engine.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from hydraflyte.backend.executor.zygote.frames import Message
from hydraflyte.backend.executor.zygotes import Site, ZygoteProcess, abort_message, kill_group

MOST_DEATHS_IN_A_ROW = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the executor waits for things, in seconds.

    Attributes:
        abort_s: between TERM and KILL of an aborted attempt.
        start_s: for a zygote to import flytekit, before it is killed and counted as dead.
        idle_s: before a zygote without attempts is stopped.
        leave_s: for a zygote to leave after it was told to, before it is killed.
    """

    abort_s: float = 5.0
    start_s: float = 120.0
    idle_s: float = 600.0
    leave_s: float = 10.0


class AttemptListener(Protocol):
    """Who is told how submitted attempts fare. Called from the event loop's thread, never inside ``submit``."""

    def on_started(self, attempt: str) -> None:
        """The process of the attempt exists."""
        ...

    def on_exited(self, attempt: str) -> None:
        """The process of the attempt was reaped; its directory tells how it ended."""
        ...

    def on_lost(self, attempt: str, reason: str) -> None:
        """The process of the attempt is gone with its zygote."""
        ...

    def on_unstartable(self, attempt: str, reason: str) -> None:
        """No zygote of this interpreter lives long enough to start the attempt."""
        ...


class WarmInterpreter:
    """Starts attempts on one interpreter.

    Args:
        python: absolute path of the interpreter.
        site: where its zygotes live.
        patience: how long to wait for what.
        listener: told how each attempt fares.
        cleans_up: whether a new zygote is started after one that died, to end what that one left.
    """

    def __init__(
        self, *, python: str, site: Site, patience: Patience, listener: AttemptListener, cleans_up: bool = False
    ) -> None:
        self.python = python
        self._site = site
        self._patience = patience
        self._listener = listener
        self._cleans_up = cleans_up
        self._waiting: dict[str, Message] = {}  # until the zygote is ready
        self._ordered: dict[str, Message] = {}  # sent, not yet confirmed
        self._doomed: set[str] = set()  # among the sent ones: aborted before they were confirmed
        self._running: dict[str, int] = {}  # attempt -> pid
        self._zygote: ZygoteProcess | None = None
        self._is_ready = False
        self._is_leaving = False  # the zygote was told to, for being idle
        self._is_closed = False
        self._deaths = 0
        self._life: asyncio.Task[None] | None = None
        self._gone: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def zygote_pid(self) -> int | None:
        """Process id of the zygote, or None while there is none."""
        return None if self._zygote is None else self._zygote.pid

    def warm_up(self) -> None:
        """Start the zygote now, so that the first attempt need not wait for it."""
        if self._life is None:
            self._life = asyncio.get_running_loop().create_task(self._live_once())

    def submit(self, attempt: str, order: Message) -> None:
        """Start the attempt as soon as the zygote can."""
        self._waiting[attempt] = order
        self._cancel_timer_if_ready()
        self._send_waiting()

    def withdraw(self, attempt: str) -> bool:
        """Take back an attempt that was not yet sent to the zygote; return whether it could be. It gets no answer."""
        return self._waiting.pop(attempt, None) is not None

    def abort(self, attempt: str) -> None:
        """Kill the attempt: TERM, grace, KILL. It is answered like one that ended by itself."""
        if attempt in self._ordered:
            self._doomed.add(attempt)
        if self._zygote is not None and (attempt in self._running or attempt in self._ordered):
            self._zygote.send(abort_message(attempt=attempt, grace_s=self._patience.abort_s))

    async def close(self) -> None:
        """Kill everything and return once no process is left. Attempts get no answer any more."""
        self._is_closed = True
        if self._zygote is not None:
            self._zygote.close()
        if self._life is not None:
            await self._life

    async def _live_once(self) -> None:
        """Start a zygote and stay until it is gone."""
        loop = asyncio.get_running_loop()
        zygote = ZygoteProcess(python=self.python, site=self._site, listener=self)
        self._gone = loop.create_future()
        last_words = ""
        try:
            await zygote.start()
        except OSError as error:
            last_words = f"{type(error).__name__}: {error}"
        else:
            self._zygote = zygote
            self._timer = loop.call_later(self._patience.start_s, zygote.kill)
            if self._is_closed:  # meanwhile
                zygote.close()
            await self._gone
            self._zygote = None
        last_words = await zygote.wait_gone(patience_s=self._patience.leave_s) or last_words
        self._life = None
        if not self._is_closed:
            self._go_on_after_death(last_words)

    def on_message(self, zygote: ZygoteProcess, message: Message) -> None:
        match message["type"]:
            case "ready":
                self._is_ready = True
                self._cancel_timer_if_ready()
                self._send_waiting()
                self._stop_later_if_idle()
            case "started":
                self._on_started(message["id"], message["pid"])
            case "exited":
                self._on_exited(message["id"])
            case "lost":  # with its second-level zygote, if nothing else is said
                died = f"the process that ran tasks on {self.python} died"
                self._on_lost(message["id"], message.get("reason", died))

    def _on_started(self, attempt: str, pid: int) -> None:
        self._deaths = 0
        self._doomed.discard(attempt)
        if self._ordered.pop(attempt, None) is not None:
            self._running[attempt] = pid
            self._listener.on_started(attempt)

    def _on_exited(self, attempt: str) -> None:
        if self._forget(attempt):
            self._listener.on_exited(attempt)
        self._stop_later_if_idle()

    def _on_lost(self, attempt: str, reason: str) -> None:
        if self._forget(attempt):
            self._listener.on_lost(attempt, reason)
        self._stop_later_if_idle()

    def _forget(self, attempt: str) -> bool:
        """Strike out an attempt that runs, or that ended before it could; return whether it was known."""
        self._doomed.discard(attempt)
        was_ordered = self._ordered.pop(attempt, None) is not None
        return self._running.pop(attempt, None) is not None or was_ordered

    def on_gone(self, zygote: ZygoteProcess) -> None:
        self._cancel_timer()
        self._is_ready = False
        for pid in self._running.values():
            kill_group(pid)
        lost = [*self._running, *(attempt for attempt in self._ordered if attempt in self._doomed)]
        not_started = {attempt: order for attempt, order in self._ordered.items() if attempt not in self._doomed}
        self._waiting = {**not_started, **self._waiting}
        self._running, self._ordered, self._doomed = {}, {}, set()
        if not self._is_closed:
            for attempt in lost:
                self._listener.on_lost(attempt, f"the process that ran tasks on {self.python} died")
        assert self._gone is not None
        self._gone.set_result(None)

    def _go_on_after_death(self, last_words: str) -> None:
        has_died = not self._is_leaving
        self._is_leaving = False
        self._deaths += has_died
        if self._deaths >= MOST_DEATHS_IN_A_ROW:
            self._give_up(last_words)
        elif self._waiting or (has_died and self._cleans_up):
            self.warm_up()

    def _give_up(self, last_words: str) -> None:
        self._deaths = 0
        waiting, self._waiting = self._waiting, {}
        reason = f"the interpreter {self.python} ended {MOST_DEATHS_IN_A_ROW} times before it could start a task"
        for attempt in waiting:
            self._listener.on_unstartable(attempt, f"{reason}; it printed:\n{last_words}" if last_words else reason)

    def _send_waiting(self) -> None:
        if not self._waiting:
            return
        if not self._is_ready or self._zygote is None:
            self.warm_up()
            return
        for attempt, order in self._waiting.items():
            self._ordered[attempt] = order
            self._zygote.send(order)
        self._waiting = {}

    def _stop_later_if_idle(self) -> None:
        if self._is_ready and not (self._waiting or self._ordered or self._running):
            self._timer = asyncio.get_running_loop().call_later(self._patience.idle_s, self._stop_idle)

    def _stop_idle(self) -> None:
        if self._zygote is not None:
            self._is_leaving = True
            self._is_ready = False
            self._zygote.close()

    def _cancel_timer_if_ready(self) -> None:
        if self._is_ready:  # else it is the one that bounds the start
            self._cancel_timer()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
