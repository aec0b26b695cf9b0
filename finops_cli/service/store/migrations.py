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
BEGIN SELECT RAISE(ABORT, 'the audit log is not deleted'); END;

CREATE TABLE files (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    at TEXT NOT NULL,
    who TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    lines INTEGER NOT NULL,
    received_sha256 TEXT NOT NULL,
    stored_sha256 TEXT NOT NULL,
    masked TEXT NOT NULL
);

CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    command TEXT NOT NULL,
    input TEXT NOT NULL,
    options TEXT NOT NULL,
    who TEXT NOT NULL,
    created TEXT NOT NULL,
    started TEXT,
    ended TEXT,
    counts TEXT NOT NULL,
    error TEXT
);
CREATE INDEX jobs_by_time ON jobs (created, id);

CREATE TABLE fails (
    batch TEXT NOT NULL,
    number INTEGER NOT NULL,
    fail_id TEXT NOT NULL,
    status TEXT NOT NULL,
    tier TEXT,
    score REAL,
    action TEXT,
    category TEXT,
    cusip TEXT,
    counterparty TEXT,
    days_left INTEGER,
    age INTEGER,
    qty INTEGER,
    value REAL,
    rank INTEGER NOT NULL,
    line BLOB NOT NULL,
    PRIMARY KEY (batch, number)
) WITHOUT ROWID;
CREATE INDEX fails_by_rank ON fails (batch, rank);
CREATE INDEX fails_by_id ON fails (batch, fail_id);
CREATE INDEX fails_by_cusip ON fails (batch, cusip, rank);
CREATE INDEX fails_by_counterparty ON fails (batch, counterparty, rank);
CREATE INDEX fails_by_tier ON fails (batch, tier, rank);

CREATE TABLE decisions (
    fail_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    at TEXT NOT NULL,
    who TEXT NOT NULL,
    comment TEXT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (fail_id, number)
) WITHOUT ROWID;

CREATE TABLE replies (
    key TEXT NOT NULL,
    who TEXT NOT NULL,
    digest TEXT NOT NULL,
    at TEXT NOT NULL,
    status INTEGER,
    headers TEXT,
    body BLOB,
    PRIMARY KEY (who, key)
) WITHOUT ROWID
"""

MIGRATIONS = (_FIRST,)
"""Step N brings a database of version N-1 to version N."""
