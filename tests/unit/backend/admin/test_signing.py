"""Signed URLs: good for their method and path until they expire, and for nothing else."""

from datetime import datetime, timedelta, timezone
from urllib.parse import urlsplit

import pytest

from hydraflyte.backend.admin.signing import sign, signed_blob_url, verify

NOW = datetime(2026, 3, 1, tzinfo=timezone.utc)
LATER = NOW + timedelta(minutes=5)
PATH = "/blobs/uploads/p/d/f.tar.gz"


def test_what_was_signed_verifies_until_it_expires():
    query = sign(b"key", "PUT", PATH, LATER)

    assert verify(b"key", "PUT", PATH, query, NOW)
    assert verify(b"key", "PUT", PATH, query, LATER)
    assert not verify(b"key", "PUT", PATH, query, LATER + timedelta(seconds=1))


def test_nothing_else_verifies():
    query = sign(b"key", "PUT", PATH, LATER)

    assert not verify(b"other", "PUT", PATH, query, NOW)
    assert not verify(b"key", "GET", PATH, query, NOW)
    assert not verify(b"key", "PUT", PATH + "x", query, NOW)
    assert not verify(b"key", "PUT", PATH, query.replace("expires=1", "expires=2"), NOW)


@pytest.mark.parametrize("query", ["", "expires=", "expires=x&signature=y", "expires=99999999999999&signature=", "%ff"])
def test_malformed_queries_do_not_verify(query):
    assert not verify(b"key", "PUT", PATH, query, NOW)


def test_the_path_is_signed_in_its_quoted_form():
    url = signed_blob_url("http://h:1", b"key", "PUT", "uploads/p/d/A====/a file?#%.txt", LATER)

    parts = urlsplit(url)
    assert parts.path == "/blobs/uploads/p/d/A%3D%3D%3D%3D/a%20file%3F%23%25.txt"
    assert verify(b"key", "PUT", parts.path, parts.query, NOW)
