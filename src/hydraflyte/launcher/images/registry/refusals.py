"""What a registry's refusal means for the user. One table; sends nothing."""

from __future__ import annotations

import json
from typing import Any

import requests

from hydraflyte.errors import ImageError

_AGAIN = "Start again in a while; nothing is tagged before all of it is there."
_HINTS = {
    401: "You are logged in, but have no right to do that: ask whoever runs the registry, "
    "or log in with another account (`docker login {host}`).",
    403: "You have no right to do that: ask whoever runs the registry, "
    "or log in with another account (`docker login {host}`).",
    404: "Check the spelling; some registries want a repository to be made before anything is pushed to it.",
    405: "This registry is read-only, or a mirror: set target_image to another one.",
    413: "The registry, or a proxy before it, limits the size of a layer: ask for a higher limit.",
    429: "The registry limits how often it may be asked: log in, or wait.",
    507: "The registry's disk is full: ask whoever runs it to make room.",
}
_SAID_LIMIT = 400


def refusal(response: requests.Response, doing: str, host: str) -> ImageError:
    """Return the error for a status that was not expected."""
    said = _said(response)
    if "no space left" in said.lower():
        hint = _HINTS[507]
    elif "immutable" in said.lower():
        hint = "Tags cannot be moved there: set target_image_version to a new one."
    elif "DIGEST_INVALID" in said or "SIZE_INVALID" in said:
        hint = "The content changed on its way; start again. A proxy that rewrites uploads does that, too."
    else:
        hint = _HINTS.get(response.status_code, _AGAIN).format(host=host)
    return ImageError(
        f"{doing} failed: {host} answered {response.status_code}{f' ({said})' if said else ''}.", hint=hint
    )


def _said(response: requests.Response) -> str:
    """Return the codes and messages of the registry's JSON, or the beginning of whatever it said."""
    try:
        text = response.text
    except (requests.RequestException, OSError):
        return ""
    try:
        errors: Any = json.loads(text)["errors"]
        parts = [f"{error.get('code', '')}: {error.get('message', '')}".strip(": ") for error in errors]
        details = [str(error["detail"]) for error in errors if error.get("detail") and error.get("code") == "UNKNOWN"]
        return "; ".join([*parts, *details])[:_SAID_LIMIT]
    except (ValueError, KeyError, TypeError, AttributeError):
        return " ".join(text.split())[:_SAID_LIMIT]


def not_what_it_says(what: str, expected: str, actual: str) -> ImageError:
    """Return the error for content that has another digest than it should."""
    return ImageError(
        f"{what} is not what its digest says: {expected} was expected, {actual} came.",
        hint="Start again; if it stays so, the registry, or a proxy before it, damages what it stores.",
    )
