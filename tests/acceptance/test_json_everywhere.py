"""Programs read the command line: every verb takes ``--json``, and then prints one JSON document, errors included."""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Iterator

import pytest

from hydraflyte.cli.main import build_parser, main
from hydraflyte.home import RunningBackend

_LEAVES_THE_BACKEND_BE = {"down": ["--home", "{elsewhere}"]}


def verbs(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for group in groups:
        for name, below in group.choices.items():
            yield from verbs(below, (*path, name))
    if not groups:
        yield path


def parser_of(path: tuple[str, ...]) -> argparse.ArgumentParser:
    parser = build_parser()
    for name in path:
        (group,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
        parser = group.choices[name]
    return parser


def made_up_arguments(parser: argparse.ArgumentParser) -> list[str]:
    """Return what the parser demands: names of things that do not exist."""
    demanded: list[str] = []
    for action in parser._actions:
        made_up = "99999" if action.type is int else "no-such-thing"
        value = str(next(iter(action.choices))) if action.choices else made_up
        if not action.option_strings and action.nargs not in ("*", "?", argparse.REMAINDER):
            demanded.append(value)
        elif action.required and action.option_strings:
            demanded += [action.option_strings[0], value]
    return demanded


@pytest.mark.parametrize("verb", list(verbs(build_parser())), ids=" ".join)
def test_every_verb_prints_one_json_document(
    verb: tuple[str, ...],
    flyte_backend: RunningBackend,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    elsewhere = tmp_path_factory.mktemp("here")
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a secret\n")))
    more = [part.format(elsewhere=elsewhere) for part in _LEAVES_THE_BACKEND_BE.get(" ".join(verb), [])]

    status = main([*verb, *made_up_arguments(parser_of(verb)), *more, "--json"])

    answer = json.loads(capsys.readouterr().out)
    assert status in (0, 1)
    if isinstance(answer, dict) and "error" in answer:
        assert status == 1
        assert set(answer) == {"error", "hint"}
        assert all(answer.values())


def test_wrong_usage_is_status_two(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["executions", "show", "--json"])

    assert caught.value.code == 2
    assert capsys.readouterr().out == ""
