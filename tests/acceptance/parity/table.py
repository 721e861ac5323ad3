"""All cases of the parity suite, by theme."""

from tests.acceptance.parity.table_of_constructs import CONSTRUCTS
from tests.acceptance.parity.table_of_types import TYPES

CASES = (*CONSTRUCTS, *TYPES)
