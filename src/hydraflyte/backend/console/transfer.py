"""Signed uploads and downloads: the HTTP half of DataProxyService.

A URL that verifies may be used until it expires, also twice: clients retry. Bodies are streamed to disk, and
appear under their final name only when they are complete and match the MD5 the client announced.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, PlainTextResponse, Response

from hydraflyte.backend.store.blobs import Blobs

log = logging.getLogger(__name__)

Verify = Callable[[str, str, str], bool]
"""(method, path, query string) -> whether the signature in the query holds now."""


class Transfers:
    """Handlers for ``PUT`` and ``GET`` of signed paths below :attr:`Blobs.root`."""

    def __init__(self, *, blobs: Blobs, verify: Verify) -> None:
        self._blobs = blobs
        self._verify = verify

    async def upload(self, request: Request) -> Response:
        """Store the body. 200; 400 for an MD5 that differs; 403 for a bad signature; 507 for a full disk."""
        target = self._target(request)
        if target is None:
            return _forbidden()
        try:
            return await self._store(request, target)
        except OSError as error:
            log.error("upload to %s failed: %s", target, error)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                return PlainTextResponse(
                    f"No space is left for the upload on the disk of {self._blobs.root}. Free some, then try again.\n",
                    status_code=507,
                )
            return PlainTextResponse(f"The upload cannot be stored: {error.strerror}.\n", status_code=500)

    async def download(self, request: Request) -> Response:
        """Send a file. 403 for a bad signature, 404 if there is none."""
        target = self._target(request)
        if target is None:
            return _forbidden()
        if not target.is_file():
            return PlainTextResponse("There is no such file.\n", status_code=404)
        return FileResponse(
            target, headers={"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox allow-scripts"}
        )

    def _target(self, request: Request) -> Path | None:
        path = quote(request.scope["path"], safe="/")  # in the form that was signed, however the client quotes
        if not self._verify(request.method, path, request.url.query):
            return None
        relative = Path(request.path_params["path"])
        if relative.is_absolute() or ".." in relative.parts:
            return None
        return self._blobs.root / relative

    async def _store(self, request: Request, target: Path) -> Response:
        digest = hashlib.md5(usedforsecurity=False)
        expected = request.headers.get("content-md5")
        try:
            with self._blobs.replacing(target) as file:
                async for chunk in request.stream():
                    digest.update(chunk)
                    file.write(chunk)
                if expected is not None and base64.b64encode(digest.digest()).decode() != expected:
                    raise _DigestMismatchError
        except _DigestMismatchError:
            return PlainTextResponse("The body does not match its Content-MD5; send it again.\n", status_code=400)
        except ClientDisconnect:
            return PlainTextResponse("The upload was cut off.\n", status_code=400)
        return Response(status_code=200)


class _DigestMismatchError(Exception):
    """The body is not what Content-MD5 announced."""


def _forbidden() -> Response:
    return PlainTextResponse("The link is not valid (any more); ask for a new one.\n", status_code=403)
