//! How fast the journal is: durable appends with 1, 16 and 64 producers, a million facts read back, opening a large file.
//!
//! `cargo bench -p store [-- DIR]`. The directory should be on the disk that matters; appends cost what its flush costs.
#![allow(clippy::unwrap_used, reason = "a measurement that cannot be made has no better end")]

use mission::{AgentId, Fact};
use std::{
    env,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};
use store::{FactRow, Home, MissionKey, MissionRow, Reader, Store, wait};

fn main() {
    // `cargo test --benches` runs this too, without `--bench`: then it only shows that it works.
    let measured = env::args().any(|arg| arg == "--bench");
    let (time, facts) = if measured { (Duration::from_secs(3), 1_000_000) } else { (Duration::from_millis(50), 2_000) };
    let parent = env::args().skip(1).find(|arg| !arg.starts_with("--")).map_or_else(env::temp_dir, PathBuf::from);
    for producers in [1, 16, 64] {
        let dir = tempfile::tempdir_in(&parent).unwrap();
        appends(dir.path(), producers, time);
    }
    let dir = tempfile::tempdir_in(&parent).unwrap();
    reads(dir.path(), facts);
}

fn appends(dir: &Path, producers: usize, time: Duration) {
    let store = Store::open(&Home::lock(dir).unwrap()).unwrap();
    let before = store.stats();
    let begin = Instant::now();
    let threads: Vec<_> = (0..producers).map(|n| spawn_producer(&store, n, begin + time)).collect();
    let mut waits: Vec<Duration> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    let (seconds, after) = (begin.elapsed().as_secs_f64(), store.stats());
    waits.sort();
    let part = |percent: usize| waits[(waits.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    println!(
        "appends, {producers:2} producers: {:8.0}/s in {:6.0} transactions/s; each waits {:.2} ms (p50), {:.2} ms (p99)",
        waits.len() as f64 / seconds,
        (after.transactions - before.transactions) as f64 / seconds,
        part(50),
        part(99),
    );
}

fn spawn_producer(store: &Store, n: usize, end: Instant) -> thread::JoinHandle<Vec<Duration>> {
    let store = store.clone();
    thread::spawn(move || {
        let key = make_mission(&store, &format!("m{n}"));
        let mut waits = Vec::new();
        for seq in 1.. {
            let begin = Instant::now();
            if begin >= end {
                break;
            }
            wait(store.append_rows(&key, seq, seq, vec![row(seq)])).unwrap();
            waits.push(begin.elapsed());
        }
        waits
    })
}

fn reads(dir: &Path, facts: u64) {
    let lock = Home::lock(dir).unwrap();
    let store = Store::open(&lock).unwrap();
    let key = make_mission(&store, "m");
    let page = 10_000;
    timed("appends, 10,000 in a batch", facts, || {
        for first in (1..=facts).step_by(page as usize) {
            let rows = (first..=facts).take(page as usize).map(row).collect();
            wait(store.append_rows(&key, first, first, rows)).unwrap();
        }
    });
    drop(store);
    let bytes = dir.join("journal.db").metadata().unwrap().len();
    println!("journal.db: {} bytes, {} a fact", bytes, bytes / facts);
    timed("opened for writing (integrity check)", facts, || drop(Store::open(&lock).unwrap()));
    let reader = Reader::open(dir).unwrap();
    timed("read as rows", facts, || {
        let sum: u64 = reader.facts(&key, 0).unwrap().map(|fact| fact.unwrap().seq).sum();
        assert_eq!(sum, facts * (facts + 1) / 2);
    });
    timed("read as facts of the core", facts, || {
        let count = reader.facts(&key, 0).unwrap().decoded().map(Result::unwrap).count();
        assert_eq!(count as u64, facts);
    });
}

fn timed(what: &str, facts: u64, run: impl FnOnce()) {
    let begin = Instant::now();
    run();
    let seconds = begin.elapsed().as_secs_f64();
    println!("{what}: {facts} facts in {seconds:.2} s, {:.0}/s", facts as f64 / seconds);
}

/// About 300 bytes of JSON, as a fact with a few sentences has.
fn row(seq: u64) -> FactRow {
    FactRow::of(&Fact::AgentLost {
        agent: AgentId(seq as u32 % 64),
        reason: format!("{seq}: the process ended with signal 9. ").repeat(6),
        blame: seq.is_multiple_of(2),
    })
    .unwrap()
}

fn make_mission(store: &Store, name: &str) -> MissionKey {
    let mission = MissionRow {
        key: name.into(),
        goal: "measure".to_owned(),
        repository: String::new(),
        created_at_ms: 0,
        updated_at_ms: 0,
        status: "running".to_owned(),
        setup: "{}".to_owned(),
    };
    wait(store.create_mission(mission)).unwrap();
    name.into()
}
