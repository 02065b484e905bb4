//! Reading while someone writes, while nobody does, and from far behind.

use crate::{Fixture, append_each, count_facts, rows};
use std::thread;
use store::{LockError, OpenError, ReadError, Reader, wait};

#[test]
fn a_second_writer_is_refused_and_readers_are_not() {
    let fixture = Fixture::new();
    let (store, m) = fixture.store_with_mission();
    append_each(&store, &m, 3);
    assert!(matches!(store::Home::lock(fixture.dir.path()), Err(LockError::Busy { .. })));
    assert_eq!(count_facts(&fixture.reader(), &m), 3);
}

#[test]
fn readers_work_without_a_writer() {
    let fixture = Fixture::new();
    let (store, m) = fixture.store_with_mission();
    append_each(&store, &m, 3);
    drop(store);
    assert!(!fixture.dir.path().join("journal.db-wal").exists());
    let (one, two) = (fixture.reader(), fixture.reader());
    assert_eq!(count_facts(&one, &m), 3);
    assert_eq!(count_facts(&two, &m), 3);
    drop(one);
    // and do not stand in the way of the next writer
    let store = fixture.store();
    append_each(&store, &m, 1);
    assert_eq!(count_facts(&two, &m), 4);
}

#[test]
fn readers_see_whole_batches_while_a_writer_is_busy() {
    let fixture = Fixture::new();
    let (store, m) = fixture.store_with_mission();
    let writer = thread::spawn({
        let m = m.clone();
        move || {
            for batch in 0..200 {
                wait(store.append_rows(&m, batch * 5 + 1, 0, rows(batch * 5 + 1, 5))).unwrap();
            }
        }
    });
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (reader, m) = (fixture.reader(), m.clone());
            thread::spawn(move || {
                let mut seen = 0;
                while seen < 1000 {
                    let last = reader.last_seq(&m).unwrap();
                    assert!(last >= seen && last.is_multiple_of(5), "{last} after {seen}");
                    assert!(count_facts(&reader, &m) >= last);
                    seen = last;
                }
            })
        })
        .collect();
    writer.join().unwrap();
    readers.into_iter().for_each(|reader| reader.join().unwrap());
}

#[test]
fn a_home_without_a_journal_is_said() {
    let fixture = Fixture::new();
    let error = Reader::open(fixture.dir.path()).err().unwrap();
    assert!(matches!(error, OpenError::Missing { .. }), "{error}");
    assert!(error.to_string().contains("nothing has run with this MUSTER_HOME"), "{error}");
    assert!(matches!(Reader::open("/nowhere/at/all"), Err(OpenError::Missing { .. })));
}

#[test]
fn an_unknown_mission_is_said() {
    let fixture = Fixture::new();
    let (_store, _) = fixture.store_with_mission();
    let reader = fixture.reader();
    let nowhere = "nowhere".into();
    assert!(matches!(reader.facts(&nowhere, 0).err(), Some(ReadError::UnknownMission(_))));
    assert!(matches!(reader.mission(&nowhere), Err(ReadError::UnknownMission(_))));
    assert!(matches!(reader.spend(&nowhere), Err(ReadError::UnknownMission(_))));
}

#[test]
fn a_hundred_thousand_facts_are_read_in_pages() {
    let fixture = Fixture::new();
    let (store, m) = fixture.store_with_mission();
    for batch in 0..10 {
        wait(store.append_rows(&m, batch * 10_000 + 1, 0, rows(batch * 10_000 + 1, 10_000))).unwrap();
    }
    let reader = fixture.reader();
    assert_eq!(count_facts(&reader, &m), 100_000);
    let rest: Vec<u64> = reader.facts(&m, 99_990).unwrap().map(|fact| fact.unwrap().seq).collect();
    assert_eq!(rest, (99_991..=100_000).collect::<Vec<_>>());
    assert_eq!(reader.facts(&m, 100_000).unwrap().count(), 0);
    assert_eq!(reader.page(&m, 5, 2).unwrap().iter().map(|fact| fact.seq).collect::<Vec<_>>(), [6, 7]);
}

#[test]
fn facts_appended_while_they_are_read_are_read_too() {
    let fixture = Fixture::new();
    let (store, m) = fixture.store_with_mission();
    wait(store.append_rows(&m, 1, 0, rows(1, 1024))).unwrap();
    let reader = fixture.reader();
    let mut facts = reader.facts(&m, 0).unwrap();
    assert_eq!(facts.next().unwrap().unwrap().seq, 1);
    wait(store.append_rows(&m, 1025, 0, rows(1025, 1))).unwrap();
    assert_eq!(facts.map(Result::unwrap).last().unwrap().seq, 1025);
}

#[tokio::test]
async fn a_tail_follows_without_missing_any() {
    let fixture = Fixture::new();
    let (store, m) = fixture.store_with_mission();
    store.append_rows(&m, 1, 0, rows(1, 10)).await.unwrap();
    let mut tail = fixture.reader().tail(&m, 7).unwrap();
    let writer = tokio::spawn({
        let (store, m) = (store.clone(), m.clone());
        async move {
            for seq in 11..=600 {
                store.append_rows(&m, seq, 0, rows(seq, 1)).await.unwrap();
            }
        }
    });
    let mut next = 8;
    while next <= 600 {
        for fact in tail.next().await.unwrap() {
            assert_eq!(fact.seq, next);
            next += 1;
        }
    }
    writer.await.unwrap();
    assert!(fixture.reader().tail(&"nowhere".into(), 0).is_err());
}

#[test]
fn a_hole_is_noticed_when_it_is_read() {
    let fixture = Fixture::new();
    let (store, m) = fixture.store_with_mission();
    append_each(&store, &m, 3);
    drop(store);
    let other = rusqlite::Connection::open(fixture.dir.path().join("journal.db")).unwrap();
    other.execute_batch("DROP TRIGGER facts_are_never_removed; DELETE FROM facts WHERE seq = 2").unwrap();
    drop(other);
    let reader = fixture.reader();
    let read: Result<Vec<_>, _> = reader.facts(&m, 0).unwrap().collect();
    assert!(matches!(read, Err(ReadError::Hole { missing: 2, .. })));
}
