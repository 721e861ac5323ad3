"""A backend that does not answer while jobs are under way: said once, with the way back, and once when it is over.

Only words and times; asks nobody. Whoever asks says whether there was an answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock

from hydraflyte.errors import BackendUnavailableError
from hydraflyte.launcher.endpoint import Endpoint

_QUIET_S = 4.0
"""A restart or a lost packet takes less, and is nobody's concern."""


@dataclass(slots=True, kw_only=True)
class Absence:
    """Whether the backend is away; used by several threads.

    Attributes:
        patience_s: how long it may be away before its jobs are given up on.
        tell: is given what the user should know, a line each.
    """

    endpoint: Endpoint
    patience_s: float
    tell: Callable[[str], None]
    _since: float | None = None
    _is_told: bool = False
    _is_given_up: bool = False
    _lock: Lock = field(default_factory=Lock)

    def goes_on(self, now: float) -> None:
        """Take note of a call that had no answer; tell of it if that has been so for a while."""
        with self._lock:
            self._since = now if self._since is None else self._since
            if self._is_told or now - self._since < _QUIET_S:
                return
            self._is_told = True
        way_back = f": {self._way_back()}" if self.endpoint.is_embedded else ""
        self.tell(f"{self._name()} is away; waiting for it for {self.patience_s:.0f} s{way_back}")

    def is_over(self) -> None:
        """Take note of an answer."""
        if self._since is None:
            return
        with self._lock:
            was_told, self._since, self._is_told = self._is_told, None, False
        if was_told:
            self.tell(f"{self._name()} is back")

    def given_up(self, what: str, error: BackendUnavailableError) -> BackendUnavailableError:
        """Return the error of a job that is given up on.

        Args:
            what: what is not known of the job, or was not done for it.
            error: the backend's last sign.
        """
        self._is_given_up = True
        hint = self._way_back() if self.endpoint.is_embedded else error.hint
        return BackendUnavailableError(f"{what}: {self._name()} was away for {self.patience_s:.0f} s.", hint=hint)

    def farewell(self, sweep_id: str) -> str | None:
        """Return how to come back to a sweep whose jobs were given up on; None if none was."""
        if not self._is_given_up:
            return None
        first = self._way_back() if self.endpoint.is_embedded else "when it is back"
        return (
            f"{self._name()} did not come back, and nothing is lost: {first}, `hydraflyte sweeps attach {sweep_id}` "
            f"follows what was submitted, and hydra.launcher.resume={sweep_id} submits the rest"
        )

    def _name(self) -> str:
        return self.endpoint.place if self.endpoint.is_embedded else f"the backend at {self.endpoint.place}"

    def _way_back(self) -> str:
        return "`hydraflyte up` brings it back"
