-- Executions, node executions and task executions: what the engine's states look like at rest.
-- Column names are those that Flyte's list filters and sort keys use (flyteadmin/pkg/repositories/models).
-- Instants are TEXT, UTC, fixed width: 2026-01-02T03:04:05.678901Z, so that text order is time order.
-- Durations are INTEGER nanoseconds. Messages of flyteidl are BLOBs. Phases are flyteidl's enum names.

CREATE TABLE executions (
    id INTEGER PRIMARY KEY,
    execution_project TEXT NOT NULL,
    execution_domain TEXT NOT NULL,
    execution_name TEXT NOT NULL,
    launch_plan_id INTEGER,             -- launch_plans.id, NULL for a single-task execution
    workflow_id INTEGER,                -- workflows.id
    task_id INTEGER,                    -- tasks.id, only for a single-task execution
    launch_entity TEXT NOT NULL,        -- 'launch_plan' or 'task'
    phase TEXT NOT NULL,
    state INTEGER NOT NULL DEFAULT 0,   -- 0 active, 1 archived
    state_changed_at TEXT NOT NULL,
    mode INTEGER NOT NULL,              -- ExecutionMetadata.ExecutionMode
    spec BLOB NOT NULL,                 -- flyteidl.admin.ExecutionSpec as shown to clients
    workflow BLOB NOT NULL,             -- flyteidl.core.Identifier of the workflow that runs
    inputs_uri TEXT NOT NULL,
    user_inputs_uri TEXT NOT NULL,
    outputs_uri TEXT NOT NULL DEFAULT '',
    user TEXT NOT NULL DEFAULT '',
    cluster TEXT NOT NULL DEFAULT 'embedded',
    source_execution_id INTEGER,        -- executions.id of the one relaunched or recovered
    parent_node_execution_id INTEGER,   -- node_executions.id of the launch-plan node that created it
    abort_cause TEXT NOT NULL DEFAULT '',
    abort_principal TEXT NOT NULL DEFAULT '',
    error_kind TEXT NOT NULL DEFAULT '',
    error_code TEXT NOT NULL DEFAULT '',
    error_message TEXT NOT NULL DEFAULT '',
    error_uri TEXT NOT NULL DEFAULT '',
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    execution_created_at TEXT NOT NULL,
    execution_updated_at TEXT NOT NULL,
    started_at TEXT,
    ended_at TEXT,
    duration INTEGER NOT NULL DEFAULT 0,
    plan TEXT NOT NULL,                 -- JSON: the scalar fields of engine.state.ExecutionPlan
    UNIQUE (execution_project, execution_domain, execution_name)
);
CREATE INDEX executions_by_age ON executions (execution_project, execution_domain, created_at);
CREATE INDEX executions_by_phase ON executions (phase);
CREATE INDEX executions_by_workflow ON executions (workflow_id, created_at);
CREATE INDEX executions_by_launch_plan ON executions (launch_plan_id, created_at);
CREATE INDEX executions_by_task ON executions (task_id, created_at);
CREATE INDEX executions_by_parent ON executions (parent_node_execution_id) WHERE parent_node_execution_id IS NOT NULL;

CREATE TABLE execution_tags (
    execution_id INTEGER NOT NULL REFERENCES executions (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (execution_id, key, value)
) WITHOUT ROWID;
CREATE INDEX execution_tags_by_key ON execution_tags (key, value);

CREATE TABLE node_executions (
    id INTEGER PRIMARY KEY,
    execution_id INTEGER NOT NULL REFERENCES executions (id) ON DELETE CASCADE,
    node_id TEXT NOT NULL,
    spec_node_id TEXT NOT NULL,
    kind TEXT NOT NULL,                 -- engine.state.NodeKind
    scope TEXT NOT NULL,
    parent_node_id TEXT,                -- unique node id of the parent, NULL at top level
    parent_id INTEGER,                  -- node_executions.id of the parent
    parent_task_execution_id INTEGER,   -- only legacy dynamic tasks had one
    retry_group INTEGER,
    item INTEGER,                       -- index below an array node; such rows are no node executions for clients
    array_counts TEXT NOT NULL DEFAULT '',  -- JSON: the fields of engine.state.ArrayCounts, of an array node
    is_eager INTEGER NOT NULL DEFAULT 0,
    phase TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    system_failures INTEGER NOT NULL,
    input_uri TEXT NOT NULL DEFAULT '',
    output_uri TEXT NOT NULL DEFAULT '',
    deck_uri TEXT NOT NULL DEFAULT '',
    dynamic_uri TEXT NOT NULL DEFAULT '',   -- of the compiled workflow that a dynamic task produced
    cache_status TEXT NOT NULL,
    cache_dataset TEXT NOT NULL DEFAULT '',
    cache_tag TEXT NOT NULL DEFAULT '',
    cache_source TEXT NOT NULL DEFAULT '',  -- JSON: the attempt that produced the outputs of a CACHE_HIT
    holds_reservation INTEGER NOT NULL DEFAULT 0,
    recovered_child TEXT NOT NULL DEFAULT '',   -- name of the child execution that a RECOVERED launch-plan node began
    error_kind TEXT NOT NULL DEFAULT '',
    error_code TEXT NOT NULL DEFAULT '',
    error_message TEXT NOT NULL DEFAULT '',
    error_uri TEXT NOT NULL DEFAULT '',
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    node_execution_created_at TEXT NOT NULL,
    node_execution_updated_at TEXT NOT NULL,
    queued_at TEXT,
    started_at TEXT,
    ended_at TEXT,
    duration INTEGER NOT NULL DEFAULT 0,
    UNIQUE (execution_id, node_id)
);
CREATE INDEX node_executions_by_parent ON node_executions (execution_id, parent_node_id);

CREATE TABLE task_executions (
    id INTEGER PRIMARY KEY,
    execution_id INTEGER NOT NULL REFERENCES executions (id) ON DELETE CASCADE,
    node_id TEXT NOT NULL,
    project TEXT NOT NULL,              -- the task's id, not the execution's
    domain TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    task_type TEXT NOT NULL,
    retry_attempt INTEGER NOT NULL,
    phase TEXT NOT NULL,
    phase_version INTEGER NOT NULL DEFAULT 0,
    input_uri TEXT NOT NULL DEFAULT '',
    output_uri TEXT NOT NULL DEFAULT '',
    has_deck INTEGER NOT NULL DEFAULT 0,
    is_interruptible INTEGER NOT NULL DEFAULT 0,
    logs TEXT NOT NULL DEFAULT '[]',    -- JSON: [{"name":…, "uri":…}]
    error_kind TEXT NOT NULL DEFAULT '',
    error_code TEXT NOT NULL DEFAULT '',
    error_message TEXT NOT NULL DEFAULT '',
    error_uri TEXT NOT NULL DEFAULT '',
    error_is_retryable INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    task_execution_created_at TEXT NOT NULL,
    task_execution_updated_at TEXT NOT NULL,
    started_at TEXT,
    ended_at TEXT,
    duration INTEGER NOT NULL DEFAULT 0,
    UNIQUE (execution_id, node_id, retry_attempt)
);

CREATE TABLE events (                   -- the story of each execution, for people and for support
    execution_id INTEGER NOT NULL REFERENCES executions (id) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    at TEXT NOT NULL,
    kind TEXT NOT NULL,                 -- name of the event class
    about TEXT NOT NULL,                -- node id and attempt, if any
    PRIMARY KEY (execution_id, seq)
) WITHOUT ROWID;

CREATE TABLE signals (                  -- what gate nodes wait for
    id INTEGER PRIMARY KEY,
    execution_project TEXT NOT NULL,
    execution_domain TEXT NOT NULL,
    execution_name TEXT NOT NULL,
    signal_id TEXT NOT NULL,
    type BLOB NOT NULL,                 -- flyteidl.core.LiteralType
    value BLOB,                         -- flyteidl.core.Literal, NULL until it is set
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (execution_project, execution_domain, execution_name, signal_id)
);

CREATE TABLE artifacts (                -- the catalog: finished outputs of cacheable tasks
    dataset TEXT NOT NULL,
    tag TEXT NOT NULL,
    id TEXT NOT NULL,
    outputs BLOB NOT NULL,              -- flyteidl.core.LiteralMap
    source_execution TEXT NOT NULL,     -- project/domain/name
    source_node TEXT NOT NULL,
    source_attempt INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (dataset, tag)
) WITHOUT ROWID;
