"""Whatever OmegaConf can hold comes back as it was: values, order, YAML, and all that a node knows of itself.

``HYDRAFLYTE_TRANSPORT_EXAMPLES`` sets how many configs each property makes up (default 300); 10,000 take some ten
minutes on a quiet core.
"""

from __future__ import annotations

import os
import sys

import pytest
from config_strategies import fixed_schema_configs, forget_schemas, plain_configs, schema_configs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import ListConfig, OmegaConf

EXAMPLES = int(os.environ.get("HYDRAFLYTE_TRANSPORT_EXAMPLES", "300"))
# Fixtures here keep no state between examples. Big numbers need their digits to be printed in reports and as YAML.
many = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
some = settings(many, max_examples=max(1, EXAMPLES // 5))
sys.set_int_max_str_digits(0)
pytestmark = pytest.mark.timeout(180 + EXAMPLES)


@pytest.fixture
def assert_survives(trip, trip_through_a_file, write, assert_same):
    """Sends a config through memory and through a file, and compares the bytes of what is sent and sent again."""

    def check(config):
        found = trip(config)

        assert_same(found, config)
        assert_same(trip_through_a_file(config), config)
        sent = [write(each).to_flyte_idl().SerializeToString() for each in (config, config, found)]
        assert sent == sent[:1] * 3

    return check


@many
@given(config=plain_configs())
def test_a_config_without_a_schema_survives(config, assert_survives):
    assert_survives(config)


@many
@given(config=st.one_of(schema_configs(), fixed_schema_configs()))
def test_a_config_with_a_schema_survives(config, assert_survives):
    assert_survives(config)
    forget_schemas()


@some
@given(parts=st.lists(plain_configs(), max_size=3))
def test_a_list_survives(parts, trip, assert_same):
    items = OmegaConf.create(parts)

    assert_same(trip(items, ListConfig), items)
