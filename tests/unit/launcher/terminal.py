"""A terminal that can be looked at afterwards: knows the few control sequences that rich's live display writes."""

from __future__ import annotations

import io
import re

_PART = re.compile(r"\x1b\[(?P<number>\??\d*(?:;\d+)*)(?P<command>[A-Za-z])|(?P<char>[^\x1b])", re.DOTALL)


class FakeTerminal(io.StringIO):
    """A terminal of so many lines: what has scrolled out of it can no longer be erased."""

    def __init__(self, *, height: int) -> None:
        super().__init__()
        self._height = height
        self.erased = 0

    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        """Return every line as it stands in the end, those that have scrolled out included; long ones in one piece."""
        lines, row, column = [""], 0, 0
        for part in _PART.finditer(self.getvalue()):
            if part["command"] == "A":
                row = max(row - int(part["number"] or 1), len(lines) - self._height, 0)
            elif part["command"] == "K":
                lines[row] = ""
                self.erased += 1
            elif part["char"] == "\r":
                column = 0
            elif part["char"] == "\n":
                row, column = row + 1, 0
                lines += [""] * (row + 1 - len(lines))
            elif part["char"]:
                lines[row] = lines[row][:column].ljust(column) + part["char"] + lines[row][column + 1 :]
                column += 1
        return [line.rstrip() for line in lines]
