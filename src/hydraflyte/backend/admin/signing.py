"""Signed URLs of the HTTP side: an HMAC over method, path and expiry, and the check of it.

The one rule: key and time come in as arguments, and what is signed is the path in its quoted form,
``quote(path, safe="/")``, however a client spells it. A signature is good until it expires, also twice: clients
retry.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime
from urllib.parse import parse_qs, quote, urlencode

BLOBS_PATH = "/blobs/"
"""Below this path of the HTTP side, files are addressed relative to the blob folder."""


def signed_blob_url(base_url: str, key: bytes, method: str, relative: str, expires_at: datetime) -> str:
    """Return the whole URL for ``method`` on a file that is given relative to the blob folder."""
    path = quote(BLOBS_PATH + relative, safe="/")
    return f"{base_url}{path}?{sign(key, method, path, expires_at)}"


def sign(key: bytes, method: str, path: str, expires_at: datetime) -> str:
    """Return the query string that makes ``method`` on ``path`` acceptable until ``expires_at``."""
    expiry = int(expires_at.timestamp())
    return urlencode({"expires": expiry, "signature": _signature(key, method, path, expiry)})


def verify(key: bytes, method: str, path: str, query: str, now: datetime) -> bool:
    """Tell whether ``query`` was signed with ``key`` for this method and path, and has not expired."""
    fields = parse_qs(query)
    expiry, signature = fields.get("expires", [""])[0], fields.get("signature", [""])[0]
    if not (expiry.isascii() and expiry.isdigit() and len(expiry) <= 12):
        return False
    expected = _signature(key, method, path, int(expiry))
    return hmac.compare_digest(signature.encode(), expected.encode()) and now.timestamp() <= int(expiry)


def _signature(key: bytes, method: str, path: str, expiry: int) -> str:
    return hmac.new(key, f"{method}\n{path}\n{expiry}".encode(), hashlib.sha256).hexdigest()
