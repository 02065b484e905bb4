//! The world as it truly is, apart from what the core believes: processes, turns, the mission branch, the provider's bills.
//!
//! The hands carry out effects here, at random speed and with faults, and tell what happened. Everything that an engine holds in memory dies with
//! it ([`World::crash`]); session logs, branches and bills do not.

use crate::{
    agent::{Part, Script},
    hands::Aside,
    rng::Rng,
    rules::{Rule, Violation, broken},
    scenario::Scenario,
};
use mission::{
    AgentId, AttemptId, ChangeId, CheckRun, Effect, EffectFailure, EffectId, EffectKind, Input, InterruptId, MessageId,
    Plan, Stop, Verdict,
};
use std::collections::{BTreeMap, BTreeSet};

/// A bug planted on purpose, to see that the rules catch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// The driver carries out effects before their facts are durable.
    EffectsBeforeAppend,
    /// The same, with nobody watching the driver's order: only what becomes of the world shows it.
    EffectsBeforeAppendUnwatched,
    /// The hand that moves the mission branch moves it twice.
    MergesTwice,
}

/// Something told to the mission, and who waits for the outcome.
#[derive(Clone, Debug)]
pub struct Tell {
    /// What is told.
    pub input: Input,
    /// Who waits.
    pub origin: Origin,
}

/// Who waits for the outcome of something told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody; it is told again when the disk was full.
    Report,
    /// An agent, at a step of its turn.
    Step {
        /// Which agent.
        agent: AgentId,
        /// Its turn's effect.
        turn: EffectId,
        /// The call's key.
        key: String,
    },
    /// The gateway, for a call that an agent wants to make.
    Lease {
        /// Which agent.
        agent: AgentId,
        /// Its turn's effect.
        turn: EffectId,
    },
    /// The gateway, with a bill that it tells until it is taken; the agent gets the end of its answer only then. Late ones keep nobody waiting.
    Bill(Option<(AgentId, EffectId)>),
    /// Nobody, and it is not told again.
    Once,
    /// Nobody: it is a call of this attempt that comes a second time, at the latest into the agent's next attempt.
    Again(AgentId, AttemptId),
}

/// Something that happens in the world at its time.
#[derive(Clone, Debug)]
pub enum Event {
    /// The hands tell something.
    Tell(Tell),
    /// An agent takes the next step of its turn.
    Step(AgentId, EffectId),
    /// An agent's process has come up, or not.
    Started(AgentId, EffectId),
    /// An agent's process ends by itself.
    Die(AgentId),
    /// A turn ends, if it is still on.
    TurnOver(AgentId, EffectId, Stop),
    /// An agent's process has been ended.
    Stopped(AgentId, EffectId),
    /// The mission branch moves.
    Move(EffectId, ChangeId, String, String),
    /// The result is put into the user's repository.
    Publish(EffectId, String),
    /// The gateway gives back what an attempt does not need of its lease.
    GiveBack(AttemptId),
}

/// An agent's process and what it does.
#[derive(Clone, Debug, Default)]
pub struct Body {
    /// Whether the process is there.
    pub alive: bool,
    /// The effect that is starting it.
    pub starting: Option<EffectId>,
    /// The effect that is stopping it; until that is answered no other process may take its place.
    pub stopping: Option<EffectId>,
    /// The turn that is on.
    pub turn: Option<Turn>,
}

/// A turn that is on.
#[derive(Clone, Debug)]
pub struct Turn {
    /// Its effect.
    pub effect: EffectId,
    /// Which attempt.
    pub attempt: AttemptId,
    /// Its number.
    pub number: u32,
}

/// An agent's session log of one turn.
#[derive(Clone, Debug)]
pub struct Log {
    /// What it does.
    pub script: Script,
    /// How many steps are acknowledged.
    pub done: usize,
}

/// The provider's books.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bills {
    /// What was paid for, in micro-dollars.
    pub paid: u64,
    /// Calls made.
    pub calls: u64,
    /// By how much calls that an engine died over were booked too high, in micro-dollars.
    pub over: u64,
}

/// The world as it truly is.
pub struct World {
    pub(crate) rng: Rng,
    pub(crate) now: u64,
    order: u64,
    pub(crate) events: BTreeMap<(u64, u64), Event>,
    pub(crate) scenario: Scenario,
    pub(crate) calm: bool,
    pub(crate) plant: Option<Plant>,
    /// Agents' processes.
    pub bodies: BTreeMap<AgentId, Body>,
    /// Session logs.
    pub logs: BTreeMap<(AttemptId, u32), Log>,
    /// What calls that are on have set aside, as the gateway holds it, and durably so: it outlives an engine.
    pub(crate) aside: Vec<Aside>,
    /// Every effect ever asked for, as it was first asked.
    pub asked: BTreeMap<EffectId, Effect>,
    /// The head of the mission branch.
    pub head: Option<String>,
    /// The changes that the branch has taken, in order, with the head that each made.
    pub moves: Vec<(ChangeId, String)>,
    /// What the user's repository got.
    pub published: Option<String>,
    /// The provider's books.
    pub bills: Bills,
    /// Which call each agent received each message with.
    pub received: BTreeMap<(AgentId, MessageId), String>,
    /// What went wrong in the world itself; found at the next check.
    pub broken: Option<Violation>,
    /// Who waits for permission.
    pub(crate) permits: BTreeMap<InterruptId, (AgentId, EffectId)>,
    /// Attempts whose lease is being given back.
    pub(crate) returning: BTreeSet<AttemptId>,
    /// At which steps of which turns more money was asked for.
    pub(crate) asked_for: BTreeSet<(EffectId, usize)>,
}

impl World {
    /// A world before anything happened.
    pub fn new(seed: u64, scenario: Scenario, plant: Option<Plant>) -> World {
        World {
            rng: Rng::of(seed, 2),
            now: 1_000_000,
            order: 0,
            events: BTreeMap::new(),
            scenario,
            calm: false,
            plant,
            bodies: BTreeMap::new(),
            aside: Vec::new(),
            logs: BTreeMap::new(),
            asked: BTreeMap::new(),
            head: None,
            moves: Vec::new(),
            published: None,
            bills: Bills::default(),
            received: BTreeMap::new(),
            broken: None,
            permits: BTreeMap::new(),
            returning: BTreeSet::new(),
            asked_for: BTreeSet::new(),
        }
    }

    pub(crate) fn strikes(&mut self, rate: u64) -> bool {
        !self.calm && self.rng.chance(rate)
    }

    pub(crate) fn soon(&mut self, event: Event) {
        let slow = self.rng.chance(50);
        let delay = if slow { self.rng.range(500, 20_000) } else { self.rng.range(0, 400) };
        self.events.insert((self.now + delay, self.order), event);
        self.order += 1;
    }

    /// A repeated call comes close behind the first, if perhaps into the agent's next attempt.
    pub(crate) fn shortly(&mut self, event: Event) {
        let delay = self.rng.range(0, 100);
        self.events.insert((self.now + delay, self.order), event);
        self.order += 1;
    }

    /// The answer to an effect; now and then it comes twice.
    pub(crate) fn report(&mut self, input: Input) {
        if self.strikes(self.scenario.faults.twice) {
            self.soon(Event::Tell(Tell { input: input.clone(), origin: Origin::Report }));
        }
        self.soon(Event::Tell(Tell { input, origin: Origin::Report }));
    }

    /// When the next thing happens.
    pub fn next_event(&self) -> Option<u64> {
        self.events.first_key_value().map(|((at, _), _)| *at)
    }

    /// The engine is killed: whatever it had in memory is gone, and every sandbox with it.
    pub fn crash(&mut self) {
        self.events.clear();
        self.bodies.clear();
        self.aside.iter_mut().for_each(Aside::unseen);
        self.permits.clear();
        self.returning.clear();
        self.now += self.rng.range(1, 5_000);
    }

    /// Carries out an effect. It must have been asked for in the same words whenever it was asked for before.
    pub fn start(&mut self, effect: Effect) {
        if let Some(before) = self.asked.get(&effect.id)
            && *before != effect
        {
            self.broken = Some(broken(Rule::SameEffectSameWords, format!("{before:?} became {effect:?}")));
        }
        self.asked.insert(effect.id, effect.clone());
        let id = effect.id;
        match effect.kind {
            EffectKind::PrepareRepository { base, .. } => self.prepare(id, base),
            EffectKind::StartAgent { agent } => self.start_agent(id, agent),
            EffectKind::RunTurn { .. } => self.run_turn(effect),
            EffectKind::CancelTurn { agent, turn } => self.cancel_turn(id, agent, turn),
            EffectKind::StopAgent { agent } => {
                self.bodies.entry(agent).or_default().stopping = Some(id);
                self.soon(Event::Stopped(agent, id));
                // Whoever watches the process may see its end before whoever stops it says so.
                if self.strikes(300) {
                    self.soon(Event::Die(agent));
                }
            }
            EffectKind::VerifyChange { commit, onto, at_ms, checks, .. } => {
                self.verify(id, &commit, &onto, at_ms, checks)
            }
            EffectKind::MergeChange { change, from, to } => self.merge(id, change, from, to),
            EffectKind::Publish { commit, .. } => self.publish(id, commit),
        }
    }

    /// Whether an effect fails this time; then that is told.
    fn fails(&mut self, effect: EffectId) -> bool {
        self.fails_unless_fatal(effect, true)
    }

    fn fails_unless_fatal(&mut self, effect: EffectId, may_be_fatal: bool) -> bool {
        let faults = self.scenario.faults.clone();
        if !self.strikes(faults.effect_fails) {
            return false;
        }
        let failure = match (self.rng.chance(faults.no_space), self.rng.chance(faults.fatal) && may_be_fatal) {
            (true, _) => EffectFailure::NoSpace,
            (false, true) => EffectFailure::Fatal,
            (false, false) => EffectFailure::Transient,
        };
        self.report(Input::EffectFailed { effect, failure, error: "as the seed wants it".into(), problem: None });
        true
    }

    fn prepare(&mut self, effect: EffectId, base: String) {
        if !self.fails(effect) {
            self.head.get_or_insert_with(|| base.clone());
            // In some seeds a check cannot start.
            let problem = self.scenario.plan.tasks.len().is_multiple_of(5).then(crate::hands::lasting);
            self.report(Input::RepositoryPrepared { effect, head: base, tried: Vec::new(), problem });
        }
    }

    fn start_agent(&mut self, effect: EffectId, agent: AgentId) {
        let body = self.bodies.entry(agent).or_default();
        if body.alive || body.starting.is_some() || body.stopping.is_some() {
            self.broken =
                Some(broken(Rule::OneProcessPerAgent, format!("{agent} is started by {effect} while it is there")));
        }
        body.starting = Some(effect);
        self.soon(Event::Started(agent, effect));
    }

    fn run_turn(&mut self, effect: Effect) {
        let id = effect.id;
        let EffectKind::RunTurn { agent, attempt, task, turn, claimed, base, session, .. } = effect.kind else {
            return;
        };
        let body = self.bodies.entry(agent).or_default();
        if let Some(on) = &body.turn {
            let detail = format!("{agent} is given {id} while {} is on", on.effect);
            self.broken = Some(broken(Rule::OneTurnPerAgent, detail));
        }
        if !body.alive || self.fails(id) {
            return; // A process that is gone has told so itself.
        }
        let Some(spec) = self.scenario.plan.tasks.get(task.0 as usize) else { return };
        let part = Part {
            task: spec,
            attempt,
            turn,
            base: &base,
            scratch: self.scenario.scratch.get(role_of(&self.scenario.plan, agent)).copied().unwrap_or_default(),
            agents: self.scenario.plan.agents().count() as u64,
            roles: self.scenario.plan.roles.len() as u64,
        };
        let script = match self.calm {
            true => Script::good(&part),
            false => Script::draw(&mut self.rng, &self.scenario.faults, &part),
        };
        let log = self.logs.entry((attempt, turn)).or_insert(Log { script: script.clone(), done: 0 });
        if self.calm {
            *log = Log { script, done: 0 };
        }
        self.bodies.entry(agent).or_default().turn = Some(Turn { effect: id, attempt, number: turn });
        if session.is_none() {
            let session = format!("session-{attempt}");
            self.report(Input::SessionOpened { attempt, session });
        }
        // What is claimed is only to be taken.
        self.soon(if claimed { Event::TurnOver(agent, id, Stop::Done) } else { Event::Step(agent, id) });
    }

    fn cancel_turn(&mut self, effect: EffectId, agent: AgentId, turn: EffectId) {
        if self.fails(effect) {
            return;
        }
        let deaf = self
            .log_of(agent, turn)
            .is_some_and(|log| matches!(log.script.steps.get(log.done), Some(crate::agent::Step::Hang { deaf: true })));
        if !deaf || self.calm {
            let done = self.strikes(300);
            self.soon(Event::TurnOver(agent, turn, if done { Stop::Done } else { Stop::Cancelled }));
        }
    }

    /// The session log of a turn, while the turn is on.
    pub fn log_of(&self, agent: AgentId, turn: EffectId) -> Option<&Log> {
        let on = self.bodies.get(&agent)?.turn.as_ref().filter(|on| on.effect == turn)?;
        self.logs.get(&(on.attempt, on.number))
    }

    fn verify(&mut self, effect: EffectId, commit: &str, onto: &str, at_ms: u64, checks: Vec<mission::Check>) {
        if self.head.as_deref() != Some(onto) {
            self.broken =
                Some(broken(Rule::LinearMerges, format!("{effect} verifies on {onto}, the head is {:?}", self.head)));
        }
        if self.fails(effect) {
            return;
        }
        let faults = self.scenario.faults.clone();
        let runs = |passed: bool| {
            checks
                .iter()
                .map(|check| CheckRun {
                    run: check.run.clone(),
                    passed,
                    ended: "exit".into(),
                    output: String::new(),
                    ms: 1,
                })
                .collect()
        };
        let nothing = !commit.starts_with("work-");
        let verdict = if self.strikes(faults.conflicts) {
            Verdict::Conflict { hunks: "<<<<".into() }
        } else if self.strikes(faults.check_fails) {
            Verdict::Failed { checks: runs(false) }
        } else if self.strikes(faults.rejected / 4) {
            Verdict::Rejected { why: "a repository of its own".into() }
        } else if nothing {
            return self.report(Input::ChangeChecked {
                effect,
                verdict: Verdict::Passed { commit: onto.to_owned(), checks: runs(true) },
            });
        } else {
            Verdict::Passed { commit: format!("merge({onto},{commit},{at_ms})"), checks: runs(true) }
        };
        self.report(Input::ChangeChecked { effect, verdict: shorten(verdict) });
    }

    fn merge(&mut self, effect: EffectId, change: ChangeId, from: String, to: String) {
        // A hand says that a move will never work only when it has seen that the branch has not moved.
        let moved = self.head.as_deref() == Some(to.as_str());
        if !self.fails_unless_fatal(effect, !moved) {
            self.soon(Event::Move(effect, change, from, to));
        }
    }

    fn publish(&mut self, effect: EffectId, commit: String) {
        if !self.fails(effect) {
            self.soon(Event::Publish(effect, commit));
        }
    }
}

/// The position of an agent's role.
fn role_of(plan: &Plan, agent: AgentId) -> usize {
    plan.agents().find(|(known, ..)| *known == agent).map_or(usize::MAX, |(_, role, _)| role.0 as usize)
}

/// Commit names of a fixed length, as git's are.
fn shorten(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Passed { commit, checks } => {
            let digest = commit.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |digest, byte| {
                (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
            Verdict::Passed { commit: format!("{digest:016x}"), checks }
        }
        verdict => verdict,
    }
}
