"""Which attempts a forked child cannot run as a new interpreter would."""

import pytest

from hydraflyte.backend.executor.zygote.flytekit_process import needs_fresh_interpreter


@pytest.mark.parametrize("name", ["PYTHONHASHSEED", "PYTHONOPTIMIZE", "LD_PRELOAD", "FLYTE_SDK_LOGGING_LEVEL"])
def test_a_variable_that_is_read_at_the_start_needs_a_new_interpreter(tmp_path, name):
    assert needs_fresh_interpreter({name: "1"}, str(tmp_path)) == (
        f"the variable {name} is read when an interpreter starts"
    )


@pytest.mark.parametrize("name", ["PYTHONPATH", "PYTHONUNBUFFERED", "FLYTE_INTERNAL_EXECUTION_ID", "COLOUR"])
def test_other_variables_do_not(tmp_path, name):
    assert needs_fresh_interpreter({name: "1"}, str(tmp_path)) is None


def test_a_users_module_with_the_name_of_a_loaded_one_needs_a_new_interpreter(tmp_path):
    (tmp_path / "json.py").write_text("")

    reason = needs_fresh_interpreter({}, str(tmp_path))

    assert reason == f"{tmp_path / 'json.py'} has the name of a module that is already loaded"


def test_a_users_package_on_the_python_path_counts_a_plain_folder_does_not(tmp_path):
    for package in ("work/json", "extra/json"):
        (tmp_path / package).mkdir(parents=True)
    work, extra = str(tmp_path / "work"), str(tmp_path / "extra")

    assert needs_fresh_interpreter({"PYTHONPATH": extra}, work) is None

    (tmp_path / "extra/json/__init__.py").write_text("")
    assert "extra/json has the name" in str(needs_fresh_interpreter({"PYTHONPATH": extra}, work))
