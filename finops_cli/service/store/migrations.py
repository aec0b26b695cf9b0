"""The tables, as numbered steps: a step that has been published never changes."""

from __future__ import annotations

_FIRST = """
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    who TEXT NOT NULL,
    role TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    request_id TEXT NOT NULL,
    details TEXT NOT NULL,
    prev TEXT NOT NULL,
    hash TEXT NOT NULL
);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is not changed'); END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is not deleted'); END
"""

_SECOND = """
CREATE TABLE files (
    id TEXT PRIMARY KEY,
    created TEXT NOT NULL,
    who TEXT NOT NULL,
    name TEXT NOT NULL,
    media_type TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    stored_bytes INTEGER NOT NULL,
    stored_sha256 TEXT NOT NULL,
    lines INTEGER NOT NULL,
    masked_lines INTEGER NOT NULL,
    deleted TEXT
);
CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    created TEXT NOT NULL,
    started TEXT,
    ended TEXT,
    who TEXT NOT NULL,
    command TEXT NOT NULL,
    input TEXT NOT NULL REFERENCES files (id),
    options TEXT NOT NULL,
    queue TEXT NOT NULL,
    state TEXT NOT NULL,
    error TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    total INTEGER NOT NULL,
    done INTEGER NOT NULL DEFAULT 0,
    done_bytes INTEGER NOT NULL DEFAULT 0,
    counts TEXT NOT NULL DEFAULT '{}',
    verified INTEGER,
    deleted TEXT
);
CREATE INDEX jobs_by_state ON jobs (state);
CREATE TABLE fails (
    id INTEGER PRIMARY KEY,
    job INTEGER NOT NULL REFERENCES jobs (seq),
    key TEXT NOT NULL,
    fail_id TEXT NOT NULL,
    status TEXT NOT NULL,
    tier INTEGER NOT NULL,
    category TEXT,
    action TEXT,
    cusip TEXT,
    counterparty TEXT,
    days_left INTEGER,
    by_score INTEGER NOT NULL,
    by_rank INTEGER NOT NULL,
    start INTEGER NOT NULL,
    length INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX fails_by_score ON fails (job, by_score, fail_id, id, days_left, action);
CREATE INDEX fails_by_rank ON fails (job, by_rank, fail_id, id, days_left, action);
CREATE INDEX fails_by_tier ON fails (job, tier, by_score, fail_id, id);
CREATE INDEX fails_by_category ON fails (job, category, by_score, fail_id, id);
CREATE INDEX fails_by_status ON fails (job, status, by_score, fail_id, id);
CREATE INDEX fails_by_cusip ON fails (job, cusip);
CREATE INDEX fails_by_counterparty ON fails (job, counterparty);
CREATE INDEX fails_by_name ON fails (job, fail_id);
CREATE INDEX fails_by_key ON fails (key);
CREATE TABLE decisions (
    key TEXT NOT NULL,
    n INTEGER NOT NULL,
    job TEXT NOT NULL,
    line INTEGER NOT NULL,
    fail_id TEXT NOT NULL,
    at TEXT NOT NULL,
    who TEXT NOT NULL,
    role TEXT NOT NULL,
    kind TEXT NOT NULL,
    is_proposal INTEGER NOT NULL,
    body TEXT NOT NULL,
    request_id TEXT NOT NULL,
    PRIMARY KEY (key, n)
);
CREATE TABLE states (
    key TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    decision TEXT,
    has_proposal INTEGER NOT NULL,
    is_closed INTEGER NOT NULL,
    assignee TEXT,
    body TEXT NOT NULL
);
CREATE INDEX states_by_assignee ON states (assignee);
CREATE TABLE answers (
    who TEXT NOT NULL,
    key TEXT NOT NULL,
    at TEXT NOT NULL,
    digest TEXT NOT NULL,
    status INTEGER NOT NULL,
    headers TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (who, key)
);
CREATE INDEX answers_by_age ON answers (at)
"""

MIGRATIONS = (_FIRST, _SECOND)
"""Step N brings a database of version N-1 to version N."""
