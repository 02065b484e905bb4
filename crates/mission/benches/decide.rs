//! How fast the core decides and replays: whole missions of messages, usage, turns and merges, at 10 and at 10,000 tasks, and the replay of a
//! million facts. Prints one line of JSON each; fails when decisions at 10,000 tasks are much slower than at 10, or too slow altogether.
//!
//! `cargo bench -p mission` (or `cargo bench -p mission -- --quick` for a tenth of the work).

#![allow(clippy::expect_used)]

use mission::*;
use std::time::{Duration, Instant};

/// Decisions per second that a release build has to reach on one core.
const DECISIONS_PER_SECOND_MIN: f64 = 200_000.0;
/// How much slower one decision may be in a large mission than in a small one. Trees are deeper and caches colder there; nothing else may grow.
const SLOWER_MAX: f64 = 2.5;
/// Agents of each mission, whatever its size.
const AGENTS: u32 = 8;

fn main() -> std::process::ExitCode {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let whole = if quick { 1_000 } else { 10_000 };
    let small = rate(10, whole / 10);
    let large = rate(whole, 1);
    let replayed = replay(if quick { 100_000 } else { 1_000_000 });
    let ratio = small / large;
    println!("{{\"bench\":\"replay\",\"facts_per_s\":{replayed:.0}}}");
    println!("{{\"bench\":\"ratio\",\"small_to_large\":{ratio:.2}}}");
    let measured = !cfg!(debug_assertions);
    if measured && (small.min(large) < DECISIONS_PER_SECOND_MIN || ratio > SLOWER_MAX) {
        eprintln!(
            "too slow: at least {DECISIONS_PER_SECOND_MIN} decisions per second, at most {SLOWER_MAX} times slower when large"
        );
        return std::process::ExitCode::FAILURE;
    }
    std::process::ExitCode::SUCCESS
}

/// Decisions per second over so many missions of so many tasks; opening and planning do not count.
fn rate(tasks: u32, missions: u32) -> f64 {
    let (mut decisions, mut facts, mut time) = (0, 0, Duration::ZERO);
    for _ in 0..missions {
        let mut run = Run::begin(tasks);
        let begun = Instant::now();
        run.finish();
        time += begun.elapsed();
        decisions += run.decisions;
        facts += run.facts;
    }
    let rate = decisions as f64 / time.as_secs_f64();
    let nanos = time.as_nanos() as u64 / decisions.max(1);
    println!(
        "{{\"bench\":\"decide\",\"tasks\":{tasks},\"decisions\":{decisions},\"facts\":{facts},\"per_s\":{rate:.0},\"ns\":{nanos}}}"
    );
    rate
}

/// Facts per second of a replay of at least so many, of one mission.
fn replay(count: u64) -> f64 {
    let mut run = Run::begin(10_000);
    (run.keep, run.calls_each) = (true, 100);
    while (run.journal.len() as u64) < count && run.one_turn() {}
    let begun = Instant::now();
    let mission = Mission::replay(&run.journal);
    let time = begun.elapsed();
    assert!(mission == run.mission, "the replay is not the state");
    println!("{{\"bench\":\"replay\",\"facts\":{},\"ms\":{}}}", run.journal.len(), time.as_millis());
    run.journal.len() as f64 / time.as_secs_f64()
}

/// One mission with hands that do at once what is asked.
struct Run {
    mission: Mission,
    now: At,
    effects: std::collections::VecDeque<Effect>,
    decisions: u64,
    facts: u64,
    calls: u64,
    /// Model calls in each turn.
    calls_each: u32,
    keep: bool,
    journal: Vec<Fact>,
}

impl Run {
    fn begin(tasks: u32) -> Run {
        let mut run = Run {
            mission: Mission::default(),
            now: At(0),
            effects: Default::default(),
            decisions: 0,
            facts: 0,
            calls: 0,
            calls_each: 10,
            keep: true,
            journal: Vec::new(),
        };
        run.tell(Input::Open(Box::new(Opening {
            goal: "much".into(),
            repository: "/r".into(),
            base: "base".into(),
            branch: "muster/m".into(),
            budget: Some(Micros(tasks_cost(tasks))),
            limits: Limits::default(),
            settings: String::new(),
        })));
        run.tell(Input::ProposePlan(Box::new(plan(tasks))));
        (run.decisions, run.facts, run.keep) = (0, 0, false);
        run
    }

    fn tell(&mut self, input: Input) {
        self.now = self.now.after(1);
        let facts = self.mission.decide(self.now, input).expect("the bench tells only what fits");
        self.decisions += 1;
        self.facts += facts.len() as u64;
        for id in facts.iter().filter_map(Fact::effect) {
            self.effects.extend(self.mission.effect(id));
        }
        if self.keep {
            self.journal.extend(facts);
        }
    }

    fn finish(&mut self) {
        while self.one_turn() {}
        assert!(self.mission.standing() == Standing::Closed, "the bench ends its missions");
    }

    /// Carries out the oldest effect; no when there is none.
    fn one_turn(&mut self) -> bool {
        let Some(Effect { id: effect, kind }) = self.effects.pop_front() else { return false };
        match kind {
            EffectKind::PrepareRepository { base, .. } => {
                self.tell(Input::RepositoryPrepared { effect, head: base, tried: Vec::new(), problem: None })
            }
            EffectKind::StartAgent { .. } => self.tell(Input::AgentReady { effect }),
            EffectKind::RunTurn { agent, attempt, .. } => self.turn(effect, agent, attempt),
            EffectKind::CancelTurn { .. } => {}
            EffectKind::StopAgent { .. } => self.tell(Input::AgentStopped { effect }),
            EffectKind::VerifyChange { change, .. } => {
                let verdict = Verdict::Passed { commit: format!("{change:040}"), checks: vec![] };
                self.tell(Input::ChangeChecked { effect, verdict });
            }
            EffectKind::MergeChange { .. } => self.tell(Input::ChangeMerged { effect }),
            EffectKind::Publish { .. } => self.tell(Input::ResultPublished { effect }),
        }
        true
    }

    /// A turn as agents have them: model calls with leases, a message to everybody, a reading, a checkpoint, a claim.
    fn turn(&mut self, effect: EffectId, agent: AgentId, attempt: AttemptId) {
        for _ in 0..self.calls_each {
            let usage = Usage {
                input_tokens: 900,
                cached_tokens: 500,
                output_tokens: 90,
                cost: Some(Micros(100)),
                ..Usage::default()
            };
            if self.mission.lease_left(attempt).is_some_and(|left| left < Micros(100)) {
                self.tell(Input::LeaseAsked { attempt, micros: Micros(100), least: Micros(100), waits: false });
            }
            self.tell(Input::UsageSettled { attempt, usage });
        }
        let to = AgentId((agent.0 + 1) % AGENTS);
        if self.mission.unread(to) < limits::INBOX_MAX {
            let key = self.key();
            self.tell(Input::MessageSent { from: agent, key, to: To::Agent(to), body: "Done with that one.".into() });
        }
        let key = self.key();
        self.tell(Input::MessagesRead { agent, key, count: 100 });
        let key = self.key();
        self.tell(Input::CheckpointTaken { agent, key, commit: "kept".into() });
        let key = self.key();
        self.tell(Input::ResultSubmitted { agent, key, summary: "It works.".into() });
        let work =
            Work::Changed { commit: format!("{effect:040}"), paths: 1, outside: vec![], left_out: Default::default() };
        self.tell(Input::TurnEnded { effect, stop: Stop::Done, work, said: None, problem: None });
    }

    fn key(&mut self) -> String {
        self.calls += 1;
        format!("call_{}", self.calls)
    }
}

/// More than the turns cost; one lease is a small part of it.
fn tasks_cost(tasks: u32) -> u64 {
    u64::from(tasks) * 20_000
}

/// Every task but the first ones needs one of those before it.
fn plan(tasks: u32) -> Plan {
    let task = |n: u32| TaskSpec {
        name: format!("task{n}"),
        title: format!("Task {n}"),
        role: RoleId(0),
        instructions: "Do it.".into(),
        depends_on: n.checked_sub(AGENTS).map(TaskId).into_iter().collect(),
        writes: Writes::Anything,
        checks: vec![Check { run: "true".into(), timeout_ms: 1_000 }],
        may_change_nothing: false,
        attempts_max: 1,
        budget: None,
        dispatch: mission::Dispatch::default(),
    };
    let roles = vec![Role { name: "builder".into(), count: AGENTS, ..Role::default() }];
    Plan { roles, tasks: (0..tasks).map(task).collect(), ..Plan::default() }
}
