//! Rate limits: a state of an attempt, not a failure.
//!
//! A provider that takes no more calls for longer than a call can wait stops the attempt's turn, whatever its agent would make of that (some wait inside
//! the turn, some try again for ever, some give up). The turn is owed, and due when the limit is over; the task keeps its attempt, its money and its work.

use crate::{
    decide::{Decision, Rejected},
    fact::Fact,
    id::{AgentId, At, AttemptId},
    reason::StopReason,
    state::{AttemptState, Mission},
    timer::Timer,
};

/// The longest that a limit is believed, in milliseconds: the longest window of a provider is a week.
const LIMIT_MS_MAX: u64 = 8 * 24 * 3_600_000;

impl Mission {
    /// The provider takes no calls for this attempt until then.
    pub(crate) fn rate_limited(&self, now: At, id: AttemptId, until: At) -> Decision {
        self.limit_attempt(now, id, until, false)
    }

    /// No turn of the attempt before then, and the one that is on ends. `own`: because of a budget of the mission's own.
    pub(crate) fn limit_attempt(&self, now: At, id: AttemptId, until: At, own: bool) -> Decision {
        let attempt = self.attempts.get(&id).ok_or(Rejected::UnknownAttempt(id))?;
        let until = until.min(now.after(LIMIT_MS_MAX));
        if until <= now || attempt.limited.is_some_and(|known| known >= until) {
            return Err(Rejected::Duplicate);
        }
        let mut facts = vec![Fact::AttemptLimited { attempt: id, until, lasts_ms: until.0 - now.0, own }];
        if matches!(attempt.state, AttemptState::Working { cancelled: None, .. }) {
            facts.push(self.cancel_turn(now, id, StopReason::Limited));
        }
        Ok(facts)
    }

    pub(crate) fn apply_attempt_limited(&mut self, id: AttemptId, until: At, own: bool) {
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        attempt.limited = Some(until);
        let agent = attempt.agent;
        self.timers.set(Timer::Limit(id), until);
        if let Some(role) = self.agents.get(agent.index()).map(|agent| agent.role).filter(|_| !own) {
            self.limited.entry(role).or_default().insert(id, until);
        }
        self.refresh(agent);
    }

    /// The provider's limit of an attempt is no matter any more.
    pub(crate) fn forget_limit(&mut self, agent: AgentId, id: AttemptId) {
        let Some(role) = self.agents.get(agent.index()).map(|agent| agent.role) else { return };
        if let Some(limited) = self.limited.get_mut(&role) {
            limited.remove(&id);
            if limited.is_empty() {
                self.limited.remove(&role);
            }
        }
    }

    /// The limit is over: the turn that is owed is due.
    pub(crate) fn limit_over(&self, id: AttemptId) -> Vec<Fact> {
        self.attempts.contains_key(&id).then_some(Fact::AttemptReleased { attempt: id }).into_iter().collect()
    }

    pub(crate) fn apply_attempt_released(&mut self, id: AttemptId) {
        self.timers.clear(Timer::Limit(id));
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        attempt.limited = None;
        let agent = attempt.agent;
        self.forget_limit(agent, id);
        self.refresh(agent);
    }
}
