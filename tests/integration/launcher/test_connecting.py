"""The launcher's connection, made by several threads at a time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from hydraflyte.home import RunningBackend
from hydraflyte.launcher.endpoint import Endpoint
from hydraflyte.launcher.remote import GrpcFlyteClient


def test_threads_that_connect_together_leave_no_thread_that_fails_when_the_client_is_closed(
    flyte_backend: RunningBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda of: failed.append(repr(of.exc_value)))
    endpoint = Endpoint(
        target=flyte_backend.endpoint, insecure=True, console_url="", front_page="", origin="a test", is_embedded=False
    )

    for _ in range(40):  # one in twenty failed
        client, together = GrpcFlyteClient(endpoint), threading.Barrier(8)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _, client=client, together=together: (together.wait(), client.connect()), range(8)))
        client.close()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.name.endswith("(_run)"):  # those of gRPC
            thread.join(timeout=5)

    assert failed == []
