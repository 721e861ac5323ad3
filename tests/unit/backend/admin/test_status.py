"""Exceptions become statuses whose trailers fit, and never UNKNOWN."""

import errno

import grpc
import pytest
from flyteidl.admin.project_pb2 import InactiveProject
from google.rpc.status_pb2 import Status

from hydraflyte.backend.admin.filters import FilterError
from hydraflyte.backend.admin.refusals import AlreadyThere, InvalidRequest, Missing, NotServed, Refusal, TooLate
from hydraflyte.backend.admin.status import STATUS_CODES, cut, internal_status, status_of
from hydraflyte.backend.ports import ExecutionExistsError, ExecutionNotFoundError
from hydraflyte.errors import CompilationError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidRequest("no"), grpc.StatusCode.INVALID_ARGUMENT),
        (FilterError("no"), grpc.StatusCode.INVALID_ARGUMENT),
        (CompilationError("no", hint="h", problems=["a"]), grpc.StatusCode.INVALID_ARGUMENT),
        (Missing("no"), grpc.StatusCode.NOT_FOUND),
        (ExecutionNotFoundError("no"), grpc.StatusCode.NOT_FOUND),
        (AlreadyThere("no"), grpc.StatusCode.ALREADY_EXISTS),
        (ExecutionExistsError("no"), grpc.StatusCode.ALREADY_EXISTS),
        (TooLate("no"), grpc.StatusCode.FAILED_PRECONDITION),
        (NotServed("no"), grpc.StatusCode.UNIMPLEMENTED),
    ],
)
def test_each_refusal_has_its_status(error, code):
    status = status_of(error)

    assert status is not None
    assert status.code is code


def test_every_refusal_is_in_the_table():
    assert set(Refusal.__subclasses__()) <= set(STATUS_CODES)


def test_what_is_not_in_the_table_is_internal():
    assert status_of(KeyError("x")) is None
    assert internal_status(KeyError("x")).code is grpc.StatusCode.INTERNAL


def test_a_full_disk_is_called_by_its_name():
    status = internal_status(OSError(errno.ENOSPC, "No space left on device"))

    assert status.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "disk" in status.message


def test_a_detail_travels_in_the_rich_status():
    status = status_of(InvalidRequest("archived", detail=InactiveProject(id="p")))

    assert status is not None
    rich = Status.FromString(dict(status.trailers)["grpc-status-details-bin"])
    detail = InactiveProject()
    rich.details[0].Unpack(detail)
    assert (rich.code, rich.message, detail.id) == (3, "archived", "p")


@pytest.mark.parametrize("text", ["x" * 100_000, "ü\n" * 50_000, "%" * 50_000, "😀" * 20_000])
def test_messages_fit_into_trailers_as_grpc_encodes_them(text):
    shorter = cut(text, 6000)

    encoded = sum(1 if 0x20 <= byte <= 0x7E and byte != 0x25 else 3 for byte in shorter.encode())
    assert 4000 < encoded <= 6000
    assert shorter.endswith("…")


def test_short_messages_stay_as_they_are():
    assert cut("nothing to cut: 100 %", 6000) == "nothing to cut: 100 %"
