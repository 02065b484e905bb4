//! Pausing, going on, and how a mission ends: turns first, then attempts and questions, then the result and the processes, then the last fact.
//!
//! Whatever the reason, verified work reaches the user's repository, and no process outlives its mission.

use crate::{
    decide::{Decision, Rejected},
    fact::Fact,
    id::{At, EffectId},
    input::{Answer, EffectFailure},
    reason::{About, By, Failure, Outcome, PauseReason, StopReason},
    state::{Mission, Publication, Status, Wanted},
};

impl Mission {
    pub(crate) fn pause(&self) -> Decision {
        match self.status {
            Status::Running | Status::Paused(PauseReason::Budget | PauseReason::Space | PauseReason::Checks) => {
                Ok(vec![Fact::Paused { why: PauseReason::Person }])
            }
            Status::Paused(PauseReason::Person) => Err(Rejected::Standing("paused already")),
            Status::Empty | Status::Closing(_) | Status::Closed(_) => Err(Rejected::Over),
        }
    }

    pub(crate) fn resume(&self) -> Decision {
        match self.status {
            Status::Paused(PauseReason::Budget) => Err(Rejected::Standing("out of money: answer its budget interrupt")),
            Status::Paused(PauseReason::Checks) => Err(Rejected::Standing("waiting for an answer about its checks")),
            Status::Paused(_) => Ok(vec![Fact::Resumed]),
            Status::Running => Err(Rejected::Standing("not paused")),
            Status::Empty | Status::Closing(_) | Status::Closed(_) => Err(Rejected::Over),
        }
    }

    pub(crate) fn cancel(&self) -> Decision {
        match self.status {
            Status::Closing(_) => Err(Rejected::Over),
            _ => Ok(vec![Fact::Closing { outcome: Outcome::Cancelled, why: None }]),
        }
    }

    pub(crate) fn close_when_decided(&self) -> Option<Fact> {
        let outcome = if self.tally.failed + self.tally.skipped == 0 { Outcome::Done } else { Outcome::Failed };
        (self.tally.open == 0).then_some(Fact::Closing { outcome, why: None })
    }

    pub(crate) fn closing_consequence(&self, now: At, outcome: Outcome) -> Option<Fact> {
        if let Some(attempt) = self.uncancelled.first() {
            return Some(self.cancel_turn(now, *attempt, StopReason::Closing));
        }
        if self.working > 0 || self.is_merging() {
            return None;
        }
        if let Some(attempt) = self.attempts.keys().next() {
            return self.fail_attempt(now, *attempt, Failure::Closing).into_iter().next();
        }
        let moot = self.interrupts.iter().find(|(_, interrupt)| interrupt.about != About::Publish);
        if let Some((interrupt, _)) = moot {
            return Some(Fact::InterruptAnswered { interrupt: *interrupt, answer: Answer::Deny, by: By::Moot });
        }
        if self.publication_begins() {
            let commit = self.head.clone()?;
            return Some(Fact::PublishStarted { commit, effect: self.next_effect() });
        }
        if let Some(agent) = self.stoppable.first() {
            let (agent, effect) = (*agent, self.next_effect());
            return Some(Fact::AgentStopping { agent, effect, reason: StopReason::Closing });
        }
        let waiting = !self.alive.is_empty() || matches!(self.publication, Publication::Going | Publication::Asking);
        (!waiting).then_some(Fact::Closed { outcome })
    }

    pub(crate) fn apply_publish_started(&mut self, effect: EffectId) {
        self.publication = Publication::Going;
        self.ask(effect, Wanted::Publish);
    }

    pub(crate) fn result_published(&self, effect: EffectId) -> Decision {
        match (self.wanted(effect)?, self.opening.as_deref(), &self.head) {
            (Wanted::Publish, Some(opening), Some(head)) => {
                Ok(vec![Fact::Published { branch: opening.branch.clone(), commit: head.clone() }])
            }
            _ => Err(Rejected::Stale(effect)),
        }
    }

    /// A result that cannot be put into place is a person's matter; it stays in the mission's own repository meanwhile.
    pub(crate) fn publish_failed(&self, now: At, failure: EffectFailure, error: String) -> Vec<Fact> {
        let space = if failure == EffectFailure::NoSpace { "The disk is full. " } else { "" };
        let question = format!(
            "{space}The result could not be put into your repository: {error}. Approve to try again, deny to leave it in the mission's own repository."
        );
        self.ask_once(now, About::Publish, question, Answer::Deny, self.limits().interrupt_ms).into_iter().collect()
    }

    pub(crate) fn apply_publish_over(&mut self) {
        self.settle(Wanted::Publish);
        self.publication = Publication::Over;
    }
}
