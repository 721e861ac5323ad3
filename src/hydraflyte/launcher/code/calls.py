"""Which objects a function's code refers to, read from its bytecode; nothing is called.

Needed where a program decides at run time what it calls: dynamic and eager tasks, and the task function itself. One
rule: only names that resolve right now, in the function's globals and closure, and attributes that are there without
any code of the user running. What cannot be found so is named with ``hydraflyte.uses``.
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

from hydraflyte.declared import declared_by

_MISSING = object()
_DEEPEST_CONTAINER = 4
_LOADS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_CLOSURE")
_LOADS_OF_LOCALS = ("LOAD_FAST", "LOAD_FAST_CHECK")
_SILENT = ("EXTENDED_ARG", "CACHE", "PRECALL", "PUSH_NULL")


def objects_used_by(function: Callable[..., object], *, follows: Callable[[FunctionType], bool]) -> Iterator[object]:
    """Yield what ``function`` refers to, in the order of its code: values of names, and of ``module.name`` chains.

    Items of lists, tuples and dicts are yielded, too, what ``hydraflyte.uses`` names, and what plain functions and the
    methods of classes use in turn, where ``follows`` says so. An object may be yielded more than once.

    Raises:
        DiscoveryError: what ``hydraflyte.uses`` names cannot be imported.
    """
    seen: set[int] = set()
    waiting: list[FunctionType] = [plain_function(function)]
    while waiting:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        for value in (*declared_by(current), *_direct(current)):
            for item in _items(value):
                yield item
                waiting.extend(plain_function(found) for found in _functions_of(item) if follows(found))


def _functions_of(item: object) -> Iterator[FunctionType]:
    """Yield a function, or those that a class defines."""
    if type(item) is FunctionType:
        yield item
    elif issubclass(type(item), type):
        for value in type.__getattribute__(cast(type, item), "__dict__").values():
            bare = value.__func__ if type(value) in (staticmethod, classmethod) else value
            if type(bare) is FunctionType:
                yield bare


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


def _items(value: object, depth: int = 0) -> Iterator[object]:
    kind = type(value)  # not isinstance: it asks proxies and lazy modules for their __class__, which loads them
    inner: Collection[object]
    if issubclass(kind, functools.partial):
        yield cast(Any, value).func
        return
    if issubclass(kind, (list, tuple, set, frozenset)):
        inner = cast(Any, value)
    elif issubclass(kind, dict):
        inner = cast(Any, value).values()
    else:
        yield value
        return
    for item in inner:
        yield from _items(item, depth + 1) if depth < _DEEPEST_CONTAINER else (item,)


def _direct(function: FunctionType) -> Iterator[object]:
    names = {**function.__globals__, **closure_of(function)}
    yield from _values(function.__code__, names)
    yield from function.__defaults__ or ()


def _values(code: CodeType, names: Mapping[str, object]) -> Iterator[object]:
    """Yield the values of the names and chains in ``code`` and in the functions defined inside it."""
    value: object = _MISSING
    imported: object = _MISSING
    imported_name = ""
    own: dict[str, object] = {}  # modules and objects that the function imports into local variables
    for instruction in dis.get_instructions(code):
        name = instruction.argval
        match instruction.opname:
            case operation if operation in _LOADS:
                value = names.get(name, _MISSING)
            case operation if operation in _LOADS_OF_LOCALS:
                value = own.get(name, _MISSING)
            case "LOAD_ATTR" | "LOAD_METHOD":
                value = _attribute(value, name)
            case "IMPORT_NAME":
                value = imported = sys.modules.get(name, _MISSING)
                imported_name = name
            case "IMPORT_FROM":
                imported = _attribute(value, name)
                if imported is _MISSING and imported_name.endswith(f".{name}"):  # `import a.b as c` binds a.b
                    imported = sys.modules.get(imported_name, _MISSING)
                yield from _known(imported)
                continue
            case "STORE_FAST" | "STORE_DEREF":
                is_top = imported_name.startswith(f"{name}.")  # `import a.b` binds a
                own[name] = sys.modules.get(name, _MISSING) if is_top else imported
                imported, imported_name = _MISSING, ""
                continue
            case operation if operation in _SILENT:
                continue
            case _:
                value = _MISSING
        yield from _known(value)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _values(constant, {**names, **own})


def _attribute(holder: object, name: str) -> object:
    """Look ``name`` up without ``getattr``, which would load a lazy module and run properties."""
    kind = type(holder)
    if holder is _MISSING:
        return _MISSING
    if not issubclass(kind, type):
        return _own_names(holder).get(name, _MISSING)
    for each in type.__getattribute__(cast(type, holder), "__mro__"):
        found = type.__getattribute__(each, "__dict__").get(name, _MISSING)
        if found is not _MISSING:
            return found.__func__ if type(found) in (staticmethod, classmethod) else found
    return _MISSING


def _own_names(holder: object) -> Mapping[str, object]:
    try:
        names = object.__getattribute__(holder, "__dict__")
    except AttributeError:  # it has slots
        return {}
    return names if isinstance(names, dict) else {}


def _known(value: object) -> Iterator[object]:
    if value is not _MISSING and not issubclass(type(value), ModuleType):
        yield value
