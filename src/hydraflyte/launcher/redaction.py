"""Texts that are stored where others read them, without the secrets in them.

Pure. One rule: what stands at a key that is named like a secret goes, and so does what looks like one anywhere. The
inputs of an execution are no such text: they are stored as the workflow gets them.
"""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Sequence

HIDDEN = "***"
_SECRET_WORDS = frozenset(
    {"password", "passwd", "passphrase", "pwd", "secret", "token", "apikey", "credential", "credentials", "bearer"}
)
_SECRET_PAIRS = frozenset({("api", "key"), ("access", "key"), ("private", "key"), ("secret", "key"), ("auth", "key")})
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_ASSIGNMENT = re.compile(r"(?P<key>[-+~]{0,2}[\w./@-]+)=(?P<value>.*)", re.DOTALL)
_INNER = re.compile(r"(?P<key>[\w.-]+)(?P<sign>\s*[:=]\s*)(?P<value>'[^']*'|\"[^\"]*\"|[^\s,{}\[\]]+)")
_IN_ADDRESS = re.compile(r"(?<=://)[^/\s@]+(?=@)")
_KNOWN_FORMS = re.compile(
    r"\b(gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|hf_[A-Za-z0-9]{20,}|sk-[\w-]{20,}"
    r"|xox[abeoprs]-[\w-]{10,}|AKIA[0-9A-Z]{16}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*)"
)


def without_secrets(text: str) -> str:
    """Return one argument or override of a command line without what is secret in it.

    Example:
        >>> without_secrets("db.password=hunter2"), without_secrets("model.max_tokens=100")
        ('db.password=***', 'model.max_tokens=100')
        >>> without_secrets("+db={user:me,password:hunter2}")
        '+db={user:me,password:***}'
        >>> without_secrets("repo=https://me:hunter2@example.org/x.git")
        'repo=https://***@example.org/x.git'
    """
    assignment = _ASSIGNMENT.fullmatch(text)
    if assignment is not None and is_named_like_a_secret(assignment["key"]):
        return f"{assignment['key']}={HIDDEN}"
    masked = _INNER.sub(_without_inner_secret, text)
    return _KNOWN_FORMS.sub(HIDDEN, _IN_ADDRESS.sub(HIDDEN, masked))


def shown_overrides(overrides: Sequence[str]) -> tuple[str, ...]:
    """Return a job's overrides without the secrets in them."""
    return tuple(without_secrets(override) for override in overrides)


def command_line_without_secrets(arguments: Sequence[str]) -> str:
    """Return a command line as it can be typed, without what is secret in it.

    Example:
        >>> command_line_without_secrets(["python", "train.py", "--token", "hunter2", "-m", "x=1,2"])
        'python train.py --token *** -m x=1,2'
    """
    shown = shown_arguments(arguments)
    return " ".join(part if HIDDEN in part and " " not in part else shlex.quote(part) for part in shown)


def shown_arguments(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the arguments of a command line without what is secret in them."""
    shown = []
    hides_next = False
    for argument in arguments:
        shown.append(HIDDEN if hides_next else without_secrets(argument))
        hides_next = argument.startswith("-") and "=" not in argument and is_named_like_a_secret(argument)
    return tuple(shown)


def is_named_like_a_secret(key: str) -> bool:
    """Tell whether the last part of a dotted key is named like something that nobody else should read."""
    words = [word.lower() for word in _WORD.findall(re.split(r"[./@]", key)[-1])]
    return not _SECRET_WORDS.isdisjoint(words) or any(pair in _SECRET_PAIRS for pair in itertools.pairwise(words))


def _without_inner_secret(match: re.Match[str]) -> str:
    value = HIDDEN if is_named_like_a_secret(match["key"]) else match["value"]
    return f"{match['key']}{match['sign']}{value}"
