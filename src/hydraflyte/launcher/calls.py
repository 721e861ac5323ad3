"""Which objects a function's code refers to, read from its bytecode; nothing is called.

Needed where a program decides at run time what it calls: dynamic and eager tasks, and the task function itself. One
rule: only names that resolve right now, in the function's globals and closure, and attributes of modules.
"""

from __future__ import annotations

import ast
import dis
import functools
import inspect
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, cast

_MISSING = object()


def objects_used_by(function: Callable[..., object], *, follows: Callable[[FunctionType], bool]) -> Iterator[object]:
    """Yield what ``function`` refers to, in the order of its code: values of names, and of ``module.name`` chains.

    Items of lists, tuples and dicts are yielded, too, and the code of plain functions is read in turn where
    ``follows`` says so. An object may be yielded more than once.
    """
    seen: set[int] = set()
    waiting: list[FunctionType] = [plain_function(function)]
    while waiting:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        for value in _direct(current):
            for item in _items(value):
                yield item
                if type(item) is FunctionType and follows(item):
                    waiting.append(plain_function(item))


def plain_function(function: Callable[..., object]) -> FunctionType:
    """Return the innermost function behind ``functools.wraps``, ``functools.partial`` and callable objects.

    Raises:
        TypeError: there is no Python function behind it.
    """
    current: object = function
    while True:
        if isinstance(current, functools.partial):
            current = current.func
        elif hasattr(current, "__wrapped__"):
            current = current.__wrapped__
        elif inspect.ismethod(current):
            current = current.__func__
        elif isinstance(current, FunctionType):
            return current
        elif callable(current) and not isinstance(current, type):
            current = type(current).__call__
            if not isinstance(current, FunctionType):
                raise TypeError(f"{function!r} is not written in Python")
        else:
            raise TypeError(f"{function!r} is not written in Python")


def closure_of(function: FunctionType) -> dict[str, object]:
    """Return the enclosing functions' variables that ``function`` uses, by name."""
    values: dict[str, object] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            values[name] = cell.cell_contents
        except ValueError:  # a recursive definition whose cell is still empty
            continue
    return values


def line_that_calls(file: Path, names: Collection[str]) -> int | None:
    """Return the line of the first call of one of ``names`` that happens when ``file`` is imported, or ``None``.

    Code under an ``if`` that looks at ``__name__`` does not count.
    """
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None  # the file has changed since it was imported; the proof of the bundle will tell
    waiting: list[ast.AST] = list(reversed(tree.body))
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and any(getattr(part, "id", "") == "__name__" for part in ast.walk(node.test)):
            continue
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
            return node.lineno
        waiting.extend(reversed(list(ast.iter_child_nodes(node))))
    return None


def _items(value: object) -> Iterator[object]:
    kind = type(value)  # not isinstance: it asks proxies and lazy modules for their __class__, which loads them
    if issubclass(kind, functools.partial):
        yield cast(Any, value).func
    elif issubclass(kind, (list, tuple, set, frozenset)):
        yield from cast(Any, value)
    elif issubclass(kind, dict):
        yield from cast(Any, value).values()
    else:
        yield value


def _direct(function: FunctionType) -> Iterator[object]:
    names = {**function.__globals__, **closure_of(function)}
    yield from _values(function.__code__, names)
    yield from function.__defaults__ or ()


def _values(code: CodeType, names: Mapping[str, object]) -> Iterator[object]:
    """Yield the values of the names and chains in ``code`` and in the functions defined inside it."""
    value: object = _MISSING
    for instruction in dis.get_instructions(code):
        name = instruction.argval
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_CLOSURE"):
            value = names.get(name, _MISSING)
        elif instruction.opname in ("LOAD_ATTR", "LOAD_METHOD") and issubclass(type(value), ModuleType):
            value = _attribute(value, name)
        elif instruction.opname == "IMPORT_NAME":
            value = sys.modules.get(name, _MISSING)
        elif instruction.opname == "IMPORT_FROM" and issubclass(type(value), ModuleType):
            yield from _known(_attribute(value, name))
            continue
        elif instruction.opname in ("EXTENDED_ARG", "CACHE", "PRECALL", "PUSH_NULL"):
            continue
        else:
            value = _MISSING
        yield from _known(value)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _values(constant, names)


def _attribute(module: object, name: str) -> object:
    """Look ``name`` up without ``getattr``, which would load a lazy module."""
    return object.__getattribute__(module, "__dict__").get(name, _MISSING)


def _known(value: object) -> Iterator[object]:
    if value is not _MISSING and not issubclass(type(value), ModuleType):
        yield value
