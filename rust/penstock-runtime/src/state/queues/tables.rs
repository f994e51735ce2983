//! Lays out the tables of embedded queues.
//!
//! Rules: what changes with every receive stands apart from what never changes, so that a large
//! body is written once; a message's number is its place in the order of its queue.

/// The tables, for a new file and for one of a format without them.
pub(in crate::state) const TABLES: &str = "
CREATE TABLE queues (
    queue INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    fifo INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    visibility_ms INTEGER NOT NULL,
    delay_ms INTEGER NOT NULL,
    retention_ms INTEGER NOT NULL,
    dead_letters TEXT,
    receives_max INTEGER,
    by_content INTEGER NOT NULL,
    next_sequence INTEGER NOT NULL DEFAULT 1,
    bytes INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE messages (
    message INTEGER PRIMARY KEY AUTOINCREMENT,
    queue INTEGER NOT NULL REFERENCES queues ON DELETE CASCADE,
    visible_ms INTEGER NOT NULL,
    sent_ms INTEGER NOT NULL,
    first_received_ms INTEGER,
    receives INTEGER NOT NULL DEFAULT 0,
    receipt INTEGER,
    attempt TEXT,
    message_group TEXT,
    sequence INTEGER,
    origin TEXT,
    bytes INTEGER NOT NULL
) STRICT;

CREATE INDEX messages_by_visibility ON messages (queue, visible_ms);
CREATE INDEX messages_by_age ON messages (queue, sent_ms);
CREATE INDEX messages_by_group ON messages (queue, message_group) WHERE sequence IS NOT NULL;
CREATE INDEX messages_out ON messages (queue, message_group, visible_ms)
    WHERE sequence IS NOT NULL AND receipt IS NOT NULL;
CREATE INDEX messages_by_attempt ON messages (queue, attempt) WHERE attempt IS NOT NULL;

CREATE TABLE bodies (
    message INTEGER PRIMARY KEY REFERENCES messages ON DELETE CASCADE,
    id TEXT NOT NULL,
    deduplication TEXT,
    trace_header TEXT,
    md5_of_body TEXT NOT NULL,
    md5_of_attributes TEXT,
    attributes TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;

CREATE TABLE message_groups (
    queue INTEGER NOT NULL REFERENCES queues ON DELETE CASCADE,
    message_group TEXT NOT NULL,
    ready_ms INTEGER NOT NULL,
    PRIMARY KEY (queue, message_group)
) STRICT, WITHOUT ROWID;

CREATE INDEX message_groups_by_readiness ON message_groups (queue, ready_ms);

CREATE TABLE deduplications (
    queue INTEGER NOT NULL REFERENCES queues ON DELETE CASCADE,
    deduplication TEXT NOT NULL,
    sent_ms INTEGER NOT NULL,
    id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (queue, deduplication)
) STRICT, WITHOUT ROWID;
";
