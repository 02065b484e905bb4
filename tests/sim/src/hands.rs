//! What happens in the world when its time comes, and how agents and the gateway take the answers to what they told.

use crate::{
    agent::Step,
    rules::{Rule, broken},
    world::{Event, Origin, Plant, Tell, World},
};
use mission::{
    About, AgentId, AllowanceId, At, AttemptId, Cause, ChangeId, EffectId, Fact, Input, InterruptId, Measure, Micros,
    Mission, Problem, Refusal, Rejected, Stop, Usage,
};

impl World {
    /// Lets one thing happen; returns what is told to the mission at once. `mission` is the state as the gateway may read it.
    pub fn happen(&mut self, event: Event, mission: &Mission) -> Vec<Tell> {
        match event {
            Event::Tell(tell) => vec![tell],
            Event::Step(agent, turn) => self.step(agent, turn, mission).into_iter().collect(),
            Event::Started(agent, effect) => self.agent_started(agent, effect).into_iter().collect(),
            Event::Die(agent) => self.die(agent).into_iter().collect(),
            Event::TurnOver(agent, turn, stop) => self.turn_over(agent, turn, stop).into_iter().collect(),
            Event::Stopped(agent, effect) => self.agent_stopped(agent, effect),
            Event::Move(effect, change, from, to) => self.move_branch(effect, change, &from, to),
            Event::GiveBack(attempt) => self.give_back(attempt, mission).into_iter().collect(),
            Event::Publish(effect, commit) => {
                self.published = Some(commit);
                self.report(Input::ResultPublished { effect });
                vec![]
            }
        }
    }

    fn agent_started(&mut self, agent: AgentId, effect: EffectId) -> Option<Tell> {
        let (dies, fails) = (self.strikes(self.scenario.faults.dies), self.strikes(self.scenario.faults.effect_fails));
        let faults = self.scenario.faults.clone();
        let body = self.bodies.entry(agent).or_default();
        if body.starting != Some(effect) {
            return None; // It was stopped before it was up.
        }
        body.starting = None;
        if dies {
            return Some(reported(Input::AgentLost {
                agent,
                reason: "died at birth".into(),
                problem: None,
                outside: false,
            }));
        }
        if fails {
            let failure = match (self.rng.chance(faults.no_space), self.rng.chance(faults.fatal)) {
                (true, _) => mission::EffectFailure::NoSpace,
                (false, true) => mission::EffectFailure::Fatal,
                (false, false) => mission::EffectFailure::Transient,
            };
            let problem = (failure == mission::EffectFailure::Fatal).then(lasting);
            return Some(reported(Input::EffectFailed { effect, failure, error: "no start".into(), problem }));
        }
        body.alive = true;
        if self.strikes(faults.dies / 3) {
            self.soon(Event::Die(agent));
        }
        Some(reported(Input::AgentReady { effect }))
    }

    fn die(&mut self, agent: AgentId) -> Option<Tell> {
        let body = self.bodies.get_mut(&agent).filter(|body| body.alive)?;
        body.alive = false;
        body.turn = None;
        let outside = self.strikes(200);
        Some(reported(Input::AgentLost { agent, reason: "died".into(), problem: None, outside }))
    }

    fn agent_stopped(&mut self, agent: AgentId, effect: EffectId) -> Vec<Tell> {
        self.bodies.remove(&agent);
        let failed = self.strikes(self.scenario.faults.effect_fails);
        vec![reported(match failed {
            true => Input::EffectFailed {
                effect,
                failure: mission::EffectFailure::Transient,
                error: "its work could not be kept".into(),
                problem: None,
            },
            false => Input::AgentStopped { effect },
        })]
    }

    fn turn_over(&mut self, agent: AgentId, effect: EffectId, stop: Stop) -> Option<Tell> {
        let work = self.log_of(agent, effect)?.script.work.clone();
        self.bodies.get_mut(&agent)?.turn = None;
        let problem = match stop {
            Stop::ModelError if !effect.0.is_multiple_of(4) => Some(lasting()),
            Stop::ModelError => Some(Box::new(Problem::passing(Cause::Said("the model failed".into())))),
            _ => None,
        };
        let ended = reported(Input::TurnEnded { effect, stop, work, said: None, problem });
        if self.strikes(self.scenario.faults.twice) {
            self.soon(Event::Tell(ended.clone()));
        }
        Some(ended)
    }

    fn move_branch(&mut self, effect: EffectId, change: ChangeId, from: &str, to: String) -> Vec<Tell> {
        if self.head.as_deref() == Some(from) && self.moves.last().is_none_or(|last| last.0 != change) {
            self.head = Some(to.clone());
            self.moves.push((change, to.clone()));
            if self.plant == Some(Plant::MergesTwice) {
                self.head = Some(format!("{to}-again"));
                self.moves.push((change, format!("{to}-again")));
            }
        } else if self.head.as_deref() != Some(to.as_str()) {
            let detail = format!("{effect} moves {from} to {to}, the head is {:?}", self.head);
            self.broken = Some(broken(Rule::LinearMerges, detail));
        }
        self.report(Input::ChangeMerged { effect });
        vec![]
    }

    fn step(&mut self, agent: AgentId, effect: EffectId, mission: &Mission) -> Option<Tell> {
        let log = self.log_of(agent, effect)?.clone();
        let on = self.bodies.get(&agent)?.turn.clone()?;
        let key = format!("{}-{}-{}", on.attempt, on.number, log.done);
        let Some(step) = log.script.steps.get(log.done) else { return self.turn_over(agent, effect, log.script.stop) };
        let input = match step.clone() {
            Step::Send(to) => Input::MessageSent { from: agent, key: key.clone(), to, body: format!("from {key}") },
            Step::Read(count) => Input::MessagesRead { agent, key: key.clone(), count },
            Step::Checkpoint => Input::CheckpointTaken { agent, key: key.clone(), commit: "kept".into() },
            Step::Ask(default) => {
                let default = default.then(|| "my default".to_owned());
                Input::InterruptAsked { agent, key: key.clone(), question: "What now?".into(), default }
            }
            Step::Permit => Input::PermissionAsked { agent, key: key.clone(), request: format!("to do {}", log.done) },
            Step::Reach(port) => Input::EgressRefused { agent, refusal: refusal(port) },
            Step::Limited(ms) => Input::RateLimited { attempt: on.attempt, until: At(self.now + ms) },
            Step::Submit => Input::ResultSubmitted { agent, key: key.clone(), summary: format!("done {key}") },
            Step::Die => {
                self.step_done(agent, effect);
                return self.die(agent);
            }
            Step::Hang { .. } => return None,
            Step::Call { worst, cost } => return self.call(agent, effect, worst, cost, mission),
        };
        let again = self.strikes(self.scenario.faults.repeats);
        let tell = Tell { input, origin: Origin::Step { agent, turn: effect, key } };
        if again {
            self.shortly(Event::Tell(Tell { origin: Origin::Again(agent, on.attempt), ..tell.clone() }));
        }
        Some(tell)
    }

    /// The gateway: set aside first, then call, then settle.
    fn call(
        &mut self,
        agent: AgentId,
        turn: EffectId,
        worst: u64,
        cost: Option<u64>,
        mission: &Mission,
    ) -> Option<Tell> {
        let attempt = self.bodies.get(&agent)?.turn.as_ref()?.attempt;
        let aside = match self.within_allowances(attempt, worst, mission) {
            Fits::Yes(aside) => aside,
            Fits::Later => {
                self.soon(Event::Step(agent, turn));
                return None;
            }
            Fits::No(allowance) => {
                let input = Input::AllowanceShort { attempt, allowance };
                return Some(Tell { input, origin: Origin::Lease { agent, turn } });
            }
        };
        let left = mission.lease_left(attempt).map_or(u64::MAX, |left| left.0.saturating_sub(self.held(attempt)));
        let asks = left < worst || (left == u64::MAX && self.strikes(100));
        if asks {
            let micros = Micros(if left < worst { worst - left } else { worst });
            // Nobody is asked while calls are on that may give something back.
            let waits = !self.aside.is_empty();
            let input = Input::LeaseAsked { attempt, micros, least: micros, waits };
            let place = (turn, self.log_of(agent, turn)?.done);
            if self.asked_for.insert(place) {
                return Some(Tell { input, origin: Origin::Lease { agent, turn } });
            }
            if left < worst {
                return self.turn_over(agent, turn, Stop::Budget);
            }
        }
        self.bills.paid += cost.unwrap_or(0);
        self.bills.calls += 1;
        let usage =
            Usage { input_tokens: 10, cached_tokens: 5, output_tokens: 2, cost: cost.map(Micros), ..Usage::default() };
        self.aside.push(Aside { attempt, usage, worst, of: aside, unseen: false });
        let input = Input::UsageSettled { attempt, usage };
        if self.strikes(self.scenario.faults.late_bill) {
            self.step_done(agent, turn);
            self.soon(Event::Step(agent, turn));
            self.soon(Event::Tell(Tell { input, origin: Origin::Bill(None) }));
            return None;
        }
        Some(Tell { input, origin: Origin::Bill(Some((agent, turn))) })
    }

    /// What a call sets aside of each allowance that covers it; what is set aside for calls that are on is no longer there.
    fn within_allowances(&self, attempt: AttemptId, worst: u64, mission: &Mission) -> Fits {
        let mut of = Vec::new();
        for room in mission.room(At(self.now), attempt) {
            let needed = match room.measure {
                Measure::Cost => worst,
                Measure::Tokens => TOKENS_OF_A_CALL,
                Measure::Calls | Measure::Time => 1,
            };
            let mine = self.aside.iter().flat_map(|aside| &aside.of).filter(|(id, _)| *id == room.allowance);
            let held: u64 = mine.map(|(_, amount)| *amount).sum();
            match (room.left < held + needed, held) {
                (false, _) => of.push((room.allowance, needed)),
                (true, 0) => return Fits::No(room.allowance),
                (true, _) => return Fits::Later,
            }
        }
        Fits::Yes(of)
    }

    /// What is set aside for the calls of an attempt.
    fn held(&self, attempt: AttemptId) -> u64 {
        self.aside.iter().filter(|aside| aside.attempt == attempt).map(|aside| aside.worst).sum()
    }

    /// The books have a call: what was set aside for it is free, in the same transaction.
    pub fn booked(&mut self, tell: &Tell) {
        let Input::UsageSettled { attempt, usage } = &tell.input else { return };
        let is_it = |aside: &Aside| match usage.estimated {
            true => aside.unseen && (aside.attempt, aside.at_worst()) == (*attempt, *usage),
            false => !aside.unseen && (aside.attempt, aside.usage) == (*attempt, *usage),
        };
        if let Some(place) = self.aside.iter().position(is_it) {
            let aside = self.aside.remove(place);
            let cost = |usage: Usage| usage.cost.unwrap_or_default().0;
            self.bills.over += cost(*usage).saturating_sub(cost(aside.usage));
        }
    }

    /// Calls whose bill nobody will see, because their engine is gone: the first of them, as it is booked.
    pub fn unseen(&self) -> Option<Input> {
        let aside = self.aside.iter().find(|aside| aside.unseen)?;
        Some(Input::UsageSettled { attempt: aside.attempt, usage: aside.at_worst() })
    }

    /// Attempts that are over and have no call on: what is left of their leases goes back.
    pub fn leases_over(&mut self, mission: &Mission) -> Vec<Tell> {
        let over = mission.lingering_leases().filter(|(attempt, _)| self.held(*attempt) == 0).map(|(id, _)| id);
        let over: Vec<AttemptId> = over.filter(|attempt| !self.returning.contains(attempt)).collect();
        self.returning.extend(over.iter().copied());
        let all = Micros(u64::MAX);
        let tell = |attempt| Tell { input: Input::LeaseReturned { attempt, micros: all }, origin: Origin::Once };
        over.into_iter().map(tell).collect()
    }

    /// Of an attempt that is on: what no call of it needs.
    fn give_back(&mut self, attempt: AttemptId, mission: &Mission) -> Option<Tell> {
        let micros = mission.lease_left(attempt)?.less(Micros(self.held(attempt)));
        Some(Tell { input: Input::LeaseReturned { attempt, micros }, origin: Origin::Once })
    }

    fn step_done(&mut self, agent: AgentId, turn: EffectId) {
        let Some(on) = self.bodies.get(&agent).and_then(|body| body.turn.clone()) else { return };
        if let Some(log) = self.logs.get_mut(&(on.attempt, on.number)).filter(|_| on.effect == turn) {
            log.done += 1;
        }
    }

    /// What was told is durable, or refused by the core, and whoever told it learns so.
    pub fn answered(&mut self, tell: &Tell, outcome: &Result<Vec<Fact>, Rejected>, mission: &Mission) {
        self.returned(tell);
        match &tell.origin {
            Origin::Step { agent, turn, key } => {
                if self.log_of(*agent, *turn).is_none() {
                    return; // The agent died over it.
                }
                if matches!(tell.input, Input::MessagesRead { .. })
                    && matches!(outcome, Ok(_) | Err(Rejected::Duplicate))
                {
                    self.take_messages(*agent, key, mission);
                }
                if let Some(interrupt) = waits_for(outcome) {
                    self.permits.insert(interrupt, (*agent, *turn));
                    return;
                }
                self.step_done(*agent, *turn);
                self.soon(Event::Step(*agent, *turn));
            }
            Origin::Lease { agent, turn } if *outcome == Err(Rejected::BudgetHeld) => {
                let place = self.log_of(*agent, *turn).map(|log| (*turn, log.done));
                place.map(|place| self.asked_for.remove(&place));
                let others: Vec<AttemptId> = mission.attempts().map(|(id, _)| id).collect();
                others.into_iter().for_each(|attempt| self.soon(Event::GiveBack(attempt)));
                self.soon(Event::Step(*agent, *turn));
            }
            Origin::Lease { agent, turn } => {
                let granted = outcome.iter().flatten().any(|fact| matches!(fact, Fact::LeaseGranted { .. }));
                let next =
                    if granted { Event::Step(*agent, *turn) } else { Event::TurnOver(*agent, *turn, Stop::Budget) };
                self.soon(next);
            }
            Origin::Bill(None) => {}
            Origin::Bill(Some((agent, turn))) => {
                if self.log_of(*agent, *turn).is_some() {
                    self.step_done(*agent, *turn);
                    self.soon(Event::Step(*agent, *turn));
                }
            }
            Origin::Report | Origin::Once | Origin::Again(..) => {}
        }
    }

    /// A person's answer, or nobody's, reaches the agent that waits for it.
    pub fn told(&mut self, fact: &Fact) {
        let Fact::InterruptAnswered { interrupt, .. } = fact else { return };
        let Some((agent, turn)) = self.permits.remove(interrupt) else { return };
        if self.log_of(agent, turn).is_some() {
            self.step_done(agent, turn);
            self.soon(Event::Step(agent, turn));
        }
    }

    /// The disk was full: nothing was recorded, and whoever told it learns so.
    pub fn not_recorded(&mut self, tell: &Tell) {
        self.returned(tell);
        match &tell.origin {
            Origin::Step { agent, turn, .. } | Origin::Lease { agent, turn } => {
                if let Some(log) = self.log_of(*agent, *turn) {
                    let place = (*turn, log.done);
                    self.asked_for.remove(&place);
                    self.soon(Event::Step(*agent, *turn));
                }
            }
            Origin::Report | Origin::Bill(_) | Origin::Once | Origin::Again(..) => {}
        }
    }

    fn returned(&mut self, tell: &Tell) {
        if let Input::LeaseReturned { attempt, .. } = &tell.input {
            self.returning.remove(attempt);
        }
    }

    fn take_messages(&mut self, agent: AgentId, key: &str, mission: &Mission) {
        for message in mission.read_with(agent, key) {
            let before = self.received.insert((agent, message.id), key.to_owned());
            if before.as_ref().is_some_and(|before| before != key) {
                let detail = format!("{agent} received {} with {key} and before with {before:?}", message.id);
                self.broken = Some(broken(Rule::MessagesOnce, detail));
            }
        }
    }
}

/// The permission that an agent waits for after what it told.
fn waits_for(outcome: &Result<Vec<Fact>, Rejected>) -> Option<InterruptId> {
    let facts = match outcome {
        Err(Rejected::PermissionOpen(open)) => return Some(*open),
        Err(_) => return None,
        Ok(facts) => facts,
    };
    let about = |fact: &Fact| match fact {
        Fact::InterruptRaised { interrupt, about: About::Permission(_), .. } => Some(*interrupt),
        _ => None,
    };
    let raised = facts.iter().find_map(about)?;
    let answered = |fact: &Fact| matches!(fact, Fact::InterruptAnswered { interrupt, .. } if *interrupt == raised);
    (!facts.iter().any(answered)).then_some(raised)
}

/// Whether a call fits what is left of the allowances.
enum Fits {
    /// It sets aside so much of each.
    Yes(Vec<(AllowanceId, u64)>),
    /// It may when the calls that are on are booked.
    Later,
    /// It does not.
    No(AllowanceId),
}

/// What a call that is not booked yet has set aside.
#[derive(Clone, Debug)]
pub struct Aside {
    attempt: AttemptId,
    /// What it turns out to use.
    usage: Usage,
    /// What it can cost at most.
    worst: u64,
    of: Vec<(AllowanceId, u64)>,
    /// Its engine is gone, and its bill with it.
    unseen: bool,
}

impl Aside {
    /// The engine ends.
    pub fn unseen(&mut self) {
        self.unseen = true;
    }

    /// As it is booked when its bill is not seen. Where the price is unknown it stays so.
    fn at_worst(&self) -> Usage {
        let cost = self.usage.cost.map(|cost| cost.max(Micros(self.worst)));
        Usage { cost, estimated: true, ..self.usage }
    }
}

/// Input and output of every call.
const TOKENS_OF_A_CALL: u64 = 12;

fn refusal(port: u16) -> Refusal {
    let (host, reason) = ("host.test".to_owned(), "no rule names it".to_owned());
    Refusal { allow: Some(format!("{host}:{port}")), host, port, reason, times: 1 }
}

/// Something that a repetition does not mend.
pub(crate) fn lasting() -> Box<Problem> {
    let program = Cause::Program { program: "model".into(), words: "is not there".into(), errno: Some(2) };
    Box::new(Problem::lasting(program, "Install it"))
}

fn reported(input: Input) -> Tell {
    Tell { input, origin: Origin::Report }
}
