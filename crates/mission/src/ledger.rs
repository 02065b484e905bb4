//! What is spent and what is set aside, as the facts make it.
//!
//! ```text
//! LeaseGranted ▶ set aside ──UsageSettled──▶ spent
//!                   └────────LeaseReturned──▶ free     (an attempt that is over keeps its lease until then)
//! ```

use crate::{
    decide::{Decision, Rejected},
    fact::Fact,
    id::{AgentId, AttemptId, Micros, TaskId},
    input::Usage,
    reason::Outcome,
    state::{Attempt, Mission, Status},
};

/// Money set aside for an attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// What it was given in all.
    pub granted: Micros,
    /// What its calls have cost.
    pub spent: Micros,
}

impl Lease {
    /// What is set aside and not spent.
    pub fn left(self) -> Micros {
        self.granted.less(self.spent)
    }
}

/// The lease of an attempt that is over. It stays set aside until the gateway says that no call of the attempt is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lingering {
    pub(crate) agent: AgentId,
    pub(crate) task: TaskId,
    pub(crate) lease: Lease,
}

/// The mission's money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// The most that may be spent, if there is a most.
    pub cap: Option<Micros>,
    /// What calls have cost.
    pub settled: Micros,
    /// Whether people were warned that this cap comes near.
    pub warned: bool,
    /// What is set aside for attempts and not spent.
    pub leased: Micros,
    /// Calls settled.
    pub calls: u64,
    /// Calls whose cost is not known.
    pub unknown: u64,
    /// Calls whose bill was not seen; `settled` has the most that they can have cost.
    pub estimated_calls: u64,
    /// The part of `settled` that is such an estimate.
    pub estimated: Micros,
    /// By how much bills have passed what was set aside for them.
    pub beyond: Micros,
    /// Input tokens, cached ones included.
    pub input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
}

impl Ledger {
    /// What can still be set aside; without a cap there is no end.
    pub fn available(&self) -> Option<Micros> {
        self.cap.map(|cap| cap.less(self.settled).less(self.leased))
    }
}

impl Mission {
    /// Of the lease of an attempt, also of one that is over.
    pub(crate) fn lease_returned(&self, id: AttemptId, micros: Micros) -> Decision {
        let on = self.attempts.get(&id).map(|attempt| attempt.lease);
        let lease =
            on.or_else(|| self.lingering.get(&id).map(|over| over.lease)).ok_or(Rejected::UnknownAttempt(id))?;
        let micros = micros.min(lease.left());
        if micros == Micros(0) {
            Err(Rejected::Duplicate)
        } else {
            Ok(vec![Fact::LeaseReturned { attempt: id, micros }])
        }
    }

    pub(crate) fn apply_lease_returned(&mut self, id: AttemptId, micros: Micros) {
        self.change_lease(id, |lease| lease.granted = lease.granted.less(micros));
    }

    /// The lease of an attempt that is over stays set aside until it is given back.
    pub(crate) fn lease_lingers(&mut self, id: AttemptId, attempt: &Attempt) {
        if attempt.lease.left() > Micros(0) {
            let (agent, task, lease) = (attempt.agent, attempt.task, attempt.lease);
            self.lingering.insert(id, Lingering { agent, task, lease });
        }
    }

    /// When the mission is over nothing is given out any more: bills that are still to come fit what was set aside for them.
    pub(crate) fn apply_closed(&mut self, outcome: Outcome) {
        self.status = Status::Closed(outcome);
        let over = std::mem::take(&mut self.lingering);
        self.ledger.leased = over.values().fold(self.ledger.leased, |leased, over| leased.less(over.lease.left()));
    }

    /// Attempts that are over and what is still set aside for calls of theirs.
    pub fn lingering_leases(&self) -> impl Iterator<Item = (AttemptId, Micros)> + '_ {
        self.lingering.iter().map(|(id, over)| (*id, over.lease.left()))
    }

    fn change_lease(&mut self, id: AttemptId, change: impl FnOnce(&mut Lease)) {
        let on = self.attempts.get_mut(&id).map(|attempt| &mut attempt.lease);
        let Some(lease) = on.or_else(|| self.lingering.get_mut(&id).map(|over| &mut over.lease)) else { return };
        let before = lease.left();
        change(lease);
        self.ledger.leased = self.ledger.leased.less(before).plus(lease.left());
        if self.lingering.get(&id).is_some_and(|over| over.lease.left() == Micros(0)) {
            self.lingering.remove(&id);
        }
    }

    /// A settled call moves money from set aside to spent. A bill that comes after its attempt is over is spent all the same.
    pub(crate) fn apply_usage_settled(&mut self, id: AttemptId, usage: &Usage) {
        let ledger = &mut self.ledger;
        ledger.calls += 1;
        ledger.estimated_calls += u64::from(usage.estimated);
        if usage.estimated {
            ledger.estimated = ledger.estimated.plus(usage.cost.unwrap_or_default());
        }
        ledger.beyond = ledger.beyond.plus(usage.beyond.unwrap_or_default());
        ledger.unknown += u64::from(usage.cost.is_none());
        ledger.input_tokens = ledger.input_tokens.saturating_add(usage.input_tokens);
        ledger.output_tokens = ledger.output_tokens.saturating_add(usage.output_tokens);
        let cost = usage.cost.unwrap_or_default();
        ledger.settled = ledger.settled.plus(cost);
        self.count_usage(id, usage);
        self.change_lease(id, |lease| lease.spent = lease.spent.plus(cost));
    }
}
