"""Every page tells the truth: what it says to run runs, where it points there is something."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from snippets import REPOSITORY, commands_of, first_missing, run_page, snippets_of

PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "changelog.d/README.md", "benchmarks/*.md")
    for path in REPOSITORY.glob(pattern)
)
RUNNABLE = [page for page in PAGES if snippets_of(page.read_text(encoding="utf-8"))]
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)#\s]+)(?:#[^)]*)?\)")
_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def name_of(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


@pytest.mark.parametrize("page", RUNNABLE, ids=name_of)
def test_the_marked_snippets_of_a_page_run_as_shown(page: Path, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()

    run_page(page.read_text(encoding="utf-8"), folder=folder, home=tmp_path / "home")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_of_a_page_leads_to_a_file(page: Path) -> None:
    prose = _CODE.sub("", page.read_text(encoding="utf-8"))
    targets = [match["target"] for match in _LINK.finditer(prose) if "://" not in match["target"]]

    broken = [target for target in targets if not (page.parent / target).exists()]

    assert broken == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent != REPOSITORY], ids=name_of)
def test_every_page_is_reached_from_the_readme(page: Path) -> None:
    reached, open_pages = set(), [REPOSITORY / "README.md"]
    while open_pages:
        current = open_pages.pop()
        if current in reached or current.suffix != ".md" or not current.exists():
            continue
        reached.add(current)
        targets = _LINK.findall(_CODE.sub("", current.read_text(encoding="utf-8")))
        open_pages += [(current.parent / target).resolve() for target in targets]
        if current.name == "README.md" and current.parent.name == "decisions":
            open_pages += current.parent.glob("*.md")  # the folder is the list

    assert page in reached


def test_the_navigation_of_the_site_lists_every_page() -> None:
    listed = set(re.findall(r": (\S+\.md)$", (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    docs = REPOSITORY / "docs"

    pages = {str(page.relative_to(docs)) for page in docs.glob("**/*.md") if page.parent.name != "decisions"}

    assert listed == pages | {"decisions/README.md"}


def test_the_reference_pages_say_what_the_code_says() -> None:
    script = REPOSITORY / "scripts" / "generate-reference"

    check = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)

    assert check.returncode == 0, f"run scripts/generate-reference:\n{check.stdout}{check.stderr}"


def test_the_readme_has_two_commands_and_ci_calls_the_second() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")

    commands = re.findall(r"^```console\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)

    assert commands == [
        "pip install -e . && python examples/quickstart/train.py -m model.learning_rate=0.1,0.01\n",
        "pip install -e '.[test]' && pytest\n",
    ]
    assert f'bash -euo pipefail -c "{commands[1].strip()}"' in (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")


def test_a_session_is_read_as_commands_with_their_output() -> None:
    session = "$ first\nout 1\nout 2\n$ second\n"

    commands = [(command.line, command.expected) for command in commands_of(session)]

    assert commands == [("first", ("out 1", "out 2")), ("second", ())]


@pytest.mark.parametrize(
    ("expected", "missing"),
    [
        (("a", "c 3"), None),
        (("a", "...", "b"), None),
        (("c ...",), None),
        (("b", "a"), "a"),
        (("d",), "d"),
        (("c",), "c"),
    ],
)
def test_expected_lines_must_occur_in_this_order(expected: tuple[str, ...], missing: str | None) -> None:
    output = "a\n  b\nc 3\n"

    assert first_missing(expected, output) == missing
