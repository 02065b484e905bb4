//! Files that are not what was written.

use crate::{Fixture, append_each, count_facts};
use std::{fs, path::PathBuf};
use store::{MissionKey, OpenError, Reader, Store, TranscriptOptions, Transcripts};

fn closed_journal(facts: u64) -> (Fixture, PathBuf) {
    let fixture = Fixture::new();
    let (store, m) = fixture.store_with_mission();
    append_each(&store, &m, facts);
    drop(store);
    let path = fixture.dir.path().join("journal.db");
    (fixture, path)
}

#[track_caller]
fn check_damaged(fixture: &Fixture, path: &PathBuf) {
    let before = fs::read(path).unwrap();
    let error = Store::open(&fixture.lock()).err().expect("a damaged file is not opened");
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("journal.db is damaged: "), "{text}");
    assert!(text.contains("Nothing was changed"), "{text}");
    assert_eq!(fs::read(path).unwrap(), before, "and it was not");
}

#[test]
fn bytes_overwritten_in_the_middle() {
    let (fixture, path) = closed_journal(500);
    let mut bytes = fs::read(&path).unwrap();
    let page = bytes.len() / 4096 / 2 * 4096;
    bytes[page..page + 64].fill(0xA5);
    fs::write(&path, bytes).unwrap();
    check_damaged(&fixture, &path);
}

#[test]
fn a_file_that_was_cut_short() {
    let (fixture, path) = closed_journal(500);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2 / 4096 * 4096]).unwrap();
    check_damaged(&fixture, &path);
}

#[test]
fn a_file_that_is_no_database() {
    let (fixture, path) = closed_journal(1);
    fs::write(&path, "these are not the bytes you are looking for. ".repeat(1000)).unwrap();
    check_damaged(&fixture, &path);
    let error = Reader::open(fixture.dir.path()).err().unwrap();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
}

#[test]
fn an_index_that_disagrees_with_its_table() {
    let (fixture, path) = closed_journal(50);
    let other = rusqlite::Connection::open(&path).unwrap();
    let page: u64 = other
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_facts_1'", [], |row| row.get(0))
        .unwrap();
    drop(other);
    let mut bytes = fs::read(&path).unwrap();
    // the number of entries of the index's root page
    let cells = ((page - 1) * 4096 + 3) as usize;
    bytes[cells + 1] -= 1;
    fs::write(&path, bytes).unwrap();
    check_damaged(&fixture, &path);
}

/// A crash can cut the end of the WAL anywhere: what is left is a prefix of the commits, never anything else.
#[test]
fn a_torn_end_of_the_wal_is_a_shorter_journal() {
    let fixture = Fixture::new();
    let (store, m) = fixture.store_with_mission();
    append_each(&store, &m, 30);
    let db = fs::read(fixture.dir.path().join("journal.db")).unwrap();
    let wal = fs::read(fixture.dir.path().join("journal.db-wal")).unwrap();
    drop(store);
    let (mut last, mut lengths) = (0, Vec::new());
    for cut in (0..=20).map(|part| wal.len() * part / 20) {
        let torn = Fixture::new();
        fs::write(torn.dir.path().join("journal.db"), &db).unwrap();
        fs::write(torn.dir.path().join("journal.db-wal"), &wal[..cut]).unwrap();
        let store = torn.store();
        let count = store.reader().unwrap().facts(&m, 0).map_or(0, |_| count_facts(&torn.reader(), &m));
        assert!(count >= last, "{count} after {last}");
        (last, _) = (count, lengths.push(count));
        // and one can go on from there
        if count > 0 {
            append_each(&store, &m, 1);
        }
    }
    assert_eq!(last, 30);
    lengths.dedup();
    assert!(lengths.len() > 5, "{lengths:?}");
}

#[test]
fn flipped_bits_in_the_wal_end_the_journal_there() {
    let fixture = Fixture::new();
    let (store, m) = fixture.store_with_mission();
    append_each(&store, &m, 30);
    let db = fs::read(fixture.dir.path().join("journal.db")).unwrap();
    let mut wal = fs::read(fixture.dir.path().join("journal.db-wal")).unwrap();
    drop(store);
    let torn = Fixture::new();
    let place = wal.len() * 9 / 10;
    wal[place] ^= 0x10;
    fs::write(torn.dir.path().join("journal.db"), &db).unwrap();
    fs::write(torn.dir.path().join("journal.db-wal"), &wal).unwrap();
    let _store = torn.store();
    let count = count_facts(&torn.reader(), &m);
    assert!((15..30).contains(&count), "{count}");
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let fixture = Fixture::new();
    let path = fixture.dir.path().join("journal.db");
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE theirs (x)").unwrap();
    drop(other);
    let error = Store::open(&fixture.lock()).err().unwrap();
    assert!(matches!(error, OpenError::NotOurs { application_id: 0, .. }), "{error:?}");
    assert!(matches!(Reader::open(fixture.dir.path()), Err(OpenError::NotOurs { .. })));
}

#[test]
fn damaged_transcripts_are_told_apart_from_the_journal() {
    let (fixture, _) = closed_journal(1);
    fs::write(fixture.dir.path().join("transcripts.db"), "x".repeat(8192)).unwrap();
    let lock = fixture.lock();
    let error = Transcripts::open(&lock, TranscriptOptions::default()).err().unwrap();
    assert!(error.to_string().contains("transcripts.db is damaged"), "{error}");
    assert_eq!(count_facts(&Store::open(&lock).unwrap().reader().unwrap(), &MissionKey::from("m")), 1);
}
