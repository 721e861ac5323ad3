"""What a function's code refers to, read from its bytecode."""

from __future__ import annotations

import functools
import sys
import textwrap
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hydraflyte import uses
from hydraflyte.errors import DiscoveryError
from hydraflyte.launcher.code.calls import line_that_calls, objects_used_by, plain_function


class Thing:
    def __init__(self, name: str) -> None:
        self.name = name
        self.method = self

    def __call__(self, argument: int) -> None: ...


one, two, three = Thing("one"), Thing("two"), Thing("three")
toolbox = types.ModuleType("toolbox")
toolbox.one = one  # type: ignore[attr-defined]
toolbox.inner = types.ModuleType("inner")  # type: ignore[attr-defined]
toolbox.inner.two = two  # type: ignore[attr-defined]
LISTED = [one, two]
NAMED = {"a": three}
PARTIAL = functools.partial(three, 1)


def helper() -> Any:
    return three


def things(function: Callable[..., object]) -> list[str]:
    used = objects_used_by(function, follows=lambda other: other.__module__ == __name__)
    return list(dict.fromkeys(value.name for value in used if isinstance(value, Thing)))


def test_globals_are_found_in_the_order_of_the_code():
    def function() -> Any:
        return two.method, one

    assert things(function) == ["two", "one"]


def test_attributes_of_modules_are_followed():
    def function() -> Any:
        return toolbox.inner.two, toolbox.one  # type: ignore[attr-defined]

    assert things(function) == ["two", "one"]


def test_attributes_of_other_objects_are_not():
    def function() -> Any:
        return helper.three  # type: ignore[attr-defined]

    assert things(function) == ["three"]  # through helper's own code, not through its attribute


def test_closures_inner_functions_comprehensions_and_defaults_count():
    captured = one

    def function(argument: Any = three) -> Any:
        def inner() -> Any:
            return captured

        return inner, [two for _ in range(3)]

    assert sorted(things(function)) == ["one", "three", "two"]


def test_items_of_containers_and_what_a_partial_wraps_count():
    def function() -> Any:
        return LISTED, NAMED, PARTIAL

    assert things(function) == ["one", "two", "three"]


def test_names_that_do_not_resolve_are_passed_over():
    def function() -> Any:
        return nothing_of_that_name, toolbox.nothing  # type: ignore[name-defined, attr-defined] # noqa: F821

    assert things(function) == []


def test_an_import_inside_the_function_counts_if_the_module_is_loaded(monkeypatch):
    monkeypatch.setitem(sys.modules, "toolbox", toolbox)

    def function() -> Any:
        from toolbox import one as renamed  # type: ignore[import-not-found]

        return renamed

    def with_module() -> Any:
        import toolbox as box

        return box.one

    assert things(function) == ["one"]
    assert things(with_module) == ["one"]


def test_modules_that_a_function_binds_to_names_of_its_own_are_followed(monkeypatch):
    package = types.ModuleType("package")
    package.inner = toolbox.inner  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "package", package)
    monkeypatch.setitem(sys.modules, "package.inner", toolbox.inner)

    def dotted() -> Any:
        import package.inner  # type: ignore[import-not-found]

        return package.inner.two

    def picked() -> Any:
        from package import inner

        return [inner.two for _ in range(3)]

    def renamed() -> Any:
        import package.inner as deep  # type: ignore[import-not-found]

        return deep.two

    assert things(dotted) == ["two"]
    assert things(renamed) == ["two"]
    assert things(picked) == ["two"]


def test_attributes_of_classes_and_of_plain_objects_are_followed():
    class Parent:
        first = one

    class Steps(Parent):
        second = staticmethod(helper)

    registry = types.SimpleNamespace(chosen=two)

    def of_classes() -> Any:
        return Steps.first, Steps.second

    def of_objects() -> Any:
        return registry.chosen, registry.not_there

    assert things(of_classes) == ["one", "three"]
    assert things(of_objects) == ["two"]


def test_no_property_runs():
    class Eager:
        @property
        def value(self) -> Any:
            raise AssertionError("run")

    eager = Eager()

    def function() -> Any:
        return eager.value, one

    assert things(function) == ["one"]


def test_the_methods_of_a_class_are_read_where_it_is_used():
    class Trainer:
        def run(self) -> Any:
            return self.prepare(), two

        @classmethod
        def prepare(cls) -> Any:
            return one

    def function() -> Any:
        return Trainer().run()

    assert things(function) == ["two", "one"]


def test_containers_are_looked_through_to_a_depth():
    nested = {"a": [{"b": (three,)}], "far": [[[[[[one]]]]]]}

    def function() -> Any:
        return nested["a"]

    assert things(function) == ["three"]


def test_what_is_declared_comes_first_and_counts_in_functions_that_are_called():
    @uses(one)
    def called() -> Any: ...

    @uses(f"{__name__}_declared:two")
    def function() -> Any:
        return called()

    declared = types.ModuleType(f"{__name__}_declared")
    declared.two = two  # type: ignore[attr-defined]
    sys.modules[declared.__name__] = declared
    try:
        assert things(function) == ["two", "one"]
    finally:
        del sys.modules[declared.__name__]


def test_declarations_add_up():
    @uses(one)
    @uses(two, three)
    def function() -> Any: ...

    assert things(function) == ["two", "three", "one"]


@pytest.mark.parametrize("name", ["no_such_module:task", "os:no_such_name"])
def test_a_declaration_that_leads_to_nothing_is_an_error(name: str):
    @uses(name)
    def function() -> Any: ...

    with pytest.raises(DiscoveryError, match=rf"uses\('{name}'\) leads to nothing"):
        things(function)


@pytest.mark.parametrize("name", ["task", "module:", ":task", ""])
def test_a_declaration_without_module_or_name_is_an_error_at_once(name: str):
    with pytest.raises(DiscoveryError, match="names nothing"):
        uses(name)


def test_a_lazy_module_is_not_loaded_by_looking_at_it(monkeypatch):
    class Lazy(types.ModuleType):
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError("loaded")

    namespace: dict[str, Any] = {"lazy": Lazy("lazy"), "one": one}
    exec("def function():\n    return lazy.value, lazy, one", namespace)

    assert things(namespace["function"]) == ["one"]


def test_wrappers_partials_methods_and_callable_objects_lead_to_the_function():
    def function() -> None: ...

    @functools.wraps(function)
    def wrapper() -> None: ...

    class Callable_:
        def __call__(self) -> None: ...

    assert plain_function(wrapper) is function
    assert plain_function(functools.partial(wrapper)) is function
    assert plain_function(Callable_()) is Callable_.__call__
    assert plain_function(Callable_().__call__) is Callable_.__call__
    with pytest.raises(TypeError, match="is not written in Python"):
        plain_function(len)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("main()", 1),
        ("x = 1\nwith open('a'):\n    main(x)", 3),
        ("if x:\n    main()", 2),
        ("if __name__ == '__main__':\n    main()", None),
        ("if '__main__' == __name__ and x:\n    main()", None),
        ("def f():\n    main()\nclass C:\n    def g(self):\n        main()", None),
        ("class C:\n    value = main()", 2),
        ("run = lambda: main()", None),
        ("other()", None),
        ("this is no Python", None),
    ],
)
def test_calls_that_happen_at_import_are_found(tmp_path: Path, text, line):
    file = tmp_path / "module.py"
    file.write_text(textwrap.dedent(text))

    assert line_that_calls(file, {"main"}) == line
