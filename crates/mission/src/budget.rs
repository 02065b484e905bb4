//! Money: reserved before it is spent, settled after, never more than the cap.
//!
//! The mission sets money aside for attempts (leases); the gateway spends within a lease and asks for more before it would pass it. So what is
//! settled and what is set aside never pass the cap together, whatever agents do. A call whose price is not known counts its tokens and an
//! unknown; it is never taken for free of charge. At the cap the mission pauses and asks; it neither dies nor overshoots.

use crate::{
    allowance::Measure,
    decide::{Decision, Rejected},
    fact::Fact,
    id::{At, AttemptId, Micros, TaskId},
    input::{Answer, Usage},
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

    /// Grants what is asked or more, or what there is if that is enough, or asks a person.
    pub(crate) fn lease_asked(&self, id: AttemptId, asked: Micros, least: Micros) -> Decision {
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

    /// A settled call moves money from set aside to spent. A bill that comes after its attempt is over is spent all the same.
    pub(crate) fn apply_usage_settled(&mut self, id: AttemptId, usage: &Usage) {
        let ledger = &mut self.ledger;
        ledger.calls += 1;
        ledger.unknown += u64::from(usage.cost.is_none());
        ledger.input_tokens = ledger.input_tokens.saturating_add(usage.input_tokens);
        ledger.output_tokens = ledger.output_tokens.saturating_add(usage.output_tokens);
        let cost = usage.cost.unwrap_or_default();
        ledger.settled = ledger.settled.plus(cost);
        self.count_usage(id, usage);
        let ledger = &mut self.ledger;
        if let Some(attempt) = self.attempts.get_mut(&id) {
            let before = attempt.lease.left();
            attempt.lease.spent = attempt.lease.spent.plus(cost);
            ledger.leased = ledger.leased.less(before.less(attempt.lease.left()));
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
        let question = format!(
            "The budget of {cap} is used up ({} spent, {} set aside). Approve to allow as much again, answer with an amount of dollars, or deny to end \
             the mission with what is merged.",
            self.ledger.settled, self.ledger.leased
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
