-- The first schema. Ids are the 16 bytes of their UUID and digests their 32 bytes (`lower(hex(id))` shows them),
-- times whole nanoseconds since 1970 (UTC), documents JSON text. Every index names the query that needs it.

-- What the store keeps about itself, each with its checksum.
CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Manifests and scripts, each text once, by the digest of its content.
CREATE TABLE source_text (
    digest BLOB NOT NULL PRIMARY KEY,
    text   TEXT NOT NULL
) STRICT;

-- What runs are pinned to.
CREATE TABLE version (
    digest   BLOB NOT NULL PRIMARY KEY,
    workflow TEXT NOT NULL,
    manifest BLOB NOT NULL REFERENCES source_text (digest),
    uses     TEXT NOT NULL,
    -- [[path, digest of the text], …], the main script first.
    sources  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Admitted events. `mark` is the order of admission, given by the writer; it is never used twice, even after a
-- deletion, because it is always above the router's.
CREATE TABLE event (
    mark        INTEGER NOT NULL PRIMARY KEY,
    id          BLOB NOT NULL UNIQUE,
    connection  TEXT NOT NULL,
    provider_id TEXT NOT NULL,
    kind        TEXT NOT NULL,
    subject     TEXT,
    occurred_at INTEGER,
    received_at INTEGER NOT NULL,
    -- Empty once it was pruned, if the rest of the row is still needed.
    payload     TEXT NOT NULL,
    -- The rule that makes a repeated webhook harmless.
    UNIQUE (connection, provider_id)
) STRICT;

-- A wait for an event about one resource.
CREATE INDEX event_by_subject ON event (connection, subject, mark) WHERE subject IS NOT NULL;

-- Up to which event, in the order of admission, runs were made: one row.
CREATE TABLE router (
    name TEXT NOT NULL PRIMARY KEY CHECK (name = 'cursor'),
    mark INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO router (name, mark) VALUES ('cursor', 0);

-- The same of each workflow that did not load when it would have been its turn, until it has caught up.
CREATE TABLE behind (
    workflow TEXT NOT NULL PRIMARY KEY,
    mark     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Events that a workflow listens to and did not take: why, as decided when they were routed. One row for an event.
CREATE TABLE filtered (
    event    INTEGER NOT NULL PRIMARY KEY REFERENCES event (mark) ON DELETE CASCADE,
    -- [{"workflow": …, "why": …}, …]
    declined TEXT NOT NULL
) STRICT;

-- Runs, without their larger documents: a row is rewritten whole at every change of state.
CREATE TABLE run (
    id              BLOB NOT NULL PRIMARY KEY,
    workflow        TEXT NOT NULL,
    version         BLOB NOT NULL,
    -- The event that made it, which is then its cause and what its script sees as `event`.
    event           INTEGER,
    -- Any other cause.
    cause           TEXT,
    -- What no two runs of a workflow may share, if the cause has it.
    cause_key       TEXT,
    -- The newest event admitted before it was made.
    since_mark      INTEGER NOT NULL,
    -- What its script sees as `params`, unless it is large.
    params          TEXT,
    state           TEXT NOT NULL
        CHECK (state IN ('queued', 'pending', 'running', 'waiting', 'succeeded', 'failed', 'cancelled', 'parked')),
    created_at      INTEGER NOT NULL,
    started_at      INTEGER,
    finished_at     INTEGER,
    last_success_at INTEGER,
    turns           INTEGER NOT NULL DEFAULT 0,
    -- Rises with every claim: a write under an older one is refused.
    fence           INTEGER NOT NULL DEFAULT 0,
    worker          BLOB,
    lease_until     INTEGER,
    wake_at         INTEGER,
    -- Who asked for the end of the run, and why; absent when nobody did.
    cancel_note     TEXT,
    result          TEXT,
    error           TEXT,
    -- What runs of the workflow that must not overlap have in common, and how many of them may be open at once.
    concurrency_key TEXT,
    concurrency_max INTEGER,
    CHECK (event IS NOT NULL OR cause IS NOT NULL),
    CHECK ((state = 'running') = (worker IS NOT NULL AND lease_until IS NOT NULL)),
    CHECK ((state = 'waiting') = (wake_at IS NOT NULL)),
    CHECK ((concurrency_key IS NULL) = (concurrency_max IS NULL)),
    CHECK (state <> 'pending' OR concurrency_key IS NOT NULL)
) STRICT, WITHOUT ROWID;

-- One event makes one run of a workflow.
CREATE UNIQUE INDEX run_by_event ON run (event, workflow) WHERE event IS NOT NULL;
-- One slot of a schedule makes one run of a workflow; also the newest slot.
CREATE UNIQUE INDEX run_by_cause ON run (workflow, cause_key) WHERE cause_key IS NOT NULL;
-- The oldest queued runs for a claim, lists by state. Nearly all runs have succeeded and are not in it.
CREATE INDEX run_by_state ON run (state, id) WHERE state <> 'succeeded';
-- Lists by workflow.
CREATE INDEX run_by_workflow ON run (workflow, id);
-- Waiting runs whose time has come, and the next one due.
CREATE INDEX run_by_wake ON run (wake_at) WHERE wake_at IS NOT NULL;

-- Runs that must not overlap, open or behind others.
CREATE INDEX run_by_concurrency ON run (workflow, concurrency_key, state, id)
WHERE concurrency_key IS NOT NULL AND state <> 'succeeded';

-- However a run ends, the next one behind it begins.
CREATE TRIGGER run_makes_room AFTER UPDATE OF state ON run
WHEN old.concurrency_key IS NOT NULL AND old.state <> 'pending' AND new.state IN ('succeeded', 'failed', 'cancelled')
BEGIN
    UPDATE run SET state = 'queued' WHERE id = (
        SELECT next.id FROM run AS next INDEXED BY run_by_concurrency
        WHERE next.workflow = old.workflow AND next.concurrency_key = old.concurrency_key AND next.state = 'pending' AND next.state <> 'succeeded'
          AND next.concurrency_max > (
            SELECT count(*) FROM run AS open INDEXED BY run_by_concurrency
            WHERE open.workflow = old.workflow AND open.concurrency_key = old.concurrency_key
              AND open.state IN ('queued', 'running', 'waiting', 'parked') AND open.state <> 'succeeded')
        ORDER BY next.id LIMIT 1);
END;

-- Runs that were not made though something asked for them, each with its reason. Slots of a schedule that were passed
-- over one after another for the same reason are one row.
CREATE TABLE unmade (
    workflow  TEXT NOT NULL,
    -- As in `run`; of the first of several slots.
    cause_key TEXT NOT NULL,
    cause     TEXT NOT NULL,
    -- The last of several slots, and how many they are.
    last_slot INTEGER,
    slots     INTEGER NOT NULL,
    reason    TEXT NOT NULL,
    detail    TEXT NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (workflow, cause_key)
) STRICT, WITHOUT ROWID;

-- The newest of them.
CREATE INDEX unmade_by_time ON unmade (at);
-- Those of one event.
CREATE INDEX unmade_by_cause ON unmade (cause_key);

-- Workflows whose schedules start nothing for now.
CREATE TABLE pause (
    workflow TEXT NOT NULL PRIMARY KEY,
    since    INTEGER NOT NULL,
    actor    TEXT NOT NULL,
    reason   TEXT NOT NULL,
    cause    TEXT NOT NULL CHECK (cause IN ('person', 'failures'))
) STRICT, WITHOUT ROWID;

-- When such a pause last ended, and who ended it: runs that had failed before count no longer.
CREATE TABLE resumption (
    workflow TEXT NOT NULL PRIMARY KEY,
    at       INTEGER NOT NULL,
    actor    TEXT NOT NULL,
    reason   TEXT
) STRICT, WITHOUT ROWID;

-- Up to when every slot of a schedule has its run or its reason, also when it never had a slot or these rows are
-- pruned. Moved on from time to time.
CREATE TABLE schedule (
    workflow      TEXT NOT NULL,
    schedule      TEXT NOT NULL,
    timezone      TEXT NOT NULL,
    settled_until INTEGER NOT NULL,
    PRIMARY KEY (workflow, schedule, timezone)
) STRICT, WITHOUT ROWID;

-- Which events a waiting run waits for: one row for each branch that waits for one.
CREATE TABLE wait (
    run        BLOB NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    number     INTEGER NOT NULL,
    connection TEXT NOT NULL,
    subject    TEXT,
    filter     TEXT NOT NULL,
    PRIMARY KEY (run, number)
) STRICT, WITHOUT ROWID;

-- Which waiting runs an event woke.
CREATE TABLE woken (
    event INTEGER NOT NULL REFERENCES event (mark) ON DELETE CASCADE,
    run   BLOB NOT NULL,
    PRIMARY KEY (event, run)
) STRICT, WITHOUT ROWID;

-- Waiting runs that an event may wake.
CREATE INDEX wait_by_event ON wait (connection, subject);

-- Whatever ends a wait ends all of it.
CREATE TRIGGER run_waits_no_more AFTER UPDATE OF state ON run
WHEN old.state = 'waiting' AND new.state <> 'waiting'
BEGIN
    DELETE FROM wait WHERE run = old.id;
END;

-- What a script sees as `event` where no event made its run, and `params` too large for the row of the run;
-- written once.
CREATE TABLE run_input (
    run    BLOB NOT NULL PRIMARY KEY REFERENCES run (id) ON DELETE CASCADE,
    event  TEXT,
    params TEXT
) STRICT, WITHOUT ROWID;

-- The journal: nothing in it is ever changed.
CREATE TABLE journal (
    run   BLOB NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    seq   INTEGER NOT NULL,
    at    INTEGER NOT NULL,
    entry TEXT NOT NULL,
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;

-- Runs under which the process died, at the last of its starts.
CREATE TABLE death (
    run     BLOB NOT NULL PRIMARY KEY REFERENCES run (id) ON DELETE CASCADE,
    turn    INTEGER NOT NULL,
    journal INTEGER NOT NULL,
    times   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What only one step at a time may have: a name on a connection, with the step that has it until it ends. When that was is
-- kept for a while: what it did may not be shown at once.
CREATE TABLE exclusive (
    connection TEXT NOT NULL,
    name       TEXT NOT NULL,
    run        BLOB NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    step       TEXT NOT NULL,
    ended_at   INTEGER,
    PRIMARY KEY (connection, name)
) STRICT, WITHOUT ROWID;

-- What a step, or a run, has.
CREATE INDEX exclusive_by_step ON exclusive (run, step);

CREATE INDEX exclusive_by_end ON exclusive (ended_at) WHERE ended_at IS NOT NULL;

-- However a run ends, others may have what it had.
CREATE TRIGGER run_excludes_no_more AFTER UPDATE OF state ON run
WHEN new.state IN ('succeeded', 'failed', 'cancelled')
BEGIN
    UPDATE exclusive SET ended_at = new.finished_at WHERE run = old.id AND ended_at IS NULL;
END;

-- Money of ours on its way: one row for each movement that was begun and whose end is not known, and for each that a
-- step has reserved and not begun.
CREATE TABLE movement (
    run         BLOB NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    step        TEXT NOT NULL,
    -- 0: the step has begun it. From 1: the step has reserved it for one below it.
    number      INTEGER NOT NULL,
    connection  TEXT NOT NULL,
    source      TEXT NOT NULL,
    beneficiary TEXT,
    amount      TEXT,
    PRIMARY KEY (run, step, number)
) STRICT, WITHOUT ROWID;

-- What leaves an account, and what comes to it.
CREATE INDEX movement_by_source ON movement (connection, source);
CREATE INDEX movement_by_beneficiary ON movement (connection, beneficiary);

-- However a run ends, nothing of it is on its way.
CREATE TRIGGER run_moves_no_more AFTER UPDATE OF state ON run
WHEN new.state IN ('succeeded', 'failed', 'cancelled')
BEGIN
    DELETE FROM movement WHERE run = old.id;
END;

-- Money of ours that a provider has taken and that may not have arrived yet on an account of ours: one row for each such
-- movement, until it is known how it ended, or too long ago.
CREATE TABLE accepted (
    run         BLOB NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    step        TEXT NOT NULL,
    connection  TEXT NOT NULL,
    beneficiary TEXT NOT NULL,
    amount      TEXT NOT NULL,
    at          INTEGER NOT NULL,
    PRIMARY KEY (run, step)
) STRICT, WITHOUT ROWID;

-- What comes to an account, and what is too old.
CREATE INDEX accepted_by_beneficiary ON accepted (connection, beneficiary, at);
CREATE INDEX accepted_by_time ON accepted (at);

-- How often something was begun out of an account, or reserved out of it or into it: who has read it knows whether that still holds.
CREATE TABLE moved (
    connection TEXT NOT NULL,
    account    TEXT NOT NULL,
    times      INTEGER NOT NULL,
    PRIMARY KEY (connection, account)
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

-- From when the provider's own list of events is read next, and when it was looked at first, for each connection that
-- has one.
CREATE TABLE backfill (
    connection TEXT NOT NULL PRIMARY KEY,
    first_at   INTEGER NOT NULL,
    reads_from INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Connections on which nothing new is begun for now.
CREATE TABLE breaker (
    connection TEXT NOT NULL PRIMARY KEY,
    since      INTEGER NOT NULL,
    probe_at   INTEGER NOT NULL,
    cause      TEXT NOT NULL CHECK (cause IN ('trouble', 'credentials')),
    reason     TEXT NOT NULL
) STRICT, WITHOUT ROWID;
