"""Which attempts may share a process that imported their libraries, and which libraries those are."""

import doctest
import os
import sys
import types

import pytest

from hydraflyte.backend.executor.zygote import branches, preload
from hydraflyte.backend.executor.zygote.branches import Branches


@pytest.fixture
def argv(tmp_path):
    (tmp_path / "b.tar.gz").write_bytes(b"code")
    return ["pyflyte-fast-execute", "--additional-distribution", str(tmp_path / "b.tar.gz"), "--", "pyflyte-execute"]


def test_attempts_of_one_bundle_and_environment_have_one_key(argv):
    first = preload.key_of(argv, {"COLOUR": "red", "FLYTE_ATTEMPT_NUMBER": "0", "TMPDIR": "/a"})
    second = preload.key_of(argv, {"COLOUR": "red", "FLYTE_ATTEMPT_NUMBER": "1", "TMPDIR": "/b"})

    assert first == second


def test_another_environment_or_other_code_is_another_key(argv, tmp_path):
    first = preload.key_of(argv, {"COLOUR": "red"})
    second = preload.key_of(argv, {"COLOUR": "blue"})
    os.utime(tmp_path / "b.tar.gz", (1, 1))
    third = preload.key_of(argv, {"COLOUR": "red"})

    assert len({first, second, third}) == 3


@pytest.mark.parametrize("argv", [[], ["pyflyte-execute"], ["bash", "-c", "true"]])
def test_attempts_without_a_bundle_have_no_key(argv):
    assert preload.key_of(argv, {}) is None


def test_a_bundle_that_does_not_exist_has_no_key(argv, tmp_path):
    (tmp_path / "b.tar.gz").unlink()

    assert preload.key_of(argv, {}) is None


def test_only_installed_libraries_are_listed(tmp_path, monkeypatch):
    (tmp_path / "users_own_module.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "made_up", types.ModuleType("made_up"))
    before = set(sys.modules) - {"doctest", "pytest", "users_own_module", "made_up"}
    __import__("users_own_module")

    listed = preload.list_libraries(before)
    del sys.modules["users_own_module"]

    assert doctest.__name__ in listed
    assert "pytest" in listed
    assert "users_own_module" not in listed
    assert "made_up" not in listed


def test_libraries_that_must_not_be_forked_are_never_imported_ahead():
    assert preload.may_be_imported_ahead(["sklearn", "sklearn.linear_model", "numpy"])
    assert not preload.may_be_imported_ahead(["numpy", "torch.nn"])


def test_a_key_that_needs_such_a_library_gets_no_branch_ever_after():
    known = Branches()
    known.learn(("code",), ["numpy"])
    known.learn(("code",), ["torch"])
    known.learn(("code",), ["pandas"])

    assert known.libraries_for(("code",)) == []


def test_what_attempts_import_adds_up_in_order():
    known = Branches()
    known.learn(("code",), ["numpy", "numpy.linalg"])
    known.learn(("code",), ["sklearn", "numpy"])

    assert known.libraries_for(("code",)) == ["numpy", "numpy.linalg", "sklearn"]


def test_what_was_learned_of_old_code_is_forgotten():
    known = Branches()
    for number in range(8 * branches.MOST_BRANCHES + 1):
        known.learn((number,), ["numpy"])

    assert known.libraries_for((0,)) == []
    assert known.libraries_for((1,)) == ["numpy"]


def test_numpys_generator_is_seeded_anew_in_each_child():
    numpy = pytest.importorskip("numpy")
    numpy.random.seed(1)
    preload.renew_libraries()
    first = numpy.random.rand()
    numpy.random.seed(1)
    preload.renew_libraries()

    assert first != numpy.random.rand()
