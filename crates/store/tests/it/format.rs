//! Files of other versions.

use crate::{Fixture, append_each};
use rusqlite::Connection;
use std::fs;
use store::{MissionKey, OpenError, Reader, Store, TranscriptOptions, Transcripts};

/// What version 1 wrote, as SQL, so that a reviewer can read it. Never to be changed.
const JOURNAL_1: &str = include_str!("../fixtures/journal-1.sql");
/// The same of version 2.
const JOURNAL_2: &str = include_str!("../fixtures/journal-2.sql");
/// The same of version 3.
const JOURNAL_3: &str = include_str!("../fixtures/journal-3.sql");

#[test]
fn a_journal_of_format_1_is_read_and_continued() {
    let reader = is_read_and_continued(JOURNAL_1);
    let call = reader.calls(&"pagination".into(), 0, 1).unwrap().remove(0).call;
    assert_eq!((call.reasoning_tokens, call.upstream.as_str()), (None, ""));
}

#[test]
fn a_journal_of_format_2_is_read_and_continued() {
    let reader = is_read_and_continued(JOURNAL_2);
    let call = reader.calls(&"pagination".into(), 0, 1).unwrap().remove(0).call;
    assert_eq!((call.reasoning_tokens, call.upstream.as_str()), (Some(12), "script"));
}

#[test]
fn a_journal_of_format_3_is_read_and_continued() {
    let reader = is_read_and_continued(JOURNAL_3);
    let call = reader.calls(&"pagination".into(), 0, 1).unwrap().remove(0).call;
    assert_eq!((call.process, call.bound_tokens), (3, Some(900)));
    let open = reader.reservations(&"pagination".into()).unwrap().remove(0);
    assert_eq!(
        (open.key.epoch, open.key.number, open.cost_micros, open.output_tokens),
        (2, 7, Some(9_000), Some(4_096))
    );
    let beyond = reader.beyond().unwrap().remove(0);
    assert_eq!((beyond.upstream.as_str(), beyond.reported, beyond.bound), ("script", 1_000, 900));
}

fn is_read_and_continued(journal: &str) -> Reader {
    let fixture = Fixture::new();
    let old = Connection::open(fixture.dir.path().join("journal.db")).unwrap();
    old.execute_batch(journal).unwrap();
    drop(old);
    let store = fixture.store();
    assert_eq!(store.epoch(), 3);
    let m: MissionKey = "pagination".into();
    let reader = store.reader().unwrap();
    let kinds: Vec<String> = reader.facts(&m, 0).unwrap().map(|fact| fact.unwrap().kind).collect();
    assert_eq!(kinds, ["opened", "planned", "engine_restarted"]);
    assert_eq!(reader.mission(&m).unwrap().status, "running");
    assert_eq!(store.recall(&m, 1, "00ff", 3).unwrap().unwrap().body, b"{\"choices\":[]}");
    append_each(&store, &m, 1);
    assert_eq!(reader.spend(&m).unwrap()[0].cost_micros, 1234);
    // Open files stay readable when their folder goes with the fixture.
    reader
}

#[test]
fn a_newer_format_is_refused_and_left_as_it_is() {
    let fixture = Fixture::new();
    drop(fixture.store());
    let path = fixture.dir.path().join("journal.db");
    let other = Connection::open(&path).unwrap();
    other.pragma_update(None, "user_version", 99).unwrap();
    drop(other);
    let before = fs::read(&path).unwrap();
    let lock = fixture.lock();
    for error in [Store::open(&lock).err().unwrap(), Reader::open(fixture.dir.path()).err().unwrap()] {
        assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error:?}");
        assert!(error.to_string().contains("written by a newer muster"), "{error}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_newer_format_of_the_transcripts_is_refused() {
    let fixture = Fixture::new();
    let lock = fixture.lock();
    drop(Transcripts::open(&lock, TranscriptOptions::default()).unwrap());
    let other = Connection::open(fixture.dir.path().join("transcripts.db")).unwrap();
    other.pragma_update(None, "user_version", 99).unwrap();
    drop(other);
    let error = Transcripts::open(&lock, TranscriptOptions::default()).err().unwrap();
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error:?}");
}

#[test]
fn the_format_of_this_version_is_that_of_the_newest_fixture() {
    let fixture = Fixture::new();
    drop(fixture.store());
    let old = Connection::open_in_memory().unwrap();
    old.execute_batch(JOURNAL_3).unwrap();
    let new = Connection::open(fixture.dir.path().join("journal.db")).unwrap();
    assert_eq!(schema(&old), schema(&new), "a released step was changed, or a fixture of the new format is missing");
}

fn schema(connection: &Connection) -> Vec<String> {
    let mut select =
        connection.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type, name").unwrap();
    let words = |sql: String| {
        let lines = sql.lines().filter(|line| !line.trim_start().starts_with("--"));
        lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
    };
    select.query_map([], |row| row.get(0)).unwrap().map(|sql| words(sql.unwrap())).collect()
}
