"""What tells the jobs of a sweep apart: a column for each key that is not the same in all of them.

Pure: jobs are mappings from a key to its value as text. One rule: what all have in common is said once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hydraflyte.transport.readable import Readable

_MOST_COLUMNS = 20
_LONGEST_VALUE = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Jobs side by side.

    Attributes:
        keys: those that differ, in the order in which the jobs name them; at most 20.
        left_out: how many further keys differ.
        rows: the values of each job under ``keys``; None where a job has none.
        common: what all jobs have in common.
    """

    keys: tuple[str, ...]
    left_out: int
    rows: tuple[tuple[str | None, ...], ...]
    common: Mapping[str, str]


def compare(jobs: Sequence[Mapping[str, str]]) -> Comparison:
    """Return the jobs side by side.

    Example:
        >>> compare([{"lr": "0.1", "seed": "1"}, {"lr": "0.2", "seed": "1"}])
        Comparison(keys=('lr',), left_out=0, rows=(('0.1',), ('0.2',)), common={'seed': '1'})
    """
    keys = list(dict.fromkeys(key for job in jobs for key in job))
    differing = [key for key in keys if len({job.get(key) for job in jobs}) > 1]
    shown = tuple(differing[:_MOST_COLUMNS])
    return Comparison(
        keys=shown,
        left_out=len(differing) - len(shown),
        rows=tuple(tuple(job.get(key) for key in shown) for job in jobs),
        common={key: jobs[0][key] for key in keys if key not in set(differing)},
    )


def by_key(overrides: Sequence[str]) -> dict[str, str]:
    """Return the values of overrides by their keys; a deletion is a key of its own.

    Example:
        >>> by_key(["+model.depth=3", "~seed", "x=a=b"])
        {'model.depth': '3', '~seed': '', 'x': 'a=b'}
    """
    pairs = (override.partition("=") for override in overrides)
    return {key.lstrip("+"): _cut(value) for key, _, value in pairs}


def flat(tree: Readable) -> dict[str, str]:
    """Return the leaves of a config or of outputs as text, by their dotted keys.

    Example:
        >>> flat({"model": {"depth": 3, "name": "m"}, "folds": [1, 2]})
        {'model.depth': '3', 'model.name': 'm', 'folds': '[1, 2]'}
    """
    return {key: _cut(_text(value)) for key, value in leaves(tree)}


def leaves(tree: Readable, key: str = "") -> Iterator[tuple[str, Readable]]:
    """Give each value of nested mappings with its dotted key; a list is one value. A tree without keys has none."""
    if not key and tree == {}:
        return
    if not (isinstance(tree, Mapping) and tree):
        yield key, tree
        return
    for name, value in tree.items():
        yield from leaves(value, f"{key}.{name}" if key else str(name))


def _text(value: Readable) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
