"""What is read from a Dockerfile: the images it builds on, and whether its last layer is the code."""

from pathlib import Path

import pytest

from hydraflyte.launcher.code.files import BundledFile, FileSet
from hydraflyte.launcher.images.code_copies import code_copy_of
from hydraflyte.launcher.images.dockerfiles import bases_named_in, instructions_of

NAMES = ("Dockerfile", "requirements.txt", "src/train.py", "src/model/net.py", "setup/apt.txt")
FILES = FileSet(
    root=Path("/context"),
    files=tuple(
        BundledFile(name=name, path=Path("/context", name), size_bytes=1, is_executable=False, sha256="0" * 64)
        for name in NAMES
    ),
    ignored=(),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM python:3.11", ["python:3.11"]),
        ("FROM --platform=linux/amd64 python AS build\nFROM build\nCOPY --from=build /a /b", ["python"]),
        ("FROM scratch", []),
        ("ARG TAG=3.11\nFROM python:${TAG}", ["python:3.11"]),
        ("ARG TAG\nFROM python:${TAG:-3.10}", ["python:3.10"]),
        ("ARG TAG\nFROM python:$TAG", []),
        ("ARG BASE_IMAGE=python\nARG BASE_VERSION=3\nFROM ${BASE_IMAGE}:${BASE_VERSION}", []),
        ("FROM a\nCOPY --from=b:1 /x /x\nRUN --mount=type=bind,from=c:2,target=/y cat /y", ["a", "b:1", "c:2"]),
        ("# FROM x\nFROM \\\n  a:1 \\\n  AS one\nFROM one\nFROM a:1", ["a:1"]),
        ("from a\nFROM 0", ["a"]),
    ],
)
def test_images_are_those_that_come_from_registries(text, expected):
    assert list(bases_named_in(text, {})) == expected


def test_a_build_argument_wins_over_a_default():
    assert bases_named_in("ARG TAG=3.11\nFROM python:$TAG", {"TAG": "3.12"}) == ("python:3.12",)


def test_what_stands_in_a_heredoc_is_no_instruction():
    text = "FROM a\nRUN <<END\nFROM b\nEND\nCOPY x y\n"

    assert list(instructions_of(text)) == [("FROM", "a"), ("RUN", "<<END"), ("COPY", "x y")]


@pytest.mark.parametrize(
    ("text", "source", "folder", "below"),
    [
        ("FROM a\nWORKDIR /app\nCOPY . .\nCMD x", "", "/app", []),
        ("FROM a\nCOPY src /app/\nENV A=1\nUSER nobody", "src", "/app", []),
        ("FROM a\nCOPY ./src/ /srv", "src", "/srv", []),
        ("FROM a\nWORKDIR /app\nCOPY requirements.txt /tmp/\nRUN pip\nCOPY . /app", "", "/app", ["requirements.txt"]),
        (
            "FROM a\nADD setup /setup\nCOPY *.txt /t/\nCOPY src lib",
            "src",
            "/app/lib",
            ["requirements.txt", "setup/apt.txt"],
        ),
        ('FROM a\nCOPY ["setup", "/setup"]\nCOPY src .', "src", "/app", ["setup/apt.txt"]),
        ("FROM a\nCOPY . /all\nRUN make\nCOPY src .", "src", "/app", list(NAMES)),
        ("FROM a AS b\nCOPY setup /s\nFROM c\nCOPY --from=b /s /s\nCOPY src .", "src", "/app", ["setup/apt.txt"]),
        ("FROM a\nRUN --mount=type=cache,target=/root/.cache pip\nCOPY src .", "src", "/app", []),
    ],
)
def test_the_last_copy_holds_the_code(text, source, folder, below):
    copy = code_copy_of(text, FILES)

    assert (copy.source, copy.folder_in("/app")) == (source, folder)
    assert [file.name for file in copy.below_code_of(FILES).files] == below


@pytest.mark.parametrize(
    "text",
    [
        "FROM a\nCOPY . .\nRUN pip install .",
        "FROM a\nCOPY src .\nWORKDIR /elsewhere",
        "FROM a\nCOPY src .\nVOLUME /data",
        "FROM a\nCOPY --chown=1 src .",
        "FROM a\nCOPY --from=b src .",
        "FROM a\nCOPY src $HOME",
        "FROM a\nCOPY src lib setup /x/",
        "FROM a\nCOPY requirements.txt /req.txt",
        "FROM a\nCOPY *.py /app/",
        "FROM a\nCOPY ../x /app/",
        "FROM a\nRUN --mount=target=/context make\nCOPY src .",
        "FROM a\nCOPY $FILE /x\nCOPY src .",
        "FROM a\nONBUILD RUN x\nCOPY src .",
        "FROM a\nADD src .",
        "FROM a\nCOPY src .\nFROM b",
        "FROM a\nCOPY <<END /x\nhello\nEND",
        "",
    ],
)
def test_what_is_not_certain_has_to_be_built(text):
    assert code_copy_of(text, FILES) is None


def test_the_code_is_named_from_its_folder_on():
    copy = code_copy_of("FROM a\nCOPY src .", FILES)

    assert [file.name for file in copy.code_of(FILES).files] == ["train.py", "model/net.py"]
