//! Missions that are ended in the middle of model calls that take seconds, in every way there is: what the provider was paid is at most what is booked,
//! and what is booked never passes the cap. The provider knows nothing of us and counts what it was asked.

use crate::support::{
    Bench, Running, evidence,
    server::{Provider, Step},
};
use engine::view::Readings;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

const CAP_MICROS: u64 = 1_000_000;
/// Dollars for a million tokens, in and out.
type Price = [u64; 2];
/// A dozen calls that nobody sees the bill of are as much as the cap.
const DEAR: Price = [10, 50];
const USUAL: Price = [3, 15];
const AGENTS: usize = 6;

/// A way in which a mission is ended in the middle of things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Kill,
    Term,
    Hup,
    Int,
    IntTwice,
    Pause,
    Cancel,
    AgentsKilled,
    LauncherKilled,
}

const ENDS: [End; 9] = [
    End::Kill,
    End::Term,
    End::Hup,
    End::Int,
    End::IntTwice,
    End::Pause,
    End::Cancel,
    End::AgentsKilled,
    End::LauncherKilled,
];

/// One mission against a provider of its own.
struct Books {
    bench: Bench,
    provider: Provider,
    price: Price,
}

impl Books {
    fn new(agents: usize, price: Price, pause: impl Fn(usize) -> Duration + Clone + Send + 'static) -> Self {
        let step = || Step::Call("list_files", json!({"path": "."}));
        let provider = Provider::metered(move |_| step(), pause);
        let config = format!(
            "upstreams: {{provider: {{format: openai-chat, base_url: \"http://{}/v1\"}}}}\nroles:\n  builder: {{runtime: native, model: test-model, \
             count: {agents}, context_tokens: 32000, output_tokens: 200}}\nbudget: {{usd: 1.00}}\nprices: {{test-model: {{input: {}, output: {}}}}}\n",
            provider.address, price[0], price[1]
        );
        let task = |number| {
            format!(
                "  - {{id: t{number}, role: builder, instructions: Look around {number}., checks: [{{run: 'true'}}]}}\n"
            )
        };
        let plan = format!("goal: Look for ever.\ntasks:\n{}", (1..=agents).map(task).collect::<String>());
        let bench = Bench::new(&plan, &config, "", &[("README.md", "Nothing to see.\n")]);
        Self { bench, provider, price }
    }

    /// What the provider was paid, in micro-dollars.
    fn paid(&self) -> u64 {
        let used = self.provider.used();
        used.input * self.price[0] + used.output * self.price[1]
    }

    /// What is booked, as anybody reads it.
    #[track_caller]
    fn check(&self, what: &str) -> u64 {
        let money = self.bench.show()["money"].clone();
        let booked = money["spent_micros"].as_u64().unwrap();
        let paid = self.paid();
        assert!(paid <= booked, "{what}: the provider was paid {paid}, {booked} is booked: {money}");
        assert!(booked <= CAP_MICROS, "{what}: {booked} is booked of {CAP_MICROS}: {money}");
        let by: u64 = money["by"].as_array().unwrap().iter().filter_map(|one| one["cost_micros"].as_u64()).sum();
        assert_eq!(by, booked, "{what}: the calls do not make the sum: {money}");
        let estimated = money["estimated_micros"].as_u64().unwrap();
        assert!(estimated <= booked && (estimated > 0) == (money["estimated_calls"].as_u64().unwrap() > 0), "{money}");
        booked
    }

    /// Ends what runs in this way, and waits until it has.
    fn end(&self, running: Running, end: End) {
        match end {
            End::Kill => running.signal(Signal::KILL),
            End::Term => running.signal(Signal::TERM),
            End::Hup => running.signal(Signal::HUP),
            End::Int | End::IntTwice => running.signal(Signal::INT),
            End::Pause => drop(self.bench.muster(&["pause", "last"])),
            End::Cancel => drop(self.bench.muster(&["cancel", "last"])),
            End::AgentsKilled | End::LauncherKilled => {
                self.kill_processes(running.id(), end);
                let calls = self.provider.count();
                self.provider.wait_for(calls + 4, Duration::from_secs(20));
                running.signal(Signal::TERM);
            }
        }
        let mut running = running;
        if end == End::IntTwice {
            running.wait_for("pausing");
            running.signal(Signal::INT);
        }
        let ended = running.end();
        assert_eq!(ended.signal.is_some(), end == End::Kill, "{end:?}: {ended}");
        self.bench.wait_until_all_processes_are_gone();
    }

    /// Kills what runs in sandboxes, or what launches them.
    fn kill_processes(&self, engine: u32, end: End) {
        let parent = |pid: &Pid| {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
            let rest = stat.rsplit_once(')').map(|(_, rest)| rest.to_owned()).unwrap_or_default();
            rest.split_whitespace().nth(1).and_then(|parent| parent.parse::<u32>().ok())
        };
        let mut those = self.bench.processes();
        those.retain(|pid| pid.as_raw_nonzero().get() as u32 != engine);
        let launchers: Vec<Pid> = children_of(engine);
        match end {
            End::LauncherKilled => those = launchers,
            _ => those.retain(|pid| parent(pid) != Some(engine)),
        }
        // One that has ended meanwhile is as good.
        for pid in those {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

fn children_of(engine: u32) -> Vec<Pid> {
    let text = std::fs::read_dir(format!("/proc/{engine}/task"))
        .into_iter()
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    let pids: Vec<i32> =
        text.flat_map(|line| line.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect();
    pids.into_iter().filter_map(Pid::from_raw).collect()
}

/// xorshift64.
fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

/// One mission, ended in this way at a random call; taken up, and ended once more.
fn one_run(run: u64, end: End, random: &mut u64) -> [u64; 3] {
    let seed = next(random);
    let books = Books::new(AGENTS, DEAR, move |call| {
        Duration::from_millis(1_000 + (seed ^ (call as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)) % 4_001)
    });
    let what = format!("run {run}, {end:?}");
    let running = Running::start(books.bench.run_command(&[]));
    books.provider.wait_for(1 + (next(random) % 20) as usize, Duration::from_secs(60));
    books.end(running, end);
    books.check(&format!("{what}, ended"));
    if end != End::Cancel {
        let running = Running::start(books.bench.command(&["resume", "last", "--json"]));
        let calls = books.provider.count();
        books.provider.wait_for(calls + 1 + (next(random) % 8) as usize, Duration::from_secs(20));
        let second = if next(random).is_multiple_of(2) { End::Kill } else { End::Term };
        // It may have come to its cap by itself.
        if running.ends_within(Duration::ZERO) {
            drop(running.end());
        } else {
            books.end(running, second);
        }
        books.check(&format!("{what}, ended again by {second:?}"));
    }
    // What the next engine books is what was read before.
    let before = books.check(&what);
    books.bench.muster(&["cancel", "last"]);
    books.bench.muster(&["resume", "last", "--json"]);
    let booked = books.check(&format!("{what}, over"));
    assert!(booked >= before, "{what}: {before} was booked, then {booked}");
    let readings = Readings::open(&books.bench.home()).unwrap();
    let calls = readings.calls(&readings.find("last").unwrap()).unwrap();
    let rows: u64 = calls.iter().filter_map(|call| call.call.cost_micros).sum();
    assert_eq!(rows, booked, "{what}");
    let estimated = calls.iter().filter(|call| call.call.cost_source == "estimated");
    [books.paid(), booked, estimated.filter_map(|call| call.call.cost_micros).sum()]
}

#[test]
fn the_cap_holds_however_the_engine_ends() {
    let runs = evidence::number("MUSTER_END_RUNS", 3);
    let mut random = evidence::number("MUSTER_END_SEED", 0x0dd5_eed5);
    let mut by_end: BTreeMap<End, Vec<[u64; 3]>> = BTreeMap::new();
    for run in 0..runs {
        let end =
            if runs < ENDS.len() as u64 { ENDS[(next(&mut random) % 9) as usize] } else { ENDS[run as usize % 9] };
        let sums = one_run(run + 1, end, &mut random);
        println!("run {}: {end:?}: paid {}, booked {}, of it estimated {}", run + 1, sums[0], sums[1], sums[2]);
        by_end.entry(end).or_default().push(sums);
    }
    let row = |(end, runs): (&End, &Vec<[u64; 3]>)| {
        let most = |part: usize| runs.iter().map(|sums| sums[part]).max().unwrap_or_default().to_string();
        vec![format!("{end:?}"), runs.len().to_string(), most(0), most(1), most(2)]
    };
    let rows: Vec<Vec<String>> = by_end.iter().map(row).collect();
    let columns = ["end", "runs", "most paid, micro-dollars", "most booked", "most of it estimated"];
    let said = format!(
        "{AGENTS} looping agents, calls of 1 to 5 s, a cap of {CAP_MICROS} micro-dollars; each run is ended, taken up and ended again. In every run the \
         provider was paid at most what is booked, and what is booked is within the cap.\n\nMade with `MUSTER_END_RUNS={runs} \
         MUSTER_EVIDENCE=docs/evidence cargo test -p muster --test it ends`."
    );
    evidence::table("ends", "The cap while the engine is ended", &said, &columns, &rows);
}

/// How much of a cap is spent when a person is asked, in percent.
fn usable(agents: usize) -> u64 {
    let books = Books::new(agents, USUAL, |call| Duration::from_millis(20 + 13 * (call as u64 % 7)));
    let view: Value = books.bench.run(&[]).expect(3).json();
    let booked = books.check("at the cap");
    assert_eq!(view["interrupts"][0]["kind"], "budget", "{view}");
    let question = view["interrupts"][0]["question"].as_str().unwrap();
    assert!(question.contains("is spent") && !question.contains("used up"), "{question}");
    println!("{agents} agents: {booked} of {CAP_MICROS} in {} calls; {question}", books.provider.count());
    booked * 100 / CAP_MICROS
}

#[test]
fn most_of_a_cap_is_usable_with_any_number_of_agents() {
    for agents in [1, 2, 6, 12] {
        let share = usable(agents);
        assert!(share >= 85, "{agents} agents could use {share} % of the cap");
    }
}
