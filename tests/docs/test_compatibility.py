"""The tables of what clients find: a row for everything there is, and a test that exists behind every row."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Iterator

import pytest
from flytekit.clients.friendly import SynchronousFlyteClient
from flytekit.remote import FlyteRemote
from snippets import REPOSITORY
from tests.named_tests import source_of

from hydraflyte.backend.admin.handlers import SERVICES

with warnings.catch_warnings():  # flytekit asks click for its version in a way that click gives up
    warnings.simplefilter("ignore", DeprecationWarning)
    from flytekit.clis.sdk_in_container.pyflyte import main as pyflyte

PAGE = (REPOSITORY / "docs" / "compatibility.md").read_text(encoding="utf-8")
_ROW = re.compile(r"^\| `(?P<name>[^`]+)` \| (?:`(?P<test>[^`]+)`|none) \| (?P<note>[^|]*?) ?\|$", re.MULTILINE)


def rows(heading: str) -> dict[str, tuple[str | None, str]]:
    """Return (test, note) by the name of each row below a heading."""
    section = re.split(r"^#+ ", PAGE.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    return {match["name"]: (match["test"], match["note"]) for match in _ROW.finditer(section)}


def all_rows() -> list[tuple[str, str | None, str]]:
    return [(match["name"], match["test"], match["note"]) for match in _ROW.finditer(PAGE)]


def commands(command: object, path: tuple[str, ...] = ()) -> Iterator[str]:
    below = getattr(command, "commands", {})
    for name, each in below.items():
        yield from commands(each, (*path, name))
    if not below:
        yield " ".join(path)


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_every_rpc_that_is_served_has_a_row(service: object) -> None:
    assert set(rows(service.name)) == {method.name for method in service.methods}  # type: ignore[attr-defined]


@pytest.mark.parametrize("client", [FlyteRemote, SynchronousFlyteClient])
def test_every_public_method_of_a_client_has_a_row(client: type) -> None:
    public = {name for name, _ in inspect.getmembers(client) if not name.startswith("_")}

    assert set(rows(client.__name__)) == public


def test_every_command_of_pyflyte_has_a_row() -> None:
    assert set(rows("pyflyte")) == set(commands(pyflyte))


def test_every_row_names_a_test_that_is_there_or_says_why_there_is_none() -> None:
    wrong = [name for name, test, note in all_rows() if (source_of(test) is None if test else not note)]

    assert wrong == []


@pytest.mark.parametrize("heading", [*(service.name for service in SERVICES), "FlyteRemote", "SynchronousFlyteClient"])
def test_the_test_of_a_row_calls_what_the_row_is_about(heading: str) -> None:
    silent = [
        (name, test)
        for name, (test, _) in rows(heading).items()
        if test is not None and not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", source_of(test) or "")
    ]

    assert silent == []
