"""Files of this machine among inputs are uploaded once, and their address follows their content."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from flyteidl.core import literals_pb2
from flytekit.types.directory import FlyteDirectory
from flytekit.types.file import FlyteFile
from tests.unit.launcher.scripted_client import ENDPOINT, ScriptedFlyteClient

from hydraflyte.errors import InputsError
from hydraflyte.launcher.execute import to_literals
from hydraflyte.launcher.input_files import InputFiles
from hydraflyte.launcher.inputs import JobInputs


def literals(**values: object) -> literals_pb2.LiteralMap:
    kinds = {name: FlyteFile if not Path(str(value)).is_dir() else FlyteDirectory for name, value in values.items()}
    return to_literals(JobInputs(values=values, types=kinds))


def uploads(client: ScriptedFlyteClient) -> InputFiles:
    return InputFiles(client=client, project="p", domain="d")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.txt"
    path.write_text("21")
    return path


def test_the_same_file_has_the_same_address_in_every_job_and_is_sent_once(data: Path) -> None:
    client = ScriptedFlyteClient()

    first, second = uploads(client).upload_all([literals(data=str(data)), literals(data=str(data))])

    assert first == second
    assert first.literals["data"].scalar.blob.uri.endswith("/data.txt")
    assert len(client.uploaded) == 1


def test_another_content_is_sent_too(data: Path) -> None:
    before = literals(data=str(data))
    data.write_text("22")
    client = ScriptedFlyteClient()

    uploads(client).upload_all([before, literals(data=str(data))])

    assert client.uploaded == ["data.txt", "data.txt"]


def test_what_lies_in_a_store_already_stays_there() -> None:
    inputs = literals(data="s3://bucket/data.txt")
    client = ScriptedFlyteClient()

    (sent,) = uploads(client).upload_all([inputs])

    assert sent is inputs
    assert client.uploaded == []


def test_a_folder_goes_to_no_other_machine(data: Path) -> None:
    with pytest.raises(InputsError, match="The input data is a folder of this machine, which tasks on scripted:1"):
        uploads(ScriptedFlyteClient()).upload_all([literals(data=str(data.parent))])


def test_a_folder_is_read_where_it_is_on_the_same_machine(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ScriptedFlyteClient, "endpoint", replace(ENDPOINT, is_embedded=True))
    inputs = literals(data=str(data.parent))

    (sent,) = uploads(ScriptedFlyteClient()).upload_all([inputs])

    assert sent == inputs
