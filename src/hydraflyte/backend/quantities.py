"""Kubernetes resource quantities (``500m``, ``1.5Gi``, ``2e3``) as numbers, and numbers of bytes as text. Pure."""

from __future__ import annotations

import re
from decimal import Decimal

_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d{1,3})|([numkMGTPE]|[KMGTPE]i)?)")
_SUFFIXES = {
    **{suffix: Decimal(10) ** power for suffix, power in zip("num", (-9, -6, -3), strict=True)},
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)},
}


def read_quantity(text: str) -> Decimal:
    """Return the number that a quantity stands for.

    >>> read_quantity("1.5Ki")
    Decimal('1536.0')

    Raises:
        ValueError: the text is no quantity.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None or len(text) > 64:
        raise ValueError(text)
    number, exponent, suffix = match.groups()
    return Decimal(f"{number}{exponent or ''}") * _SUFFIXES.get(suffix or "", Decimal(1))


def bytes_text(size_bytes: int) -> str:
    """Return a number of bytes in the largest unit that it fills, to one digit after the point.

    >>> bytes_text(1536)
    '1.5 KiB'
    """
    size, units = float(size_bytes), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{size_bytes} bytes" if units[0] == "bytes" else f"{size:.1f} {units[0]}"
