"""Scripts in places that hold much else, installed packages, and programs that no task process could import."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

SCRIPT = """
    import hydra
    from flytekit import task, workflow
    {imports}

    @task
    def double(x: int) -> int:
        return 2 * x

    @workflow
    def pipeline(x: int = 1) -> int:
        return double(x=x)

    @hydra.main(version_base=None, config_path=None)
    def main(cfg):
        return pipeline(x=1)

    if __name__ == "__main__":
        main()
"""


def script(imports: str = "") -> str:
    return SCRIPT.replace("{imports}", imports)


def test_of_a_home_directory_only_what_the_script_imports_is_taken(project):
    project.write(
        {
            "train.py": script("import neighbour\n    from lib.deep import steps"),
            "neighbour.py": "import second",
            "second.py": "",
            "lib/__init__.py": "",
            "lib/deep/__init__.py": "",
            "lib/deep/steps.py": "",
            "lib/deep/table.txt": "",
            "photos/cat.jpg": "",
            "other.py": "",
            ".ssh/id_rsa": "secret",
        }
    )

    report = project.launch("train.py", environment={"HOME": str(project.root)})

    assert report["error"] is None, report
    assert report["files"] == [
        "lib/__init__.py",
        "lib/deep/__init__.py",
        "lib/deep/steps.py",
        "lib/deep/table.txt",
        "neighbour.py",
        "second.py",
        "train.py",
    ]


def test_an_editable_package_outside_the_root_is_taken_along_without_its_surroundings(project):
    project.write(
        {
            "jobs/train.py": script("from shared import rates"),
            "workspace/shared/src/shared/__init__.py": "",
            "workspace/shared/src/shared/rates.py": "RATE = 1",
            "workspace/shared/src/shared/deep/data.json": "{}",
            "workspace/shared/src/shared/__pycache__/x.pyc": "",
            "workspace/shared/src/unrelated/__init__.py": "",
            "workspace/shared/README.md": "",
        }
    )

    report = project.launch("jobs/train.py", python_path=["workspace/shared/src"])

    assert report["error"] is None, report
    assert report["files"] == [
        "shared/__init__.py",
        "shared/deep/data.json",
        "shared/rates.py",
        "train.py",
    ]
    assert report["search_roots"] == [str(project.root / "workspace/shared/src")]


EDITABLE = """
import importlib.util
import sys
from importlib.machinery import PathFinder


class Finder:
    \"\"\"What setuptools installs for an editable package whose directory has another name (package-dir).\"\"\"

    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        if fullname == "shared":
            return importlib.util.spec_from_file_location(
                "shared", "{root}/lib/__init__.py", submodule_search_locations=["{root}/lib"]
            )


sys.meta_path.append(Finder)
"""


@pytest.mark.parametrize("where", ["workspace", "jobs"])
def test_an_editable_package_whose_directory_has_another_name_goes_in_under_its_own(project, where):
    project.write(
        {
            "jobs/train.py": script("from shared.deep import rates"),
            f"{where}/lib/__init__.py": "",
            f"{where}/lib/deep/__init__.py": "",
            f"{where}/lib/deep/rates.py": "RATE = 1",
            "site/sitecustomize.py": EDITABLE.replace("{root}", str(project.root / where)),
        }
    )

    report = project.launch("jobs/train.py", python_path=["site"])

    assert report["error"] is None, report
    names = {"workspace": ["shared/__init__.py", "shared/deep/__init__.py", "shared/deep/rates.py", "train.py"]}
    inside = ["lib/__init__.py", "lib/deep/__init__.py", "lib/deep/rates.py", "shared", "train.py"]
    assert report["files"] == names.get(where, inside)


def test_a_package_of_the_root_that_is_imported_from_src_is_a_link_in_the_bundle(project):
    project.write(
        {"train.py": script("import pkg.rates"), "src/pkg/__init__.py": "", "src/pkg/rates.py": "", "conf/a.yaml": ""}
    )

    report = project.launch("train.py", python_path=["src"])

    assert report["error"] is None, report
    assert report["files"] == ["conf/a.yaml", "pkg", "src/pkg/__init__.py", "src/pkg/rates.py", "train.py"]


def test_tasks_of_an_installed_package_keep_their_names_below_a_stray_init_file(project, tmp_path):
    site = make_environment(tmp_path / "venv")
    project.write({"train.py": script("from vendor.tasks import step").replace("double(x=x)", "step(x=double(x=x))")})
    (site / "__init__.py").write_text("")  # flyte#6180
    (site / "vendor").mkdir()
    (site / "vendor/__init__.py").write_text("")
    (site / "vendor/tasks.py").write_text(
        "from flytekit import task\n\n@task\ndef step(x: int) -> int:\n    return x + 1\n"
    )

    report = project.launch("train.py", python=str(tmp_path / "venv/bin/python"))

    assert report["error"] is None, report
    assert report["entities"] == ["task train.double", "task vendor.tasks.step", "workflow train.pipeline"]
    assert report["files"] == ["train.py"]
    assert report["commands"]["vendor.tasks.step"][-6:] == [
        "flytekit.core.python_auto_container.default_task_resolver",
        "--",
        "task-module",
        "vendor.tasks",
        "task-name",
        "step",
    ]


def test_a_program_that_is_installed_takes_its_own_package_along(project, tmp_path):
    site = make_environment(tmp_path / "venv")
    (site / "program").mkdir()
    (site / "program/__init__.py").write_text("")
    (site / "program/train.py").write_text(script().replace("\n    ", "\n"))
    (site / "other.py").write_text("")

    report = project.launch("-m", "program.train", python=str(tmp_path / "venv/bin/python"))

    assert report["error"] is None, report
    assert report["module_name"] == "program.train"
    assert report["files"] == ["program/__init__.py", "program/train.py"]


def make_environment(root: Path) -> Path:
    """Make a virtual environment that sees this one's packages; return its site-packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--symlinks", root], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = root / "lib" / version / "site-packages"
    (site / "outer.pth").write_text(f"import site; site.addsitedir({sysconfig.get_paths()['purelib']!r})\n")
    return site


def test_a_module_that_git_ignores_is_named_with_the_pattern(project):
    project.write({"train.py": script("from local import RATE"), "local.py": "RATE = 1", ".gitignore": "local.py\n"})

    report = project.launch("train.py")

    assert report["error"] == "PackagingError"
    assert "ModuleNotFoundError: No module named 'local'" in report["message"]
    assert report["hint"] == (
        "local.py exists but is left out of the code bundle by 'local.py' (.gitignore): "
        "add the line !/local.py to .flyteignore."
    )


def test_a_program_without_a_file_is_refused(project):
    project.write({"flows.py": script()})

    report = project.launch(
        "-c", "import flows\nfrom hydra import main\nmain(version_base=None)(lambda cfg: flows.pipeline(x=1))()"
    )

    assert report["error"] == "DiscoveryError"
    assert "interactive session" in report["message"]


def test_the_workflow_can_be_named_on_the_command_line(project):
    project.write({"train.py": script().replace("return pipeline(x=1)", "...").replace("def pipeline", "def one")})

    report = project.launch("train.py", environment={"WORKFLOW_NAME": "one"})

    assert report["error"] is None, report
    assert report["workflow"] == "train.one"


def test_a_script_that_another_module_imports_again_is_registered_once(project):
    project.write(
        {
            "train.py": script("from flytekit import dynamic\n    import plan").replace(
                "double(x=x)", "plan.fan_out(x=double(x=x))"
            ),
            "plan.py": """
                import train
                from flytekit import dynamic

                @dynamic
                def fan_out(x: int) -> int:
                    return train.double(x=x)
            """,
        }
    )

    report = project.launch("train.py")

    assert report["error"] is None, report
    assert report["entities"] == ["task train.double", "task plan.fan_out", "workflow train.pipeline"]
