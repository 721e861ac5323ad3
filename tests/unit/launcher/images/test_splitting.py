"""Which Dockerfiles are parted in what is built and what is only copied, and which are left alone."""

import doctest
from pathlib import Path

import pytest

from hydraflyte.launcher.files import BundledFile, FileSet
from hydraflyte.launcher.images import splitting
from hydraflyte.launcher.images.splitting import split_dockerfile

USUAL = """# syntax matters not
FROM python:3.11
WORKDIR /app
COPY requirements.txt pyproject.toml ./
RUN pip install -r requirements.txt
COPY . .
CMD ["python", "train.py"]
"""


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(splitting).failed == 0


def test_what_stands_after_the_copy_stays():
    split = split_dockerfile(USUAL)

    assert split.text == USUAL.replace("COPY . .\n", "")
    assert split.sources == ("requirements.txt", "pyproject.toml")


@pytest.mark.parametrize(
    "text",
    [
        "FROM a\nWORKDIR /app\nCOPY . .\nRUN pip install .\n",  # what runs may use the code
        "FROM a\nWORKDIR /app\nCOPY src/ .\n",  # only a part of it, at another place
        "FROM a\nWORKDIR /app\nCOPY . /elsewhere\n",  # not where the image starts
        "FROM a\nCOPY . .\n",  # nobody says where that is
        "FROM a\nWORKDIR /app\nCOPY . .\nWORKDIR /other\n",
        "FROM a\nWORKDIR $HOME\nCOPY . .\n",
        "FROM a\nWORKDIR /app\nCOPY --chown=1000 . .\n",
        "FROM a\nWORKDIR /app\nONBUILD RUN true\nCOPY . .\n",
        "FROM a\nWORKDIR /app\nRUN cat <<EOF\nCOPY . .\nEOF\n",
        "FROM a\nWORKDIR /app\nRUN echo \\\nCOPY . .\n",
        "FROM a AS b\nWORKDIR /app\nCOPY . .\nFROM c\n",
        "FROM a\nWORKDIR /app\n",
    ],
)
def test_where_there_is_any_doubt_nothing_is_parted(text):
    assert split_dockerfile(text) is None


@pytest.mark.parametrize(
    ("lines", "needed"),
    [
        ("COPY requirements.txt .", ["requirements.txt"]),
        ("COPY ./lib /lib", ["lib/a.py", "lib/b/c.py"]),
        ("COPY *.txt .", ["requirements.txt"]),
        ("RUN true", []),
        ("COPY --from=other /x /x", []),
        ("ADD https://example.org/x /x", []),
        ("COPY . /src", ["lib/a.py", "lib/b/c.py", "requirements.txt", "train.py"]),
        ('COPY ["requirements.txt", "."]', ["lib/a.py", "lib/b/c.py", "requirements.txt", "train.py"]),
        ("RUN --mount=type=bind,target=/src true", ["lib/a.py", "lib/b/c.py", "requirements.txt", "train.py"]),
    ],
)
def test_only_files_that_the_upper_part_reads_decide_about_building_it(lines, needed):
    names = ["lib/a.py", "lib/b/c.py", "requirements.txt", "train.py"]
    files = [BundledFile(name=name, path=Path(name), size_bytes=0, is_executable=False, sha256="") for name in names]
    context = FileSet(root=Path("/context"), files=tuple(files), ignored=())

    split = split_dockerfile(f"FROM a\nWORKDIR /app\n{lines}\nCOPY . .\n")

    assert [file.name for file in split.needed_of(context).files] == needed
