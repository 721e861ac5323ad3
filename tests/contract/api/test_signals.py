"""SignalService and the gates behind it."""

import grpc
import pytest
from flyteidl.admin.execution_pb2 import WorkflowExecutionGetDataRequest
from flyteidl.admin.signal_pb2 import SignalGetOrCreateRequest, SignalListRequest, SignalSetRequest
from flyteidl.admin.workflow_pb2 import WorkflowCreateRequest
from flyteidl.core.identifier_pb2 import Identifier, ResourceType, WorkflowExecutionIdentifier
from flyteidl.core.literals_pb2 import Literal, Primitive, Scalar
from flyteidl.core.types_pb2 import LiteralType, SimpleType

from hydraflyte.identifiers import ExecutionId

INTEGER = LiteralType(simple=SimpleType.INTEGER)
TEXT = Literal(scalar=Scalar(primitive=Primitive(string_value="many")))
NOWHERE = WorkflowExecutionIdentifier(project="flytesnacks", domain="development", name="nowhere")


def integer(value):
    return Literal(scalar=Scalar(primitive=Primitive(integer=value)))


@pytest.fixture
def waiting(admin, register, signals):
    """An execution whose only node waits for the signal ``number``; returns its id."""
    workflow = Identifier(
        resource_type=ResourceType.WORKFLOW, project="flytesnacks", domain="development", name="asks", version="v1"
    )
    gate = {"signal": {"signal_id": "number", "type": INTEGER, "output_variable_name": "o0"}}
    output = {"var": "o0", "binding": {"promise": {"node_id": "n0", "var": "o0"}}}
    template = {
        "id": workflow,
        "interface": {"outputs": {"variables": {"o0": {"type": INTEGER}}}},
        "nodes": [{"id": "n0", "gate_node": gate}],
        "outputs": [output],
    }
    admin.CreateWorkflow(WorkflowCreateRequest(id=workflow, spec={"template": template}))
    execution = register.execution(register.launch_plan("asks", workflow="asks"), "e1", inputs={})
    while not listed(signals, execution):
        pass  # each turn is a call that waits for the server
    return execution


def listed(signals, execution, **page):
    request = SignalListRequest(workflow_execution_id=execution, **{"limit": 10, **page})
    return [(each.id.signal_id, each.HasField("value")) for each in signals.ListSignals(request).signals]


def set_request(execution, signal_id="number", value=None):
    request = SignalSetRequest(id={"signal_id": signal_id, "execution_id": execution})
    request.value.CopyFrom(integer(7) if value is None else value)
    return request


def test_a_gate_opens_a_signal_and_setting_it_ends_the_execution(plane, admin, signals, waiting):
    assert listed(signals, waiting) == [("number", False)]

    signals.SetSignal(set_request(waiting))

    plane.wait_until_ended(ExecutionId(project=waiting.project, domain=waiting.domain, name=waiting.name))
    assert listed(signals, waiting) == [("number", True)]
    data = admin.GetExecutionData(WorkflowExecutionGetDataRequest(id=waiting))
    assert data.full_outputs.literals["o0"] == integer(7)


def test_a_signal_that_is_not_there_cannot_be_set(signals, waiting, refused):
    status, message = refused(signals.SetSignal, set_request(waiting, "other"))

    assert status is grpc.StatusCode.INVALID_ARGUMENT
    assert message == "execution flytesnacks/development/e1 has no signal 'other' (yet)"


def test_a_value_of_another_type_is_refused(signals, waiting, refused):
    status, message = refused(signals.SetSignal, set_request(waiting, value=TEXT))

    assert status is grpc.StatusCode.INVALID_ARGUMENT
    assert message == "signal 'number' is INTEGER but was set to STRING"


def test_a_client_may_open_a_signal_before_the_gate_does(signals, waiting):
    request = SignalGetOrCreateRequest(id={"signal_id": "early", "execution_id": waiting}, type=INTEGER)

    first, second = signals.GetOrCreateSignal(request), signals.GetOrCreateSignal(request)

    assert first == second
    assert first.id.signal_id == "early"
    assert listed(signals, waiting) == [("number", False), ("early", False)]
    assert listed(signals, waiting, filters="eq(signal_id,early)") == [("early", False)]


@pytest.mark.parametrize("rpc", ["GetOrCreateSignal", "ListSignals"])
def test_signals_of_an_execution_that_does_not_exist_are_not_found(signals, refused, rpc):
    get = SignalGetOrCreateRequest(id={"signal_id": "s", "execution_id": NOWHERE}, type=INTEGER)
    request = get if rpc == "GetOrCreateSignal" else SignalListRequest(workflow_execution_id=NOWHERE, limit=1)

    assert refused(getattr(signals, rpc), request)[0] is grpc.StatusCode.NOT_FOUND
