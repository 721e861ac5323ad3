"""The HTTP door to the control plane: from a request to a message, to the handler, and back.

The one rule: nothing is decided here that a handler decides; over gRPC and over HTTP a call has the same answer.
The API's token is asked for as over gRPC: the console's cookie opens no API, so no page can use a browser's.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from urllib.parse import parse_qsl, unquote_to_bytes

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # generated, without stubs
from starlette.datastructures import URLPath
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import Receive, Scope, Send

from hydraflyte import __version__
from hydraflyte.backend.admin.access import OPEN_SERVICES, REFUSAL
from hydraflyte.backend.admin.answering import CallFailed, answer
from hydraflyte.backend.admin.handlers import Handler
from hydraflyte.backend.gateway.fields import FieldError, fill_from_path, fill_from_query
from hydraflyte.backend.gateway.forms import BodyError, Form, form_of_answer, form_of_body, read_body, write_body
from hydraflyte.backend.gateway.json_form import JsonError
from hydraflyte.backend.gateway.openapi import describe
from hydraflyte.backend.gateway.refused import Refused
from hydraflyte.backend.gateway.rules import FieldPath, Rule

MAX_BODY_BYTES: Mapping[Form, int] = {
    Form.PROTOBUF: 64 * 1024 * 1024,  # as over gRPC
    Form.JSON: 16 * 1024 * 1024,  # reading JSON costs a hundred times as much
}
_MAX_PARAMETERS = 1_000
_LARGE_BYTES = 32 * 1024
"""Larger messages are read and written on a thread, so that other calls go on meanwhile."""

_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_OWN_SITE = frozenset({"same-origin", "none"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """A request that is for a known path and verb: its rule, and what the path fills in."""

    rule: Rule
    filled: Mapping[FieldPath, str]


class OpenApi:
    """Handler of ``GET /api/v1/openapi``: what paths there are. It is the same everywhere, so everybody may read it."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._document = cache(lambda: json.dumps(describe(rules, version=__version__)).encode())

    async def show(self, request: Request) -> Response:
        """Send the document."""
        return Response(self._document(), media_type=Form.JSON.value, headers=_HEADERS)


class Gateway(BaseRoute):
    """Answers every path of the rules; other paths are left to other routes.

    Args:
        handlers: by the full name of the method.
        token: what has to be shown as ``authorization: Bearer <token>``, or None.
    """

    def __init__(self, *, rules: Sequence[Rule], handlers: Mapping[str, Handler], token: str | None) -> None:
        self._rules = rules
        self._handlers = handlers
        self._token = token

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Tell whether some rule has this path, whatever its verb."""
        is_ours = scope["type"] == "http" and bool(self._verbs(_segments(scope)))
        return (Match.FULL if is_ours else Match.NONE), {}

    def url_path_for(self, name: str, /, **path_params: object) -> URLPath:
        """Raise: these paths have no names."""
        raise NoMatchFound(name, path_params)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        form = form_of_answer(request.headers.get("accept"), request.headers.get("content-type"))
        try:
            response = await self._response(await self._answer(request), form)
        except Refused as refused:
            response = self._refusal(refused, form)
        except CallFailed as failed:
            response = self._refusal(Refused.by(failed.status), form)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Message:
        _check_site(request)
        call = self._find(request)
        method = call.rule.method
        if method.containing_service.full_name not in OPEN_SERVICES:
            self._check_token(request)
        message = GetMessageClass(method.input_type)()
        try:
            if call.rule.has_body:
                await _read(request, message)
            else:
                fill_from_query(message, _parameters(request), call.rule.bound)
            for path, text in call.filled.items():
                fill_from_path(message, path, text)
        except (FieldError, BodyError) as error:
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error
        handler = self._handlers[method.full_name]
        return await answer(method.full_name, lambda: handler(message), message)

    def _find(self, request: Request) -> _Call:
        segments = _segments(request.scope)
        for rule in self._rules:
            if rule.verb == request.method and (filled := rule.match(segments)) is not None:
                try:
                    return _Call(rule=rule, filled={path: _text(raw) for path, raw in filled.items()})
                except UnicodeDecodeError as error:
                    raise Refused(grpc.StatusCode.INVALID_ARGUMENT, "the path is not UTF-8") from error
        verbs = ", ".join(self._verbs(segments))
        raise Refused(
            grpc.StatusCode.UNIMPLEMENTED,
            f"this path answers {verbs}, not {request.method}",
            http_status=405,
            headers={"Allow": verbs},
        )

    def _verbs(self, segments: Sequence[str]) -> list[str]:
        return [rule.verb for rule in self._rules if rule.match(segments) is not None]

    def _check_token(self, request: Request) -> None:
        if self._token is None:
            return
        expected = f"Bearer {self._token}".encode()
        for name in ("authorization", "flyte-authorization"):
            if hmac.compare_digest(request.headers.get(name, "").encode(), expected):
                return
        raise Refused(grpc.StatusCode.UNAUTHENTICATED, REFUSAL, headers={"WWW-Authenticate": "Bearer"})

    async def _response(self, message: Message, form: Form) -> Response:
        try:
            if message.ByteSize() > _LARGE_BYTES and form is not Form.PROTOBUF:
                body = await asyncio.to_thread(write_body, message, form)
            else:
                body = write_body(message, form)
        except JsonError as error:
            text = f"{error}; ask for it with Accept: {Form.PROTOBUF.value}"
            raise Refused(grpc.StatusCode.UNIMPLEMENTED, text, http_status=406) from error
        return Response(body, media_type=_media_type(form), headers=_HEADERS)

    def _refusal(self, refused: Refused, form: Form) -> Response:
        try:
            body = write_body(refused.message, form)
        except JsonError:  # a detail has no JSON form; the code and the text have
            body = write_body(Status(code=refused.message.code, message=refused.message.message), form)
        headers = {**_HEADERS, **refused.headers}
        return Response(body, status_code=refused.http_status, media_type=_media_type(form), headers=headers)


def _media_type(form: Form) -> str:
    return Form.PROTOBUF.value if form is Form.PROTOBUF else Form.JSON.value


def _check_site(request: Request) -> None:
    """Refuse what a page of another site, or of another port here, makes a browser ask; browsers say so.

    Raises:
        Refused: it is such a request.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in _OWN_SITE:
        text = f"requests from other pages ({site}) are not accepted"
        raise Refused(grpc.StatusCode.PERMISSION_DENIED, text)


async def _read(request: Request, message: Message) -> None:
    """Read the body into the message.

    Raises:
        BodyError: it is not that message.
        Refused: it is too large, of another media type, or was cut off.
    """
    content_type = request.headers.get("content-type")
    form = form_of_body(content_type)
    body = await _body(request, MAX_BODY_BYTES[form or Form.JSON])
    if form is None and (body or request.method == "POST"):
        text = f"Content-Type {content_type or ''!r} is not read; send {Form.JSON.value} or {Form.PROTOBUF.value}"
        raise Refused(grpc.StatusCode.INVALID_ARGUMENT, text, http_status=415)
    if len(body) > _LARGE_BYTES:
        await asyncio.to_thread(read_body, body, form or Form.JSON, message)
    else:
        read_body(body, form or Form.JSON, message)


async def _body(request: Request, most: int) -> bytes:
    announced = request.headers.get("content-length", "0")
    received = bytearray()
    try:
        if announced.isdigit() and int(announced) > most:
            raise _TooLargeError
        async for chunk in request.stream():
            received += chunk
            if len(received) > most:
                raise _TooLargeError
    except _TooLargeError:
        text = f"the body is larger than {most // 1024 // 1024} MiB"
        # Without this the server would go on reading, and throwing away, what the client still sends.
        headers = {"Connection": "close"}
        raise Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, text, http_status=413, headers=headers) from None
    except ClientDisconnect as error:
        raise Refused(grpc.StatusCode.CANCELLED, "the request was cut off") from error
    return bytes(received)


class _TooLargeError(Exception):
    """The body is larger than what is read."""


def _parameters(request: Request) -> list[tuple[str, str]]:
    try:
        return parse_qsl(request.url.query, keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS)
    except ValueError as error:
        text = f"the query is not UTF-8, or has more than {_MAX_PARAMETERS} parameters"
        raise Refused(grpc.StatusCode.INVALID_ARGUMENT, text) from error


def _segments(scope: Scope) -> list[str]:
    """Return the path between its slashes as it was sent, so that %2F does not part a name."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.partition(b"?")[0].decode("latin-1").removeprefix("/").split("/")


def _text(raw: str) -> str:
    return unquote_to_bytes(raw).decode("utf-8")
