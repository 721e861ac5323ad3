"""The code bundle is imported in a clean child process before it is uploaded, and a failure says what to do."""

from __future__ import annotations

import os
import re
import sys
import textwrap
import time
from pathlib import Path

import pytest

from hydraflyte.errors import PackagingError
from hydraflyte.launcher.code.files import SourceTree, collect_files
from hydraflyte.launcher.package import CodeBundle, TaskLoad, build_bundle, prove_importable

RESOLVER = "flytekit.core.python_auto_container.default_task_resolver"


@pytest.fixture
def bundle_of(tmp_path: Path):
    """Build a bundle from file names and texts."""

    def build(files: dict[str, str]) -> CodeBundle:
        root = tmp_path / "root"
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        return build_bundle(collect_files(SourceTree(source_root=root)), tmp_path / "out")

    return build


def failure(bundle: CodeBundle, *modules: str, **settings) -> PackagingError:
    with pytest.raises(PackagingError) as caught:
        prove_importable(bundle, modules, sys.executable, **settings)
    return caught.value


def test_modules_that_import_from_the_bundle_pass(bundle_of):
    bundle = bundle_of({"train.py": "import pkg.steps", "pkg/steps.py": "", "my-script.py": ""})

    prove_importable(bundle, ["train", "pkg.steps", "my-script"], sys.executable)


def test_the_child_sees_nothing_of_this_process_but_the_bundle(bundle_of, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/neighbour.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "elsewhere"))
    monkeypatch.chdir(tmp_path / "elsewhere")

    error = failure(bundle_of({"train.py": "import neighbour"}), "train")

    assert error.message.startswith(
        "train cannot be imported from the code bundle:\nTraceback (most recent call last):"
    )
    assert error.message.endswith("ModuleNotFoundError: No module named 'neighbour'")
    assert error.hint.startswith(f"neighbour is neither in the code bundle nor installed for {sys.executable}:")


def test_a_module_that_a_pattern_leaves_out_is_named_with_the_pattern(bundle_of):
    bundle = bundle_of(
        {"train.py": "from pkg import secret", "pkg/__init__.py": "", "pkg/secret.py": "", ".gitignore": "secret.*"}
    )

    error = failure(bundle, "train")

    assert "ImportError: cannot import name 'secret' from 'pkg'" in error.message
    assert error.hint == (
        "pkg/secret.py exists but is left out of the code bundle by 'secret.*' (.gitignore): "
        "add the line !/pkg/secret.py to .flyteignore."
    )


def test_a_package_that_a_pattern_leaves_out_is_named_with_the_pattern(bundle_of):
    bundle = bundle_of({"train.py": "import lib.deep.steps", "lib/deep/steps.py": "", ".flyteignore": "lib/\n"})

    error = failure(bundle, "train")

    assert error.hint == (
        "lib exists but is left out of the code bundle by 'lib/' (.flyteignore): add the line !/lib to .flyteignore."
    )


def test_a_data_file_that_a_pattern_leaves_out_is_named_with_the_pattern(bundle_of):
    bundle = bundle_of(
        {"train.py": "open('data/labels.csv')", "data/labels.csv": "", ".gitignore": "*.csv\n"},
    )

    error = failure(bundle, "train")

    assert "FileNotFoundError" in error.message
    assert error.hint.startswith("data/labels.csv exists but is left out of the code bundle by '*.csv' (.gitignore)")


def test_a_missing_submodule_of_a_bundled_package_is_not_called_missing_software(bundle_of):
    error = failure(bundle_of({"train.py": "import pkg.nothing", "pkg/__init__.py": ""}), "train")

    assert re.fullmatch(r"pkg lies in .*root, but has no nothing: check the import\.", error.hint)


def test_a_program_that_ends_at_import_is_told_about_the_guard(bundle_of):
    error = failure(bundle_of({"train.py": "import sys\nsys.exit(3)"}), "train")

    assert error.message.endswith("SystemExit: 3")
    assert error.hint == "Put what runs the program under `if __name__ == '__main__':`; tasks import the module."


def test_a_process_that_dies_at_import_is_an_error_with_its_output(bundle_of):
    error = failure(bundle_of({"train.py": "import os\nprint('last words', flush=True)\nos._exit(3)"}), "train")

    assert error.message == "The process that imports the code bundle died:\nlast words\n\nexit status 3"


def test_an_import_that_never_ends_is_given_up_and_its_processes_are_killed(bundle_of, tmp_path):
    bundle = bundle_of(
        {
            "train.py": f"""
                import os, subprocess, sys, time
                child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
                open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
                time.sleep(600)
            """
        }
    )

    error = failure(bundle, "train", timeout_s=1.5)

    assert error.message == "Importing train from the code bundle did not end within 1.5 s."
    assert has_ended(int((tmp_path / "pid").read_text()))


def has_ended(pid: int) -> bool:
    """Wait up to 5 s for a process that is not ours to be gone, or to be a zombie that its reaper has not met yet."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
            if "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text():
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False


def test_a_module_that_bears_the_name_of_another_one_is_an_error(bundle_of):
    error = failure(bundle_of({"sys.py": ""}), "sys")

    assert "sys cannot be imported from the code bundle" in error.message
    assert error.hint == "Rename the file: sys is already the name of another module there."


def test_a_task_is_loaded_by_its_resolver_and_must_bear_its_registered_name(bundle_of):
    bundle = bundle_of(
        {"train.py": "from flytekit import task\n@task\ndef step(x: int) -> int:\n    return x\ndef plain(): ...\n"}
    )

    def load(name: str, variable: str) -> TaskLoad:
        return TaskLoad(task_name=name, resolver=RESOLVER, loader_args=("task-module", "train", "task-name", variable))

    prove_importable(bundle, ["train"], sys.executable, loads=[load("train.step", "step")])

    named = failure(bundle, "train", loads=[load("other.step", "step")])
    plain = failure(bundle, "train", loads=[load("train.plain", "plain")])
    missing = failure(bundle, "train", loads=[load("train.gone", "gone")])

    assert named.message.endswith(":\nThere flytekit names it train.step.")
    assert plain.message.endswith(":\ntask-module train task-name plain is a function, not a Flyte task.")
    assert missing.message.startswith("The task train.gone cannot be loaded from the code bundle:\nTraceback")


def test_an_interpreter_that_does_not_exist_is_an_error(bundle_of):
    with pytest.raises(PackagingError, match=r"The interpreter /nowhere/python cannot be started: No such file"):
        prove_importable(bundle_of({"train.py": ""}), ["train"], "/nowhere/python")


def test_threads_of_the_users_modules_do_not_hold_it_up(bundle_of):
    bundle = bundle_of({"train.py": "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()"})

    prove_importable(bundle, ["train"], sys.executable, timeout_s=30)


def test_nothing_is_left_behind(bundle_of, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    bundle = bundle_of({"train.py": ""})

    prove_importable(bundle, ["train"], sys.executable)

    assert list(scratch.iterdir()) == []
