"""The zygote's loop: takes orders from the backend, forks attempts, owns their pids until they are reaped.

Messages in: ``start`` (the fields of ``child.Job``), ``abort`` (id, grace_s). Out: ``ready`` once, then for each start
``started`` (id, pid) and ``exited`` (id), or ``lost`` (id; a reason if no process could be made, else a branch died).
The end of the control stream means: kill everything and leave. Rule: one thread, no polling, and no pid is signalled
after it was reaped.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from . import child, flytekit_process, memory, preload, system
from .branches import IDLE_S, Branch, Branches
from .frames import FrameReader, encode

EXIT_FILE = "exit.json"
_READ_BYTES = 256 * 1024
_SWEEP_DELAY_S = 0.2  # lets a burst of exits share one look through /proc
_LEAVE_PATIENCE_S = 5.0
_BLOCKED_WHILE_FORKING = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Attempt:
    """A child that was forked and is not yet reaped."""

    def __init__(self, job: child.Job, key: preload.Key | None, pid: int, oom_kills: int | None) -> None:
        self.job = job
        self.key = key
        self.pid = pid
        self.oom_kills_at_start = oom_kills
        self.is_over_limit = False  # killed for using more memory than it may
        self.kill_at: float | None = None  # monotonic; set while an abort waits for the process to obey TERM

    def signal(self, number: signal.Signals) -> None:
        """Send to the whole process group. The pid is ours: it has not been reaped."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:  # the child has not reached setsid yet
            os.kill(self.pid, number)
        except PermissionError:
            pass  # macOS answers so for a group of zombies


class Zygote:
    """Forks attempts on demand.

    Args:
        control: stream to the backend. Owned from here on.
        flytekit_error: why flytekit cannot be imported in this interpreter, or None.
        installed: when libraries were last installed, before this process imported the first of them.
        is_branch: whether this is the second level, which makes no branches of its own.
    """

    def __init__(
        self, control: socket.socket, flytekit_error: str | None, installed: preload.Dates, *, is_branch: bool = False
    ) -> None:
        self._control = control
        self._flytekit_error = flytekit_error
        self._is_branch = is_branch
        self._installed = installed
        self._branches = Branches()
        self._reader = FrameReader()
        self._attempts: dict[int, Attempt] = {}
        self._memory = memory.MemoryWatch()
        self._sweep_at: float | None = None
        self._wakeup_in, self._wakeup_out = socket.socketpair()
        for end in (self._wakeup_in, self._wakeup_out):
            end.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        self._selector.register(self._wakeup_in, selectors.EVENT_READ)

    def serve(self) -> None:
        """Work until the backend closes the stream."""
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self._wakeup_out.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        system.adopt_orphans()
        self._send({"type": "ready", "python": sys.version.split()[0]})
        while self._turn():
            pass
        self._kill_everything()

    def _turn(self) -> bool:
        """Wait for something to happen and handle it. Return False when the backend is gone."""
        ready = {key.fileobj for key, _ in self._selector.select(self._time_to_next_deadline())}
        if self._wakeup_in in ready:
            self._drain_wakeup()
        self._collect_exits()
        self._kill_disobedient()
        self._kill_oversized()
        if self._sweep_at is not None and time.monotonic() >= self._sweep_at:
            self._sweep_orphans()
        for branch in self._branches:
            if branch.stream in ready:
                self._read_branch(branch)
        self._stop_branches(self._branches.expired(None))
        return self._control not in ready or self._read_orders()

    def _time_to_next_deadline(self) -> float | None:
        deadlines = [attempt.kill_at for attempt in self._attempts.values() if attempt.kill_at is not None]
        deadlines += [branch.used_at + IDLE_S for branch in self._branches if branch.is_idle]
        deadlines += [at for at in (self._sweep_at, self._memory.deadline) if at is not None]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _drain_wakeup(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wakeup_in.recv(4096):
                pass

    def _read_orders(self) -> bool:
        try:
            data = self._control.recv(_READ_BYTES)
        except OSError:
            return False
        for message in self._reader.feed(data):
            if message["type"] == "start":
                if self._is_outdated() and self._is_idle():
                    return False  # whoever is not answered starts on a new zygote
                self._start(message)
            elif message["type"] == "abort":
                self._abort(message["id"], message["grace_s"])
        return bool(data)

    def _is_outdated(self) -> bool:
        """Whether libraries were installed or removed since this process imported some of them."""
        return preload.date_libraries() != self._installed

    def _is_idle(self) -> bool:
        return not self._attempts and all(branch.is_idle for branch in self._branches)

    def _start(self, message: Any) -> None:
        key = preload.key_of(message["argv"], message["env"])
        branch = self._choose_branch(key, message["env"])
        if branch is not None:
            branch.order(message)
            return
        job = child.Job(**{name: message[name] for name in child.Job._fields})
        oom_kills = system.count_oom_kills()
        try:
            pid = self._fork(job)
        except OSError as error:  # too many processes, or no memory for one more: the others go on
            self._send({"type": "lost", "id": job.id, "reason": f"no process could be made for it: {error}"})
            return
        self._attempts[pid] = Attempt(job, key, pid, oom_kills)
        self._memory.add(pid, job.memory_limit)
        self._send({"type": "started", "id": job.id, "pid": pid})

    def _fork(self, job: child.Job) -> int:
        """Fork the child that becomes ``job``. Signals wait until each side has its own handlers."""
        zygote = os.getpid()
        with _signals_blocked():
            pid = os.fork()
            if pid == 0:
                self._forget()
                child.run(job, child.Origin(zygote, self._flytekit_error, self._is_outdated()))
        return pid

    def _choose_branch(self, key: preload.Key | None, env: dict[str, str]) -> Branch | None:
        """Return the branch that should run an attempt of this key, or None for this level."""
        if key is None or self._is_branch or self._is_outdated() or not self._branches.libraries_for(key):
            return None
        found = self._branches.find(key)
        if found is None:
            self._stop_branches(self._branches.expired(key))
            if self._branches.may_grow(key):
                found = self._fork_branch(key, preload.shared_environment(env))
        return found

    def _fork_branch(self, key: preload.Key, env: dict[str, str]) -> Branch | None:
        libraries = self._branches.libraries_for(key)
        ours, theirs = socket.socketpair()
        try:
            with _signals_blocked():
                pid = os.fork()
                if pid == 0:
                    ours.close()
                    self._forget()
                    _become_branch(theirs, libraries, env, self._installed)
        except OSError:  # the attempt may yet run at this level
            ours.close()
            return None
        finally:
            theirs.close()
        branch = Branch(key, libraries, pid, ours)
        self._branches.add(branch)
        self._selector.register(ours, selectors.EVENT_READ)
        return branch

    def _read_branch(self, branch: Branch) -> None:
        messages, is_there = branch.read()
        for message in messages:
            if message["type"] == "unfit":
                self._branches.forbid(branch.key)
            elif message["type"] != "ready":
                self._learn(branch.key, message.get("libraries", []))
                self._send({name: value for name, value in message.items() if name != "libraries"})
        if not is_there:
            self._bury_branch(branch)

    def _bury_branch(self, branch: Branch) -> None:
        """Answer for a branch that is gone: what it did not start runs here, what it ran is lost."""
        self._stop_branches([branch])
        for attempt, pid in branch.running.items():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            self._send({"type": "lost", "id": attempt})
        if branch.ordered:  # it died while importing, or was unfit
            self._branches.forbid(branch.key)
        for message in branch.ordered.values():
            self._start(message)

    def _stop_branches(self, branches: list[Branch]) -> None:
        for branch in branches:
            self._branches.remove(branch)
            self._selector.unregister(branch.stream)
            branch.stream.close()

    def _learn(self, key: preload.Key | None, libraries: list[str]) -> None:
        if key is not None and libraries:
            self._branches.learn(key, libraries)

    def _forget(self) -> None:
        """Close, in a child, what belongs to the zygote, so that no object there closes a descriptor twice."""
        self._selector.close()
        streams = [branch.stream for branch in self._branches]
        for end in (self._control, self._wakeup_in, self._wakeup_out, *streams):
            end.close()

    def _abort(self, attempt_id: str, grace_s: float) -> None:
        branch = self._branches.find_attempt(attempt_id)
        if branch is not None:
            branch.send({"type": "abort", "id": attempt_id, "grace_s": grace_s})
        for attempt in self._attempts.values():
            if attempt.job.id == attempt_id and attempt.kill_at is None:
                attempt.signal(signal.SIGTERM)
                attempt.signal(signal.SIGCONT)  # a stopped process must wake to obey
                attempt.kill_at = time.monotonic() + grace_s

    def _kill_disobedient(self) -> None:
        now = time.monotonic()
        for attempt in self._attempts.values():
            if attempt.kill_at is not None and attempt.kill_at <= now:
                attempt.signal(signal.SIGKILL)
                attempt.kill_at = now + _LEAVE_PATIENCE_S  # a process in the kernel may take its time

    def _kill_oversized(self) -> None:
        for pid, used, limit in self._memory.find_excess():
            attempt = self._attempts[pid]
            attempt.is_over_limit = True
            attempt.signal(signal.SIGKILL)
            self._memory.remove(pid)
            memory.leave_notice(attempt.job.directory, memory.excess_text(used, limit))

    def _collect_exits(self) -> None:
        """Reap every child that has ended; report those that were attempts."""
        while True:
            pid, status, usage = _reap_one(self._attempts)
            if pid == 0:
                return
            self._memory.remove(pid)
            attempt = self._attempts.pop(pid, None)
            if attempt is None:
                continue  # an adopted orphan
            self._write_record(attempt, status, usage)
            self._report_exit(attempt)
            if sys.platform.startswith("linux") and self._sweep_at is None:
                self._sweep_at = time.monotonic() + _SWEEP_DELAY_S

    def _report_exit(self, attempt: Attempt) -> None:
        libraries = child.take_library_list(attempt.job) if attempt.key is not None else []
        message: dict[str, Any] = {"type": "exited", "id": attempt.job.id}
        if self._is_branch:
            message["libraries"] = libraries
        else:
            self._learn(attempt.key, libraries)
        self._send(message)

    def _write_record(self, attempt: Attempt, status: int, usage: Any) -> None:
        """Leave the attempt's end where a later backend finds it: complete, or not at all."""
        record = {
            "exit_code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
            "oom_killed": _was_oom_killed(attempt, status),
            "aborted": attempt.kill_at is not None,
            "ended_at": time.time(),
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "max_rss": usage.ru_maxrss,
        }
        path = os.path.join(attempt.job.directory, EXIT_FILE)
        with contextlib.suppress(OSError):  # the disk is full or the folder is gone: the backend sees no record
            with open(path + ".new", "w", encoding="ascii") as file:
                json.dump(record, file)
            os.replace(path + ".new", path)

    def _sweep_orphans(self) -> None:
        """Kill the processes that an ended attempt left behind outside its process group.

        An attempt is the reaper of its own descendants, so only those of ended attempts become children of ours.
        """
        self._sweep_at = None
        branches = {branch.pid for branch in self._branches}
        for pid in system.find_children(os.getpid()):
            if pid not in self._attempts and pid not in branches:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                self._sweep_at = time.monotonic() + _SWEEP_DELAY_S  # its own children come to us next

    def _kill_everything(self) -> None:
        """End all attempts at once, without a record: nobody asked for their end, so they count as lost."""
        branches = {branch.pid for branch in self._branches}
        self._stop_branches(list(self._branches))  # which makes them do the same
        deadline = time.monotonic() + _LEAVE_PATIENCE_S
        while time.monotonic() < deadline:
            for attempt in self._attempts.values():
                attempt.signal(signal.SIGKILL)
            strangers = [pid for pid in system.find_children(os.getpid()) if pid not in self._attempts]
            orphans = [pid for pid in strangers if pid not in branches]
            for pid in orphans:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not self._attempts and not strangers:
                return
            with contextlib.suppress(ChildProcessError):
                pid, _ = os.waitpid(-1, 0)
                self._attempts.pop(pid, None)

    def _send(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the end of the stream is seen when reading
            self._control.sendall(encode(message))


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """Hold signals back until both sides of a fork have their own handlers; a child takes its own mask off."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED_WHILE_FORKING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _BLOCKED_WHILE_FORKING)


def _reap_one(attempts: dict[int, Attempt]) -> tuple[int, int, Any]:
    """Reap one child that has ended, after killing what is left of its group. Return pid 0 if none has."""
    try:
        if not hasattr(os, "waitid"):  # macOS before Python 3.13: the group is killed just after
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            _kill_group(attempts.get(pid))
            return pid, status, usage
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is None:
            return 0, 0, None
        _kill_group(attempts.get(found.si_pid))
        return os.wait4(found.si_pid, 0)
    except ChildProcessError:
        return 0, 0, None


def _kill_group(attempt: Attempt | None) -> None:
    if attempt is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(attempt.pid, signal.SIGKILL)


def _was_oom_killed(attempt: Attempt, status: int) -> bool:
    """Whether it died of SIGKILL unasked, sent for its limit, or while the kernel killed something for memory."""
    if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL or attempt.kill_at is not None:
        return False
    if attempt.is_over_limit:
        return True
    now = system.count_oom_kills()
    return now is not None and attempt.oom_kills_at_start is not None and now > attempt.oom_kills_at_start


def _become_branch(
    control: socket.socket, libraries: list[str], env: dict[str, str], installed: preload.Dates
) -> NoReturn:
    """Turn this freshly forked process into a second-level zygote, and serve until the first level is gone."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _BLOCKED_WHILE_FORKING)
        reason = preload.import_ahead(libraries, env)
        if reason is None:
            gc.collect()
            gc.freeze()
            Zygote(control, None, installed, is_branch=True).serve()
        else:
            control.sendall(encode({"type": "unfit", "reason": reason}))
        code = 0
    finally:
        os._exit(code)


def main(arguments: Sequence[str]) -> None:
    """Serve on the socket whose descriptor number is the only argument."""
    control = socket.socket(fileno=int(arguments[0]))
    control.set_inheritable(False)
    gc.disable()  # importing makes a million objects and no garbage
    installed = preload.date_libraries()
    error = flytekit_process.load()
    gc.collect()
    gc.freeze()
    gc.enable()
    Zygote(control, error, installed).serve()
