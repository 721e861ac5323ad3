"""Sub-workflows that a registration refers to and does not bring along: taken from the registry.

The one rule: what was sent counts, also where something else is registered under the same id.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.workflow_pb2 import WorkflowTemplate

from hydraflyte.backend.admin.references import sub_workflows_of
from hydraflyte.backend.compiler.templates import template_of
from hydraflyte.backend.engine.graph import entity_key
from hydraflyte.backend.store import registry


def with_registered(
    connection: sqlite3.Connection, template: WorkflowTemplate, sent: Sequence[WorkflowTemplate]
) -> tuple[WorkflowTemplate, ...]:
    """Return the sub-workflows that came along, and those that are referred to without and are registered.

    flytekit (1.16, tools/translator.py) forgets the sub-workflows of conditionals in arms of conditionals.
    """
    known = {entity_key(workflow.id): workflow for workflow in sent}
    queue = [template, *sent]
    while queue:
        for entity in sub_workflows_of(queue.pop()):
            if entity_key(entity.to_message()) in known:
                continue
            row = registry.find_workflow(connection, entity)
            if row is None:  # the compiler complains
                continue
            closure = CompiledWorkflowClosure.FromString(row.closure)
            for compiled in (closure.primary, *closure.sub_workflows):
                known.setdefault(entity_key(compiled.template.id), template_of(compiled.template))
    return tuple(known.values())
