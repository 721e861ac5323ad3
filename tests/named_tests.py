"""Tests that tables name as ``acceptance/test_gates.py::test_…``: whether they are there, and what they say."""

from __future__ import annotations

import ast
from pathlib import Path

_TESTS = Path(__file__).resolve().parent


def source_of(node_id: str) -> str | None:
    """Return the text of a test with its decorators, or None if there is no such test."""
    file, _, name = node_id.partition("::")
    path = _TESTS / file
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8")
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            return "\n".join(text.splitlines()[first - 1 : node.end_lineno])
    return None
