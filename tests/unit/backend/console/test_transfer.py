"""Signed transfers: what was announced arrives whole, anything else leaves nothing behind."""

import base64
import errno
import hashlib
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone

import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient

from hydraflyte.backend.admin.signing import sign, signed_blob_url, verify
from hydraflyte.backend.console.transfer import Transfers
from hydraflyte.backend.store.blobs import Blobs

KEY = b"key"
NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
RELATIVE = "uploads/flytesnacks/development/ABC======/a b%.tar.gz"


def signed(method="PUT", relative=RELATIVE, minutes=60):
    return signed_blob_url("http://testserver", KEY, method, relative, NOW + timedelta(minutes=minutes))


def client_of(blobs):
    transfers = Transfers(blobs=blobs, verify=lambda method, path, query: verify(KEY, method, path, query, NOW))
    return TestClient(
        Starlette(
            routes=[
                Route("/blobs/{path:path}", transfers.upload, methods=["PUT"]),
                Route("/blobs/{path:path}", transfers.download, methods=["GET"]),
            ]
        )
    )


@pytest.fixture
def blobs(tmp_path):
    return Blobs(tmp_path / "blobs")


@pytest.fixture
def client(blobs):
    return client_of(blobs)


def md5(body):
    return base64.b64encode(hashlib.md5(body).digest()).decode()


def test_an_upload_is_stored_and_answered_with_exactly_200(client, blobs):
    answer = client.put(signed(), content=b"bundle", headers={"Content-MD5": md5(b"bundle")})

    assert answer.status_code == 200
    assert (blobs.root / RELATIVE).read_bytes() == b"bundle"


def test_the_same_url_may_be_used_again(client, blobs):
    client.put(signed(), content=b"first")
    client.put(signed(), content=b"second")

    assert (blobs.root / RELATIVE).read_bytes() == b"second"


def test_a_body_that_differs_from_its_md5_is_refused_and_nothing_stays(client, blobs):
    answer = client.put(signed(), content=b"garbled", headers={"Content-MD5": md5(b"bundle")})

    assert answer.status_code == 400
    assert list((blobs.root / RELATIVE).parent.iterdir()) == []


@pytest.mark.parametrize(
    "url",
    [
        signed().partition("?")[0],
        signed(method="GET"),
        signed(minutes=-1),
        signed().replace("ABC", "ABD"),
        signed() + "0",
    ],
)
def test_a_link_that_is_unsigned_expired_or_changed_is_refused(client, blobs, url):
    assert client.put(url, content=b"x").status_code == 403
    assert list(blobs.root.iterdir()) == []


def test_a_signed_path_still_cannot_leave_the_folder(client, tmp_path):
    relative = "uploads/../../escaped"
    path = f"/blobs/{relative.replace('..', '%2e%2e')}"

    client.put(f"{path}?{sign(KEY, 'PUT', f'/blobs/{relative}', NOW + timedelta(minutes=1))}", content=b"x")

    assert not (tmp_path / "escaped").exists()


def test_a_full_disk_is_said_and_leaves_the_server_serving(blobs):
    class FullDisk(Blobs):
        @contextmanager
        def replacing(self, path):
            raise OSError(errno.ENOSPC, "No space left on device")
            yield

    answer = client_of(FullDisk(blobs.root)).put(signed(), content=b"x")

    assert answer.status_code == 507
    assert "Free some" in answer.text
    assert client_of(blobs).put(signed(), content=b"x").status_code == 200


def test_a_download_sends_the_file_and_lets_no_browser_guess_its_type(client, blobs):
    target = blobs.root / "metadata/deck.html"
    target.parent.mkdir()
    target.write_text("<p>deck</p>")

    answer = client.get(signed(method="GET", relative="metadata/deck.html"))

    assert answer.text == "<p>deck</p>"
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_download_of_nothing_is_not_found(client):
    assert client.get(signed(method="GET", relative="metadata/none")).status_code == 404
