"""The points of the promise that the embedded backend runs every Flyte v1 workflow; each has cases that show it."""

POINTS = {
    "engine": (
        "conditional: every primitive kind",
        "conditional: nested, else, error arm",
        "conditional: boolean expressions",
        "sub-workflow: nested",
        "sub-workflow: with a failure node",
        "launch-plan node: child executions",
        "launch-plan node: settings handed down",
        "launch-plan node: cascading abort",
        "dynamic: nested, static, recursive",
        "dynamic: in a sub-workflow, with a map inside",
        "dynamic: compiled closure visible",
        "dynamic: launch plans inside",
        "map: concurrency",
        "map: min_success_ratio, None for failed items",
        "map: no items, many items",
        "map: bound inputs",
        "map: over launch plans, reference tasks",
        "map: the older container_array",
        "gate: signal",
        "gate: sleep",
        "gate: approve and reject",
        "eager",
        "on_failure with the error input",
        "failure policies",
        "max_parallelism",
        "retries: user, system, recoverable",
        "timeouts",
        "interruptible",
        "overrides: resources, image, retries, timeout, cache, name",
        "checkpoints across retries",
        "attribute access: dataclass, dict, list, pydantic",
        "unions and optionals",
        "offloaded literals",
        "decks",
        "secrets: variables and files",
        "reference tasks, workflows, launch plans",
        "cross-project references",
    ),
    "cache": (
        "cache: hit and populated, with catalog metadata",
        "cache: ignored inputs",
        "cache: overwrite",
        "cache: hashes of literals",
        "cache: serialisation",
        "cache: eviction",
    ),
    "control plane": (
        "relaunch",
        "recover",
        "terminate",
        "archive",
        "labels, annotations, tags",
        "projects and domains",
        "named entities and descriptions",
        "filters, sorting, tokens, joins",
        "launch plans: default and fixed inputs",
        "launch plans: activation",
        "launch plans: concurrency policy",
        "matchable attributes",
        "metrics spans",
        "flyte:// URLs and Get*Data",
        "deck links",
        "HTTP/JSON and protobuf gateway",
        "schedules: cron, fixed rate, kickoff argument",
        "schedules: catch-up",
        "notifications: mail, webhook, command, file",
        "notifications: delivered at least once",
    ),
    "types": (
        "primitives",
        "datetime, date, timedelta",
        "enums",
        "dataclasses",
        "pydantic",
        "lists and dicts",
        "named outputs",
        "unions",
        "FlyteFile",
        "FlyteDirectory",
        "StructuredDataset and FlyteSchema",
        "numpy",
        "pickle",
        "protobuf",
        "JSON",
        "iterators",
        "annotated types",
    ),
    "resources": (
        "admission budget",
        "memory limits",
        "GPUs",
    ),
}
"""By part of the promise."""

_RESOURCES = "acceptance/test_resources.py"
_REMOTE = "acceptance/clients/test_flyte_remote.py"
_EXECUTIONS = "contract/api/test_executions.py"
ELSEWHERE = {
    "launch-plan node: settings handed down": "acceptance/test_child_executions.py"
    "::test_the_settings_of_an_execution_are_handed_down",
    "launch-plan node: cascading abort": "acceptance/test_child_executions.py"
    "::test_terminating_the_parent_terminates_the_child_and_says_why",
    "dynamic: compiled closure visible": "acceptance/test_dynamic_tasks.py"
    "::test_the_compiled_workflow_of_a_dynamic_node_can_be_read",
    "dynamic: launch plans inside": "acceptance/test_dynamic_levels.py::test_a_dynamic_task_begins_its_own_launch_plan",
    "map: over launch plans, reference tasks": "acceptance/test_maps_of_every_kind.py"
    "::test_a_map_that_flytekit_cannot_run_in_process_gives_one_result_per_item",
    "map: the older container_array": "acceptance/test_maps_of_every_kind.py"
    "::test_an_older_map_task_gives_what_it_gives_in_process",
    "offloaded literals": "acceptance/test_offloaded_literals.py::test_an_offloaded_literal_is_what_it_stands_for",
    "secrets: variables and files": f"{_RESOURCES}::test_secrets_reach_the_task_in_the_ways_it_asks_for",
    "cache: ignored inputs": "acceptance/test_cached_tasks.py"
    "::test_a_second_execution_reuses_the_outputs_whatever_the_ignored_input",
    "cache: overwrite": "acceptance/test_cached_tasks.py"
    "::test_an_execution_that_overwrites_the_cache_looks_nothing_up_and_stores_anew",
    "cache: serialisation": "acceptance/test_cached_tasks.py"
    "::test_a_serialised_task_runs_once_for_two_executions_at_the_same_time",
    "cache: eviction": "acceptance/test_running_again.py::test_evicted_outputs_are_made_again",
    "relaunch": "acceptance/test_running_again.py::test_relaunch_runs_all_again_and_recover_what_did_not_end_well",
    "recover": "acceptance/test_recovered_executions.py::test_every_construct_is_recovered_as_far_as_it_got",
    "terminate": f"{_EXECUTIONS}::test_a_running_execution_is_terminated_with_its_cause",
    "archive": f"{_EXECUTIONS}::test_archived_executions_are_listed_only_when_the_state_is_named",
    "labels, annotations, tags": f"{_EXECUTIONS}::test_executions_are_found_by_phase_plan_workflow_and_tag",
    "projects and domains": f"{_REMOTE}::test_projects_and_domains_are_listed",
    "named entities and descriptions": "contract/api/test_entities.py::test_descriptions_are_kept_with_the_version",
    "filters, sorting, tokens, joins": f"{_EXECUTIONS}::test_node_lists_know_filters_and_parents",
    "launch plans: activation": "contract/api/test_flytekit_client.py"
    "::test_an_activated_launch_plan_is_the_one_fetched_as_active",
    "launch plans: concurrency policy": "contract/api/test_executions.py"
    "::test_a_launch_plan_may_limit_how_many_run_at_a_time",
    "matchable attributes": f"{_RESOURCES}::test_defaults_and_limits_of_a_workflow_hold_for_its_tasks",
    "metrics spans": f"{_REMOTE}::test_metrics_tell_where_the_time_went",
    "flyte:// URLs and Get*Data": f"{_REMOTE}::test_data_is_read_by_its_flyte_address_and_downloaded",
    "deck links": "contract/api/test_data_proxy.py::test_a_deck_is_linked_once_it_is_there",
    "HTTP/JSON and protobuf gateway": "contract/api/test_gateway.py::test_terminate_is_delete_with_a_body_or_without",
    "schedules: cron, fixed rate, kickoff argument": "acceptance/test_schedules.py"
    "::test_an_active_schedule_fires_until_it_is_deactivated",
    "schedules: catch-up": "acceptance/test_schedules.py"
    "::test_fire_times_missed_while_the_backend_was_down_are_caught_up_with_once",
    "notifications: mail, webhook, command, file": "acceptance/test_notifications.py"
    "::test_webhook_command_and_file_are_told_too",
    "notifications: delivered at least once": "acceptance/test_notifications.py"
    "::test_what_a_crash_cut_off_is_delivered_by_the_next_backend",
    "admission budget": f"{_RESOURCES}::test_a_task_that_can_never_fit_is_refused_at_once_with_the_sums",
    "memory limits": f"{_RESOURCES}::test_a_task_whose_processes_use_too_much_memory_is_killed_and_tried_again",
    "GPUs": f"{_RESOURCES}::test_each_task_that_asks_for_a_gpu_has_one_for_itself",
}
"""Points that need more than a workflow and its end, and the tests that show them."""
