//! `kill -9` at every crash point of the engine: whatever was under way, the mission comes out as if nothing had happened.

use crate::{
    scenario::{ALL, Scenario},
    support::{Bench, Journal, Outcome, evidence},
};
use engine::{Faults, view::Readings};
use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Facts that only a second engine decides: they are reached by a kill before the kill.
const AFTER_A_KILL: &[&str] = &["engine_restarted"];
/// The fact after which that first kill is.
const FIRST_KILL: &str = "assigned";
/// How many missions run at one time.
const WORKERS: usize = 2;

/// A scenario as it goes when nothing is killed.
struct Usual {
    scenario: &'static Scenario,
    outcome: Outcome,
    kinds: BTreeSet<String>,
    messages: Vec<String>,
    calls: usize,
}

/// One kill and what came of it.
struct Row {
    point: String,
    scenario: &'static str,
    runs: u32,
    facts_before: usize,
    facts_lost: usize,
    messages_lost: usize,
    messages_doubled: usize,
    merged_twice: usize,
    calls_usual: usize,
    calls: usize,
    calls_repeated: usize,
}

#[test]
fn nothing_is_lost_and_nothing_is_done_twice() {
    let usual: Vec<Usual> = in_parallel(ALL.iter().rev().collect(), usual).into_iter().rev().collect();
    let kills = kills(&usual);
    let total = kills.len();
    let points: BTreeSet<String> = match std::env::var("MUSTER_KILLS") {
        Ok(only) if only != "all" => kills.iter().map(|(point, _)| point.clone()).collect(),
        _ => Faults::points().collect(),
    };
    let results = in_parallel(kills, |(point, usual)| {
        let name = format!("{point} in '{}'", usual.scenario.name);
        catch_unwind(AssertUnwindSafe(|| kill(point, usual))).map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            format!(
                "{name}: {}",
                text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default()
            )
        })
    });
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(row) => rows.extend(row),
            Err(failure) => failures.push(failure),
        }
    }
    tell(&rows);
    assert!(failures.is_empty(), "{} of {total} kills went wrong:\n{}", failures.len(), failures.join("\n\n"));
    let missed: Vec<&String> = points.iter().filter(|point| rows.iter().all(|row| row.point != **point)).collect();
    assert!(missed.is_empty(), "no scenario reaches {missed:?}");
}

fn usual(scenario: &'static Scenario) -> Usual {
    let bench = scenario.bench();
    let story = scenario.play(&bench, None, |_| {});
    let journal = bench.journal();
    journal.check();
    let kinds = journal.kinds().into_iter().map(str::to_owned).collect();
    let calls = answered(&bench).len();
    println!("{}: {} facts, {calls} calls, {} runs", scenario.name, journal.lines.len(), story.runs);
    Usual { scenario, outcome: story.outcome, kinds, messages: journal.messages(), calls }
}

/// Each point with the scenarios to kill at it.
fn kills(usual: &[Usual]) -> Vec<(String, &Usual)> {
    let only = std::env::var("MUSTER_KILLS").unwrap_or_default();
    let mut kills = Vec::new();
    for point in Faults::points() {
        let kind = fact_behind(&point).unwrap_or_else(|| panic!("nobody knows which mission passes {point}"));
        let kind = if AFTER_A_KILL.contains(&kind) { FIRST_KILL } else { kind };
        let reaching = usual.iter().filter(|one| one.kinds.contains(kind));
        let many = if only.is_empty() { 1 } else { usize::MAX };
        kills.extend(reaching.take(many).map(|one| (point.clone(), one)));
    }
    if !matches!(&*only, "" | "all") {
        kills.retain(|(point, usual)| format!("{point} {}", usual.scenario.name).contains(&only));
    }
    kills
}

/// The fact that shows that a mission passes this point.
fn fact_behind(point: &str) -> Option<&str> {
    let (place, name) = point.rsplit_once('.')?;
    if place.starts_with("append.") {
        return Some(name);
    }
    Some(match name {
        "prepare_repository" => "opened",
        "start_agent" => "agent_starting",
        "run_turn" => "turn_started",
        "cancel_turn" => "turn_cancelling",
        "stop_agent" => "agent_stopping",
        "verify_change" => "verify_started",
        "merge_change" => "change_verified",
        "publish" => "publish_started",
        "call" => "usage_settled",
        _ => return None,
    })
}

/// Nothing when the scenario does not come by the point after all: what is decided while nobody runs the mission is not carried out then.
fn kill(point: String, usual: &Usual) -> Option<Row> {
    let scenario = usual.scenario;
    let bench = scenario.bench();
    let checkout = bench.repo.bytes();
    let mut before = Journal { lines: Vec::new(), facts: Vec::new() };
    let mut look = |bench: &Bench| {
        let now = bench.journal();
        now.continues(&before);
        before = now;
    };
    let second = fact_behind(&point).is_some_and(|kind| AFTER_A_KILL.contains(&kind));
    let story = if second {
        let mut command = bench.run_command(&[]);
        command.env("MUSTER_FAULT", format!("append.after.{FIRST_KILL}"));
        let first = crate::support::Running::start(command).end();
        assert_eq!(first.signal, Some(9), "{first}");
        look(&bench);
        scenario.carry_on(&bench, Some(&point), look)
    } else {
        scenario.play(&bench, Some(&point), look)
    };
    let killed = story.killed?;
    assert_eq!(killed.signal, Some(9), "{killed}");
    assert_eq!(story.outcome, usual.outcome);
    assert_eq!(bench.repo.bytes(), checkout, "the user's checkout is not what it was");
    bench.repo.is_sound();
    bench.wait_until_all_processes_are_gone();
    let journal = bench.journal();
    journal.check();
    Some(row(point, usual, &bench, &before, &journal, story.runs))
}

fn row(point: String, usual: &Usual, bench: &Bench, before: &Journal, journal: &Journal, runs: u32) -> Row {
    let facts_lost = before.lines.iter().zip(&journal.lines).filter(|(was, is)| was != is).count();
    let messages = counts(journal.messages());
    let wanted = counts(usual.messages.clone());
    let of = |counts: &BTreeMap<String, usize>, key: &String| counts.get(key).copied().unwrap_or(0);
    let answered = answered(bench);
    let distinct: BTreeSet<_> = answered.iter().collect();
    let row = Row {
        point,
        scenario: usual.scenario.name,
        runs,
        facts_before: before.lines.len(),
        facts_lost: facts_lost + before.lines.len().saturating_sub(journal.lines.len()),
        messages_lost: wanted.iter().map(|(key, count)| count.saturating_sub(of(&messages, key))).sum(),
        messages_doubled: messages.iter().map(|(key, count)| count.saturating_sub(of(&wanted, key))).sum(),
        merged_twice: journal.merges().values().filter(|times| **times > 1).count(),
        calls_usual: usual.calls,
        calls: answered.len(),
        calls_repeated: answered.len() - distinct.len(),
    };
    assert_eq!(row.facts_lost, 0, "facts were lost");
    assert_eq!((row.messages_lost, row.messages_doubled), (0, 0), "messages: {messages:?}, usually {wanted:?}");
    assert_eq!(row.calls_repeated, 0, "a call whose answer was stored was paid again: {answered:?}");
    row
}

fn counts(list: Vec<String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    list.into_iter().for_each(|one| *counts.entry(one).or_default() += 1);
    counts
}

/// The model calls whose answer is stored, by attempt and request.
pub fn answered(bench: &Bench) -> Vec<(Option<u32>, String)> {
    let readings = Readings::open(&bench.home()).unwrap();
    let name = readings.find("last").unwrap();
    let calls = readings.calls(&name).unwrap();
    calls.into_iter().filter(|call| call.answered).map(|call| (call.call.attempt, call.call.digest)).collect()
}

fn tell(rows: &[Row]) {
    let columns = [
        "crash point",
        "scenario",
        "runs until the end",
        "facts at the kill",
        "facts lost",
        "messages lost",
        "messages doubled",
        "merged twice",
        "model calls without a kill",
        "with it",
        "stored answers paid again",
    ];
    let cells = |row: &Row| {
        let numbers = [
            row.runs as usize,
            row.facts_before,
            row.facts_lost,
            row.messages_lost,
            row.messages_doubled,
            row.merged_twice,
            row.calls_usual,
            row.calls,
            row.calls_repeated,
        ];
        let names = [format!("`{}`", row.point), row.scenario.to_owned()];
        names.into_iter().chain(numbers.iter().map(usize::to_string)).collect()
    };
    let said = format!(
        "`kill -9` of the engine at every crash point, {} kills; then `muster resume`, and a person's answers where the mission asks for them. A model \
         call that was under way when the engine died, or whose answer was not stored yet, is made again; that is all that may be repeated. The \
         outcome, the tree of the result and the user's checkout are the same as without a kill, `git fsck` is clean, and no process is left.\n\n\
         Made with `MUSTER_EVIDENCE=docs/evidence cargo test -p muster --test it kill_points`; with `MUSTER_KILLS=all` at every point of every \
         scenario.",
        rows.len()
    );
    evidence::table(
        "kill-points",
        "Kill -9 at every crash point",
        &said,
        &columns,
        &rows.iter().map(cells).collect::<Vec<_>>(),
    );
}

/// Does all of it, a few at a time, in order.
pub fn in_parallel<T: Send, R: Send>(all: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let slots: Vec<Mutex<(Option<T>, Option<R>)>> = all.into_iter().map(|one| Mutex::new((Some(one), None))).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(slot) = slots.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let one = slot.lock().unwrap().0.take().unwrap();
                    let result = work(one);
                    slot.lock().unwrap().1 = Some(result);
                }
            });
        }
    });
    slots.into_iter().map(|slot| slot.into_inner().unwrap().1.unwrap()).collect()
}
