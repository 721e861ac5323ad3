"""The snippets of a page that are meant to be run: reads them, and runs them as a reader would.

A page is Markdown; a comment before a fenced block says what the block is (see CONTRIBUTING.md). Knows nothing of
hydraflyte but its command, which stops the backend that a page may have started.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"^<!-- (run|file: (?P<file>\S+)) -->\n```\w+\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND_LIMIT_S = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """One marked block. ``file`` is where its text goes; None for a console session."""

    file: str | None
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One line after a prompt, and the lines that the page shows below it."""

    line: str
    expected: tuple[str, ...]


def snippets_of(markdown: str) -> list[Snippet]:
    return [Snippet(file=match["file"], body=match["body"]) for match in _BLOCK.finditer(markdown)]


def commands_of(session: str) -> Iterator[Command]:
    for part in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
        line, *expected = part.splitlines()
        yield Command(line=line, expected=tuple(expected))


def run_page(markdown: str, folder: Path, home: Path) -> None:
    """Run the marked snippets in order in ``folder``; raises AssertionError with the output when one does not hold."""
    environment = _environment(home)
    (folder / "examples").symlink_to(REPOSITORY / "examples")
    try:
        for snippet in snippets_of(markdown):
            if snippet.file is not None:
                target = folder / snippet.file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(snippet.body, encoding="utf-8")
                continue
            for command in commands_of(snippet.body):
                _run(command, folder, environment)
    finally:
        subprocess.run(["hydraflyte", "down"], env=environment, capture_output=True, check=False)


def _environment(home: Path) -> Mapping[str, str]:
    """A reader's shell: the virtual environment of these tests is active, the home is a new one."""
    scripts = str(Path(sys.executable).parent)
    kept = {name: text for name, text in os.environ.items() if name != "FLYTECTL_CONFIG"}
    return {
        **kept,
        "PATH": os.pathsep.join([scripts, os.environ.get("PATH", os.defpath)]),
        "HOME": str(home),
        "HYDRAFLYTE_HOME": str(home / "hf"),
        "COLUMNS": "200",
    }


def _run(command: Command, folder: Path, environment: Mapping[str, str]) -> None:
    ended = subprocess.run(
        [shutil.which("bash") or "/bin/sh", "-c", command.line],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_COMMAND_LIMIT_S,
        check=False,
    )
    assert ended.returncode == 0, f"$ {command.line}\nexit status {ended.returncode}\n{ended.stdout}"
    missing = first_missing(command.expected, ended.stdout)
    assert missing is None, f"$ {command.line}\ndid not print {missing!r} in its place:\n{ended.stdout}"


def first_missing(expected: tuple[str, ...], output: str) -> str | None:
    """Return the first expected line that does not follow the ones before it in the output, or None.

    ``...`` stands for any text inside a line, and for any lines where it stands alone; spaces
    at its sides and at the ends do not count.
    """
    lines = iter(line.strip() for line in output.splitlines())
    for wanted in expected:
        if wanted.strip() in ("", "..."):
            continue
        pattern = ".*".join(re.escape(part.strip()) for part in wanted.split("..."))
        if not any(re.fullmatch(pattern, line) for line in lines):  # consumes the lines before the match, and it
            return wanted
    return None
