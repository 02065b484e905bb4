//! The lifecycle of an agent's process.
//!
//! ```text
//! Cold ──AgentStarting──▶ Starting ──AgentUp──▶ Up ──AgentStopping──▶ Stopping ──AgentDown──▶ Cold
//!   ▲                        │ AgentStartFailed   │ AgentLost                                   ▲
//!   └──AgentRested── Resting ◀┘                   └─────────────────────────────────────────────┘
//! ```
//! A process is started only for an attempt that owes a turn, so that an agent without work costs nothing.

use crate::{
    decide::{Decision, Rejected},
    fact::Fact,
    id::{AgentId, At, EffectId},
    input::EffectFailure,
    problem::{Cause, Problem},
    reason::{Failure, StopReason},
    state::{Attempt, AttemptState, Mission, Process, Wanted},
    timer::Timer,
};

impl Mission {
    pub(crate) fn start_next_agent(&self) -> Option<Fact> {
        let agent = *self.starts_due.first()?;
        Some(Fact::AgentStarting { agent, effect: self.next_effect() })
    }

    pub(crate) fn apply_agent_starting(&mut self, agent: AgentId, effect: EffectId) {
        self.ask(effect, Wanted::Start(agent));
        self.set_process(agent, Process::Starting);
    }

    pub(crate) fn agent_ready(&self, effect: EffectId) -> Decision {
        match self.wanted(effect)? {
            Wanted::Start(agent) => Ok(vec![Fact::AgentUp { agent }]),
            _ => Err(Rejected::Stale(effect)),
        }
    }

    pub(crate) fn apply_agent_up(&mut self, agent: AgentId) {
        self.settle(Wanted::Start(agent));
        if let Some(entry) = self.agents.get_mut(agent.index()) {
            entry.start_failures = 0;
        }
        self.set_process(agent, Process::Up);
    }

    /// The agent rests; after too many failures its attempt fails as well, so that somebody else can try.
    pub(crate) fn start_failed(
        &self,
        now: At,
        agent: AgentId,
        failure: EffectFailure,
        error: String,
        problem: Option<Box<Problem>>,
    ) -> Vec<Fact> {
        let Some(entry) = self.agents.get(agent.index()) else { return Vec::new() };
        let limits = self.limits();
        let tries = entry.start_failures + 1;
        let pause = if failure == EffectFailure::NoSpace { limits.space_retry_ms } else { limits.backoff(tries) };
        let lasting = problem.as_ref().is_some_and(|problem| problem.lasting);
        let behind = problem.clone().or_else(|| Some(Box::new(Problem::passing(Cause::Said(error.clone())))));
        let mut facts = vec![Fact::AgentStartFailed { agent, until: now.after(pause), error, problem }];
        if failure == EffectFailure::NoSpace {
            facts.extend(self.pause_for_space());
        } else if lasting || failure == EffectFailure::Fatal || tries > limits.effect_retries_max {
            let attempt = entry.attempt.into_iter();
            let failed = |attempt| self.fail_attempt_for(now, attempt, Failure::Unavailable, behind.clone());
            facts.extend(attempt.flat_map(failed));
        }
        facts
    }

    pub(crate) fn apply_agent_start_failed(&mut self, agent: AgentId, until: At) {
        self.settle(Wanted::Start(agent));
        self.timers.set(Timer::Agent(agent), until);
        if let Some(entry) = self.agents.get_mut(agent.index()) {
            entry.start_failures += 1;
        }
        self.set_process(agent, Process::Resting);
    }

    pub(crate) fn apply_agent_rested(&mut self, agent: AgentId) {
        self.timers.clear(Timer::Agent(agent));
        self.set_process(agent, Process::Cold);
    }

    pub(crate) fn agent_lost(
        &self,
        now: At,
        agent: AgentId,
        reason: String,
        problem: Option<Box<Problem>>,
        outside: bool,
    ) -> Decision {
        let entry = self.agents.get(agent.index()).ok_or(Rejected::UnknownAgent(agent))?;
        let reason = crate::opening::shortened(reason);
        let problem = problem.map(|problem| Box::new(problem.bounded()));
        let lasting = problem.as_ref().is_some_and(|problem| problem.lasting);
        match entry.process {
            Process::Cold | Process::Resting => Err(Rejected::Standing("not aware of a process of this agent")),
            Process::Starting => Ok(self.start_failed(now, agent, EffectFailure::Transient, reason, problem)),
            // Whoever stops it has yet to answer, and until then no other process may take its place.
            Process::Stopping(_) => Err(Rejected::Standing("stopping this agent already")),
            Process::Up => {
                let mut facts = self.count_at_loss(now, agent);
                let last = problem.or_else(|| Some(Box::new(Problem::passing(Cause::Said(reason.clone())))));
                facts.push(Fact::AgentLost { agent, reason, blame: !outside });
                let attempt = entry.attempt.and_then(|id| self.attempts.get(&id).map(|attempt| (id, attempt)));
                if let Some((id, attempt)) = attempt
                    && matches!(attempt.state, AttemptState::Working { .. })
                    && (lasting || (!outside && attempt.losses >= self.losses_allowed(attempt)))
                {
                    let why = if lasting { Failure::Unavailable } else { Failure::Lost };
                    facts.extend(self.fail_attempt_for(now, id, why, last));
                }
                Ok(facts)
            }
        }
    }

    /// A turn whose result is claimed needs its agent only to have its work taken: that is tried more often.
    fn losses_allowed(&self, attempt: &Attempt) -> u32 {
        let most = self.limits().losses_max;
        if attempt.claim.is_some() { most.saturating_mul(2).saturating_add(2) } else { most }
    }

    pub(crate) fn apply_agent_stopping(&mut self, agent: AgentId, effect: EffectId, reason: StopReason) {
        self.settle(Wanted::Start(agent));
        self.ask(effect, Wanted::Stop(agent));
        if let Some(attempt) = self.agents.get(agent.index()).and_then(|entry| entry.attempt) {
            self.timers.clear(Timer::Grace(attempt));
        }
        self.set_process(agent, Process::Stopping(reason));
    }

    pub(crate) fn agent_stopped(&self, now: At, effect: EffectId) -> Decision {
        match self.wanted(effect)? {
            Wanted::Stop(agent) => Ok(self.down(now, agent)),
            _ => Err(Rejected::Stale(effect)),
        }
    }

    /// The process has ended as asked; a turn that had to be ended for taking too long fails its attempt, unless its result is claimed.
    fn down(&self, now: At, agent: AgentId) -> Vec<Fact> {
        let mut facts = self.count_at_loss(now, agent);
        facts.push(Fact::AgentDown { agent });
        let attempt = self.agents.get(agent.index()).and_then(|entry| entry.attempt);
        let open = attempt.and_then(|id| self.attempts.get(&id)).filter(|attempt| attempt.claim.is_none());
        let state = open.map(|attempt| attempt.state);
        if let (Some(id), Some(AttemptState::Working { cancelled: Some(StopReason::TimedOut), .. })) = (attempt, state)
        {
            facts.extend(self.fail_attempt(now, id, Failure::TimedOut));
        }
        facts
    }

    /// No process any more, for whatever reason. A turn that was on is owed again.
    pub(crate) fn apply_agent_gone(&mut self, agent: AgentId, blame: bool) {
        self.settle(Wanted::Start(agent));
        self.settle(Wanted::Stop(agent));
        let attempt = self.agents.get(agent.index()).and_then(|entry| entry.attempt);
        if let Some(id) = attempt {
            let was_working = self.end_turn(id);
            if let Some(attempt) = self.attempts.get_mut(&id).filter(|_| was_working) {
                attempt.state = AttemptState::Owed { resumed: true };
                attempt.losses += u32::from(blame);
            }
        }
        self.set_process(agent, Process::Cold);
    }

    fn set_process(&mut self, agent: AgentId, process: Process) {
        if let Some(entry) = self.agents.get_mut(agent.index()) {
            entry.process = process;
        }
        self.refresh(agent);
    }
}
