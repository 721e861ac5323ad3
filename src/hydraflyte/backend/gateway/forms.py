"""In which form a body comes and an answer goes: protobuf, or one of grpc-gateway's two kinds of JSON. Pure.

The one rule: a body without a media type that we know is not read. A web page of another site can make a browser
send texts and forms without asking first, but none of these types.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from google.protobuf.message import DecodeError, Message

from hydraflyte.backend.gateway.json_form import JsonError, read_json, write_json


class Form(Enum):
    """A way to write a message; the value is its media type."""

    PROTOBUF = "application/octet-stream"
    JSON = "application/json"  # flyteidl's names
    CAMEL_JSON = "*/*"  # what grpc-gateway answers to clients that ask for no type


class BodyError(ValueError):
    """A body does not hold the message it should; the text says why."""


def form_of_body(content_type: str | None) -> Form | None:
    """Return the form that a Content-Type names, or None if it is none of ours."""
    media_type = (content_type or "").partition(";")[0].strip().lower()
    return next((form for form in (Form.PROTOBUF, Form.JSON) if form.value == media_type), None)


def form_of_answer(accept: str | None, content_type: str | None) -> Form:
    """Return the form of an answer: the first one that Accept names, else that of the body."""
    for media_type in _media_types(accept or ""):
        for form in (Form.PROTOBUF, Form.JSON):
            if form.value == media_type:
                return form
    return form_of_body(content_type) or Form.CAMEL_JSON


def read_body(body: bytes, form: Form, message: Message) -> None:
    """Read a body into an empty message; an empty body leaves it empty.

    Raises:
        BodyError: the body is not that message.
    """
    if not body:
        return
    try:
        if form is Form.PROTOBUF:
            message.ParseFromString(body)
        else:
            read_json(body, message, ignore_unknown=False)
    except DecodeError as error:
        raise BodyError(f"the body is not the protobuf of {message.DESCRIPTOR.full_name}: {error}") from error
    except JsonError as error:
        raise BodyError(str(error)) from error


def write_body(message: Message, form: Form) -> bytes:
    """Return the message in that form.

    Raises:
        JsonError: it has no JSON form.
    """
    if form is Form.PROTOBUF:
        return message.SerializeToString()
    return write_json(message, proto_names=form is Form.JSON)


def _media_types(accept: str) -> Iterable[str]:
    return (part.partition(";")[0].strip().lower() for part in accept.split(","))
