"""Instants and durations as the database keeps them: fixed-width UTC text, integer nanoseconds."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import overload


@overload
def to_text(instant: datetime) -> str: ...
@overload
def to_text(instant: None) -> None: ...
def to_text(instant: datetime | None) -> str | None:
    """Return ``2026-01-02T03:04:05.678901Z``; text order is time order."""
    if instant is None:
        return None
    return instant.astimezone(timezone.utc).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


@overload
def from_text(text: str) -> datetime: ...
@overload
def from_text(text: None) -> None: ...
def from_text(text: str | None) -> datetime | None:
    """Return the aware UTC instant, or None for None."""
    if text is None:
        return None
    return datetime.fromisoformat(text[:-1]).replace(
        tzinfo=timezone.utc
    )  # a tenth of strptime: lists ask for thousands


def duration_ns(started_at: datetime | None, ended_at: datetime | None) -> int:
    """Return the nanoseconds between the two; 0 while one is missing (flyteadmin shows 0 until the end)."""
    if started_at is None or ended_at is None:
        return 0
    span = ended_at - started_at
    return (span.days * 86_400 + span.seconds) * 1_000_000_000 + span.microseconds * 1_000
