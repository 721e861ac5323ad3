"""Uploads, downloads and data by ``flyte://`` address (sections 1.13 and 4.1 of Flyte's semantics).

The one rule: a signed URL only ever names a file below the blob folder, and path parts that clients choose
cannot leave it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import secrets
import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from flyteidl.core.literals_pb2 import LiteralMap
from flyteidl.service.dataproxy_pb2 import (
    ARTIFACT_TYPE_DECK,
    CreateDownloadLinkRequest,
    CreateDownloadLinkResponse,
    CreateDownloadLocationRequest,
    CreateDownloadLocationResponse,
    CreateUploadLocationRequest,
    CreateUploadLocationResponse,
    GetDataRequest,
    GetDataResponse,
    PreSignedURLs,
)
from google.protobuf.duration_pb2 import Duration

from hydraflyte.backend.admin import checks
from hydraflyte.backend.admin.convert import timestamp
from hydraflyte.backend.admin.parts import ControlPlaneParts
from hydraflyte.backend.admin.refusals import AlreadyThere, InvalidRequest, Missing
from hydraflyte.backend.admin.signing import signed_blob_url
from hydraflyte.backend.store import listing
from hydraflyte.identifiers import ExecutionId

_LONGEST = timedelta(hours=1)
_MD5_BYTES = 16
_FLYTE_URL = re.compile(
    r"flyte://v1/(?P<project>[^/]+)/(?P<domain>[^/]+)/(?P<name>[^/]+)/(?P<node>[^/]+)"
    r"(?:/(?P<attempt>\d{1,9}))?/(?P<part>[iod])(?:/(?P<variable>[^/]+))?"
)


class DataProxyService:
    """Handlers of DataProxyService."""

    def __init__(self, parts: ControlPlaneParts) -> None:
        self._database = parts.database
        self._blobs = parts.blobs
        self._clock = parts.clock
        self._key = parts.signing_key
        self._http_base_url = parts.http_base_url

    async def create_upload_location(self, request: CreateUploadLocationRequest) -> CreateUploadLocationResponse:
        """CreateUploadLocation: a URL to PUT one file to, and the path under which tasks will read it."""
        checks.required(request.project, "project")
        checks.required(request.domain, "domain")
        if not request.content_md5 and not request.filename_root:
            raise InvalidRequest("content_md5 or filename_root is required")
        if request.content_md5 and len(request.content_md5) != _MD5_BYTES:
            raise InvalidRequest(f"content_md5 must be the {_MD5_BYTES} bytes of an MD5 digest")
        expires_at = self._expiry(request)
        path = self._upload_path(request)
        if request.filename and request.filename_root:
            await asyncio.to_thread(_check_not_taken, path, request.content_md5)
        return CreateUploadLocationResponse(
            signed_url=self._signed_url("PUT", path, expires_at),
            native_url=str(path),
            expires_at=timestamp(expires_at),
        )

    async def create_download_location(self, request: CreateDownloadLocationRequest) -> CreateDownloadLocationResponse:
        """CreateDownloadLocation (deprecated): a URL to GET one file of the blob folder from."""
        checks.required(request.native_url, "native_url")
        expires_at = self._expiry(request)
        return CreateDownloadLocationResponse(
            signed_url=self._signed_url("GET", Path(request.native_url), expires_at), expires_at=timestamp(expires_at)
        )

    async def create_download_link(self, request: CreateDownloadLinkRequest) -> CreateDownloadLinkResponse:
        """CreateDownloadLink: a URL at which a browser shows a node's deck."""
        if request.artifact_type != ARTIFACT_TYPE_DECK:
            raise InvalidRequest(f"artifact_type {request.artifact_type} is unknown; only decks have links")
        if request.WhichOneof("source") != "node_execution_id":
            raise InvalidRequest("missing node_execution_id")
        execution, node_id = checks.node_id(request.node_execution_id)
        expires_at = self._expiry(request)
        row = await self._database.read(lambda connection: listing.find_node(connection, execution, node_id))
        if row is None or not row.deck_uri or not Path(row.deck_uri).is_file():
            raise Missing(f"node {node_id} of execution {execution} has no deck")
        urls = PreSignedURLs(
            signed_url=[self._signed_url("GET", Path(row.deck_uri), expires_at)], expires_at=timestamp(expires_at)
        )
        return CreateDownloadLinkResponse(signed_url=urls.signed_url, expires_at=urls.expires_at, pre_signed_urls=urls)

    async def get_data(self, request: GetDataRequest) -> GetDataResponse:
        """GetData: inputs, outputs, one variable of them, or the deck, by ``flyte://`` address."""
        address = _read_address(request.flyte_url)
        return await self._database.read(lambda connection: self._read(connection, address))

    def _read(self, connection: sqlite3.Connection, address: _Address) -> GetDataResponse:
        files = _files(connection, address)
        if files is None:
            raise Missing(f"nothing is known about {address.text}")
        if address.part == "d":
            return self._deck(files.deck, address)
        uri = files.inputs if address.part == "i" else files.outputs
        literals = self._blobs.read_literals(uri) if uri else LiteralMap()
        if not address.variable:
            return GetDataResponse(literal_map=literals)
        if address.variable not in literals.literals:
            raise Missing(f"there is no variable {address.variable!r} at {address.text}")
        return GetDataResponse(literal=literals.literals[address.variable])

    def _deck(self, deck: str, address: _Address) -> GetDataResponse:
        if not deck or not Path(deck).is_file():
            raise Missing(f"there is no deck at {address.text}")
        expires_at = self._clock.now() + _LONGEST
        url = self._signed_url("GET", Path(deck), expires_at)
        return GetDataResponse(pre_signed_urls=PreSignedURLs(signed_url=[url], expires_at=timestamp(expires_at)))

    def _upload_path(self, request: CreateUploadLocationRequest) -> Path:
        # The digest names the folder, so the same content always gets the same address: flytekit derives the
        # version of what it registers from that address.
        root = request.filename_root or base64.b32encode(request.content_md5).decode()
        filename = request.filename or secrets.token_hex(10)
        try:
            return self._blobs.upload_path(request.project, request.domain, root, filename)
        except ValueError as error:
            raise InvalidRequest(str(error)) from error

    def _signed_url(self, method: str, path: Path, expires_at: datetime) -> str:
        try:
            relative = path.resolve().relative_to(self._blobs.root.resolve())
        except (ValueError, OSError, RuntimeError):
            raise InvalidRequest(f"{str(path)[:200]!r} is not in the store of this backend") from None
        return signed_blob_url(self._http_base_url(), self._key, method, relative.as_posix(), expires_at)

    def _expiry(
        self, request: CreateUploadLocationRequest | CreateDownloadLocationRequest | CreateDownloadLinkRequest
    ) -> datetime:
        """When the URL ends; an hour from now unless the request wants less."""
        if not request.HasField("expires_in"):
            return self._clock.now() + _LONGEST
        return self._clock.now() + _span(request.expires_in)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Address:
    """A ``flyte://`` address in parts. ``part`` is i, o or d; ``attempt`` None means the whole node."""

    text: str
    execution: ExecutionId
    node_id: str
    attempt: int | None
    part: str
    variable: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Files:
    """Where a node or an attempt keeps what an address may ask for; ``""`` for what is not there."""

    inputs: str
    outputs: str
    deck: str


def _files(connection: sqlite3.Connection, address: _Address) -> _Files | None:
    node = listing.find_node(connection, address.execution, address.node_id)
    if node is None:
        return None
    if address.attempt is None:
        return _Files(inputs=node.input_uri, outputs=node.output_uri, deck=node.deck_uri)
    task = listing.find_task_execution(connection, address.execution, address.node_id, address.attempt)
    if task is None:
        return None
    return _Files(inputs=task.input_uri, outputs=task.output_uri, deck=node.deck_uri if task.has_deck else "")


def _read_address(text: str) -> _Address:
    match = _FLYTE_URL.fullmatch(text)
    if match is None:
        raise InvalidRequest(
            f"{text[:200]!r} is not of the form flyte://v1/project/domain/execution/node[/attempt]/(i|o|d)[/variable]"
        )
    attempt = match["attempt"]
    return _Address(
        text=text,
        execution=ExecutionId(project=match["project"], domain=match["domain"], name=match["name"]),
        node_id=match["node"],
        attempt=None if attempt is None else int(attempt),
        part=match["part"],
        variable=match["variable"] or "",
    )


def _check_not_taken(path: Path, content_md5: bytes) -> None:
    """An upload may be repeated with the same content; other content must not take its place."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        stored = hashlib.md5(usedforsecurity=False)
        while chunk := file.read(1 << 20):
            stored.update(chunk)
    if not content_md5 or stored.digest() != content_md5:
        raise AlreadyThere(f"{path.name!r} exists already in {path.parent.name!r} with other content")


def _span(expires_in: Duration) -> timedelta:
    seconds = expires_in.seconds + expires_in.nanos / 1e9
    if not 0 < seconds <= _LONGEST.total_seconds():
        raise InvalidRequest(f"expires_in must be more than 0 and at most {_LONGEST.total_seconds():.0f} seconds")
    return timedelta(seconds=seconds)
