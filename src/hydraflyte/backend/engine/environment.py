"""The environment of an attempt: the container's own, then Flyte's, then the execution's.

Follows flyteplugins' k8s_resource_adds.go; of duplicates the later one wins. The executor adds what depends on
the machine (the backend's address, secrets), never this module.
"""

from __future__ import annotations

from collections.abc import Mapping

from flyteidl.core.identifier_pb2 import Identifier

from hydraflyte.backend.engine.state import ExecutionPlan
from hydraflyte.identifiers import AttemptId


def attempt_env(
    plan: ExecutionPlan, attempt: AttemptId, task: Identifier, container_env: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables for one attempt of ``task``."""
    workflow = plan.workflow.primary.template.id
    execution = plan.execution_id
    return {
        **container_env,
        "FLYTE_INTERNAL_EXECUTION_ID": execution.name,
        "FLYTE_INTERNAL_EXECUTION_PROJECT": execution.project,
        "FLYTE_INTERNAL_EXECUTION_DOMAIN": execution.domain,
        "FLYTE_INTERNAL_EXECUTION_WORKFLOW": f"{workflow.project}:{workflow.domain}:{workflow.name}",
        "FLYTE_ATTEMPT_NUMBER": str(attempt.attempt),
        "FLYTE_INTERNAL_TASK_PROJECT": task.project,
        "FLYTE_INTERNAL_TASK_DOMAIN": task.domain,
        "FLYTE_INTERNAL_TASK_NAME": task.name,
        "FLYTE_INTERNAL_TASK_VERSION": task.version,
        **plan.envs,
    }
