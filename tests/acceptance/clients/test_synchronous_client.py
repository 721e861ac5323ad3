"""Every public method of flytekit's SynchronousFlyteClient, on the embedded backend, unmodified."""

import hashlib
import urllib.request
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from flyteidl.admin.common_pb2 import NamedEntityGetRequest
from flyteidl.admin.node_execution_pb2 import NodeExecutionListRequest
from flyteidl.admin.project_pb2 import ProjectListRequest
from flyteidl.admin.signal_pb2 import SignalListRequest, SignalSetRequest
from flyteidl.core.execution_pb2 import WorkflowExecution
from flyteidl.service import dataproxy_pb2
from flytekit.clients.friendly import SynchronousFlyteClient
from flytekit.configuration import PlatformConfig
from flytekit.exceptions.user import FlyteEntityAlreadyExistsException, FlyteEntityNotExistException
from flytekit.models.admin.common import Sort
from flytekit.models.admin.workflow import WorkflowSpec
from flytekit.models.common import NamedEntityIdentifier
from flytekit.models.core.identifier import Identifier, NodeExecutionIdentifier, ResourceType, TaskExecutionIdentifier
from flytekit.models.execution import ExecutionMetadata, ExecutionSpec
from flytekit.models.filters import Equal
from flytekit.models.launch_plan import LaunchPlanState
from flytekit.models.literals import LiteralMap
from flytekit.models.matchable_resource import ExecutionClusterLabel, MatchableResource, MatchingAttributes
from flytekit.models.named_entity import NamedEntityMetadata, NamedEntityState
from flytekit.models.project import Project
from flytekit.models.task import TaskSpec

PLACE = ("flytesnacks", "development")
SUCCEEDED = WorkflowExecution.SUCCEEDED


@pytest.fixture
def client(remote):
    return remote.client


def identifier(kind, name, version):
    return Identifier(kind, *PLACE, name, version)


def node_of(story, node_id):
    return NodeExecutionIdentifier(node_id, story.execution.id)


def test_the_version_and_the_address_are_told(client, flyte_backend):
    assert client.get_control_plane_version() == flyte_backend.version
    assert client.url == flyte_backend.endpoint
    assert client.raw.url == flyte_backend.endpoint


def test_a_certificate_in_a_file_makes_a_client(tmp_path):
    certificate = tmp_path / "root.pem"
    certificate.write_bytes(b"")

    client = SynchronousFlyteClient.with_root_certificate(PlatformConfig(endpoint="127.0.0.1:1"), str(certificate))

    assert client.url == "127.0.0.1:1"


def test_a_project_is_registered_changed_and_listed(client):
    name = f"p-{uuid4().hex[:8]}"

    client.register_project(Project(name, "first", "as it was"))
    client.update_project(Project(name, "second", "as it is"))

    listed, _ = client.list_projects_paginated(limit=100, filters=[Equal("identifier", name)])
    assert [(each.name, each.description) for each in listed] == [("second", "as it is")]
    assert name in {each.id for each in client.list_projects(ProjectListRequest()).projects}
    with pytest.raises(FlyteEntityAlreadyExistsException):
        client.register_project(Project(name, "again", ""))


def test_the_domains_are_listed(client):
    assert [domain.id for domain in client.get_domains()] == ["development", "staging", "production"]


def test_tasks_are_created_got_and_listed(client, story):
    task = client.get_task(identifier(ResourceType.TASK, "client_flows.show", story.version))

    copied = identifier(ResourceType.TASK, "client_flows.show", "copied")
    client.create_task(copied, TaskSpec(task.closure.compiled_task.template))
    ids, _ = client.list_task_ids_paginated(*PLACE, limit=1000)
    versions, _ = client.list_tasks_paginated(
        NamedEntityIdentifier(*PLACE, "client_flows.show"), filters=[Equal("version", "copied")]
    )

    assert client.get_task(copied).id.version == "copied"
    assert "client_flows.show" in {each.name for each in ids}
    assert [each.id.version for each in versions] == ["copied"]


def test_workflows_are_created_got_and_listed(client, story):
    stored = client.get_workflow(identifier(ResourceType.WORKFLOW, "client_flows.at_time", story.version))
    template = stored.closure.compiled_workflow.primary.template
    template._nodes = [node for node in template.nodes if node.id not in ("start-node", "end-node")]
    copied = identifier(ResourceType.WORKFLOW, "client_flows.at_time", "copied")

    client.create_workflow(copied, WorkflowSpec(template, []))
    ids, _ = client.list_workflow_ids_paginated(*PLACE, limit=1000)
    versions, token = client.list_workflows_paginated(
        NamedEntityIdentifier(*PLACE, "client_flows.at_time"),
        limit=1,
        filters=[Equal("version", "copied")],
        sort_by=Sort("created_at", Sort.Direction.ASCENDING),
    )

    assert "client_flows.at_time" in {each.name for each in ids}
    assert [each.id.version for each in versions] == ["copied"]
    assert token == "1"


def test_launch_plans_are_created_activated_got_and_listed(client, story):
    plan = client.get_launch_plan(identifier(ResourceType.LAUNCH_PLAN, "client_flows.story", story.version))
    copied = identifier(ResourceType.LAUNCH_PLAN, "client_flows.copied", story.version)
    name = NamedEntityIdentifier(*PLACE, "client_flows.copied")

    client.create_launch_plan(copied, plan.spec)
    client.update_launch_plan(copied, LaunchPlanState.ACTIVE)
    active, _ = client.list_active_launch_plans_paginated(*PLACE, limit=1000)
    ids, _ = client.list_launch_plan_ids_paginated(*PLACE, limit=1000)
    versions, _ = client.list_launch_plans_paginated(name)

    assert client.get_active_launch_plan(name).id == copied
    assert copied in {each.id for each in active}
    assert "client_flows.copied" in {each.name for each in ids}
    assert [each.closure.state for each in versions] == [LaunchPlanState.ACTIVE]
    client.update_launch_plan(copied, LaunchPlanState.INACTIVE)
    with pytest.raises(FlyteEntityNotExistException):
        client.get_active_launch_plan(name)


def test_what_is_said_about_a_name_is_kept(client, stub, story):
    name = NamedEntityIdentifier(*PLACE, "client_flows.stamp")

    client.update_named_entity(ResourceType.TASK, name, NamedEntityMetadata("stamps a time", NamedEntityState.ACTIVE))

    request = NamedEntityGetRequest(resource_type=ResourceType.TASK, id=name.to_flyte_idl())
    assert stub.GetNamedEntity(request).metadata.description == "stamps a time"


def spec_of(story, plan):
    return ExecutionSpec(
        identifier(ResourceType.LAUNCH_PLAN, plan, story.version),
        ExecutionMetadata(ExecutionMetadata.ExecutionMode.MANUAL, "placeholder", 0),
    )


def test_executions_are_created_relaunched_recovered_and_terminated(client, remote, story):
    name = f"asks-{uuid4().hex[:8]}"
    begun = client.create_execution(*PLACE, name, spec_of(story, "client_flows.asks"), LiteralMap({}))

    client.terminate_execution(begun, "seen enough")
    remote.wait(remote.fetch_execution(name=begun.name))
    relaunched = client.relaunch_execution(story.execution.id, name=f"again-{uuid4().hex[:8]}")
    recovered = client.recover_execution(story.execution.id)

    assert client.get_execution(begun).closure.abort_metadata.cause == "seen enough"
    for each in (relaunched, recovered):
        remote.wait(remote.fetch_execution(name=each.name))
        assert client.get_execution(each).closure.phase == SUCCEEDED
        assert client.get_execution(each).spec.metadata.reference_execution.name == "the-story"


def test_executions_are_listed_page_by_page(client, story):
    named = [Equal("name", "the-story")]

    found, token = client.list_executions_paginated(*PLACE, limit=1, filters=named)
    rest, end = client.list_executions_paginated(*PLACE, limit=1, token=token, filters=named)

    assert [each.id.name for each in found] == ["the-story"]
    assert (rest, end) == ([], "")


def test_an_execution_s_data_and_metrics_are_read(client, story):
    data = client.get_execution_data(story.execution.id)
    metrics = client.get_execution_metrics(story.execution.id, depth=2)

    assert data.full_inputs.literals["x"].scalar.primitive.integer == 7
    assert data.full_outputs.literals["o0"].scalar.primitive.integer == 7
    assert metrics.workflow_id.name == "the-story"
    assert {span.node_id.node_id for span in metrics.spans if span.WhichOneof("id") == "node_id"} >= {"n0", "n1"}


def test_nodes_and_attempts_are_listed_and_read(client, story):
    task = identifier(ResourceType.TASK, "client_flows.show", story.version)
    attempt = TaskExecutionIdentifier(task, node_of(story, "n0"), 0)
    request = NodeExecutionListRequest(workflow_execution_id=story.execution.id.to_flyte_idl(), limit=10)

    nodes, _ = client.list_node_executions(story.execution.id)
    listed = client.list_node_executions_paginated(request)
    attempts, _ = client.list_task_executions_paginated(node_of(story, "n0"))
    below, _ = client.list_node_executions_for_task_paginated(attempt)

    assert {node.id.node_id for node in nodes} == {"start-node", "n0", "n1", "end-node"}
    assert len(listed.node_executions) == 4
    assert client.get_node_execution(node_of(story, "n0")).closure.phase == 3
    assert (
        client.get_node_execution_data(node_of(story, "n0")).full_outputs.literals["o0"].scalar.primitive.integer == 7
    )
    assert [each.id.retry_attempt for each in attempts] == [0]
    assert client.get_task_execution(attempt).closure.phase == 3
    assert client.get_task_execution_data(attempt).full_inputs.literals["x"].scalar.primitive.integer == 7
    assert below == []


def test_attributes_are_kept_for_domains_and_workflows(client):
    kind = MatchableResource.EXECUTION_CLUSTER_LABEL
    setting = MatchingAttributes(execution_cluster_label=ExecutionClusterLabel("gpu"))

    client.update_project_domain_attributes("flytetester", "staging", setting)
    client.update_workflow_attributes("flytetester", "staging", "some.workflow", setting)

    by_domain = client.get_project_domain_attributes("flytetester", "staging", kind)
    by_workflow = client.get_workflow_attributes("flytetester", "staging", "some.workflow", kind)
    listed = client.list_matchable_attributes(kind)
    assert by_domain.attributes.matching_attributes.execution_cluster_label.value == "gpu"
    assert by_workflow.attributes.workflow == "some.workflow"
    assert ("flytetester", "staging", "some.workflow") in {
        (each.project, each.domain, each.workflow) for each in listed.configurations
    }


def test_signals_are_listed_and_set(client, story):
    request = SignalListRequest(workflow_execution_id=story.execution.id.to_flyte_idl(), limit=10)

    assert list(client.list_signals(request).signals) == []
    with pytest.raises(Exception, match="has no signal 'nobody'"):
        client.set_signal(
            SignalSetRequest(
                id={"signal_id": "nobody", "execution_id": story.execution.id.to_flyte_idl()},
                value={"scalar": {"primitive": {"boolean": True}}},
            )
        )


def test_a_file_is_put_and_got_through_signed_urls(client):
    content = b"some content"
    md5 = hashlib.md5(content).digest()
    location = dataproxy_pb2.CreateUploadLocationRequest(
        project=PLACE[0], domain=PLACE[1], filename="signed.txt", content_md5=md5
    )

    offered = client.get_upload_signed_url(*PLACE, content_md5=md5, filename="signed.txt")
    same = client.create_upload_location(location)
    put = urllib.request.Request(offered.signed_url, data=content, method="PUT")
    with urllib.request.urlopen(put, timeout=10) as answer:
        assert answer.status == 200
    again = client.get_download_signed_url(offered.native_url, expires_in=timedelta(minutes=1))
    older = client.create_download_location(dataproxy_pb2.CreateDownloadLocationRequest(native_url=offered.native_url))

    assert same.native_url == offered.native_url
    assert Path(offered.native_url).read_bytes() == content
    for url in (again.signed_url, older.signed_url):
        assert urllib.request.urlopen(url, timeout=10).read() == content


def test_a_deck_has_a_link_and_data_an_address(client, story):
    request = dataproxy_pb2.CreateDownloadLinkRequest(
        artifact_type=dataproxy_pb2.ARTIFACT_TYPE_DECK, node_execution_id=node_of(story, "n0").to_flyte_idl()
    )

    link = client.create_download_link(request)
    signed = client.get_download_artifact_signed_url("n0", *PLACE, "the-story", dataproxy_pb2.ARTIFACT_TYPE_DECK)
    data = client.get_data("flyte://v1/flytesnacks/development/the-story/n0/o")

    for url in (link.pre_signed_urls.signed_url[0], signed.signed_url[0]):
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert answer.headers["Content-Type"].startswith("text/html")
            assert b"the number 7" in answer.read()
    assert data.literal_map.literals["o0"].scalar.primitive.integer == 7
