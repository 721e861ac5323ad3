"""Forms on the console's pages: the proof that a form is ours, what it carries, and inputs as fields to change.

One rule: nothing is done for a form without the token that this backend wrote into its own page. Inputs that are no
plain number, truth value or line of text have no field, and stay what they are.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from flyteidl.core.literals_pb2 import Literal, LiteralMap, Primitive
from starlette.requests import Request

TOKEN_FIELD = "token"
_INPUT = "input."
_MOST_BYTES = 1 << 20
_TRUTHS = {"true": True, "false": False}


class FormTokens:
    """Makes and checks the tokens of forms.

    Args:
        secret: random bytes, new with each start of the backend.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def token(self, page: str) -> str:
        """Return the token of the forms of this page."""
        return hmac.new(self._secret, page.encode(), hashlib.sha256).hexdigest()

    def holds(self, page: str, form: Mapping[str, str]) -> bool:
        """Tell whether the form comes from this page."""
        return hmac.compare_digest(form.get(TOKEN_FIELD, "").encode(), self.token(page).encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class InputField:
    """An input in a form: ``name`` is the input's, ``field`` the form's, ``text`` its value."""

    name: str
    field: str
    text: str


class InputFieldError(Exception):
    """A field does not hold what its input needs; the text says which."""


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields that were sent; none of a body that is larger than 1 MiB."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            return {}
    return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))


def fields_of(inputs: LiteralMap) -> tuple[InputField, ...]:
    """Return the inputs that can be changed in a form, names in order."""
    texts = {name: _text(_primitive(inputs.literals[name])) for name in sorted(inputs.literals)}
    return tuple(
        InputField(name=name, field=_INPUT + name, text=text) for name, text in texts.items() if text is not None
    )


def changed_inputs(inputs: LiteralMap, form: Mapping[str, str]) -> LiteralMap:
    """Return the inputs whose fields hold something else than the inputs do.

    Raises:
        InputFieldError: a text is no value of its input's type.
    """
    changed = LiteralMap()
    for field in fields_of(inputs):
        text = form.get(field.field, field.text)
        if text != field.text:
            changed.literals[field.name].CopyFrom(_with_text(inputs.literals[field.name], text, field.name))
    return changed


def _with_text(literal: Literal, text: str, name: str) -> Literal:
    changed = Literal()
    changed.CopyFrom(literal)
    changed.ClearField("hash")  # it was that of the old value
    primitive = _primitive(changed)
    assert primitive is not None, "it has a field"
    kind = primitive.WhichOneof("value")
    try:
        match kind:
            case "integer":
                primitive.integer = int(text)
            case "float_value":
                primitive.float_value = float(text)
            case "boolean":
                primitive.boolean = _TRUTHS[text.strip().lower()]
            case _:
                primitive.string_value = text
    except (ValueError, KeyError):
        raise InputFieldError(f"{name} is {str(kind).removesuffix('_value')}, and {text[:80]!r} is none") from None
    return changed


def _primitive(literal: Literal) -> Primitive | None:
    while literal.scalar.HasField("union"):
        literal = literal.scalar.union.value
    return literal.scalar.primitive if literal.scalar.HasField("primitive") else None


def _text(primitive: Primitive | None) -> str | None:
    if primitive is None:
        return None
    match primitive.WhichOneof("value"):
        case "integer":
            return str(primitive.integer)
        case "float_value":
            return repr(primitive.float_value)
        case "boolean":
            return "true" if primitive.boolean else "false"
        case "string_value" if primitive.string_value.isprintable():
            return str(primitive.string_value)
        case _:
            return None
