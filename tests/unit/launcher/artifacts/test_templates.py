"""What is filled in when entities are registered, and what is left alone."""

from __future__ import annotations

import pytest
from flyteidl.admin import task_pb2, workflow_pb2
from flyteidl.core import identifier_pb2
from google.protobuf.json_format import ParseDict

from hydraflyte.errors import ArtifactError
from hydraflyte.launcher.artifacts.templates import Place, fill, needs_code
from hydraflyte.launcher.register import SerializedEntity

PLACE = Place(project="p", domain="d", version="v", code_uri="s3://bucket/code.tar.gz")


def task_with(**content: object) -> SerializedEntity:
    spec = ParseDict({"template": {"id": {"resourceType": "TASK", "name": "m.t"}, **content}}, task_pb2.TaskSpec())
    return SerializedEntity(identifier=spec.template.id, spec=spec)


def test_identifiers_get_project_domain_and_version() -> None:
    filled = fill(task_with(), PLACE)

    expected = identifier_pb2.Identifier(
        resource_type=identifier_pb2.TASK, project="p", domain="d", name="m.t", version="v"
    )
    assert filled.identifier == expected
    assert filled.spec.template.id == expected


def test_what_is_filled_is_a_copy() -> None:
    task = task_with(container={"args": ["{{ .remote_package_path }}"]})

    fill(task, PLACE)

    assert task.identifier.project == ""
    assert task.spec.template.container.args == ["{{ .remote_package_path }}"]


def test_only_whole_arguments_are_marks() -> None:
    arguments = ["{{ .remote_package_path }}", "{{ .dest_dir }}", "x={{ .remote_package_path }}", "{{.input}}"]

    filled = fill(task_with(container={"args": arguments}), PLACE)

    assert filled.spec.template.container.args == [
        "s3://bucket/code.tar.gz",
        ".",
        "x={{ .remote_package_path }}",
        "{{.input}}",
    ]


def test_arguments_of_pods_are_filled_too() -> None:
    pod = {"podSpec": {"containers": [{"name": "a", "args": ["{{ .remote_package_path }}"]}, {"name": "b"}]}}

    filled = fill(task_with(k8sPod=pod), PLACE)

    containers = filled.spec.template.k8s_pod.pod_spec["containers"]
    assert list(containers[0]["args"]) == ["s3://bucket/code.tar.gz"]


def test_references_inside_every_kind_of_node_are_filled_and_those_to_other_places_stay() -> None:
    def task_node(**identifier: str) -> dict[str, object]:
        return {"id": "n", "taskNode": {"referenceId": {"resourceType": "TASK", "name": "m.t", **identifier}}}

    spec = ParseDict(
        {
            "template": {
                "id": {"resourceType": "WORKFLOW", "name": "m.w"},
                "nodes": [
                    task_node(project="other", domain="production", version="v7"),
                    {"branchNode": {"ifElse": {"case": {"thenNode": task_node()}, "elseNode": task_node()}}},
                    {"arrayNode": {"node": task_node()}},
                    {"workflowNode": {"launchplanRef": {"name": "m.w2"}}},
                ],
                "failureNode": task_node(),
            },
            "subWorkflows": [{"id": {"name": "m.w3"}, "nodes": [task_node()]}],
        },
        workflow_pb2.WorkflowSpec(),
    )

    filled = fill(SerializedEntity(identifier=spec.template.id, spec=spec), PLACE).spec

    nodes = filled.template.nodes
    assert nodes[0].task_node.reference_id.project == "other"
    assert nodes[0].task_node.reference_id.version == "v7"
    found = [
        nodes[1].branch_node.if_else.case.then_node.task_node.reference_id,
        nodes[1].branch_node.if_else.else_node.task_node.reference_id,
        nodes[2].array_node.node.task_node.reference_id,
        nodes[3].workflow_node.launchplan_ref,
        filled.template.failure_node.task_node.reference_id,
        filled.sub_workflows[0].id,
        filled.sub_workflows[0].nodes[0].task_node.reference_id,
    ]
    assert {(each.project, each.domain, each.version) for each in found} == {("p", "d", "v")}


def test_an_entity_that_names_its_own_project_goes_nowhere_else() -> None:
    spec = task_pb2.TaskSpec()
    spec.template.id.CopyFrom(identifier_pb2.Identifier(resource_type=identifier_pb2.TASK, project="own", name="m.t"))

    with pytest.raises(ArtifactError, match=r"m\.t was packaged for project own, not p"):
        fill(SerializedEntity(identifier=spec.template.id, spec=spec), PLACE)


def test_a_task_that_loads_a_bundle_needs_one() -> None:
    assert needs_code([task_with(container={"args": ["{{ .remote_package_path }}"]})])
    assert not needs_code([task_with(container={"args": ["pyflyte-execute"]})])
