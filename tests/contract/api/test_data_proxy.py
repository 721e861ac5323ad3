"""Uploads, downloads and data by address."""

import base64
import hashlib
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import unquote, urlsplit

import grpc
import pytest
from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier
from flyteidl.core.literals_pb2 import Literal, Primitive, Scalar
from flyteidl.service.dataproxy_pb2 import (
    ARTIFACT_TYPE_DECK,
    CreateDownloadLinkRequest,
    CreateDownloadLocationRequest,
    CreateUploadLocationRequest,
    GetDataRequest,
)
from google.protobuf.duration_pb2 import Duration

from hydraflyte.backend.admin.signing import verify

START = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)
MD5 = hashlib.md5(b"content").digest()


def upload(**changes):
    fields = {"project": "flytesnacks", "domain": "development", "filename": "fast.tar.gz", "content_md5": MD5}
    return CreateUploadLocationRequest(**{**fields, **changes})


def is_good(url, method, at=START):
    parts = urlsplit(url)
    return verify(b"key", method, parts.path, parts.query, at)


def test_an_upload_s_address_follows_from_its_content(data_proxy, plane):
    first, second = (data_proxy.CreateUploadLocation(upload()) for _ in range(2))

    folder = base64.b32encode(MD5).decode()
    expected = plane.home / "blobs" / "uploads" / "flytesnacks" / "development" / folder / "fast.tar.gz"
    assert first.native_url == second.native_url == str(expected)
    assert dict(first.headers) == {}


def test_the_upload_url_is_signed_for_put_for_an_hour(data_proxy):
    url = data_proxy.CreateUploadLocation(upload()).signed_url

    assert url.startswith("http://127.0.0.1:30081/blobs/uploads/flytesnacks/development/")
    assert unquote(urlsplit(url).path).endswith("======/fast.tar.gz")
    assert is_good(url, "PUT")
    assert not is_good(url, "GET")
    assert is_good(url, "PUT", START + timedelta(minutes=59))
    assert not is_good(url, "PUT", START + timedelta(minutes=61))


def test_a_root_and_no_name_gives_a_random_name(data_proxy):
    request = upload(filename="", content_md5=b"", filename_root="frame")

    first, second = (data_proxy.CreateUploadLocation(request).native_url for _ in range(2))

    assert first != second
    assert first.rsplit("/", 1)[0].endswith("/frame")


@pytest.mark.parametrize(
    "changes",
    [
        {"project": ""},
        {"domain": ""},
        {"content_md5": b""},
        {"content_md5": b"short"},
        {"filename": "../../../outside"},
        {"project": "../metadata"},
        {"domain": "a/../../../metadata"},
        {"filename_root": "/etc"},
        {"filename_root": ".."},
        {"project": ".."},
        {"expires_in": Duration(seconds=3601)},
        {"expires_in": Duration(seconds=-1)},
    ],
    ids=str,
)
def test_uploads_that_make_no_sense_are_refused(data_proxy, refused, changes):
    assert refused(data_proxy.CreateUploadLocation, upload(**changes))[0] == grpc.StatusCode.INVALID_ARGUMENT


def test_a_named_upload_may_be_repeated_but_not_replaced(data_proxy, refused):
    request = upload(filename_root="inputs")
    path = Path(data_proxy.CreateUploadLocation(request).native_url)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"content")

    assert data_proxy.CreateUploadLocation(request).native_url == str(path)
    request.content_md5 = hashlib.md5(b"other").digest()
    assert refused(data_proxy.CreateUploadLocation, request)[0] == grpc.StatusCode.ALREADY_EXISTS


def test_download_urls_only_name_files_of_the_store(data_proxy, refused, plane):
    inside = plane.home / "blobs" / "raw" / "a file"

    url = data_proxy.CreateDownloadLocation(CreateDownloadLocationRequest(native_url=str(inside))).signed_url

    assert is_good(url, "GET")
    for outside in ("/etc/passwd", str(plane.home / "blobs" / ".." / "db.sqlite"), "s3://bucket/key", "\x00"):
        code, _ = refused(data_proxy.CreateDownloadLocation, CreateDownloadLocationRequest(native_url=outside))
        assert code == grpc.StatusCode.INVALID_ARGUMENT


def test_data_is_found_by_its_address(data_proxy, finished, refused):
    finished("first")
    node = "flyte://v1/flytesnacks/development/first/n0"

    def get(url):
        return data_proxy.GetData(GetDataRequest(flyte_url=url))

    six = Literal(scalar=Scalar(primitive=Primitive(integer=6)))
    assert list(get(f"{node}/i").literal_map.literals) == ["x"]
    assert get(f"{node}/o").literal_map.literals["o0"] == six
    assert get(f"{node}/0/o/o0").literal == six
    for url, code in (
        (f"{node}/o/other", grpc.StatusCode.NOT_FOUND),
        (f"{node}/9/o", grpc.StatusCode.NOT_FOUND),
        (f"{node}/d", grpc.StatusCode.NOT_FOUND),
        (f"{node}/q", grpc.StatusCode.INVALID_ARGUMENT),
        ("s3://bucket/key", grpc.StatusCode.INVALID_ARGUMENT),
    ):
        assert refused(data_proxy.GetData, GetDataRequest(flyte_url=url))[0] == code


def test_a_deck_is_linked_once_it_is_there(data_proxy, plane, finished, refused):
    node = NodeExecutionIdentifier(node_id="n0", execution_id=finished("first"))
    request = CreateDownloadLinkRequest(artifact_type=ARTIFACT_TYPE_DECK, node_execution_id=node)
    assert refused(data_proxy.CreateDownloadLink, request)[0] == grpc.StatusCode.NOT_FOUND
    deck = plane.home / "blobs" / "metadata" / "propeller" / "deck.html"
    deck.write_text("<p>deck</p>")
    plane.parts.database.submit(
        lambda connection: connection.execute("UPDATE node_executions SET deck_uri = ?", (str(deck),)).rowcount
    ).result(timeout=10)

    link = data_proxy.CreateDownloadLink(request)

    assert link.signed_url == link.pre_signed_urls.signed_url
    assert is_good(link.signed_url[0], "GET")
    data = data_proxy.GetData(GetDataRequest(flyte_url="flyte://v1/flytesnacks/development/first/n0/d"))
    assert data.pre_signed_urls.signed_url == link.signed_url
