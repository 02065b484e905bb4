//! The merge queue: the only way a change reaches the mission branch, one at a time, first come first served, verified at the exact commit.
//!
//! ```text
//! Waiting ──VerifyStarted──▶ Verifying ──ChangeVerified──▶ Merging ──Merged──▶ (done; dependents may be ready)
//!                               │ ChangeReturned ▶ its agent owes a turn about the evidence, or its attempt fails
//! ```

use crate::{
    decide::{Decision, Rejected},
    fact::Fact,
    id::{At, AttemptId, ChangeId, EffectId, TaskId},
    input::Verdict,
    reason::{Brief, Failure, Return},
    state::{AttemptState, Change, ChangeState, Mission, TaskState, Wanted},
};

impl Mission {
    pub(crate) fn apply_change_queued(&mut self, id: ChangeId, attempt: AttemptId, commit: &str) {
        self.next.change = self.next.change.max(id.0 + 1);
        let Some(known) = self.attempts.get(&attempt) else { return };
        let (task, agent) = (known.task, known.agent);
        let change = Change { attempt, task, agent, commit: commit.to_owned(), state: ChangeState::Waiting };
        self.changes.insert(id, change);
        self.queue.push_back(id);
        self.set_attempt(attempt, AttemptState::Queued(id));
    }

    pub(crate) fn verify_next(&self, now: At) -> Option<Fact> {
        if self.queue.front().is_some_and(|front| self.is_under_way(*front)) {
            return None;
        }
        let change = self.next_change()?;
        let onto = self.head.clone()?;
        Some(Fact::VerifyStarted { change, effect: self.next_effect(), onto, at: now })
    }

    pub(crate) fn apply_verify_started(&mut self, id: ChangeId, effect: EffectId, onto: &str, at: At) {
        self.apply_tried(id);
        self.ask(effect, Wanted::Verify(id));
        self.set_change(id, ChangeState::Verifying { onto: onto.to_owned(), at });
    }

    pub(crate) fn change_checked(&self, now: At, effect: EffectId, verdict: Verdict) -> Decision {
        let Wanted::Verify(id) = self.wanted(effect)? else { return Err(Rejected::Stale(effect)) };
        let change = self.changes.get(&id).ok_or(Rejected::Stale(effect))?;
        let why = match verdict {
            // It was tried while the mission was paused; it is put aside next.
            _ if self.is_beaten(change.task) => {
                Return::Rejected("another has done the task in the meantime".to_owned())
            }
            Verdict::Passed { commit, checks } => {
                let effect = self.next_effect();
                return Ok(vec![Fact::ChangeVerified { change: id, commit, checks, effect }]);
            }
            Verdict::Failed { checks } => Return::Checks(checks),
            Verdict::Conflict { hunks } => Return::Conflict { hunks },
            Verdict::Rejected { why } => Return::Rejected(why),
        };
        let behind = crate::attempt::unmended(Some(why.clone()));
        let mut facts = vec![Fact::ChangeReturned { change: id, why }];
        let returns = self.attempts.get(&change.attempt).map_or(0, |attempt| attempt.returns);
        if returns >= self.limits().returns_max {
            facts.extend(self.fail_attempt_for(now, change.attempt, Failure::NotAccepted, behind));
        }
        Ok(facts)
    }

    pub(crate) fn apply_change_returned(&mut self, id: ChangeId, why: &Return) {
        let Some(change) = self.leave_queue(id) else { return };
        self.apply_turn_owed(change.attempt, &Brief::Returned(why.clone()));
    }

    pub(crate) fn apply_change_verified(&mut self, id: ChangeId, commit: &str, effect: EffectId) {
        self.settle(Wanted::Verify(id));
        let Some(from) = self.head.clone() else { return };
        self.set_change(id, ChangeState::Merging { from, to: commit.to_owned() });
        self.ask(effect, Wanted::Merge(id));
    }

    pub(crate) fn change_merged(&self, effect: EffectId) -> Decision {
        let Wanted::Merge(change) = self.wanted(effect)? else { return Err(Rejected::Stale(effect)) };
        match self.changes.get(&change).map(|change| &change.state) {
            Some(ChangeState::Merging { from, to }) => {
                Ok(vec![Fact::Merged { change, head: to.clone(), nothing: from == to }])
            }
            _ => Err(Rejected::Stale(effect)),
        }
    }

    pub(crate) fn apply_merged(&mut self, id: ChangeId, head: &str) {
        self.head = Some(head.to_owned());
        let Some(change) = self.leave_queue(id) else { return };
        self.apply_task_done(change.task, change.attempt);
    }

    /// A task is done: its attempt is over, and whoever waited only for it is ready.
    pub(crate) fn apply_task_done(&mut self, task: TaskId, attempt: AttemptId) {
        let over = self.attempt_over(attempt);
        if let Some(role) = over.and_then(|(_, agent)| Some(self.agents.get(agent.index())?.role)) {
            self.count_attempt(role, task, true);
        }
        let Some(entry) = self.tasks.get_mut(task.index()) else { return };
        entry.state = TaskState::Done;
        self.tally.open -= 1;
        self.tally.done += 1;
        self.apply_rivals_beaten(task);
        let leader = self.leader(task);
        for dependent in self.dependents.get(leader.index()).cloned().into_iter().flatten() {
            if let Some(entry) = self.tasks.get_mut(dependent.index())
                && let TaskState::Waiting(missing) = &mut entry.state
            {
                *missing -= 1;
            }
            self.ready_if_nothing_missing(dependent);
        }
    }

    /// Takes a change off the queue and off the books.
    pub(crate) fn leave_queue(&mut self, id: ChangeId) -> Option<Change> {
        self.settle(Wanted::Verify(id));
        self.settle(Wanted::Merge(id));
        if self.queue.front() == Some(&id) {
            self.queue.pop_front();
        } else {
            self.queue.retain(|queued| *queued != id);
        }
        self.changes.remove(&id)
    }

    fn set_change(&mut self, id: ChangeId, state: ChangeState) {
        if let Some(change) = self.changes.get_mut(&id) {
            change.state = state;
        }
    }

    /// Whether a change has passed and the branch is moving to it.
    pub(crate) fn is_merging(&self) -> bool {
        let front = self.queue.front().and_then(|id| self.changes.get(id));
        matches!(front.map(|change| &change.state), Some(ChangeState::Merging { .. }))
    }
}
