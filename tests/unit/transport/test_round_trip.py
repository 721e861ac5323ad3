"""Whatever OmegaConf can hold comes back as it was: values, order, YAML, and all that a node knows of itself.

``HYDRAFLYTE_TRANSPORT_EXAMPLES`` sets how many examples each property tries (default 200).
"""

from __future__ import annotations

import os
import sys

import pytest
from config_strategies import configs, forget_schemas, plain_configs, schema_configs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import ListConfig, OmegaConf

EXAMPLES = int(os.environ.get("HYDRAFLYTE_TRANSPORT_EXAMPLES", "200"))
# Fixtures here keep no state between examples. Big numbers need their digits to be printed in reports and as YAML.
many = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
sys.set_int_max_str_digits(0)
pytestmark = pytest.mark.timeout(120 + EXAMPLES)


@many
@given(config=plain_configs())
def test_a_config_without_a_schema_survives_in_memory(config, trip, assert_same):
    assert_same(trip(config), config)


@many
@given(config=schema_configs())
def test_a_config_with_a_schema_survives_in_memory(config, trip, assert_same):
    assert_same(trip(config), config)
    forget_schemas()


@many
@given(config=configs)
def test_a_config_survives_a_file(config, trip_through_a_file, assert_same):
    assert_same(trip_through_a_file(config), config)
    forget_schemas()


@many
@given(config=configs)
def test_the_same_config_gives_the_same_bytes(config, trip, write):
    first = write(config).to_flyte_idl().SerializeToString()

    assert write(config).to_flyte_idl().SerializeToString() == first
    assert write(trip(config)).to_flyte_idl().SerializeToString() == first
    forget_schemas()


@many
@given(parts=st.lists(plain_configs(), max_size=3))
def test_a_list_survives(parts, trip, assert_same):
    items = OmegaConf.create(parts)

    assert_same(trip(items, ListConfig), items)
