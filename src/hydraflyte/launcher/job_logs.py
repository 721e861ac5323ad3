"""Brings what a job's tasks wrote into the job's folder of Hydra, under the name that a local run would give it.

Only the embedded backend hands out logs: a cluster's are where its operators keep them, and Flyte's API has links only.
"""

from __future__ import annotations

import os
import shutil
import urllib.request
from pathlib import Path

from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier

from hydraflyte.launcher.endpoint import Endpoint

_PATIENCE_S = 30.0


def keep_job_log(endpoint: Endpoint, execution: WorkflowExecutionIdentifier, into: Path) -> str | None:
    """Write the log of all attempts of an execution to ``into``; returns why that could not be done, or None.

    A log that cannot be had is no failure of the job: it stays with the backend.
    """
    if not endpoint.is_embedded:
        return None
    url = f"{endpoint.console_url}/logs/{execution.project}/{execution.domain}/{execution.name}"
    headers = {"Authorization": f"Bearer {endpoint.token}"} if endpoint.token else {}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback: a proxy cannot reach it
    partial = into.with_name(f".{into.name}.part")
    try:
        request = urllib.request.Request(url, headers=headers)
        with opener.open(request, timeout=_PATIENCE_S) as response, partial.open("wb") as file:
            shutil.copyfileobj(response, file)
        os.replace(partial, into)
    except OSError as error:
        partial.unlink(missing_ok=True)
        return f"the log of {execution.name} stays with the backend: {error}"
    return None
