"""Tasks, workflows and launch plans: the same-version rule, expected inputs, the active version, lists."""

from datetime import timedelta

import grpc
from flyteidl.admin.common_pb2 import (
    NamedEntityGetRequest,
    NamedEntityIdentifier,
    NamedEntityIdentifierListRequest,
    NamedEntityListRequest,
    NamedEntityUpdateRequest,
    ObjectGetRequest,
    ResourceListRequest,
    Sort,
)
from flyteidl.admin.launch_plan_pb2 import (
    ActiveLaunchPlanListRequest,
    ActiveLaunchPlanRequest,
    LaunchPlanUpdateRequest,
)
from flyteidl.admin.workflow_pb2 import CreateWorkflowFailureReason
from flyteidl.core.identifier_pb2 import ResourceType
from flyteidl.core.literals_pb2 import Literal, Primitive, Scalar
from grpc_status import rpc_status

HOUR = timedelta(hours=1)
HERE = NamedEntityIdentifier(project="flytesnacks", domain="development")


def integer(value):
    return Literal(scalar=Scalar(primitive=Primitive(integer=value)))


def text(value):
    return Literal(scalar=Scalar(primitive=Primitive(string_value=value)))


def test_a_stored_task_is_returned_with_the_request_s_id(admin, register):
    task = register.task(id={"name": "something else"})

    stored = admin.GetTask(ObjectGetRequest(id=task))

    assert stored.id == task
    assert stored.closure.compiled_task.template.id == task
    assert stored.closure.compiled_task.template.container.image == "image:1"
    assert stored.closure.created_at.ToDatetime().isoformat() == "2026-03-01T12:00:00"


def test_the_same_task_again_already_exists(register, admin, refused):
    register.task()

    code, message = refused(admin.CreateTask, register.task_request())

    assert code == grpc.StatusCode.ALREADY_EXISTS
    assert message == "task flytesnacks:development:double:v1 exists already, with the same content"


def test_other_content_under_the_same_version_is_told_field_by_field(register, admin, refused):
    register.task()

    code, message = refused(admin.CreateTask, register.task_request(image="image:2"))

    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "template.container.image: 'image:1' -> 'image:2'" in message
    assert "another version" in message


def test_a_description_is_no_part_of_what_the_same_version_means(register, admin, refused):
    register.task()
    request = register.task_request()
    request.spec.description.short_description = "doubles"

    code, _ = refused(admin.CreateTask, request)

    assert code == grpc.StatusCode.ALREADY_EXISTS


def test_descriptions_are_kept_with_the_version(register, admin):
    request = register.task_request()
    request.spec.description.short_description = "doubles"
    admin.CreateTask(request)

    kept = admin.GetDescriptionEntity(ObjectGetRequest(id=request.id))

    assert (kept.id, kept.short_description) == (request.id, "doubles")
    assert admin.GetTask(ObjectGetRequest(id=request.id)).short_description == "doubles"


def test_a_resource_type_may_be_left_out_where_the_method_says_it(register, admin, refused):
    register.everything()
    left_out = {"project": "flytesnacks", "domain": "development", "name": "main", "version": "v1"}

    for get in (admin.GetWorkflow, admin.GetLaunchPlan):
        assert get(ObjectGetRequest(id=left_out)).id.name == "main"
        code, _ = refused(get, ObjectGetRequest(id={**left_out, "resource_type": ResourceType.TASK}))
        assert code == grpc.StatusCode.INVALID_ARGUMENT

    other = {**left_out, "name": "double", "resource_type": ResourceType.WORKFLOW}
    assert admin.GetTask(ObjectGetRequest(id=other)).id.name == "double"


def test_creating_in_an_unknown_project_or_domain_is_an_invalid_argument(register, admin, refused):
    for field in ("project", "domain"):
        request = register.task_request()
        setattr(request.id, field, "nowhere")

        code, message = refused(admin.CreateTask, request)

        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert "nowhere" in message


def test_a_request_above_its_limit_is_refused_but_no_platform_limit_applies(register, admin, refused):
    big = {"requests": [{"name": "MEMORY", "value": "64Gi"}]}
    wrong = {"requests": [{"name": "CPU", "value": "2"}], "limits": [{"name": "CPU", "value": "500m"}]}

    register.task("big", container={"image": "i", "args": ["a"], "resources": big})
    request = register.task_request("wrong", container={"image": "i", "args": ["a"], "resources": wrong})
    code, message = refused(admin.CreateTask, request)

    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "CPU" in message


def test_a_workflow_is_compiled_and_its_whole_closure_returned(register, admin):
    register.task()
    workflow = register.workflow()

    closure = admin.GetWorkflow(ObjectGetRequest(id=workflow)).closure.compiled_workflow

    assert [node.id for node in closure.primary.template.nodes] == ["start-node", "end-node", "n0"]
    assert list(closure.primary.connections.downstream["start-node"].ids) == ["n0"]
    assert [task.template.id.name for task in closure.tasks] == ["double"]


def test_a_workflow_whose_task_is_not_registered_does_not_compile(register, admin, refused):
    code, message = refused(admin.CreateWorkflow, register.workflow_request())

    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "failed to compile workflow" in message
    assert "TaskReferenceNotFound" in message


def test_the_reason_why_a_workflow_exists_is_told_in_the_details(register, admin):
    register.task()
    register.task("triple")
    register.workflow()

    reasons = {}
    for task in ("double", "triple"):
        try:
            admin.CreateWorkflow(register.workflow_request(task=task))
        except grpc.RpcError as error:
            reason = CreateWorkflowFailureReason()
            rpc_status.from_call(error).details[0].Unpack(reason)
            reasons[task] = (error.code(), reason.WhichOneof("reason"))

    assert reasons == {
        "double": (grpc.StatusCode.ALREADY_EXISTS, "exists_identical_structure"),
        "triple": (grpc.StatusCode.INVALID_ARGUMENT, "exists_different_structure"),
    }


def test_lists_of_workflows_show_interfaces_but_no_nodes(register, admin):
    register.everything()

    listed = admin.ListWorkflows(ResourceListRequest(id=HERE, limit=10)).workflows

    template = listed[0].closure.compiled_workflow.primary.template
    assert list(template.interface.inputs.variables) == ["x"]
    assert len(template.nodes) == 0


def test_a_launch_plan_needs_its_workflow(register, admin, refused):
    code, _ = refused(admin.CreateLaunchPlan, register.launch_plan_request())

    assert code == grpc.StatusCode.NOT_FOUND


def test_expected_inputs_are_defaults_and_required_ones_without_the_fixed(register, admin):
    register.task()
    register.workflow(inputs=("x", "y", "z"))
    defaults = {"parameters": {"y": {"var": {"type": {"simple": 1}}, "default": integer(7)}}}
    plan = register.launch_plan(default_inputs=defaults, fixed_inputs={"literals": {"z": integer(9)}})

    stored = admin.GetLaunchPlan(ObjectGetRequest(id=plan))

    expected = stored.closure.expected_inputs.parameters
    assert sorted(expected) == ["x", "y"]
    assert expected["x"].required
    assert expected["y"].default == integer(7)
    assert stored.spec.default_inputs == stored.closure.expected_inputs
    assert list(stored.closure.expected_outputs.variables) == ["o0"]


def test_defaults_that_do_not_fit_are_all_told_at_once(register, admin, refused):
    register.task()
    register.workflow()
    defaults = {"parameters": {"x": {"var": {"type": {"simple": 1}}, "default": text("three")}}}
    request = register.launch_plan_request(default_inputs=defaults, fixed_inputs={"literals": {"w": integer(1)}})

    code, message = refused(admin.CreateLaunchPlan, request)

    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "default of input 'x'" in message
    assert "fixed input 'w' is unknown" in message


def test_a_launch_plan_is_born_inactive_and_one_version_is_active_at_a_time(register, admin, refused):
    first, second = register.everything("v1"), register.everything("v2")
    by_name = ActiveLaunchPlanRequest(
        id=NamedEntityIdentifier(project="flytesnacks", domain="development", name="main")
    )

    assert refused(admin.GetActiveLaunchPlan, by_name)[0] == grpc.StatusCode.NOT_FOUND
    admin.UpdateLaunchPlan(LaunchPlanUpdateRequest(id=first, state=1))
    assert admin.GetActiveLaunchPlan(by_name).id == first
    admin.UpdateLaunchPlan(LaunchPlanUpdateRequest(id=second, state=1))
    assert admin.GetActiveLaunchPlan(by_name).id == second
    assert admin.GetLaunchPlan(ObjectGetRequest(id=first)).closure.state == 0
    active = admin.ListActiveLaunchPlans(
        ActiveLaunchPlanListRequest(project="flytesnacks", domain="development", limit=10)
    )
    assert [plan.id.version for plan in active.launch_plans] == ["v2"]


def test_activation_comes_without_a_resource_type_from_flytectl(register, admin):
    plan = register.everything()
    plan.resource_type = ResourceType.UNSPECIFIED

    admin.UpdateLaunchPlan(LaunchPlanUpdateRequest(id=plan, state=1))

    plan.resource_type = ResourceType.LAUNCH_PLAN
    assert admin.GetLaunchPlan(ObjectGetRequest(id=plan)).closure.state == 1


def test_activation_does_not_change_what_the_same_version_means(register, admin, refused):
    plan = register.everything()
    admin.UpdateLaunchPlan(LaunchPlanUpdateRequest(id=plan, state=1))

    code, _ = refused(admin.CreateLaunchPlan, register.launch_plan_request())

    assert code == grpc.StatusCode.ALREADY_EXISTS


def test_the_latest_version_is_the_first_by_age_descending(register, admin, plane):
    register.task(version="v1")
    plane.do(lambda: plane.parts.clock.advance(HOUR))
    register.task(version="v2")

    listed = admin.ListTasks(ResourceListRequest(id=HERE, limit=1, sort_by=Sort(key="created_at")))

    assert [task.id.version for task in listed.tasks] == ["v2"]
    assert listed.token == "1"


def test_a_full_last_page_is_followed_by_an_empty_one(register, admin):
    for name in ("a", "b", "c", "d"):
        register.task(name)
    by_name = Sort(key="name", direction=Sort.ASCENDING)

    pages, token = [], ""
    while True:
        page = admin.ListTasks(ResourceListRequest(id=HERE, limit=2, token=token, sort_by=by_name))
        pages.append([task.id.name for task in page.tasks])
        token = page.token
        if not token:
            break

    assert pages == [["a", "b"], ["c", "d"], []]


def test_ids_are_names_each_once(register, admin):
    for name, version in (("b", "v1"), ("a", "v1"), ("a", "v2")):
        register.task(name, version)

    page = admin.ListTaskIds(NamedEntityIdentifierListRequest(project="flytesnacks", domain="development", limit=10))

    assert [identifier.name for identifier in page.entities] == ["a", "b"]


def test_launch_plans_are_found_by_their_workflow(register, admin):
    register.everything()
    register.workflow("other")
    register.launch_plan("of-other", workflow="other")

    page = admin.ListLaunchPlans(ResourceListRequest(id=HERE, limit=10, filters="eq(workflow.name,other)"))

    assert [plan.id.name for plan in page.launch_plans] == ["of-other"]


def test_a_list_without_a_limit_or_with_a_bad_token_is_refused(admin, refused):
    for request in (
        ResourceListRequest(id=HERE),
        ResourceListRequest(id=HERE, limit=1, token="-1"),
        ResourceListRequest(id=HERE, limit=1, token="next"),
        ResourceListRequest(id=HERE, limit=1, filters="eq(colour,red)"),
        ResourceListRequest(id=HERE, limit=1, sort_by=Sort(key="colour")),
    ):
        assert refused(admin.ListTasks, request)[0] == grpc.StatusCode.INVALID_ARGUMENT


def test_a_named_entity_exists_with_its_first_version(register, admin, refused):
    name = NamedEntityIdentifier(project="flytesnacks", domain="development", name="double")
    request = NamedEntityGetRequest(resource_type=ResourceType.TASK, id=name)

    assert refused(admin.GetNamedEntity, request)[0] == grpc.StatusCode.NOT_FOUND
    register.task()
    assert admin.GetNamedEntity(request).metadata.state == 0
    change = {"description": "doubles numbers", "state": 1}
    admin.UpdateNamedEntity(NamedEntityUpdateRequest(resource_type=ResourceType.TASK, id=name, metadata=change))
    assert admin.GetNamedEntity(request).metadata.description == "doubles numbers"


def test_archived_names_are_hidden_by_the_console_s_filter(register, admin):
    register.task("a")
    register.task("b")
    archived = NamedEntityIdentifier(project="flytesnacks", domain="development", name="a")
    admin.UpdateNamedEntity(
        NamedEntityUpdateRequest(resource_type=ResourceType.TASK, id=archived, metadata={"state": 1})
    )

    page = admin.ListNamedEntities(
        NamedEntityListRequest(
            resource_type=ResourceType.TASK,
            project="flytesnacks",
            domain="development",
            limit=10,
            filters="eq(state,0)",
            sort_by=Sort(key="name", direction=Sort.ASCENDING),
        )
    )

    assert [each.id.name for each in page.entities] == ["b"]
