//! The tables, as steps from an empty file. A step that was released is never changed; the next format is a new step.
//! `user_version` counts the steps a file has seen.

use rusqlite_migration::M;

/// What SQLite finds at the start of `journal.db` ("MSTJ").
pub(crate) const JOURNAL_ID: i32 = 0x4d53_544a;
/// What SQLite finds at the start of `transcripts.db` ("MSTT").
pub(crate) const TRANSCRIPTS_ID: i32 = 0x4d53_5454;

pub(crate) const JOURNAL_STEPS: &[M<'static>] = &[M::up(JOURNAL_1), M::up(JOURNAL_2), M::up(JOURNAL_3)];
pub(crate) const TRANSCRIPTS_STEPS: &[M<'static>] = &[M::up(TRANSCRIPTS_1)];

/// The first format.
pub(crate) const JOURNAL_1: &str = "
PRAGMA application_id = 0x4d53544a;

CREATE TABLE missions (
    key           INTEGER PRIMARY KEY,
    id            TEXT    NOT NULL UNIQUE,
    goal          TEXT    NOT NULL,
    repository    TEXT    NOT NULL,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    status        TEXT    NOT NULL,
    setup         TEXT    NOT NULL
) STRICT;

-- position: order of commits over all missions; (mission, seq): order in one mission, and the optimistic lock
CREATE TABLE facts (
    position INTEGER PRIMARY KEY,
    mission  INTEGER NOT NULL REFERENCES missions (key),
    seq      INTEGER NOT NULL CHECK (seq > 0),
    at_ms    INTEGER NOT NULL,
    kind     TEXT    NOT NULL,
    body     TEXT    NOT NULL,
    UNIQUE (mission, seq)
) STRICT;

CREATE TRIGGER facts_are_never_changed BEFORE UPDATE ON facts
BEGIN SELECT RAISE(ABORT, 'facts are never changed'); END;

CREATE TRIGGER facts_are_never_removed BEFORE DELETE ON facts
BEGIN SELECT RAISE(ABORT, 'facts are never removed'); END;

-- one row for each writer that opened the file; ended: 1 when it closed in order
CREATE TABLE epochs (
    epoch INTEGER PRIMARY KEY,
    ended INTEGER NOT NULL DEFAULT 0
) STRICT;

-- NULL tokens or cost: unknown, which is not zero
CREATE TABLE calls (
    key                INTEGER PRIMARY KEY,
    mission            INTEGER NOT NULL REFERENCES missions (key),
    epoch              INTEGER NOT NULL REFERENCES epochs (epoch),
    agent              TEXT    NOT NULL,
    attempt            INTEGER,
    digest             TEXT    NOT NULL,
    model              TEXT    NOT NULL,
    format             TEXT    NOT NULL,
    input_tokens       INTEGER,
    output_tokens      INTEGER,
    cache_read_tokens  INTEGER,
    cache_write_tokens INTEGER,
    cost_micros        INTEGER,
    cost_source        TEXT    NOT NULL,
    prices_version     TEXT    NOT NULL,
    status             INTEGER NOT NULL,
    outcome            TEXT    NOT NULL,
    duration_ms        INTEGER NOT NULL,
    first_byte_ms      INTEGER,
    at_ms              INTEGER NOT NULL
) STRICT;

CREATE INDEX calls_by_request ON calls (mission, attempt, digest);

-- apart from calls, so that sums do not read bodies; coding: 'plain' or 'zstd'; size: bytes of the plain body
CREATE TABLE answers (
    call         INTEGER PRIMARY KEY REFERENCES calls (key),
    status       INTEGER NOT NULL,
    content_type TEXT    NOT NULL,
    coding       TEXT    NOT NULL,
    size         INTEGER NOT NULL,
    body         BLOB    NOT NULL
) STRICT;
";

/// Which upstream answered, and how much of the output was reasoning.
pub(crate) const JOURNAL_2: &str = "
ALTER TABLE calls ADD COLUMN reasoning_tokens INTEGER;
ALTER TABLE calls ADD COLUMN upstream TEXT NOT NULL DEFAULT '';
";

/// What is set aside for calls that are on, which process of its agent made a call, and bills that passed what the request allowed.
pub(crate) const JOURNAL_3: &str = "
-- one row for each model call that may be on; taken out in the transaction that books the call
CREATE TABLE reservations (
    epoch          INTEGER NOT NULL REFERENCES epochs (epoch),
    number         INTEGER NOT NULL,
    mission        INTEGER NOT NULL REFERENCES missions (key),
    agent          TEXT    NOT NULL,
    attempt        INTEGER NOT NULL,
    digest         TEXT    NOT NULL,
    model          TEXT    NOT NULL,
    upstream       TEXT    NOT NULL,
    format         TEXT    NOT NULL,
    input_tokens   INTEGER,
    output_tokens  INTEGER,
    cost_micros    INTEGER,
    prices_version TEXT    NOT NULL,
    at_ms          INTEGER NOT NULL,
    PRIMARY KEY (epoch, number)
) STRICT, WITHOUT ROWID;

-- 0: nobody's any more, for the agent went before it had the whole answer
ALTER TABLE calls ADD COLUMN process INTEGER NOT NULL DEFAULT 0;
-- the most input that the request could hold, where the provider reports more
ALTER TABLE calls ADD COLUMN bound_tokens INTEGER;
CREATE INDEX calls_beyond ON calls (upstream, model) WHERE bound_tokens IS NOT NULL;
";

const TRANSCRIPTS_1: &str = "
PRAGMA application_id = 0x4d535454;

-- bytes: what chunks holds of this agent; trimmed_*: what was removed from its beginning to stay under the cap
CREATE TABLE streams (
    key            INTEGER PRIMARY KEY,
    mission        TEXT    NOT NULL,
    agent          TEXT    NOT NULL,
    next_seq       INTEGER NOT NULL DEFAULT 1,
    bytes          INTEGER NOT NULL DEFAULT 0,
    trimmed_chunks INTEGER NOT NULL DEFAULT 0,
    trimmed_bytes  INTEGER NOT NULL DEFAULT 0,
    UNIQUE (mission, agent)
) STRICT;

-- kind NULL: a gap; bytes holds JSON that says how much was not kept
CREATE TABLE chunks (
    position INTEGER PRIMARY KEY,
    stream   INTEGER NOT NULL REFERENCES streams (key),
    seq      INTEGER NOT NULL,
    at_ms    INTEGER NOT NULL,
    attempt  INTEGER,
    kind     TEXT,
    bytes    BLOB    NOT NULL,
    UNIQUE (stream, seq)
) STRICT;
";

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite_migration::Migrations;

    #[test]
    fn the_steps_are_valid_sql_from_an_empty_file() {
        Migrations::from_slice(JOURNAL_STEPS).validate().unwrap();
        Migrations::from_slice(TRANSCRIPTS_STEPS).validate().unwrap();
    }
}
