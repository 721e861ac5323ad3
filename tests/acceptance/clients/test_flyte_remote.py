"""Every public method of FlyteRemote that exists for Flyte v1, on the embedded backend, unmodified."""

import time
from datetime import datetime, timedelta
from pathlib import Path

import client_flows
import pytest
from flyteidl.core.execution_pb2 import WorkflowExecution
from flytekit import LaunchPlan, reference_launch_plan, reference_task, reference_workflow
from flytekit.configuration import Config, FastSerializationSettings, Image, ImageConfig, SerializationSettings
from flytekit.exceptions.user import FlyteEntityNotExistException
from flytekit.remote import FlyteRemote
from flytekit.tools.fast_registration import FastPackageOptions
from flytekit.tools.translator import get_serializable

FLOWS = Path(__file__).parents[1] / "flows"
PLACE = {"project": "flytesnacks", "domain": "development"}
SUCCEEDED = WorkflowExecution.SUCCEEDED


@pytest.fixture
def settings(remote):
    """Serialization settings with the code of ``flows`` uploaded, under a version of the test's own."""

    def make(version):
        _, url = remote.fast_package(FLOWS, options=FastPackageOptions([]))
        return SerializationSettings(
            image_config=ImageConfig(default_image=Image(name="default", fqn="example.org/image", tag="v1")),
            fast_serialization_settings=FastSerializationSettings(
                enabled=True, destination_dir=".", distribution_location=url
            ),
            version=version,
            **PLACE,
        )

    return make


def test_its_properties_say_what_it_was_given(remote, flyte_backend):
    assert remote.config.platform.endpoint == flyte_backend.endpoint
    assert (remote.default_project, remote.default_domain) == ("flytesnacks", "development")
    assert remote.client.url == flyte_backend.endpoint
    assert remote.interactive_mode_enabled is False
    assert remote.context.file_access is remote.file_access
    with remote.remote_context() as context:
        assert context.file_access is remote.file_access


def test_auto_reads_the_client_config(flyte_backend):
    remote = FlyteRemote.auto(config_file=flyte_backend.config, default_project="flytesnacks")

    assert [domain.id for domain in remote.get_domains()] == ["development", "staging", "production"]


def test_for_endpoint_takes_the_token_from_the_client_config(flyte_backend):
    remote = FlyteRemote.for_endpoint(flyte_backend.endpoint, insecure=True, config_file=flyte_backend.config)

    assert {project.id for project in remote.list_projects()} >= {"flytesnacks"}


def test_projects_and_domains_are_listed(remote):
    assert [domain.name for domain in remote.get_domains()] == ["development", "staging", "production"]
    projects = [project.id for project in remote.list_projects(limit=100)]
    assert {"flyteexamples", "flytesnacks"} <= set(projects)
    assert [project.id for project in remote.list_projects(limit=2)] == projects[:2]


def test_entities_are_fetched_at_once_or_when_they_are_looked_at(remote, story):
    task = remote.fetch_task_lazy(name="client_flows.show", version=story.version)
    workflow = remote.fetch_workflow_lazy(name="client_flows.story", version=story.version)

    assert task.name == "client_flows.show"
    assert task.entity.interface.inputs.keys() == {"x"}
    assert [node.id for node in workflow.entity.flyte_nodes] == ["n0", "n1"]
    assert remote.fetch_launch_plan(name="client_flows.nightly").id.version == story.version
    with pytest.raises(FlyteEntityNotExistException):
        remote.fetch_task(name="client_flows.nobody", version=story.version)


def test_the_tasks_of_a_version_are_listed(remote, story):
    names = {task.id.name for task in remote.list_tasks_by_version(story.version)}

    assert names == {"client_flows.show", "client_flows.write", "client_flows.stamp"}


def test_a_launch_plan_s_references_are_looked_up(remote, story):
    plan = remote.fetch_launch_plan(name="client_flows.story", version=story.version)
    found = {}

    remote.find_launch_plan(plan.id, found)

    assert found[plan.id].workflow_id.name == "client_flows.story"
    workflow = remote.fetch_workflow(name="client_flows.story", version=story.version)
    remote.find_launch_plan_for_node(workflow.flyte_nodes[0], found)
    assert set(found) == {plan.id}


def test_one_version_of_a_launch_plan_is_active_until_it_is_not(remote, story):
    plan = remote.fetch_launch_plan(name="client_flows.story", version=story.version)

    remote.activate_launchplan(plan.id)
    assert remote.fetch_active_launchplan(name="client_flows.story").id.version == story.version
    remote.deactivate_launchplan(plan.id)
    assert remote.fetch_active_launchplan(name="client_flows.story") is None


def test_code_is_packed_under_the_digest_of_its_content(remote):
    first, second = (remote.fast_package(FLOWS, options=FastPackageOptions([])) for _ in range(2))

    assert first == second
    assert Path(first[1]).is_file()


def test_code_is_packed_uploaded_and_registered_piece_by_piece(remote, settings):
    made = settings("piece-by-piece")

    task = remote.register_task(client_flows.show, serialization_settings=made)
    workflow = remote.register_workflow(client_flows.story, serialization_settings=made)
    plan = LaunchPlan.create("client_flows.piece", client_flows.story, default_inputs={"x": 11})
    registered = remote.register_launch_plan(plan, version="piece-by-piece", serialization_settings=made)

    assert (task.id.version, workflow.id.version) == ("piece-by-piece", "piece-by-piece")
    assert registered.id.name == "client_flows.piece"
    assert remote.wait(remote.execute(registered, inputs={})).outputs["o0"] == 11


def test_a_serialised_entity_is_registered_as_it_is(remote, settings):
    made = settings("as-it-is")
    control_plane_entity = get_serializable({}, made, client_flows.show)

    identifier = remote.raw_register(control_plane_entity, made, version="as-it-is")

    assert remote.fetch_task(name="client_flows.show", version="as-it-is").id == identifier


def test_fast_register_workflow_registers_a_workflow_with_its_code(remote, settings):
    workflow = remote.fast_register_workflow(
        client_flows.story, serialization_settings=settings("fast"), version="fast"
    )

    assert workflow.id.version == "fast"


def test_what_was_registered_is_executed_by_kind(remote, story):
    task = remote.fetch_task(name="client_flows.show", version=story.version)
    workflow = remote.fetch_workflow(name="client_flows.story", version=story.version)
    plan = remote.fetch_launch_plan(name="client_flows.story", version=story.version)

    begun = [
        remote.execute_remote_task_lp(task, inputs={"x": 1}),
        remote.execute_remote_task_lp(plan, inputs={"x": 2}),
        remote.execute_remote_wf(workflow, inputs={"x": 3}),
    ]

    assert [remote.wait(each).outputs["o0"] for each in begun] == [1, 2, 3]


def test_references_to_what_was_registered_are_executed(remote, story):
    common = {**PLACE, "version": story.version}

    @reference_task(name="client_flows.show", **common)
    def show(x: int) -> int:
        return x

    @reference_workflow(name="client_flows.asks", **common)
    def asks(x: int) -> int:
        return x

    @reference_launch_plan(name="client_flows.story", **common)
    def plan(x: int) -> int:
        return x

    begun = [
        remote.execute_reference_task(show, inputs={"x": 4}),
        remote.execute_reference_launch_plan(plan, inputs={"x": 5}, type_hints={"x": int}),
    ]
    waiting = remote.execute_reference_workflow(asks, inputs={"x": 6})
    remote.terminate(waiting, cause="seen enough")

    assert [remote.wait(each).outputs["o0"] for each in begun] == [4, 5]
    assert remote.wait(waiting).closure.phase == WorkflowExecution.ABORTED


def test_local_entities_are_registered_if_need_be_and_executed(remote, story):
    common = {"version": story.version}
    plan = LaunchPlan.get_default_launch_plan(remote.context, client_flows.story)

    begun = [
        remote.execute_local_task(client_flows.show, inputs={"x": 1}, **common),
        remote.execute_local_workflow(client_flows.story, inputs={"x": 2}, **common),
        remote.execute_local_launch_plan(plan, inputs={"x": 3}, **common),
    ]

    assert [remote.wait(each).outputs["o0"] for each in begun] == [1, 2, 3]


def test_an_execution_is_synced_whole_by_node_and_by_attempt(remote, story):
    execution = remote.fetch_execution(name=story.execution.id.name)
    workflow = remote.fetch_workflow(name="client_flows.story", version=story.version)

    remote.sync_execution(execution, sync_nodes=True)
    node = execution.node_executions["n0"]
    remote.sync_node_execution(node, {each.id: each for each in workflow.flyte_nodes})
    attempt = remote.sync_task_execution(node.task_executions[0])

    assert execution.closure.phase == SUCCEEDED
    assert execution.outputs["o0"] == 7
    assert attempt.outputs == {"o0": 7}
    assert attempt.closure.logs[0].uri.startswith("http://127.0.0.1:")


def test_recent_executions_can_be_filtered(remote, story):
    from flytekit.models.filters import Equal

    named = remote.recent_executions(filters=[Equal("name", "the-story")])

    assert [execution.id.name for execution in named] == ["the-story"]


def test_metrics_tell_where_the_time_went(remote, story, capsys):
    metrics = remote.get_execution_metrics(story.execution.id, depth=10)

    metrics.dump()
    metrics.explain()

    shown = capsys.readouterr().out
    assert "TASK_RUNTIME" in shown
    assert "the-story" in shown


def test_data_is_read_by_its_flyte_address_and_downloaded(remote, story, tmp_path):
    place = "flyte://v1/flytesnacks/development/the-story"

    outputs = remote.get(f"{place}/n0/o")
    one = remote.get(f"{place}/n0/0/o/o0")
    deck = remote.get(f"{place}/n0/d")
    file = remote.get(f"{place}/n1-0-n0/o/o0")
    remote.download(file, str(tmp_path), recursive=True)

    assert outputs.get("o0", int) == 7
    assert one.scalar.primitive.integer == 7
    assert b"the number 7" in deck
    assert [path.read_text() for path in tmp_path.rglob("*") if path.is_file()] == ["number 7\n"]


def test_links_lead_to_the_console(remote, story, flyte_backend):
    assert remote.generate_console_http_domain() == flyte_backend.http_url
    assert remote.generate_console_url(story.execution) == (
        f"{flyte_backend.http_url}/console/projects/flytesnacks/domains/development/executions/the-story"
    )


def test_files_are_uploaded_once_by_their_content(remote, tmp_path):
    file = tmp_path / "data.txt"
    file.write_text("content")

    first_digest, first = remote.upload_file(file)
    second_digest, second = remote.upload_file(file)

    assert (first_digest, first) == (second_digest, second)
    assert Path(first).read_text() == "content"
    assert remote.get_extra_headers_for_protocol(first) == {}


def test_a_gate_s_signals_are_listed_and_set(remote, story):
    workflow = remote.fetch_workflow(name="client_flows.asks", version=story.version)
    execution = remote.execute(workflow, inputs={"x": 1})
    deadline = time.monotonic() + 30
    while not (signals := remote.list_signals(execution.id.name)):
        assert time.monotonic() < deadline, "the signal was not opened"
        time.sleep(0.05)

    remote.set_signal("go-on", execution.id.name, value=True)

    assert [signal.id.signal_id for signal in signals] == ["go-on"]
    assert remote.wait(execution).outputs == {"o0": 1}


def test_a_backfill_runs_the_schedule_s_past(remote, story):
    execution = remote.launch_backfill(
        **PLACE,
        from_date=datetime(2026, 1, 1),
        to_date=datetime(2026, 1, 4),
        launchplan="client_flows.nightly",
        launchplan_version=story.version,
        execution_name="the-backfill",
        parallel=True,
    )
    ended = remote.wait(execution, timeout=timedelta(minutes=1))

    assert ended.closure.phase == SUCCEEDED
    days = {node.workflow_executions[0].outputs["o0"] for name, node in ended.node_executions.items() if name[0] == "n"}
    assert days == {"2026-01-01", "2026-01-02", "2026-01-03"}


def test_a_remote_for_the_sandbox_only_names_its_address(flyte_backend):
    remote = FlyteRemote.for_sandbox()

    assert remote.config.platform.endpoint == Config.for_sandbox().platform.endpoint
