-- How far each schedule has come. A row is made at the first look at an active launch plan that has a schedule.
-- It holds for one activation: launch_plans.updated_at changes with each, and a row of an older one counts for nothing.

CREATE TABLE schedules (
    launch_plan_id INTEGER PRIMARY KEY REFERENCES launch_plans (id) ON DELETE CASCADE,
    activated_at TEXT NOT NULL,         -- launch_plans.updated_at when the row was written
    anchor TEXT NOT NULL,               -- the last fire time that was begun or left out, or the activation
    last_execution TEXT NOT NULL DEFAULT '',  -- name of the execution that was begun last
    trouble TEXT NOT NULL DEFAULT ''    -- why the last fire time began no execution
);
