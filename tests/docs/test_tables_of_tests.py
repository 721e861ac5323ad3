"""The tables of demands and of known defects: complete, in order, and every test and benchmark they name is there."""

from __future__ import annotations

import re

import pytest
from snippets import REPOSITORY
from tests.named_tests import source_of

DEMANDS = (REPOSITORY / "docs" / "reference" / "user-demands.md").read_text(encoding="utf-8")
DEFECTS = (REPOSITORY / "docs" / "reference" / "known-defects.md").read_text(encoding="utf-8")
_NAMED = re.compile(r"`([^`]+\.py(?:::\w+)?)`")


def rows(section: str) -> list[list[str]]:
    """Return the cells of each row of the section's table, without its head."""
    lines = [line for line in section.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def named_in(cell: str) -> list[str]:
    return _NAMED.findall(cell)


def is_there(name: str) -> bool:
    return source_of(name) is not None if "::" in name else (REPOSITORY / name).is_file()


def test_every_demand_has_a_row() -> None:
    assert [row[0] for row in rows(DEMANDS)] == [f"D{number}" for number in range(1, 54)]


def test_what_became_of_a_demand_is_shown_or_explained() -> None:
    for name, _, became, shown_by, remark in rows(DEMANDS):
        assert became in ("done", "partly", "not ours", "open"), name
        assert named_in(shown_by) or became in ("not ours", "open"), name
        assert remark.strip("| ") or became == "done", name


@pytest.mark.parametrize(
    ("heading", "count"),
    [
        ("Hydra 1.3 and 1.4", 19),
        ("OmegaConf and flytekit-omegaconf", 12),
        ("flytekit and Flyte", 15),
        ("Launchers before this one", 11),
        ("Image builders before this one", 14),
    ],
)
def test_every_known_defect_has_a_row_that_names_its_test(heading: str, count: int) -> None:
    section = DEFECTS.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]

    table = rows(section)

    assert [row[0] for row in table] == [str(number) for number in range(1, count + 1)]
    assert [row[0] for row in table if not named_in(row[3])] == []


@pytest.mark.parametrize("page", [DEMANDS, DEFECTS], ids=["demands", "defects"])
def test_everything_that_is_named_is_there(page: str) -> None:
    names = {name for row in rows(page) for cell in row[3:4] for name in named_in(cell)}

    assert len(names) > 50
    assert sorted(name for name in names if not is_there(name)) == []
