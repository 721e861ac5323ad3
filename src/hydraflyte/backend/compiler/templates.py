"""A compiled workflow -> the template that it was made of, for others that refer to it.

The one rule: what is returned compiles to the same again.
"""

from __future__ import annotations

from flyteidl.core.workflow_pb2 import WorkflowTemplate

from hydraflyte.backend.compiler.branches import unname_arms
from hydraflyte.backend.engine.kinds import END_NODE_ID, START_NODE_ID


def template_of(compiled: WorkflowTemplate) -> WorkflowTemplate:
    """Return a template without what compiling added: start-node, end-node, the longer names of arms."""
    template = WorkflowTemplate()
    template.CopyFrom(compiled)
    del template.nodes[:]
    template.nodes.extend(node for node in compiled.nodes if node.id not in (START_NODE_ID, END_NODE_ID))
    unname_arms(template)
    return template
