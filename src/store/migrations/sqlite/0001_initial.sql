-- The first schema. Ids and digests are text, times whole nanoseconds since 1970 (UTC), documents JSON text.
-- Every index names the query that needs it.

-- What is made once, with the store.
CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Manifests and scripts, each text once, by the digest of its content.
CREATE TABLE source_text (
    digest TEXT NOT NULL PRIMARY KEY,
    text   TEXT NOT NULL
) STRICT;

-- What runs are pinned to.
CREATE TABLE version (
    digest   TEXT NOT NULL PRIMARY KEY,
    workflow TEXT NOT NULL,
    manifest TEXT NOT NULL REFERENCES source_text (digest),
    uses     TEXT NOT NULL,
    -- [[path, digest of the text], …], the main script first.
    sources  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Admitted events. `mark` is the order of admission and is never used twice, even after a deletion.
CREATE TABLE event (
    mark        INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    connection  TEXT NOT NULL,
    provider_id TEXT NOT NULL,
    kind        TEXT NOT NULL,
    subject     TEXT,
    occurred_at INTEGER,
    received_at INTEGER NOT NULL,
    payload     TEXT NOT NULL,
    -- The rule that makes a repeated webhook harmless.
    UNIQUE (connection, provider_id)
) STRICT;

-- A wait for an event about one resource.
CREATE INDEX event_by_subject ON event (connection, subject, mark) WHERE subject IS NOT NULL;
-- A wait for an event about anything, from some time on.
CREATE INDEX event_by_time ON event (connection, received_at);

-- Runs, without their documents: a row is rewritten whole at every change of state.
CREATE TABLE run (
    id              TEXT NOT NULL PRIMARY KEY,
    workflow        TEXT NOT NULL,
    version         TEXT NOT NULL,
    cause           TEXT NOT NULL,
    cause_key       TEXT,
    state           TEXT NOT NULL
        CHECK (state IN ('queued', 'running', 'waiting', 'succeeded', 'failed', 'cancelled', 'parked')),
    created_at      INTEGER NOT NULL,
    started_at      INTEGER,
    finished_at     INTEGER,
    last_success_at INTEGER,
    turns           INTEGER NOT NULL DEFAULT 0,
    -- Rises with every claim: a write under an older one is refused.
    fence           INTEGER NOT NULL DEFAULT 0,
    worker          TEXT,
    lease_until     INTEGER,
    wake_at         INTEGER,
    wait_connection TEXT,
    wait_subject    TEXT,
    wait_filter     TEXT,
    -- Who asked for the end of the run, and why; absent when nobody did.
    cancel_note     TEXT,
    result          TEXT,
    error           TEXT,
    CHECK ((state = 'running') = (worker IS NOT NULL AND lease_until IS NOT NULL)),
    CHECK ((state = 'waiting') = (wake_at IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- One cause makes one run of a workflow; also the newest slot of a schedule.
CREATE UNIQUE INDEX run_by_cause ON run (workflow, cause_key) WHERE cause_key IS NOT NULL;
-- The oldest queued runs for a claim, the running ones for a renewal, lists by state.
CREATE INDEX run_by_state ON run (state, id);
-- Lists by workflow.
CREATE INDEX run_by_workflow ON run (workflow, id);
-- Waiting runs whose time has come, and the next one due.
CREATE INDEX run_by_wake ON run (wake_at) WHERE wake_at IS NOT NULL;
-- Waiting runs that an event may wake.
CREATE INDEX run_by_wait ON run (wait_connection, wait_subject) WHERE wait_connection IS NOT NULL;

-- What the script sees as `event` and `params`; written once.
CREATE TABLE run_input (
    run    TEXT NOT NULL PRIMARY KEY REFERENCES run (id) ON DELETE CASCADE,
    event  TEXT NOT NULL,
    params TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The journal: nothing in it is ever changed.
CREATE TABLE journal (
    run   TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    seq   INTEGER NOT NULL,
    at    INTEGER NOT NULL,
    entry TEXT NOT NULL,
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;

-- What scripts keep between runs.
CREATE TABLE workflow_state (
    workflow TEXT NOT NULL,
    key      TEXT NOT NULL,
    value    TEXT NOT NULL,
    PRIMARY KEY (workflow, key)
) STRICT, WITHOUT ROWID;

-- When the newest run of a workflow that succeeded was made.
CREATE TABLE workflow_success (
    workflow        TEXT NOT NULL PRIMARY KEY,
    last_success_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
