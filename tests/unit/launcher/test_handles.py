"""What stands for a result that nobody waited for."""

from __future__ import annotations

import pytest

from hydraflyte.errors import ExecutionError
from hydraflyte.launcher.handles import ExecutionHandle


def test_a_handle_is_no_number_and_says_which_setting_made_it_so() -> None:
    handle = ExecutionHandle(id="p/d/name", url="http://here/x", reason="wait=false", sweep="k1")

    with pytest.raises(ExecutionError, match="has no result to compute with, because of wait=false") as caught:
        float(handle)

    assert caught.value.hint == "a sweeper that optimises needs results: leave out hydra.launcher.wait=false."
