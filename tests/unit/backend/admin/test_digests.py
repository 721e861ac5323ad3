"""What "the same version" means, and how a difference is told."""

from flyteidl.core.identifier_pb2 import Identifier
from flyteidl.core.tasks_pb2 import Container, TaskTemplate
from google.protobuf.struct_pb2 import Struct

from hydraflyte.backend.admin.digests import differences, digest


def template(**changes):
    return TaskTemplate(**{"type": "python-task", "config": {"a": "1", "b": "2"}, **changes})


def test_equal_messages_have_equal_digests_whatever_the_order_of_maps():
    assert digest(template()) == digest(template(config={"b": "2", "a": "1"}))


def test_fields_that_this_release_does_not_know_do_not_count():
    newer = TaskTemplate.FromString(template().SerializeToString() + b"\xf8\x7f\x01")

    assert digest(newer) == digest(template())


def test_any_other_content_has_another_digest():
    others = [template(type="other"), template(config={"a": "1"}), template(container=Container(image="i"))]

    assert len({digest(other) for other in [template(), *others]}) == 4


def test_several_messages_are_not_run_together():
    first, second = Identifier(name="ab"), Identifier(name="a")

    assert digest(first, second) != digest(second, first)


def test_differences_name_the_path_and_both_values():
    stored = template(container=Container(image="image:1", args=["run", "a"]))
    offered = template(container=Container(image="image:2", args=["run"]), config={"a": "1", "b": "3", "c": "4"})

    assert differences(stored, offered).splitlines() == [
        "container.image: 'image:1' -> 'image:2'",
        "container.args[1]: 'a' -> nothing",
        "config['b']: '2' -> '3'",
        "config['c']: nothing -> '4'",
    ]


def test_equal_messages_have_no_differences():
    assert differences(template(), template()) == ""


def test_structs_are_walked_too():
    stored, offered = Struct(), Struct()
    stored.update({"k": {"deep": 1}})
    offered.update({"k": {"deep": 2}})

    assert "deep" in differences(template(custom=stored), template(custom=offered))


def test_long_stories_are_cut():
    stored = template(config={str(number): "x" for number in range(50)})
    offered = template(config={str(number): "y" * 500 for number in range(50)})

    lines = differences(stored, offered).splitlines()

    assert len(lines) == 11
    assert lines[-1] == "… and more"
    assert max(len(line) for line in lines) < 120
