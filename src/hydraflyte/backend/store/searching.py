"""Which executions contain some words: in their names, workflows, phases, labels, tags and overrides.

Pure: gives conditions for a selection. One rule: a word is a piece of text, never a pattern.
"""

from __future__ import annotations

from dataclasses import replace

from hydraflyte.backend.store.selection import Selection

_MOST_WORDS = 10
_LONGEST_WORD = 200
_PLACES = ("executions.execution_name", "executions.phase", "workflows.name")
_CONTAINS = "LIKE ? ESCAPE '\\'"
_SOMEWHERE = (
    " OR ".join(f"{place} {_CONTAINS}" for place in _PLACES)
    + " OR EXISTS (SELECT 1 FROM execution_tags AS said WHERE said.execution_id = executions.id"
    f" AND (said.key || '=' || said.value) {_CONTAINS})"
)


def containing(selection: Selection, text: str) -> Selection:
    """Return the selection of executions narrowed to those that contain each of the words, small or capital.

    A label is found as ``key=value``. Words beyond the tenth, and letters beyond the 200th, are left out.
    """
    for word in text.split()[:_MOST_WORDS]:
        pattern = "%" + "".join(f"\\{each}" if each in "\\%_" else each for each in word[:_LONGEST_WORD]) + "%"
        selection = selection.having(_SOMEWHERE, *[pattern] * (len(_PLACES) + 1))
    return replace(selection, joins=(*selection.joins, "LEFT JOIN workflows ON workflows.id = executions.workflow_id"))
