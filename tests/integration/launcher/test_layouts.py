"""However a project is laid out and started: what is registered can be imported from the bundle, under that name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from flyteidl.core import literals_pb2

HYDRA_MAIN = """
    @hydra.main(version_base=None, config_path=None)
    def main(cfg):
        return pipeline(x=1)

    if __name__ == "__main__":
        main()
"""

SCRIPT = (
    """
    import hydra
    from flytekit import task, workflow
    {imports}

    @task
    def double(x: int) -> int:
        return 2 * x

    @workflow
    def pipeline(x: int = 1) -> int:
        return double(x=x)
"""
    + HYDRA_MAIN
)

USES_STEPS = (
    """
    import hydra
    from flytekit import workflow
    {imports}

    @workflow
    def pipeline(x: int = 1) -> int:
        return step(x=x)
"""
    + HYDRA_MAIN
)

STEPS = """
    from flytekit import task

    @task
    def step(x: int) -> int:
        return x + 1
"""


def script(imports: str = "") -> str:
    return SCRIPT.replace("{imports}", imports)


def uses_steps(imports: str) -> str:
    return USES_STEPS.replace("{imports}", imports)


LAYOUTS = {
    "script in the current directory": (
        {"train.py": script()},
        {"command": ["train.py"]},
        {"module_name": "train", "root": ".", "entities": ["task train.double", "workflow train.pipeline"]},
    ),
    "script below the current directory": (
        {"jobs/train.py": script()},
        {"command": ["jobs/train.py"]},
        {"module_name": "train", "root": "jobs", "entities": ["task train.double", "workflow train.pipeline"]},
    ),
    "script beside the current directory": (
        {"jobs/train.py": script(), "elsewhere/keep": ""},
        {"command": ["../jobs/train.py"], "cwd": "elsewhere"},
        {"module_name": "train", "root": "jobs", "entities": ["task train.double", "workflow train.pipeline"]},
    ),
    "script with a sibling module": (
        {"jobs/train.py": uses_steps("from steps import step"), "jobs/steps.py": STEPS},
        {"command": ["jobs/train.py"]},
        {"module_name": "train", "root": "jobs", "entities": ["task steps.step", "workflow train.pipeline"]},
    ),
    "python -m": (
        {
            "pkg/__init__.py": "",
            "pkg/train.py": uses_steps("from .steps import step"),
            "pkg/steps.py": STEPS,
        },
        {"command": ["-m", "pkg.train"]},
        {"module_name": "pkg.train", "root": ".", "entities": ["task pkg.steps.step", "workflow pkg.train.pipeline"]},
    ),
    "python -m with __main__.py": (
        {"pkg/__init__.py": "", "pkg/__main__.py": script()},
        {"command": ["-m", "pkg"]},
        {
            "module_name": "pkg.__main__",
            "root": ".",
            "entities": ["task pkg.__main__.double", "workflow pkg.__main__.pipeline"],
        },
    ),
    "python -m in a namespace package": (
        {"ns/train.py": uses_steps("from ns.steps import step"), "ns/steps.py": STEPS},
        {"command": ["-m", "ns.train"]},
        {"module_name": "ns.train", "root": ".", "entities": ["task ns.steps.step", "workflow ns.train.pipeline"]},
    ),
    "own task of a script in a namespace package": (
        {"ns/deep/train.py": script()},
        {"command": ["-m", "ns.deep.train"]},
        {
            "module_name": "ns.deep.train",
            "root": ".",
            "entities": ["task ns.deep.train.double", "workflow ns.deep.train.pipeline"],
        },
    ),
    "src layout, script inside the importable package": (
        {
            "pyproject.toml": "",
            "src/pkg/__init__.py": "",
            "src/pkg/train.py": uses_steps("from pkg.steps import step"),
            "src/pkg/steps.py": STEPS,
        },
        {"command": ["src/pkg/train.py"], "python_path": ["src"]},
        {"module_name": "pkg.train", "root": "src", "entities": ["task pkg.steps.step", "workflow pkg.train.pipeline"]},
    ),
    "src layout, script at the top": (
        {
            "train.py": uses_steps("from pkg.steps import step"),
            "src/pkg/__init__.py": "",
            "src/pkg/steps.py": STEPS,
        },
        {"command": ["train.py"], "python_path": ["src"]},
        {"module_name": "train", "root": ".", "entities": ["task pkg.steps.step", "workflow train.pipeline"]},
    ),
    "script inside a package that imports its neighbours as top-level modules": (
        {
            "pkg/__init__.py": "",
            "pkg/train.py": uses_steps("from steps import step"),
            "pkg/steps.py": STEPS,
        },
        {"command": ["pkg/train.py"]},
        {"module_name": "train", "root": "pkg", "entities": ["task steps.step", "workflow train.pipeline"]},
    ),
    "script inside a package that imports both ways": (
        {
            "pkg/__init__.py": "",
            "pkg/train.py": uses_steps("import pkg.constants\n    from steps import step"),
            "pkg/steps.py": STEPS,
            "pkg/constants.py": "RATE = 1",
        },
        {"command": ["pkg/train.py"], "python_path": ["."]},
        {"module_name": "pkg.train", "root": ".", "entities": ["task steps.step", "workflow pkg.train.pipeline"]},
    ),
    "script alone in a package follows flytekit's convention": (
        {"pkg/__init__.py": "", "pkg/train.py": script()},
        {"command": ["pkg/train.py"]},
        {"module_name": "pkg.train", "root": ".", "entities": ["task pkg.train.double", "workflow pkg.train.pipeline"]},
    ),
    "a project directory with an __init__.py by accident": (
        {"pyproject.toml": "", "__init__.py": "", "train.py": script()},
        {"command": ["train.py"]},
        {"module_name": "train", "root": ".", "entities": ["task train.double", "workflow train.pipeline"]},
    ),
    "a file name with a dash": (
        {"my-train.py": script()},
        {"command": ["my-train.py"]},
        {"module_name": "my-train", "root": ".", "entities": ["task my-train.double", "workflow my-train.pipeline"]},
    ),
    "a module from outside the source root": (
        {
            "jobs/train.py": uses_steps("from shared.steps import step"),
            "libs/shared/__init__.py": "",
            "libs/shared/steps.py": STEPS,
        },
        {"command": ["jobs/train.py"], "python_path": ["libs"]},
        {"module_name": "train", "root": "jobs", "entities": ["task shared.steps.step", "workflow train.pipeline"]},
    ),
    "a namespace package spread over two roots": (
        {
            "jobs/ns/local.py": "RATE = 1",
            "jobs/train.py": uses_steps("from ns.steps import step\n    from ns.local import RATE"),
            "libs/ns/steps.py": STEPS,
        },
        {"command": ["jobs/train.py"], "python_path": ["libs"]},
        {"module_name": "train", "root": "jobs", "entities": ["task ns.steps.step", "workflow train.pipeline"]},
    ),
    "a main wrapped with functools.wraps in another module": (
        {
            "deco.py": """
                import functools

                def logged(function):
                    @functools.wraps(function)
                    def wrapper(cfg):
                        return function(cfg)
                    return wrapper
            """,
            "train.py": script("from deco import logged").replace("def main", "@logged\n    def main"),
        },
        {"command": ["train.py"]},
        {"module_name": "train", "root": ".", "entities": ["task train.double", "workflow train.pipeline"]},
    ),
    "a main whose wrapper hides it": (
        {
            "lib/__init__.py": "",
            "lib/deco.py": """
                def logged(function):
                    def wrapper(cfg):
                        return function(cfg)
                    return wrapper
            """,
            "train.py": script("from lib.deco import logged").replace("def main", "@logged\n    def main"),
        },
        {"command": ["train.py"]},
        {"module_name": "train", "root": ".", "entities": ["task train.double", "workflow train.pipeline"]},
    ),
    "a main imported by a small script": (
        {
            "run.py": "from app.main import main\nif __name__ == '__main__':\n    main()\n",
            "app/__init__.py": "",
            "app/main.py": script(),
        },
        {"command": ["run.py"]},
        {"module_name": "app.main", "root": ".", "entities": ["task app.main.double", "workflow app.main.pipeline"]},
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_registered_can_be_imported_from_the_bundle(project, layout):
    files, start, expected = LAYOUTS[layout]
    project.write(files)

    report = project.launch(*start["command"], **{key: value for key, value in start.items() if key != "command"})

    assert report["error"] is None, report
    assert report["module_name"] == expected["module_name"]
    assert Path(report["source_root"]) == (project.root / expected["root"]).resolve()
    assert report["entities"] == expected["entities"]
    assert report["workflow"] == expected["entities"][-1].removeprefix("workflow ")


@pytest.mark.parametrize(
    "layout",
    [
        "script beside the current directory",
        "own task of a script in a namespace package",
        "src layout, script at the top",
        "script inside a package that imports both ways",
    ],
)
def test_the_serialised_command_runs_from_the_bundle(project, tmp_path, layout):
    files, start, expected = LAYOUTS[layout]
    project.write(files)
    report = project.launch(*start["command"], **{key: value for key, value in start.items() if key != "command"})
    task = expected["entities"][0].removeprefix("task ")

    outputs = run_task(report["commands"][task], Path(report["bundle"]), tmp_path / "attempt")

    assert outputs.literals["o0"].scalar.primitive.integer == 42


def run_task(command: list[str], bundle: Path, attempt: Path) -> literals_pb2.LiteralMap:
    """Run a task's container arguments with flytekit's own programs, as an executor would; x is 21 or 41."""
    code = attempt / "code"
    code.mkdir(parents=True)
    x = 21 if command[-1] == "double" else 41
    inputs = literals_pb2.LiteralMap(literals={"x": literals_pb2.Literal(scalar={"primitive": {"integer": x}})})
    (attempt / "inputs.pb").write_bytes(inputs.SerializeToString())
    values = {
        "{{.input}}": str(attempt / "inputs.pb"),
        "{{.outputPrefix}}": str(attempt / "out"),
        "{{.rawOutputDataPrefix}}": str(attempt / "raw"),
    }
    programs = Path(sys.executable).parent
    subprocess.run(
        [
            programs / "pyflyte-fast-execute", "--additional-distribution", bundle, "--dest-dir", ".", "--",
            programs / command[0], *[values.get(argument, argument) for argument in command[1:]],
        ],
        cwd=code,
        env={name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "FLYTE"))},
        check=True,
        timeout=120,
    )  # fmt: skip
    return literals_pb2.LiteralMap.FromString((attempt / "out" / "outputs.pb").read_bytes())
