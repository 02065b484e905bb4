//! The driver: the same loop as the engine's, in virtual time, on a journal that can lose what is not durable and find its disk full.
//!
//! ```text
//! something happens ▶ inputs ▶ decide a few ▶ append ──▶ effects start, whoever told is answered
//!                                              │ dies before or after: replay, EngineStarted, carry out again what is still in flight
//!                                              │ disk full: drop the value, replay, SpaceExhausted, tell again
//! ```

use crate::{
    coverage::Coverage,
    person,
    rng::Rng,
    rules::{self, Rule, Violation, broken},
    scenario::Scenario,
    shadow::Shadow,
    world::{Origin, Plant, Tell, World},
};
use mission::{At, EffectId, Fact, Input, Mission, Rejected, Standing, Status};
use std::collections::{BTreeSet, VecDeque};

/// What one seed's run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was reached.
    pub coverage: Coverage,
    /// Inputs told to the core.
    pub steps: u64,
    /// How many times the engine died.
    pub crashes: u64,
    /// Virtual milliseconds.
    pub virtual_ms: u64,
    /// The journal.
    pub journal: Vec<Fact>,
}

/// One mission against the world.
pub struct Driver {
    rng: Rng,
    world: World,
    mission: Mission,
    journal: Vec<Fact>,
    shadow: Shadow,
    inbox: VecDeque<Tell>,
    coverage: Coverage,
    steps: u64,
    crashes: u64,
    /// Appends that find the disk full before there is room again.
    full: u64,
    space_told: bool,
    trace: bool,
}

/// One input with what was decided, waiting for the append.
struct Decided {
    tell: Tell,
    outcome: Result<Vec<Fact>, Rejected>,
}

impl Driver {
    /// A driver at the beginning of this seed's mission.
    pub fn new(seed: u64, plant: Option<Plant>, trace: bool) -> Driver {
        let scenario = Scenario::of(seed);
        if trace {
            eprintln!("{scenario:#?}");
        }
        Driver {
            rng: Rng::of(seed, 3),
            world: World::new(seed, scenario, plant),
            mission: Mission::default(),
            journal: Vec::new(),
            shadow: Shadow::default(),
            inbox: VecDeque::new(),
            coverage: Coverage::default(),
            steps: 0,
            crashes: 0,
            full: 0,
            space_told: false,
            trace,
        }
    }

    /// Faults first; then none, and the mission must come to its end.
    ///
    /// # Errors
    /// The first rule broken.
    pub fn run(mut self) -> Result<Outcome, Violation> {
        self.take_up()?;
        let chaos = self.world.scenario.chaos_steps;
        let begun = self.steps;
        while self.steps < begun + chaos && self.mission.standing() != Standing::Closed {
            let unattended = self.world.scenario.unattended;
            if !unattended && self.world.strikes(self.world.scenario.faults.person) {
                let whim = person::whim(&mut self.rng, &self.mission);
                self.tell_once(whim);
            }
            if self.world.strikes(self.world.scenario.faults.sickness) {
                let found = person::sickness(&mut self.rng, &self.mission);
                self.tell_once(found);
            }
            if self.world.strikes(self.world.scenario.faults.nonsense) {
                let nonsense = person::nonsense(&mut self.rng, &self.mission);
                self.tell_once(nonsense);
            }
            if !self.step()? && self.idle_is_over()? {
                break;
            }
        }
        self.end_well()?;
        self.after_the_end()?;
        let virtual_ms = self.world.now;
        let Driver { coverage, steps, crashes, journal, .. } = self;
        Ok(Outcome { coverage, steps, crashes, virtual_ms, journal })
    }

    fn tell_once(&mut self, input: Option<Input>) {
        self.inbox.extend(input.map(|input| Tell { input, origin: Origin::Once }));
    }

    /// Nothing is going to happen by itself: a person has to do something, or the mission is stuck.
    fn idle_is_over(&mut self) -> Result<bool, Violation> {
        match self.mission.standing() {
            Standing::Closed => Ok(true),
            Standing::WaitingForPerson => {
                let help = person::helps(&self.mission);
                self.tell_once(help);
                Ok(false)
            }
            Standing::Working => Err(broken(Rule::Ends, "nothing is in flight, no timer runs, and nobody is asked")),
        }
    }

    /// From here on nothing fails, and a person answers; the mission must end within a bounded number of steps.
    fn end_well(&mut self) -> Result<(), Violation> {
        self.world.calm = true;
        self.full = 0;
        let tasks = self.mission.plan().tasks.len().max(self.world.scenario.plan.tasks.len()) as u64;
        let most = self.steps + 2_000 + 400 * tasks;
        let mut rounds = 0;
        while self.mission.standing() != Standing::Closed {
            if self.steps > most {
                return Err(broken(Rule::Ends, format!("{:?} after {} calm steps", self.mission.status(), most)));
            }
            let waits = self.mission.standing() == Standing::WaitingForPerson && self.inbox.is_empty();
            let unattended = self.world.scenario.unattended && self.mission.next_wakeup().is_some();
            if waits && !unattended {
                rounds += 1;
                let help = if rounds > 40 + 8 * tasks { person::gives_up } else { person::helps };
                let help = help(&self.mission);
                self.tell_once(help);
            }
            if !self.step()? && self.idle_is_over()? {
                break;
            }
        }
        Ok(())
    }

    /// One thing happens and is dealt with; no when nothing is to come.
    fn step(&mut self) -> Result<bool, Violation> {
        if self.inbox.is_empty() && !self.something_happens() {
            return Ok(false);
        }
        self.deal_with_inbox()?;
        Ok(true)
    }

    /// The next event of the world or the core's own timer, whichever is due first.
    fn something_happens(&mut self) -> bool {
        let wakeup = self.mission.next_wakeup().map(|at| at.0);
        let event = self.world.next_event();
        match (event, wakeup) {
            (None, None) => false,
            (Some(event), wakeup) if wakeup.is_none_or(|wakeup| event <= wakeup) => {
                self.world.now = self.world.now.max(event);
                if let Some((_, event)) = self.world.events.pop_first() {
                    let tells = self.world.happen(event, &self.mission);
                    self.inbox.extend(tells);
                }
                true
            }
            (_, Some(wakeup)) => {
                self.world.now = self.world.now.max(wakeup);
                self.inbox.push_back(Tell { input: Input::Woke, origin: Origin::Once });
                true
            }
            (Some(_), None) => true,
        }
    }

    fn deal_with_inbox(&mut self) -> Result<(), Violation> {
        let most = if self.world.calm { 1 } else { self.rng.range(1, 3) };
        let mut decided = Vec::new();
        for _ in 0..most {
            let Some(tell) = self.inbox.pop_front() else { break };
            if let Origin::Again(agent, attempt) = tell.origin {
                if !decided.is_empty() {
                    self.inbox.push_front(tell);
                    break;
                }
                if !self.shadow.is_recent(agent, attempt) {
                    continue;
                }
            }
            let outcome = self.decide(&tell)?;
            decided.push(Decided { tell, outcome });
        }
        self.settle(decided)
    }

    fn decide(&mut self, tell: &Tell) -> Result<Result<Vec<Fact>, Rejected>, Violation> {
        self.steps += 1;
        let before = self.mission.clone();
        let now = At(self.world.now);
        let outcome = self.mission.decide(now, tell.input.clone());
        if self.trace {
            eprintln!("{:>9} {:?}\n          ▶ {outcome:?}", self.world.now, tell.input);
        }
        match &outcome {
            Ok(facts) => {
                rules::check_decision(before.status(), facts, &self.mission)?;
                if matches!(tell.input, Input::Woke) {
                    rules::check_wakeup(now, facts, &self.mission)?;
                }
                self.coverage.taken(&tell.input, facts);
            }
            Err(why) => {
                self.coverage.refused(why);
                if before != self.mission {
                    return Err(broken(Rule::RefusalChangesNothing, format!("{:?} refused with {why}", tell.input)));
                }
            }
        }
        Ok(outcome)
    }

    /// Makes durable what was decided; then lets everything follow from it. Or dies, or finds the disk full.
    fn settle(&mut self, decided: Vec<Decided>) -> Result<(), Violation> {
        let faults = self.world.scenario.faults.clone();
        let facts: Vec<Fact> = decided.iter().flat_map(|decided| decided.outcome.iter().flatten()).cloned().collect();
        let early = matches!(self.world.plant, Some(Plant::EffectsBeforeAppend | Plant::EffectsBeforeAppendUnwatched));
        if early {
            self.start_effects(&facts)?;
        }
        if !facts.is_empty() {
            if self.full > 0 || self.world.strikes(faults.disk_full) {
                return self.disk_is_full(decided);
            }
            if self.world.strikes(faults.crash_before) {
                return self.crash();
            }
        }
        self.append(&facts)?;
        decided.iter().filter(|decided| decided.outcome.is_ok()).for_each(|decided| self.world.booked(&decided.tell));
        if self.world.strikes(faults.crash_after) {
            return self.crash();
        }
        if !early {
            self.start_effects(&facts)?;
        }
        for Decided { tell, outcome } in &decided {
            outcome.iter().flatten().for_each(|fact| self.world.told(fact));
            self.world.answered(tell, outcome, &self.mission);
        }
        let over = self.world.leases_over(&self.mission);
        self.inbox.extend(over);
        self.check(&facts)
    }

    fn append(&mut self, facts: &[Fact]) -> Result<(), Violation> {
        self.space_told = false;
        for fact in facts {
            self.coverage.durable(fact);
            self.shadow.take(fact)?;
            self.journal.push(fact.clone());
        }
        Ok(())
    }

    fn start_effects(&mut self, facts: &[Fact]) -> Result<(), Violation> {
        let asked: Vec<EffectId> = facts.iter().filter_map(Fact::effect).collect();
        asked.into_iter().try_for_each(|effect| self.start_effect(effect))
    }

    fn start_effect(&mut self, id: EffectId) -> Result<(), Violation> {
        let Some(effect) = self.mission.effect(id) else { return Ok(()) };
        let watched = self.world.plant != Some(Plant::EffectsBeforeAppendUnwatched);
        if watched && !self.shadow.effects.contains(&id) {
            return Err(broken(Rule::DurableBeforeEffect, format!("{effect:?}")));
        }
        self.coverage.carried_out(&effect.kind);
        self.world.start(effect);
        Ok(())
    }

    fn check(&mut self, facts: &[Fact]) -> Result<(), Violation> {
        rules::check(&self.mission, &self.world, &self.shadow)?;
        if facts.iter().any(|fact| matches!(fact, Fact::Closed { .. })) {
            rules::check_closed(&self.world)?;
        }
        if self.rng.chance(10) { self.check_replay() } else { Ok(()) }
    }

    fn check_replay(&self) -> Result<(), Violation> {
        let replayed = Mission::replay(&self.journal);
        if replayed == self.mission {
            return Ok(());
        }
        Err(broken(Rule::ReplayIsState, format!("live\n{:#?}\nreplayed\n{replayed:#?}", self.mission)))
    }

    /// The value is ahead of the journal: it is dropped and made again. Whoever waits learns it; the rest is told again.
    fn disk_is_full(&mut self, decided: Vec<Decided>) -> Result<(), Violation> {
        self.full = if self.full == 0 { self.rng.range(1, 6) } else { self.full - 1 };
        self.mission = Mission::replay(&self.journal);
        let mut again = VecDeque::new();
        if !self.space_told && self.mission.status() != Status::Empty {
            self.space_told = true;
            again.push_back(Tell { input: Input::SpaceExhausted, origin: Origin::Report });
        }
        for Decided { tell, .. } in decided {
            self.world.not_recorded(&tell);
            if matches!(tell.origin, Origin::Report | Origin::Bill(_)) {
                again.push_back(tell);
            }
        }
        again.append(&mut self.inbox);
        self.inbox = again;
        self.world.now += 2_000;
        Ok(())
    }

    /// The engine is killed, and started again.
    fn crash(&mut self) -> Result<(), Violation> {
        if self.trace {
            eprintln!("{:>9} killed", self.world.now);
        }
        self.crashes += 1;
        self.mission = Mission::replay(&self.journal);
        self.inbox.clear();
        self.world.crash();
        self.take_up()
    }

    /// Tells the core what it does not know: its beginning, or that a new engine has it. A crash in the middle of it begins it again.
    fn take_up(&mut self) -> Result<(), Violation> {
        let crashes = self.crashes;
        // What was on when the last engine ended is booked before anything else happens.
        while let Some(unseen) = self.world.unseen() {
            self.tell_now(unseen)?;
            if crashes != self.crashes {
                return Ok(());
            }
        }
        if self.mission.standing() == Standing::Closed {
            return Ok(());
        }
        if self.mission.opening().is_none() {
            let opening = Box::new(self.world.scenario.opening.clone());
            self.tell_now(Input::Open(opening))?;
        } else {
            let left: BTreeSet<EffectId> = self.mission.in_flight().map(|effect| effect.id).collect();
            self.tell_now(Input::EngineStarted)?;
            if crashes != self.crashes {
                return Ok(());
            }
            let still: Vec<EffectId> = self.mission.in_flight().map(|effect| effect.id).collect();
            still
                .into_iter()
                .filter(|effect| left.contains(effect))
                .try_for_each(|effect| self.start_effect(effect))?;
        }
        if crashes == self.crashes && self.mission.plan().tasks.is_empty() {
            let plan = Box::new(self.world.scenario.plan.clone());
            self.tell_now(Input::ProposePlan(plan))?;
        }
        Ok(())
    }

    /// Tells one input until it is recorded; a crash on the way takes the mission up anew by itself.
    fn tell_now(&mut self, input: Input) -> Result<(), Violation> {
        let tell = Tell { input, origin: Origin::Once };
        let crashes = self.crashes;
        loop {
            let outcome = self.decide(&tell)?;
            let (full, length) = (self.full, self.journal.len());
            self.settle(vec![Decided { tell: tell.clone(), outcome }])?;
            let refused = self.full != full && self.journal.len() == length;
            if !refused || crashes != self.crashes {
                return Ok(());
            }
        }
    }

    /// When it is over: the books are right, the branch is where the journal says, and nothing changes any more.
    fn after_the_end(&mut self) -> Result<(), Violation> {
        while self.step()? {}
        self.check_replay()?;
        rules::check(&self.mission, &self.world, &self.shadow)?;
        rules::check_closed(&self.world)?;
        rules::check_end(&self.mission, &self.world, &self.shadow)?;
        for input in [Input::Pause, Input::Resume, Input::Cancel, Input::SpaceExhausted, Input::EngineStarted] {
            let outcome = self.decide(&Tell { input, origin: Origin::Once })?;
            if outcome != Err(Rejected::Over) {
                return Err(broken(Rule::ClosedIsQuiet, format!("{outcome:?} after the end")));
            }
        }
        Ok(())
    }
}
