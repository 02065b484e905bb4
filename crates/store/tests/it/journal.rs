//! Appending: order, conflicts, group commit, a full disk.

use crate::{Fixture, append_each, count_facts, mission, rows};
use std::{sync::Arc, thread};
use store::{Batch, FactRow, MissionKey, Options, PreviousEnd, Store, WriteError, wait};

#[test]
fn facts_come_back_in_order_with_their_time_and_kind() {
    let fixture = Fixture::new();
    let (store, m) = fixture.store_with_mission();
    let row = |kind: &'static str, body: &str| FactRow { kind: kind.into(), body: body.to_owned() };
    assert_eq!(wait(store.append_rows(&m, 1, 7, vec![row("a", "1"), row("b", "2")])).unwrap(), 2);
    assert_eq!(wait(store.append_rows(&m, 3, 9, vec![row("c", "\"ü\0\"")])).unwrap(), 3);
    let facts: Vec<_> = store.reader().unwrap().facts(&m, 0).unwrap().map(Result::unwrap).collect();
    let read: Vec<_> = facts.iter().map(|f| (f.seq, f.at_ms, f.kind.as_str(), f.body.as_str())).collect();
    assert_eq!(read, [(1, 7, "a", "1"), (2, 7, "b", "2"), (3, 9, "c", "\"ü\0\"")]);
}

#[test]
fn a_taken_number_and_a_hole_are_refused() {
    let fixture = Fixture::new();
    let (store, m) = fixture.store_with_mission();
    append_each(&store, &m, 3);
    let append = |seq| wait(store.append_rows(&m, seq, 0, rows(seq, 2)));
    assert!(matches!(append(3), Err(WriteError::SequenceTaken { given: 3, next: 4, .. })));
    assert!(matches!(append(0), Err(WriteError::SequenceTaken { given: 0, next: 4, .. })));
    assert!(matches!(append(5), Err(WriteError::SequenceGap { given: 5, next: 4, .. })));
    let nowhere = wait(store.append_rows(&"nowhere".into(), 1, 0, rows(1, 1)));
    assert_eq!(nowhere.unwrap_err().to_string(), "there is no mission nowhere");
    assert_eq!(append(4).unwrap(), 5);
    assert_eq!(count_facts(&fixture.reader(), &m), 5);
}

#[test]
fn a_batch_is_written_whole_or_not_at_all() {
    let fixture = Fixture::new();
    let (store, m) = fixture.store_with_mission();
    append_each(&store, &m, 1);
    let batch = Batch::new()
        .mission(mission("other"))
        .facts(&"other".into(), 1, 0, rows(1, 2))
        .status(&m, 5, "half done")
        .facts(&m, 1, 0, rows(1, 1));
    assert!(matches!(wait(store.commit(batch)), Err(WriteError::SequenceTaken { .. })));
    let reader = fixture.reader();
    assert_eq!(reader.missions().unwrap(), [mission("m")]);

    let batch = Batch::new().mission(mission("other")).facts(&"other".into(), 1, 0, rows(1, 2)).status(&m, 5, "done");
    wait(store.commit(batch)).unwrap();
    assert_eq!(reader.last_seq(&"other".into()).unwrap(), 2);
    let m_row = reader.mission(&m).unwrap();
    assert_eq!((m_row.status.as_str(), m_row.updated_at_ms), ("done", 5));
    assert_eq!(reader.missions().unwrap().len(), 2);
    assert!(matches!(wait(store.create_mission(mission("other"))), Err(WriteError::MissionExists(_))));
    assert!(matches!(wait(store.commit(Batch::new().status(&"x".into(), 0, ""))), Err(WriteError::UnknownMission(_))));
}

/// Asks for appends in such a way that the writer finds them all in its queue when it is free again. A mission `hold` is
/// appended to first; the answers come in the order of the appends.
async fn as_one_group(
    fixture: &Fixture,
    store: &Store,
    appends: Vec<(MissionKey, u64, Vec<FactRow>)>,
) -> Vec<Result<u64, WriteError>> {
    store.create_mission(mission("hold")).await.unwrap();
    let other = rusqlite::Connection::open(fixture.dir.path().join("journal.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let spawn = |(name, first, rows): (MissionKey, u64, Vec<FactRow>)| {
        let store = store.clone();
        tokio::spawn(async move { store.append_rows(&name, first, 0, rows).await })
    };
    let taken = store.stats().requests;
    let hold = spawn(("hold".into(), 1, rows(1, 1)));
    while store.stats().requests == taken {
        tokio::task::yield_now().await;
    }
    let tasks: Vec<_> = appends.into_iter().map(spawn).collect();
    // tasks of one thread run in turn: after this one has had its next, all of them have asked
    tokio::task::yield_now().await;
    other.execute_batch("COMMIT").unwrap();
    hold.await.unwrap().unwrap();
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    outcomes
}

#[tokio::test]
async fn what_is_refused_is_refused_alone() {
    let fixture = Fixture::new();
    let store = fixture.store();
    let names: Vec<MissionKey> = (0..20).map(|n| format!("m{n}").into()).collect();
    for name in &names {
        store.create_mission(mission(name.as_str())).await.unwrap();
    }
    let before = store.stats();
    let first = |n: usize| if n.is_multiple_of(5) { 7 } else { 1 };
    let appends = names.iter().enumerate().map(|(n, name)| (name.clone(), first(n), rows(first(n), 3))).collect();
    for (n, outcome) in as_one_group(&fixture, &store, appends).await.into_iter().enumerate() {
        match n % 5 {
            0 => assert!(matches!(outcome, Err(WriteError::SequenceGap { .. })), "{n}: {outcome:?}"),
            _ => assert_eq!(outcome.unwrap(), 3),
        }
        assert_eq!(count_facts(&fixture.reader(), &names[n]), if n % 5 == 0 { 0 } else { 3 });
    }
    let after = store.stats();
    assert_eq!(after.refused - before.refused, 4);
    // the mission `hold`, its append, and one for all the rest
    assert_eq!(after.transactions - before.transactions, 3);
}

#[test]
fn many_producers_share_transactions() {
    let fixture = Fixture::new();
    let store = Arc::new(fixture.store());
    let threads: Vec<_> = (0..64)
        .map(|n| {
            let store = Arc::clone(&store);
            thread::spawn(move || {
                let name = format!("m{n}");
                wait(store.create_mission(mission(&name))).unwrap();
                append_each(&store, &name.into(), 20);
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let stats = store.stats();
    assert_eq!(stats.requests, 64 * 21);
    assert!(stats.transactions < stats.requests / 2, "{stats:?}");
    assert_eq!(stats.refused, 0);
    for n in 0..64 {
        assert_eq!(count_facts(&fixture.reader(), &format!("m{n}").into()), 20);
    }
}

#[test]
fn two_that_append_the_same_number_do_not_both_win() {
    let fixture = Fixture::new();
    let (store, m) = fixture.store_with_mission();
    for seq in 1..=50 {
        let rivals: Vec<_> = (0..4)
            .map(|_| {
                let (store, m) = (store.clone(), m.clone());
                thread::spawn(move || wait(store.append_rows(&m, seq, 0, rows(seq, 1))).is_ok())
            })
            .collect();
        let won = rivals.into_iter().map(|rival| rival.join().unwrap()).filter(|won| *won).count();
        assert_eq!(won, 1);
    }
    assert_eq!(count_facts(&fixture.reader(), &m), 50);
}

#[test]
fn a_full_disk_loses_nothing_and_the_writer_goes_on() {
    let fixture = Fixture::new();
    let cap = |mib: u64| Options { journal_bytes_max: Some(mib << 20) };
    let store = Store::open_with(&fixture.lock(), &cap(1)).unwrap();
    let m: MissionKey = "m".into();
    wait(store.create_mission(mission("m"))).unwrap();
    append_each(&store, &m, 10);

    // one that does not fit at all, and a small one after it
    assert!(matches!(wait(store.append_rows(&m, 11, 0, rows(11, 10_000))), Err(WriteError::Full)));
    append_each(&store, &m, 10);

    // until not even a small one fits, again and again
    let mut last = 20;
    let full = loop {
        match wait(store.append_rows(&m, last + 1, 0, rows(last + 1, 20))) {
            Ok(seq) => last = seq,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, WriteError::Full), "{full}");
    assert!(matches!(wait(store.append_rows(&m, last + 1, 0, rows(last + 1, 20))), Err(WriteError::Full)));
    assert_eq!(count_facts(&fixture.reader(), &m), last);
    drop(store);

    let store = Store::open_with(&fixture.lock(), &cap(8)).unwrap();
    assert_eq!(wait(store.append_rows(&m, last + 1, 0, rows(last + 1, 20))).unwrap(), last + 20);
    assert_eq!(count_facts(&fixture.reader(), &m), last + 20);
}

#[tokio::test]
async fn one_too_large_for_the_disk_does_not_take_its_group_with_it() {
    let fixture = Fixture::new();
    let store = Store::open_with(&fixture.lock(), &Options { journal_bytes_max: Some(1 << 20) }).unwrap();
    let mut appends = Vec::new();
    for (name, count) in [("small", 1), ("large", 10_000), ("other", 1)] {
        store.create_mission(mission(name)).await.unwrap();
        appends.push((name.into(), 1, rows(1, count)));
    }
    let outcomes = as_one_group(&fixture, &store, appends).await;
    assert!(matches!(outcomes[..], [Ok(1), Err(WriteError::Full), Ok(1)]), "{outcomes:?}");
    let last = |name: &str| fixture.reader().last_seq(&name.into()).unwrap();
    assert_eq!([last("small"), last("large"), last("other")], [1, 0, 1]);
}

#[test]
fn a_batch_above_the_limit_is_refused_before_it_is_queued() {
    let fixture = Fixture::new();
    let (store, m) = fixture.store_with_mission();
    let huge = FactRow { kind: "huge".into(), body: "x".repeat(store::BATCH_BYTES_MAX) };
    assert!(matches!(wait(store.append_rows(&m, 1, 0, vec![huge])), Err(WriteError::TooLarge { .. })));
    append_each(&store, &m, 1);
}

#[test]
fn facts_cannot_be_changed_or_removed() {
    let fixture = Fixture::new();
    let (store, m) = fixture.store_with_mission();
    append_each(&store, &m, 2);
    drop(store);
    let other = rusqlite::Connection::open(fixture.dir.path().join("journal.db")).unwrap();
    let change = other.execute("UPDATE facts SET body = '{}' WHERE seq = 1", []).unwrap_err();
    assert!(change.to_string().contains("facts are never changed"), "{change}");
    let remove = other.execute("DELETE FROM facts", []).unwrap_err();
    assert!(remove.to_string().contains("facts are never removed"), "{remove}");
}

#[test]
fn each_writer_is_an_epoch_and_knows_how_the_last_one_ended() {
    let fixture = Fixture::new();
    let first = fixture.store();
    assert_eq!((first.epoch(), first.previous_end()), (1, PreviousEnd::None));
    drop(first);
    let second = fixture.store();
    assert_eq!((second.epoch(), second.previous_end()), (2, PreviousEnd::Orderly));
}

#[test]
fn a_dropped_store_has_written_everything_and_gives_the_home_back() {
    let fixture = Fixture::new();
    let (store, m) = fixture.store_with_mission();
    let mut pending = Box::pin(store.append_rows(&m, 1, 0, rows(1, 1)));
    // asked for, but nobody waits for the answer
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(pending.as_mut().poll(&mut context).is_pending());
    drop(pending);
    drop(store);
    assert_eq!(count_facts(&fixture.reader(), &m), 1);
    fixture.lock();
}

#[tokio::test]
async fn followers_in_the_process_see_durable_facts_only() {
    let fixture = Fixture::new();
    let (store, m) = fixture.store_with_mission();
    store.append_rows(&m, 1, 0, rows(1, 4)).await.unwrap();
    let mut last = store.subscribe(&m).unwrap();
    assert_eq!(*last.borrow_and_update(), 4);
    assert!(!last.has_changed().unwrap());
    let task = tokio::spawn({
        let (store, m) = (store.clone(), m.clone());
        async move { store.append_rows(&m, 5, 0, rows(5, 2)).await }
    });
    last.changed().await.unwrap();
    assert_eq!(*last.borrow_and_update(), 6);
    assert_eq!(fixture.reader().last_seq(&m).unwrap(), 6);
    task.await.unwrap().unwrap();
    assert!(store.subscribe(&"nowhere".into()).is_err());
    let commits = store.commits();
    assert_eq!(*commits.borrow(), store.stats().transactions);
}
