"""Nothing is promised that no test shows."""

from tests.acceptance.parity.points import ELSEWHERE, POINTS
from tests.acceptance.parity.table import CASES
from tests.named_tests import source_of

ALL = {point for points in POINTS.values() for point in points}


def test_every_point_has_a_case_or_a_test_elsewhere():
    covered = {point for case in CASES for point in case.covers}

    assert covered <= ALL
    assert ALL - covered <= set(ELSEWHERE) <= ALL


def test_tests_elsewhere_are_there():
    assert [node_id for node_id in ELSEWHERE.values() if source_of(node_id) is None] == []


def test_at_least_80_cases_are_compared_with_flytekit_in_process():
    assert len([case for case in CASES if not case.not_in_process]) >= 80
