//! `kill -9` at random times of a long mission, again and again until it is done; one mission after the other until there were enough kills.

use crate::{
    kill_points::answered,
    support::{Bench, Journal, Running, evidence},
    thirty::{CALLS, is_solved},
};
use rustix::process::Signal;
use std::collections::BTreeSet;

/// Facts that a run shows before it is killed, at most. Taking up ten agents alone makes forty.
const FACTS_MAX: u64 = 80;

#[test]
fn thirty_exercises_survive_random_kills() {
    let wanted = evidence::number("MUSTER_RANDOM_KILLS", 20);
    let seed = evidence::number("MUSTER_RANDOM_SEED", 0x5eed);
    let (mut random, mut left, mut rows) = (seed, wanted, Vec::new());
    while left > 0 {
        let kills = mission(&mut random, left, &mut rows);
        assert!(kills > 0, "a whole mission went by without a kill");
        left -= kills;
    }
    let columns = [
        "mission",
        "kills",
        "engines that took it up",
        "exercises merged",
        "facts",
        "facts lost",
        "model calls without a kill",
        "with them",
        "stored answers paid again",
    ];
    let said = format!(
        "`kill -9` of the engine after a random number of facts of the thirty exercises on ten agents, then `muster resume`, {wanted} times in all \
         (seed {seed}).\n\n\
         Made with `MUSTER_RANDOM_KILLS={wanted} MUSTER_EVIDENCE=docs/evidence cargo test -p muster --test it kill_random`."
    );
    evidence::table("kill-random", "Kill -9 at random times", &said, &columns, &rows);
}

/// One mission with at most so many kills; answers with how many there were.
fn mission(random: &mut u64, kills_max: u64, rows: &mut Vec<Vec<String>>) -> u64 {
    let bench = Bench::exercise("thirty");
    let checkout = bench.repo.bytes();
    let mut before = Journal::parse("");
    let mut kills = 0;
    let mut command = bench.run_command(&["--all"]);
    let ended = loop {
        let mut running = Running::start(command);
        if kills < kills_max && says(&mut running, 2 + next(random) % FACTS_MAX) {
            running.signal(Signal::KILL);
        }
        let ended = running.end();
        if ended.signal.is_none() {
            break ended;
        }
        kills += 1;
        // Every other time the next engine starts at once, while sandboxes of the last one may still be on their way out.
        if kills % 2 == 0 {
            let journal = bench.journal();
            journal.continues(&before);
            journal.check();
            before = journal;
        }
        command = bench.command(&["resume", "last", "--json", "--all"]);
    };
    ended.expect(0);
    is_solved(&bench);
    assert_eq!(bench.repo.bytes(), checkout, "the user's checkout is not what it was");
    let calls = answered(&bench);
    let distinct: BTreeSet<_> = calls.iter().collect();
    assert_eq!(calls.len(), distinct.len(), "a call whose answer was stored was paid again");
    let journal = bench.journal();
    journal.continues(&before);
    let numbers = [
        rows.len() as u64 + 1,
        kills,
        journal.count("engine_restarted") as u64,
        journal.merges().len() as u64,
        journal.lines.len() as u64,
        0,
        CALLS,
        calls.len() as u64,
        0,
    ];
    rows.push(numbers.iter().map(u64::to_string).collect());
    kills
}

/// Reads so many lines; says whether there were so many.
fn says(running: &mut Running, lines: u64) -> bool {
    (0..lines).all(|_| running.line().is_some())
}

/// xorshift64.
fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}
