"""One blob on its way into a repository.

All of it in one request, because some registries take no pieces; in pieces where something before the registry limits
the size of a request. One rule: it is read from its beginning after an interruption, and never held in memory.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from urllib.parse import quote

import requests

from hydraflyte.launcher.images.registry.bodies import Body, Readable
from hydraflyte.launcher.images.registry.names import ImageName
from hydraflyte.launcher.images.registry.refusals import not_what_it_says
from hydraflyte.launcher.images.registry.tokens import Scopes
from hydraflyte.launcher.images.registry.transport import Ask, Transport

PIECE_BYTES = 8 * 1024 * 1024
_TOO_LARGE = 413
_EMPTY = Body(size_bytes=0, open=io.BytesIO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One blob, to be sent once or more often.

    Attributes:
        transport: to the registry.
        name: the repository.
        scopes: what a token for it must allow.
        digest: what the blob must have.
        body: the blob.
    """

    transport: Transport
    name: ImageName
    scopes: Scopes
    digest: str
    body: Body

    def send(self) -> None:
        """Return when the registry has confirmed the blob.

        Raises:
            ImageError: the registry cannot be reached, refuses, or received something else.
        """
        ended = self.transport.patience.attempt(self._at_once)
        if ended.status_code == _TOO_LARGE:
            ended = self.transport.patience.attempt(self._in_pieces)
        confirmed = ended.headers.get("Docker-Content-Digest", self.digest)
        if confirmed != self.digest:
            raise not_what_it_says(f"A layer pushed to {self.name.repository}", self.digest, confirmed)

    def _at_once(self) -> requests.Response:
        is_divisible = self.body.size_bytes > PIECE_BYTES
        accepted = {201, 204, _TOO_LARGE} if is_divisible else {201, 204}
        return self._finish(self._begin(), self.body, frozenset(accepted))

    def _in_pieces(self) -> requests.Response:
        address, sent = self._begin(), 0
        content = self.body.open()
        try:
            while piece := _read(content, PIECE_BYTES):
                address = self._append(address, piece, sent)
                sent += len(piece)
        finally:
            content.close()
        return self._finish(address, _EMPTY, frozenset({201, 204}))

    def _begin(self) -> str:
        """Open an upload and return its address."""
        ask = self._ask("POST", f"{self.name.path}/blobs/uploads/", frozenset({202}))
        return self.transport.location_in(self.transport.once(ask), ask)

    def _append(self, address: str, piece: bytes, start: int) -> str:
        """Send one piece and return the address for the next."""
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Range": f"{start}-{start + len(piece) - 1}",
        }
        body = Body(size_bytes=len(piece), open=lambda: io.BytesIO(piece))
        ask = self._ask("PATCH", address, frozenset({202}), headers, body)
        return self.transport.location_in(self.transport.once(ask), ask)

    def _finish(self, address: str, body: Body, accepted: frozenset[int]) -> requests.Response:
        joint = "&" if "?" in address else "?"
        headers = {"Content-Type": "application/octet-stream"}
        return self.transport.once(
            self._ask("PUT", f"{address}{joint}digest={quote(self.digest)}", accepted, headers, body)
        )

    def _ask(
        self,
        method: str,
        address: str,
        accepted: frozenset[int],
        headers: dict[str, str] | None = None,
        body: Body | None = None,
    ) -> Ask:
        size = f"{self.body.size_bytes} bytes"
        return Ask(
            method=method,
            address=address,
            doing=f"Pushing layer {self.digest[:19]} ({size}) to {self.name.repository}",
            scopes=self.scopes,
            headers=headers or {},
            body=body,
            accepted=accepted,
        )


def _read(content: Readable, size: int) -> bytes:
    """Return the next ``size`` bytes; fewer only at the end, though the source may give less at a time."""
    parts = []
    while size > 0 and (part := content.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
