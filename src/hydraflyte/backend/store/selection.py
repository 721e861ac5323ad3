"""Which rows a list wants: conditions, order and page as plain values, and the statement they make.

Values never become part of the statement: they travel as bound parameters. Knows no table and opens nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

SqlValue = str | int | float | bytes | None

ALL = -1
"""As a limit: every row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Rows of one table.

    Attributes:
        joins: ``JOIN … ON …`` clauses, each once.
        where: conditions that must all hold, with ``?`` for each value.
        parameters: the values, in the order of the ``?``.
        group_by: columns of which each combination becomes one row, or ``""``.
        order_by: an ``ORDER BY`` expression, or ``""`` for the order of the rows' ids.
        limit: most rows to return; ``ALL`` for no limit.
    """

    joins: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    parameters: tuple[SqlValue, ...] = ()
    group_by: str = ""
    order_by: str = ""
    limit: int = ALL
    offset: int = 0

    def having(self, condition: str, *parameters: SqlValue) -> Selection:
        """Return the selection narrowed by one more condition."""
        return replace(self, where=(*self.where, condition), parameters=(*self.parameters, *parameters))

    def statement(self, select: str) -> str:
        """Return the whole statement for ``SELECT … FROM table``; run it with ``parameters``."""
        parts = [select, *self.joins]
        if self.where:
            parts.append("WHERE " + " AND ".join(f"({condition})" for condition in self.where))
        if self.group_by:
            parts.append("GROUP BY " + self.group_by)
        if self.order_by:
            parts.append("ORDER BY " + self.order_by)
        parts.append(f"LIMIT {self.limit:d} OFFSET {self.offset:d}")
        return " ".join(parts)
