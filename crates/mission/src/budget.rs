//! Money: reserved before it is spent, settled after, never more than the cap.
//!
//! The mission sets money aside for attempts (leases); the gateway spends within a lease and asks for more before it would pass it. So what is
//! settled and what is set aside never pass the cap together, whatever agents do. A call whose price is not known counts its tokens and an
//! unknown; it is never taken for free of charge. At the cap the mission pauses and asks; it neither dies nor overshoots.
//!
//! A lease outlives its attempt, for a call may outlive its turn: it stays set aside until the gateway gives it back, which it does when it has booked
//! every call of the attempt, or when an engine that takes the mission up has booked those that were on when the last one ended. What a lease
//! holds and no call needs comes back as well before a person is asked: `LeaseAsked` says whether calls are on that may give something back, and
//! only where nothing may come back does the mission pause.

use crate::{
    allowance::Measure,
    decide::{Decision, Rejected},
    fact::Fact,
    id::{At, AttemptId, Micros, TaskId},
    input::Answer,
    ledger::Ledger,
    reason::{About, Outcome, PauseReason},
    state::{Mission, Status},
};

/// The share of the budget that an attempt is given at first, and at least when it asks for more: one part of so many, or of so many for each
/// agent of the mission if that is more. So what all agents together have set aside and not spent stays a small part of the budget.
const LEASE_PARTS: u64 = 32;
const LEASE_PARTS_PER_AGENT: u64 = 4;

impl Mission {
    /// What a new attempt is given: a share of the budget, at most what the task may spend and what is there. Nothing without a budget.
    pub(crate) fn first_lease(&self, task: TaskId) -> Option<Micros> {
        let available = self.ledger.available()?;
        let own = self.plan.tasks.get(task.index()).and_then(|task| task.budget).unwrap_or(Micros(u64::MAX));
        Some(self.share().min(own).min(available))
    }

    fn share(&self) -> Micros {
        let parts = LEASE_PARTS.max(self.agents.len() as u64 * LEASE_PARTS_PER_AGENT);
        Micros((self.ledger.cap.unwrap_or_default().0 / parts).max(1))
    }

    /// What the attempt's task may still be given; nothing when only the mission's budget bounds it.
    pub(crate) fn task_budget_left(&self, id: AttemptId) -> Option<Micros> {
        let attempt = self.attempts.get(&id)?;
        let own = self.plan.tasks.get(attempt.task.index())?.budget?;
        Some(own.less(attempt.lease.granted))
    }

    /// Grants what is asked or more, or what there is if that is enough, or asks a person once nothing else may come back.
    pub(crate) fn lease_asked(&self, id: AttemptId, asked: Micros, least: Micros, waits: bool) -> Decision {
        if !self.attempts.contains_key(&id) {
            return Err(Rejected::UnknownAttempt(id));
        }
        let own = self.task_budget_left(id).unwrap_or(Micros(u64::MAX));
        let Some(available) = self.ledger.available() else {
            return if own >= least {
                Ok(vec![Fact::LeaseGranted { attempt: id, micros: asked.min(own) }])
            } else {
                Err(Rejected::TaskBudgetExhausted)
            };
        };
        if own < least {
            return Err(Rejected::TaskBudgetExhausted);
        }
        if available >= least {
            let micros = asked.max(self.share()).min(available).min(own);
            let some = micros > Micros(0);
            return Ok(some.then_some(Fact::LeaseGranted { attempt: id, micros }).into_iter().collect());
        }
        match self.status {
            Status::Running if waits => Err(Rejected::BudgetHeld),
            Status::Running => Ok(vec![Fact::Paused { why: PauseReason::Budget }]),
            Status::Paused(_) => Err(self.budget_refusal()),
            Status::Empty | Status::Closing(_) | Status::Closed(_) => Err(Rejected::Over),
        }
    }

    /// No money while the mission is paused: because of the money, or for another reason with the question about it still to come.
    fn budget_refusal(&self) -> Rejected {
        let asked = self.interrupts.iter().find(|(_, interrupt)| interrupt.about == About::Budget);
        asked.map_or(Rejected::Standing("paused"), |(id, _)| Rejected::BudgetExhausted(*id))
    }

    pub(crate) fn apply_lease_granted(&mut self, id: AttemptId, micros: Micros) {
        if let Some(attempt) = self.attempts.get_mut(&id) {
            // What was spent beyond the lease is settled already; the grant is on top of it.
            attempt.lease.granted = attempt.lease.granted.max(attempt.lease.spent).plus(micros);
            self.ledger.leased = self.ledger.leased.plus(micros);
        }
    }

    /// What people are told when much of the budget is spent, until they are.
    pub(crate) fn budget_warning(&self) -> Option<Fact> {
        let ledger = &self.ledger;
        let cap = ledger.cap.filter(|_| !ledger.warned)?;
        let share = u128::from(cap.0) * u128::from(self.limits().budget_warn_percent);
        let near = ledger.settled.0 > 0 && u128::from(ledger.settled.0) * 100 >= share;
        near.then_some(Fact::BudgetWarned { spent: ledger.settled, cap })
    }

    /// The question that a pause at the cap owes, until it is asked.
    pub(crate) fn budget_question(&self, now: At) -> Option<Fact> {
        let cap = self.ledger.cap?;
        let Ledger { settled, leased, .. } = self.ledger;
        let aside =
            if leased > Micros(0) { format!("{leased} is set aside for work that is on, ") } else { String::new() };
        let left = cap.less(settled).less(leased);
        let question = format!(
            "The budget of {cap} does not cover the next model call: {settled} is spent, {aside}{left} is left. Approve to allow as much again, answer \
             with an amount of dollars, or deny to end the mission with what is merged."
        );
        self.ask_once(now, About::Budget, question, Answer::Deny, self.limits().interrupt_ms)
    }

    /// The facts that follow from an answer to it.
    pub(crate) fn budget_answered(&self, answer: &Answer) -> Decision {
        let by = match answer {
            Answer::Approve => self.opening.as_deref().and_then(|opening| opening.budget).unwrap_or_default(),
            Answer::Text(amount) => {
                let refused = || Rejected::NotThat { text: amount.clone(), example: Measure::Cost.example() };
                dollars(amount).ok_or_else(refused)?
            }
            Answer::Deny => return Ok(vec![Fact::Closing { outcome: Outcome::Cancelled, why: None }]),
        };
        let mut facts = vec![Fact::BudgetRaised { by }];
        if self.status == Status::Paused(PauseReason::Budget) {
            facts.push(Fact::Resumed);
        }
        Ok(facts)
    }

    pub(crate) fn apply_budget_raised(&mut self, by: Micros) {
        self.ledger.cap = self.ledger.cap.map(|cap| cap.plus(by));
        self.ledger.warned = false;
    }
}

/// An amount such as `2`, `2.50` or `$0.000001`; more than zero, at most six decimals.
pub fn dollars(text: &str) -> Option<Micros> {
    let text = text.trim().trim_start_matches('$');
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |s: &str| s.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) || part.len() > 6 {
        return None;
    }
    let micros = whole.parse::<u64>().ok()?.checked_mul(1_000_000)?;
    let part = format!("{part:0<6}").parse::<u64>().ok()?;
    micros.checked_add(part).filter(|sum| *sum > 0).map(Micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_dollars() {
        let read: Vec<Option<u64>> =
            ["2", "2.50", "$0.000001", "0", "", "-1", "1e3", "1.0000001", "99999999999999999999"]
                .map(|text| dollars(text).map(|m| m.0))
                .into();
        let expected = [Some(2_000_000), Some(2_500_000), Some(1), None, None, None, None, None, None];
        assert_eq!(read, expected);
    }
}
