-- What is registered: projects, tasks, workflows, launch plans, and what people say about them.
-- Column names are those that Flyte's list filters and sort keys use (flyteadmin/pkg/repositories/models).
-- executions.launch_plan_id, .workflow_id and .task_id hold the id of these tables. Times and BLOBs: see executions.sql.

CREATE TABLE projects (
    id INTEGER PRIMARY KEY,
    identifier TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    labels BLOB NOT NULL DEFAULT x'',   -- flyteidl.admin.Labels
    state INTEGER NOT NULL DEFAULT 0,   -- flyteidl.admin.Project.ProjectState
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
INSERT INTO projects (identifier, name, created_at, updated_at)
SELECT seed.column1, seed.column1, now.at, now.at
FROM (VALUES ('flytesnacks'), ('flyteexamples'), ('flytetester')) AS seed,
     (SELECT strftime('%Y-%m-%dT%H:%M:%f000Z', 'now') AS at) AS now;

CREATE TABLE tasks (
    id INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    domain TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    type TEXT NOT NULL,
    short_description TEXT NOT NULL DEFAULT '',
    digest BLOB NOT NULL,               -- of the compiled task; what "the same version" means
    closure BLOB NOT NULL,              -- flyteidl.core.CompiledTask
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (project, domain, name, version)
);
CREATE INDEX tasks_by_age ON tasks (project, domain, name, created_at);

CREATE TABLE workflows (
    id INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    domain TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    short_description TEXT NOT NULL DEFAULT '',
    digest BLOB NOT NULL,               -- of the compiled closure, with sub-workflows and all tasks
    interface BLOB NOT NULL,            -- flyteidl.core.TypedInterface, for lists
    closure BLOB NOT NULL,              -- flyteidl.core.CompiledWorkflowClosure
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (project, domain, name, version)
);
CREATE INDEX workflows_by_age ON workflows (project, domain, name, created_at);

CREATE TABLE launch_plans (
    id INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    domain TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    workflow_id INTEGER NOT NULL REFERENCES workflows (id),
    state INTEGER NOT NULL DEFAULT 0,   -- flyteidl.admin.LaunchPlanState
    digest BLOB NOT NULL,               -- of the id, the normalised spec and the closure without state and times
    schedule_type TEXT NOT NULL DEFAULT 'NONE',         -- NONE, CRON or RATE
    launch_condition_type TEXT NOT NULL DEFAULT '',
    spec BLOB NOT NULL,                 -- flyteidl.admin.LaunchPlanSpec, normalised
    expected_inputs BLOB NOT NULL,      -- flyteidl.core.ParameterMap
    expected_outputs BLOB NOT NULL,     -- flyteidl.core.VariableMap
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (project, domain, name, version)
);
CREATE INDEX launch_plans_by_age ON launch_plans (project, domain, name, created_at);
CREATE UNIQUE INDEX launch_plans_active ON launch_plans (project, domain, name) WHERE state = 1;

-- One row per name and kind, made when its first version is registered.
CREATE TABLE named_entities (
    id INTEGER PRIMARY KEY,
    resource_type INTEGER NOT NULL,     -- flyteidl.core.ResourceType
    project TEXT NOT NULL,
    domain TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    state INTEGER NOT NULL DEFAULT 0,   -- flyteidl.admin.NamedEntityState
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (resource_type, project, domain, name)
);

CREATE TABLE description_entities (
    id INTEGER PRIMARY KEY,
    resource_type INTEGER NOT NULL,
    project TEXT NOT NULL,
    domain TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    short_description TEXT NOT NULL DEFAULT '',
    description BLOB NOT NULL,          -- flyteidl.admin.DescriptionEntity
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (resource_type, project, domain, name, version)
);

-- Matchable attributes. An empty domain means the whole project, an empty workflow the whole domain.
CREATE TABLE matchable_attributes (
    id INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    domain TEXT NOT NULL,
    workflow TEXT NOT NULL,
    launch_plan TEXT NOT NULL DEFAULT '',
    resource_type INTEGER NOT NULL,     -- flyteidl.admin.MatchableResource
    attributes BLOB NOT NULL,           -- flyteidl.admin.MatchingAttributes
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (project, domain, workflow, launch_plan, resource_type)
);

-- Node executions are shown with the execution that a launch-plan node started.
CREATE INDEX executions_by_parent_node ON executions (parent_node_execution_id)
    WHERE parent_node_execution_id IS NOT NULL;
