//! How a mission begins, is taken up again after a restart, and what becomes of effects that fail.

use crate::{
    decide::{Decision, Rejected},
    dispatch::{pools::Pools, rivals::Rivals},
    fact::Fact,
    id::{At, EffectId},
    input::{Answer, CheckRun, EffectFailure, Opening},
    ledger::Ledger,
    limits::{SETTINGS_BYTES_MAX, TEXT_BYTES_MAX},
    plan::Plan,
    problem::Problem,
    reason::{About, Failure, Outcome, PauseReason},
    state::{Agent, InFlight, Mission, Process, Publication, Status, Task, TaskState, Wanted},
    timer::Timer,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

impl Mission {
    pub(crate) fn open(&self, opening: Opening) -> Decision {
        at_most(opening.goal.len(), TEXT_BYTES_MAX)?;
        at_most(opening.settings.len(), SETTINGS_BYTES_MAX)?;
        if opening.goal.trim().is_empty() {
            return Err(Rejected::Empty);
        }
        Ok(vec![Fact::Opened { opening: Box::new(opening), effect: self.next_effect() }])
    }

    pub(crate) fn apply_opened(&mut self, opening: &Opening, effect: EffectId) {
        self.ledger = Ledger { cap: opening.budget, ..Ledger::default() };
        self.opening = Some(Box::new(opening.clone()));
        self.status = Status::Running;
        self.ask(effect, Wanted::Prepare);
    }

    pub(crate) fn propose_plan(&self, plan: Plan) -> Decision {
        if !self.tasks.is_empty() {
            return Err(Rejected::AlreadyPlanned);
        }
        if matches!(self.status, Status::Closing(_)) {
            return Err(Rejected::Over);
        }
        plan.check()?;
        Ok(vec![Fact::Planned { plan: Box::new(plan) }])
    }

    /// The registry and the tasks come from the plan; what depends on nothing is ready, in the order of the plan.
    pub(crate) fn apply_planned(&mut self, plan: &Plan) {
        self.plan = plan.clone();
        self.dependents = plan.dependents();
        self.pools = Pools::of(plan);
        self.rivals = Rivals::of(plan);
        self.health = plan.roles.iter().map(|role| role.skills.found.clone().unwrap_or_default()).collect();
        self.idle = vec![BTreeSet::new(); plan.roles.len()];
        self.apply_allowances();
        self.tally.open = plan.tasks.len() as u32;
        self.tasks = plan
            .tasks
            .iter()
            .map(|task| Task {
                state: TaskState::Waiting(task.depends_on.len() as u32),
                tries: 0,
                last_agent: None,
                failed_agent: None,
                failed_by: BTreeMap::new(),
                unavailable: BTreeSet::new(),
                lesson: None,
            })
            .collect();
        for (_, role, name) in plan.agents() {
            self.names.push(name);
            self.agents.push(Agent {
                role,
                process: Process::Cold,
                attempt: None,
                failures: 0,
                start_failures: 0,
                inbox: VecDeque::new(),
                last_read: None,
                past_keys: BTreeSet::new(),
                refusals: 0,
                past_attempt: None,
            });
        }
        let agents = 0..self.agents.len() as u32;
        agents.for_each(|agent| self.refresh(crate::id::AgentId(agent)));
        let tasks = 0..self.tasks.len() as u32;
        tasks.for_each(|task| self.ready_if_nothing_missing(crate::id::TaskId(task)));
    }

    /// A check that cannot start, however good the work is, is a person's matter before anything is spent.
    pub(crate) fn repository_prepared(
        &self,
        now: At,
        effect: EffectId,
        head: String,
        tried: Vec<CheckRun>,
        problem: Option<Box<Problem>>,
    ) -> Decision {
        let Wanted::Prepare = self.wanted(effect)? else { return Err(Rejected::Stale(effect)) };
        let mut facts = vec![Fact::RepositoryReady { head, tried }];
        if let Some(problem) = problem.filter(|_| self.status == Status::Running) {
            let problem = problem.bounded();
            let question = format!(
                "Nothing is spent yet, and this would fail whatever the agents do: {}\n{} Approve to go on all the same, or deny to end the mission.",
                problem.tell(),
                problem.hint
            );
            facts.push(Fact::Paused { why: PauseReason::Checks });
            facts.extend(self.ask_once(now, About::Checks, question, Answer::Deny, self.limits().interrupt_ms));
        }
        Ok(facts)
    }

    pub(crate) fn apply_repository_ready(&mut self, head: &str) {
        self.settle(Wanted::Prepare);
        self.head = Some(head.to_owned());
    }

    /// Agents of an earlier driver are dead. Their turns are owed again; it does not count against them.
    pub(crate) fn engine_started(&self) -> Vec<Fact> {
        let lost = self.alive.iter().map(|agent| Fact::AgentLost {
            agent: *agent,
            reason: "the engine ended".to_owned(),
            blame: false,
        });
        std::iter::once(Fact::EngineRestarted).chain(lost).collect()
    }

    /// What a failed effect leads to, by what it was about.
    pub(crate) fn effect_failed(
        &self,
        now: At,
        effect: EffectId,
        failure: EffectFailure,
        error: String,
        problem: Option<Box<Problem>>,
    ) -> Decision {
        let error = shortened(error);
        let problem = problem.map(|problem| Box::new(problem.bounded()));
        match self.wanted(effect)? {
            Wanted::Start(agent) => Ok(self.start_failed(now, agent, failure, error, problem)),
            Wanted::Turn(attempt) => Ok(self.turn_failed(now, attempt, failure, error, problem)),
            Wanted::Cancel(..) => Ok(Vec::new()),
            Wanted::Stop(_) => self.agent_stopped(now, effect),
            Wanted::Publish => Ok(self.publish_failed(now, failure, error)),
            Wanted::Prepare | Wanted::Verify(_) | Wanted::Merge(_) => {
                Ok(self.delay_or_give_up(now, effect, failure, error))
            }
        }
    }

    fn delay_or_give_up(&self, now: At, effect: EffectId, failure: EffectFailure, error: String) -> Vec<Fact> {
        let Some(asked) = self.effects.get(&effect) else { return Vec::new() };
        let limits = self.limits();
        let delayed = |ms: u64, error: String| Fact::EffectDelayed { failed: effect, until: now.after(ms), error };
        match failure {
            EffectFailure::NoSpace => {
                let mut facts = vec![delayed(limits.space_retry_ms, error)];
                facts.extend(self.pause_for_space());
                facts
            }
            EffectFailure::Transient
                if asked.tries < limits.effect_retries_max || self.may_have_moved(asked.wanted) =>
            {
                vec![delayed(limits.backoff(asked.tries + 1), error)]
            }
            EffectFailure::Transient | EffectFailure::Fatal => self.give_up(now, asked.wanted, error),
        }
    }

    /// A move of the mission branch may have happened before the engine was killed; giving it up would part the branch from the journal. So it is
    /// tried until it is known, unless the mission ends: then only the journal's head counts.
    fn may_have_moved(&self, wanted: Wanted) -> bool {
        matches!(wanted, Wanted::Merge(_)) && !matches!(self.status, Status::Closing(_))
    }

    /// A repository that cannot be made ends the mission; a change that cannot be tried ends its attempt.
    fn give_up(&self, now: At, wanted: Wanted, error: String) -> Vec<Fact> {
        match wanted {
            Wanted::Verify(change) | Wanted::Merge(change) => match self.changes.get(&change) {
                Some(change) => self.fail_attempt(now, change.attempt, Failure::Infrastructure(error)),
                None => Vec::new(),
            },
            _ if matches!(self.status, Status::Closing(_)) => Vec::new(),
            _ => vec![Fact::Closing { outcome: Outcome::Failed, why: Some(error) }],
        }
    }

    /// The pause for a full disk, unless the mission rests or ends already.
    pub(crate) fn pause_for_space(&self) -> Option<Fact> {
        (self.status == Status::Running).then_some(Fact::Paused { why: PauseReason::Space })
    }

    pub(crate) fn apply_effect_delayed(&mut self, failed: EffectId, until: At) {
        if let Some(asked) = self.effects.remove(&failed) {
            self.delayed.insert(failed, InFlight { tries: asked.tries + 1, ..asked });
            self.timers.set(Timer::Effect(failed), until);
        }
    }

    pub(crate) fn retry_effect(&self, failed: EffectId) -> Vec<Fact> {
        let effect = self.next_effect();
        let known = self.delayed.contains_key(&failed);
        known.then(|| Fact::EffectRetried { failed, effect, error: String::new() }).into_iter().collect()
    }

    pub(crate) fn apply_effect_retried(&mut self, failed: EffectId, effect: EffectId) {
        self.timers.clear(Timer::Effect(failed));
        if let Some(asked) = self.delayed.remove(&failed) {
            self.ask(effect, asked.wanted);
            self.effects.insert(effect, asked);
        }
    }

    /// The limits that this mission set for itself.
    pub(crate) fn limits(&self) -> crate::limits::Limits {
        self.opening.as_deref().map(|opening| opening.limits.clone()).unwrap_or_default()
    }

    pub(crate) fn publication_begins(&self) -> bool {
        let base = self.opening.as_deref().map(|opening| opening.base.as_str());
        self.publication == Publication::NotYet && self.head.is_some() && self.head.as_deref() != base
    }
}

pub(crate) fn at_most(bytes: usize, max: usize) -> Result<(), Rejected> {
    if bytes > max { Err(Rejected::TooLong { bytes, max }) } else { Ok(()) }
}

/// An error text cut to what a fact may hold, at a character's edge.
pub(crate) fn shortened(mut text: String) -> String {
    const ERROR_BYTES_MAX: usize = 4 * 1024;
    if text.len() > ERROR_BYTES_MAX {
        let cut = (0..=ERROR_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(cut);
        text.push_str(" …");
    }
    text
}
