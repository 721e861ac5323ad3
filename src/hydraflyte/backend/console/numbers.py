"""Numbers in addresses: whoever asks may write anything there.

Pure. One rule: what is no plain number of at most nine digits is none at all.
"""

from __future__ import annotations

_MOST_DIGITS = 9


def number_in(text: str) -> int | None:
    """Return the number, or None.

    Example:
        >>> number_in("12"), number_in("-1"), number_in("1" * 5000)
        (12, None, None)
    """
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else None
