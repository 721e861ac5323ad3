"""Execution settings: where each comes from when several places set it (section 1.8 of Flyte's semantics). Pure.

The one rule: per field, the first source that sets it wins, with its whole value; maps are not merged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flyteidl.admin.common_pb2 import Annotations, Envs, Labels
from flyteidl.admin.execution_pb2 import ExecutionSpec
from flyteidl.admin.launch_plan_pb2 import LaunchPlanSpec
from flyteidl.admin.matchable_resource_pb2 import TaskResourceAttributes, TaskResourceSpec, WorkflowExecutionConfig
from flyteidl.core.security_pb2 import Identity, SecurityContext

DEFAULT_MAX_PARALLELISM = 25
"""flyteadmin's default (runtime/application_config_provider.go)."""

Source = ExecutionSpec | LaunchPlanSpec | WorkflowExecutionConfig
"""These three messages name the settings alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What holds for one execution. ``interruptible`` is None when nobody says anything."""

    max_parallelism: int = DEFAULT_MAX_PARALLELISM
    raw_output_prefix: str = ""
    interruptible: bool | None = None
    overwrite_cache: bool = False
    security_context: SecurityContext = field(default_factory=SecurityContext)
    labels: Labels = field(default_factory=Labels)
    annotations: Annotations = field(default_factory=Annotations)
    envs: Envs = field(default_factory=Envs)
    resource_defaults: Mapping[str, str] = field(default_factory=dict)
    resource_limits: Mapping[str, str] = field(default_factory=dict)


def resolve(
    spec: ExecutionSpec,
    launch_plan: LaunchPlanSpec,
    configs: Sequence[WorkflowExecutionConfig],
    resources: TaskResourceAttributes | None = None,
) -> Settings:
    """Return the settings of an execution.

    Args:
        spec: as the caller sent it.
        configs: matchable attributes that apply, the most specific first.
        resources: defaults and limits for its tasks, if any are set.
    """
    sources: tuple[Source, ...] = (spec, launch_plan, *configs)
    return Settings(
        max_parallelism=next(
            (each.max_parallelism for each in sources if each.max_parallelism), DEFAULT_MAX_PARALLELISM
        ),
        raw_output_prefix=next(
            (prefix for each in sources if (prefix := each.raw_output_data_config.output_location_prefix)), ""
        ),
        interruptible=next((each.interruptible.value for each in sources if each.HasField("interruptible")), None),
        overwrite_cache=any(each.overwrite_cache for each in sources),
        security_context=_security_context(spec, launch_plan, sources),
        labels=next((each.labels for each in sources if each.labels.values), Labels()),
        annotations=next((each.annotations for each in sources if each.annotations.values), Annotations()),
        envs=next((each.envs for each in sources if each.envs.values), Envs()),
        resource_defaults=_amounts(resources.defaults) if resources is not None else {},
        resource_limits=_amounts(resources.limits) if resources is not None else {},
    )


def _amounts(spec: TaskResourceSpec) -> dict[str, str]:
    return {name: text for name in ("cpu", "memory", "gpu") if (text := getattr(spec, name))}


def _security_context(spec: ExecutionSpec, launch_plan: LaunchPlanSpec, sources: Sequence[Source]) -> SecurityContext:
    for source in sources:
        if source.security_context.HasField("run_as"):
            return source.security_context
    return SecurityContext(run_as=_deprecated_identity(spec, launch_plan))


def _deprecated_identity(spec: ExecutionSpec, launch_plan: LaunchPlanSpec) -> Identity:
    """The fields that older clients fill, in flyteadmin's order."""
    for role in (spec.auth_role, launch_plan.auth_role, launch_plan.auth):
        if role.assumable_iam_role or role.kubernetes_service_account:
            return Identity(iam_role=role.assumable_iam_role, k8s_service_account=role.kubernetes_service_account)
    return Identity(iam_role=launch_plan.role)
