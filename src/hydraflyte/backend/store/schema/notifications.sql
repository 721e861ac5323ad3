-- Notifications on their way: first the promise to tell about an execution, then one row for each recipient.

CREATE TABLE promised_notifications (   -- executions whose end somebody wants to be told of, until it was dealt with
    execution_id INTEGER PRIMARY KEY REFERENCES executions (id) ON DELETE CASCADE
);

CREATE TABLE notifications (
    id INTEGER PRIMARY KEY,
    execution_id INTEGER NOT NULL REFERENCES executions (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,                 -- recipients.RecipientKind
    target TEXT NOT NULL,               -- address, URL, command line or path
    message TEXT NOT NULL,              -- JSON: notify.messages.Message
    status TEXT NOT NULL,               -- PENDING, DELIVERED or FAILED
    tries INTEGER NOT NULL DEFAULT 0,
    next_try_at TEXT NOT NULL,
    trouble TEXT NOT NULL DEFAULT '',   -- why the last try failed
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE INDEX notifications_by_status ON notifications (status, next_try_at);
CREATE INDEX notifications_by_execution ON notifications (execution_id);
