"""One repository in a registry: manifests and blobs are looked up, read, pushed and mounted.

One rule: what is read is checked against its digest before it is used, and what is pushed must be confirmed under the
digest that we counted. Knows the registry API; does not know what the layers hold.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import requests

from hydraflyte.errors import ImageError
from hydraflyte.launcher.images.registry.bodies import Body, Traffic, pieces_of
from hydraflyte.launcher.images.registry.manifests import (
    ACCEPTED,
    Descriptor,
    Manifest,
    ManifestInfo,
    digest_of,
    is_digest,
    parse_manifest,
)
from hydraflyte.launcher.images.registry.names import ImageName, parse_image
from hydraflyte.launcher.images.registry.patience import Interrupted, Patience
from hydraflyte.launcher.images.registry.refusals import not_what_it_says
from hydraflyte.launcher.images.registry.tokens import Scopes, pull, push
from hydraflyte.launcher.images.registry.transport import ANSWER_LIMIT_BYTES, Ask, Transport
from hydraflyte.launcher.images.registry.uploads import Upload


class Registry:
    """One repository. Use :meth:`open`. May be used from several threads."""

    def __init__(self, name: ImageName, transport: Transport, *, writes: bool) -> None:
        self.name = name
        self._transport = transport
        self._scopes: Scopes = frozenset({push(name.path) if writes else pull(name.path)})

    @staticmethod
    def open(
        repository: str,
        *,
        is_insecure: bool | None = None,
        writes: bool = False,
        environment: Mapping[str, str] | None = None,
        patience: Patience | None = None,
    ) -> Registry:
        """Return the repository of an image's name; nothing is sent yet.

        Args:
            repository: such as ``localhost:5001/team/app``; a tag or digest in it is left away.
            is_insecure: whether plain http, and certificates nobody vouches for, will do; ``None``: on this machine.
            writes: whether something will be pushed; a right to read is not asked for twice then.
            environment: variables that name credentials, certificates and proxies; ``None``: this process's.
            patience: when to give up.

        Raises:
            ImageError: it is no name of a repository, or a file with certificates cannot be read.
        """
        name = parse_image(repository)
        transport = Transport(
            name,
            is_insecure=is_insecure,
            environment=dict(os.environ) if environment is None else environment,
            patience=patience or Patience(),
        )
        return Registry(name, transport, writes=writes)

    def sibling(self, repository: str, *, writes: bool = False) -> Registry:
        """Return another repository of the same registry, over the same connections and tokens."""
        return Registry(parse_image(repository), self._transport, writes=writes)

    def elsewhere(self, repository: str) -> Registry:
        """Return a repository of another registry, to be read, with the same environment and patience."""
        name = parse_image(repository)
        return Registry(name, self._transport.to(name), writes=False)

    @property
    def traffic(self) -> Traffic:
        """What went to this registry so far."""
        return self._transport.traffic

    def head_manifest(self, reference: str) -> ManifestInfo | None:
        """Return what a tag or digest means now, in one request; ``None`` if there is no such image."""
        ask = self._ask("HEAD", f"manifests/{reference}", f"Looking up {self._named(reference)}", {200, 404})
        response = self._transport.attempt(ask)
        if response.status_code == 404:
            return None
        digest = response.headers.get("Docker-Content-Digest", "")
        if not is_digest(digest):  # not every registry says it
            manifest = self.manifest(reference)
            return ManifestInfo(digest=manifest.digest, media_type=manifest.media_type)
        return ManifestInfo(digest=digest, media_type=response.headers.get("Content-Type", ""))

    def find_manifest(self, reference: str) -> Manifest | None:
        """Return the manifest or index of a tag or digest; ``None`` if there is no such image.

        Raises:
            ImageError: it cannot be read, or is not what its digest says.
        """
        named = self._named(reference)
        ask = self._ask("GET", f"manifests/{reference}", f"Reading the manifest of {named}", {200, 404})
        response = self._transport.attempt(ask)
        if response.status_code == 404:
            return None
        content = response.content
        if len(content) > ANSWER_LIMIT_BYTES:
            raise ImageError(
                f"The manifest of {named} has more than {ANSWER_LIMIT_BYTES} bytes.",
                hint="It is no image; check the name.",
            )
        expected = reference if is_digest(reference) else response.headers.get("Docker-Content-Digest", "")
        if is_digest(expected) and digest_of(content) != expected:
            raise not_what_it_says(f"The manifest of {named}", expected, digest_of(content))
        return parse_manifest(content, response.headers.get("Content-Type", ""), name=named)

    def manifest(self, reference: str) -> Manifest:
        """Return the manifest or index of a tag or digest.

        Raises:
            ImageError: there is none, it cannot be read, or is not what its digest says.
        """
        found = self.find_manifest(reference)
        if found is None:
            raise ImageError(
                f"There is no image {self._named(reference)}: {self.name.host} does not know it.",
                hint="Check its spelling and its tag, and that it was pushed.",
            )
        return found

    def push_manifest(self, reference: str, content: bytes, media_type: str) -> str:
        """Put a manifest or index under a tag or digest and return its digest. The blobs must be there already."""
        digest = digest_of(content)
        ask = self._ask("PUT", f"manifests/{reference}", f"Pushing {self._named(reference)}", {200, 201, 202})
        response = self._transport.attempt(replace(ask, headers={"Content-Type": media_type}, body=_body(content)))
        confirmed = response.headers.get("Docker-Content-Digest", digest)
        if confirmed != digest:
            raise not_what_it_says(f"The pushed {self._named(reference)}", digest, confirmed)
        return digest

    def has_blob(self, digest: str) -> bool:
        """Tell whether the repository holds the blob."""
        ask = self._ask("HEAD", f"blobs/{digest}", f"Looking up {digest}", {200, 404})
        return self._transport.attempt(ask).status_code == 200

    def push_blob(self, digest: str, source: Path | bytes) -> None:
        """Upload a blob; it is read in pieces, and from its beginning again after an interruption.

        Raises:
            ImageError: the registry cannot be reached, refuses, or received something else.
        """
        if isinstance(source, bytes):
            body = _body(source)
        else:
            body = Body(size_bytes=source.stat().st_size, open=lambda: source.open("rb"))
        self._upload(digest, body)

    def copy_blob(self, blob: Descriptor, source: Registry) -> None:
        """Stream a blob from another registry into this one, without keeping it anywhere."""
        self._upload(
            blob.digest,
            Body(size_bytes=blob.size_bytes, open=lambda: _Chunks(source.blob_chunks(blob.digest, blob.size_bytes))),
        )

    def mount_blob(self, digest: str, source: Registry) -> bool:
        """Take a blob over from another repository of the same registry, without sending it.

        Returns:
            Whether it is here now. Registries may decline for reasons of their own; upload it then.
        """
        query = urlencode({"mount": digest, "from": source.name.path})
        scopes = self._scopes | {pull(source.name.path)}  # both in one token
        ask = Ask(
            method="POST",
            address=f"{self.name.path}/blobs/uploads/?{query}",
            doing=f"Mounting {digest}",
            scopes=scopes,
            accepted=frozenset({201, 202}),
        )
        try:
            response = self._transport.attempt(ask)
        except ImageError:  # Harbor answers 401 where it means no; if it means more, the upload will say so
            return False
        if response.status_code == 202:  # an upload was begun instead; not to be left lying around
            self._abandon(response)
        return response.status_code == 201

    def read_blob(self, digest: str, size_bytes: int) -> bytes:
        """Return a small blob, such as an image's config.

        Raises:
            ImageError: it cannot be read, is not what its digest says, or is not small.
        """
        if size_bytes > ANSWER_LIMIT_BYTES:
            raise ImageError(
                f"The config {digest} of {self.name.repository} has {size_bytes} bytes.",
                hint="It is no image that can be run; check the name.",
            )
        return b"".join(self.blob_chunks(digest, size_bytes))

    def blob_chunks(self, digest: str, size_bytes: int) -> Iterator[bytes]:
        """Yield a blob in pieces; goes on where it was interrupted.

        Raises:
            ImageError: after the last piece, if all of it together is not what the digest says.
        """
        hasher, received = hashlib.sha256(), 0
        pieces = _Resumed(self._transport, self._blob_ask(digest), size_bytes)
        for piece in pieces:
            hasher.update(piece)
            received += len(piece)
            if received > size_bytes:  # it may never end
                break
            yield piece
        actual = f"sha256:{hasher.hexdigest()}"
        if actual != digest or received != size_bytes:
            raise not_what_it_says(f"A blob of {self.name.repository} ({received} bytes)", digest, actual)

    def _blob_ask(self, digest: str) -> Ask:
        return Ask(
            method="GET",
            address=f"{self.name.path}/blobs/{digest}",
            doing=f"Reading {digest} of {self.name.repository}",
            scopes=self._scopes,
            accepted=frozenset({200, 206}),
            is_stream=True,
        )

    def _upload(self, digest: str, body: Body) -> None:
        Upload(transport=self._transport, name=self.name, scopes=self._scopes, digest=digest, body=body).send()

    def _abandon(self, begun: requests.Response) -> None:
        ask = Ask(
            method="DELETE",
            address=begun.url,
            doing="Giving up an upload",
            scopes=self._scopes,
            accepted=frozenset(range(200, 500)),  # a courtesy: registries clean up by themselves
        )
        try:
            self._transport.once(replace(ask, address=self._transport.location_in(begun, ask)))
        except (Interrupted, ImageError):
            return

    def _ask(self, method: str, path: str, doing: str, accepted: set[int]) -> Ask:
        return Ask(
            method=method,
            address=f"{self.name.path}/{path}",
            doing=doing,
            scopes=self._scopes,
            headers={"Accept": ACCEPTED},
            accepted=frozenset(accepted),
        )

    def _named(self, reference: str) -> str:
        return f"{self.name.repository}{'@' if reference.startswith('sha256:') else ':'}{reference}"


class _Resumed:
    """The pieces of a blob; after an interruption the request asks for the rest only."""

    def __init__(self, transport: Transport, ask: Ask, size_bytes: int) -> None:
        self._transport = transport
        self._ask = ask
        self._size_bytes = size_bytes
        self._received = 0

    def __iter__(self) -> Iterator[bytes]:
        patience, in_vain = self._transport.patience, 0
        while True:
            before = self._received
            try:
                yield from self._rest()
                return
            except (requests.RequestException, OSError) as error:
                in_vain = in_vain + 1 if self._received == before else 0
                if in_vain >= patience.attempts:
                    raise self._truncated(error) from error
                patience.wait(patience.first_pause_s)

    def _rest(self) -> Iterator[bytes]:
        headers = {"Range": f"bytes={self._received}-"} if self._received else {}
        response = self._transport.attempt(replace(self._ask, headers=headers))
        skipped = self._received if response.status_code == 200 else 0  # the whole of it again
        with response:
            for piece in pieces_of(response):
                self._transport.patience.check()
                kept = piece[skipped:]
                skipped = max(0, skipped - len(piece))
                if kept:
                    self._received += len(kept)
                    yield kept

    def _truncated(self, error: Exception) -> ImageError:
        return ImageError(
            f"{self._ask.doing} failed: the connection broke off after {self._received} of {self._size_bytes} bytes,"
            f" again and again ({type(error).__name__}).",
            hint="Check the registry and your network, and start again.",
        )


class _Chunks:
    """A readable over pieces that come from elsewhere."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._pending = b""

    def close(self) -> None:
        return

    def read(self, size: int = -1, /) -> bytes:
        if not self._pending:
            self._pending = next(self._pieces, b"")
        taken = self._pending if size < 0 else self._pending[:size]
        self._pending = self._pending[len(taken) :]
        return taken


def _body(content: bytes) -> Body:
    return Body(size_bytes=len(content), open=lambda: io.BytesIO(content))
