//! The store from outside: what survives, what is refused, what readers see.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests are tests")]

mod calls;
mod damage;
mod format;
mod journal;
mod kill;
mod readers;
mod transcripts;

use store::{FactRow, Home, HomeLock, MissionKey, MissionRow, Reader, Store, wait};
use tempfile::TempDir;

/// A home that goes away with its directory.
struct Fixture {
    dir: TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn lock(&self) -> HomeLock {
        Home::lock(self.dir.path()).unwrap()
    }

    fn store(&self) -> Store {
        Store::open(&self.lock()).unwrap()
    }

    fn reader(&self) -> Reader {
        Reader::open(self.dir.path()).unwrap()
    }

    /// A store with a mission `m`.
    fn store_with_mission(&self) -> (Store, MissionKey) {
        let store = self.store();
        wait(store.create_mission(mission("m"))).unwrap();
        (store, "m".into())
    }
}

fn mission(name: &str) -> MissionRow {
    MissionRow {
        key: name.into(),
        goal: format!("the goal of {name}"),
        repository: "/somewhere/repository".to_owned(),
        created_at_ms: 1_700_000_000_000,
        updated_at_ms: 1_700_000_000_000,
        status: "running".to_owned(),
        setup: "{}".to_owned(),
    }
}

/// `count` rows that can be told apart.
fn rows(first: u64, count: u64) -> Vec<FactRow> {
    let body = |n| format!(r#"{{"n":{n},"filling":"{}"}}"#, "x".repeat(250));
    (first..first + count).map(|n| FactRow { kind: "sample".into(), body: body(n) }).collect()
}

/// Appends `count` facts one by one.
fn append_each(store: &Store, mission: &MissionKey, count: u64) {
    let last = store.reader().unwrap().last_seq(mission).unwrap();
    for seq in last + 1..=last + count {
        assert_eq!(wait(store.append_rows(mission, seq, seq, rows(seq, 1))).unwrap(), seq);
    }
}

/// The bodies of all facts, checked to be the rows of `rows`.
fn count_facts(reader: &Reader, mission: &MissionKey) -> u64 {
    let mut count = 0;
    for fact in reader.facts(mission, 0).unwrap() {
        let fact = fact.unwrap();
        count += 1;
        assert_eq!(fact.seq, count);
        assert_eq!(fact.body, rows(count, 1)[0].body);
    }
    count
}
