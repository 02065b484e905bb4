//! `kill -9` at random times of a long mission, again and again until it is done.

use crate::{
    kill_points::answered,
    support::{Bench, Journal, Running, evidence},
    thirty::{CALLS, is_solved},
};
use rustix::process::Signal;
use std::collections::BTreeSet;

/// Facts that a run may decide before it is killed, at most: so that twenty kills are spread over the whole mission.
const FACTS_MAX: u64 = 60;

#[test]
fn thirty_exercises_survive_random_kills() {
    let wanted = evidence::number("MUSTER_RANDOM_KILLS", 20);
    let seed = evidence::number("MUSTER_RANDOM_SEED", 0x5eed);
    let mut random = seed;
    let bench = Bench::exercise("thirty");
    let checkout = bench.repo.bytes();
    let mut before = Journal::parse("");
    let (mut kills, mut runs) = (0, 0);
    let ended = loop {
        let args: &[&str] = &["resume", "last", "--json", "--all"];
        let command = if runs == 0 { bench.run_command(&["--all"]) } else { bench.command(args) };
        let mut running = Running::start(command);
        runs += 1;
        if kills < wanted {
            let facts = before.lines.len() as u64 + 2 + next(&mut random) % FACTS_MAX;
            if lines(&mut running, facts) {
                running.signal(Signal::KILL);
            }
        }
        let ended = running.end();
        match ended.signal {
            Some(_) => kills += 1,
            None => break ended,
        }
        bench.wait_until_all_processes_are_gone();
        let journal = bench.journal();
        journal.continues(&before);
        journal.check();
        before = journal;
    };
    ended.expect(0);
    assert!(kills >= wanted.min(5), "only {kills} kills before it was done");
    is_solved(&bench);
    assert_eq!(bench.repo.bytes(), checkout, "the user's checkout is not what it was");
    let calls = answered(&bench);
    let distinct: BTreeSet<_> = calls.iter().collect();
    assert_eq!(calls.len(), distinct.len(), "a call whose answer was stored was paid again");
    tell(seed, kills, &bench, calls.len());
}

/// Reads so many lines of facts; says whether there were so many.
fn lines(running: &mut Running, facts: u64) -> bool {
    let mut seen = 0;
    while seen < facts {
        if running.line().is_none() {
            return false;
        }
        seen += 1;
    }
    true
}

fn tell(seed: u64, kills: u64, bench: &Bench, calls: usize) {
    let journal = bench.journal();
    let row = vec![
        kills.to_string(),
        seed.to_string(),
        journal.merges().len().to_string(),
        journal.lines.len().to_string(),
        journal.count("engine_restarted").to_string(),
        CALLS.to_string(),
        calls.to_string(),
        "0".to_owned(),
    ];
    let columns = [
        "kills",
        "seed",
        "exercises merged",
        "facts",
        "engines taken over",
        "calls without a kill",
        "answered calls",
        "stored answers paid again",
    ];
    evidence::table(
        "kill-random",
        "`kill -9` at random facts of the thirty exercises, then `muster resume`.",
        &columns,
        &[row],
    );
}

/// xorshift64.
fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}
