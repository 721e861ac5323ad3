"""Patterns mean what git takes them to mean: the same tree, decided by git and by us."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hydraflyte.launcher.code.files import SourceTree, collect_files

FILES = [
    f"{directory}{name}" for directory in ("", "a/", "a/b/", "b/", "a/b/c/") for name in ("x.py", "y.txt", "#z", "b x")
]
SEGMENTS = st.sampled_from(["a", "b", "c", "x.py", "*.txt", "*", "**", "y.*", "?.py", "[xy].*", "\\#z", "b\\ x"])


@st.composite
def patterns(draw: st.DrawFn) -> str:
    body = "/".join(draw(st.lists(SEGMENTS, min_size=1, max_size=3)))
    before = draw(st.sampled_from(["", "/", "!", "!/"]))
    return before + body + draw(st.sampled_from(["", "/"]))


IGNORE_FILES = st.dictionaries(
    st.sampled_from(["", "a/", "a/b/"]), st.lists(patterns(), min_size=1, max_size=4), min_size=1, max_size=3
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(IGNORE_FILES)
@example({"": ["*", "!*/", "!*.py"]})
@example({"": ["a/"], "a/": ["!x.py"]})
@example({"": ["/*", "!/a"], "a/": ["b/*", "!b/c"]})
def test_gitignore_files_leave_out_what_git_leaves_out(ignore_files):
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        write(root, ignore_files)

        ours = [file.name for file in collect_files(SourceTree(source_root=root)).files]

        assert ours == by_git(root)


def write(root: Path, ignore_files: dict[str, list[str]]) -> None:
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    for directory, lines in ignore_files.items():
        (root / directory / ".gitignore").write_text("\n".join(lines) + "\n")


def by_git(root: Path) -> list[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(root), "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", "init", "-q", root], check=True, env=environment)
    command = ["git", "ls-files", "-z", "--others", "--exclude-per-directory=.gitignore"]
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True, env=environment).stdout
    return sorted(name for name in listed.decode().split("\0") if name)
