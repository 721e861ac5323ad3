"""Delivers one notification in a child process that is killed when it takes too long.

The one rule: nothing of a recipient runs in the backend: neither its program nor the talk with its server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hydraflyte.backend.notify.mail import MailSettings
from hydraflyte.backend.notify.sender import NEVER_PASSES, SENT
from hydraflyte.backend.store.outbox import NotificationRow
from hydraflyte.errors import NotificationError
from hydraflyte.recipients import RecipientKind

_KEPT_OUTPUT_BYTES = 2000
_BY_MAIL = (RecipientKind.EMAIL, RecipientKind.SLACK, RecipientKind.PAGER_DUTY)
_SENDER = "hydraflyte.backend.notify.sender"


class DeliveryError(Exception):
    """The message was not delivered; the text says why. ``may_pass`` tells whether another try may help."""

    def __init__(self, reason: str, *, may_pass: bool) -> None:
        super().__init__(reason)
        self.may_pass = may_pass


class Courier:
    """Delivers notifications.

    Args:
        folder: where commands run.
        environ: environment of the child processes.
        mail_settings: returns the mail server, read again for every mail; raises NotificationError if there is none.
        timeout_s: how long one delivery may take.
    """

    def __init__(
        self,
        *,
        folder: Path,
        environ: Mapping[str, str],
        mail_settings: Callable[[], MailSettings],
        timeout_s: float = 60.0,
    ) -> None:
        self._folder = folder
        self._environ = environ
        self._mail_settings = mail_settings
        self._timeout_s = timeout_s

    async def deliver(self, notification: NotificationRow) -> None:
        """Return once the recipient, or its server, has taken the message.

        Raises:
            DeliveryError: it has not.
        """
        kind = RecipientKind(notification.kind)
        try:
            if kind is RecipientKind.COMMAND:
                status, output = await self._run(["/bin/sh", "-c", notification.target], notification.message)
                never = False  # a command says with any status but 0 that it wants to be called again
            else:
                status, output = await self._run([sys.executable, "-m", _SENDER], self._request(kind, notification))
                never = status == NEVER_PASSES
        except NotificationError as error:
            raise DeliveryError(str(error), may_pass=False) from error
        except OSError as error:
            raise DeliveryError(f"{notification.target}: {error.strerror or error}", may_pass=True) from error
        if status != SENT:
            raise DeliveryError(output or f"exit status {status}", may_pass=not never)

    def _request(self, kind: RecipientKind, notification: NotificationRow) -> str:
        request: dict[str, object] = {
            "kind": kind.value,
            "target": notification.target,
            "message": json.loads(notification.message),
        }
        if kind in _BY_MAIL:
            request["mail"] = self._mail_settings().as_facts()
        return json.dumps(request)

    async def _run(self, command: Sequence[str], text: str) -> tuple[int, str]:
        """Run the command with ``text`` on standard input; returns its exit status and the end of its output."""
        with _Output() as output, tempfile.TemporaryFile(dir=self._folder) as message:
            message.write(text.encode())
            message.seek(0)
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=message,
                stdout=output.writer,
                stderr=output.writer,
                cwd=self._folder,
                env=dict(self._environ),
                start_new_session=True,
            )
            try:
                status = await asyncio.wait_for(process.wait(), self._timeout_s)
            except asyncio.TimeoutError:
                raise DeliveryError(f"it took longer than {self._timeout_s:.0f} s", may_pass=True) from None
            finally:
                _kill_group(process)
                await process.wait()
            return status, output.text()


class _Output:
    """A pipe of which only the end is kept. What outlives the child and holds it open is not waited for."""

    def __init__(self) -> None:
        self._reader, self.writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._kept = b""

    def __enter__(self) -> _Output:
        asyncio.get_running_loop().add_reader(self._reader, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._reader)
        os.close(self._reader)
        os.close(self.writer)

    def text(self) -> str:
        """Return the end of what was written so far."""
        while self._take():
            pass
        return self._kept.decode(errors="replace").strip()

    def _take(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            chunk = os.read(self._reader, 65536)
            self._kept = (self._kept + chunk)[-_KEPT_OUTPUT_BYTES:]
            return bool(chunk)
        return False


def _kill_group(process: asyncio.subprocess.Process) -> None:
    """End what is left of the child and of its own children."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
