//! Who does what: which tasks are ready, and whom they are given to.

use crate::{
    fact::Fact,
    id::{AgentId, At, AttemptId, Micros, TaskId},
    ledger::Lease,
    reason::{Brief, Choice, PauseReason},
    state::{Attempt, AttemptState, Mission, TaskState},
    timer::Timer,
};
use std::collections::{BTreeMap, BTreeSet};

impl Mission {
    /// Gives the task that has been ready longest, of those that somebody free may have, to the free agent of the chosen role with the fewest
    /// failures, a running one first,
    /// but rather not to the one that failed this very task. Without money for it, the mission pauses and asks.
    pub(crate) fn assign_next(&self, now: At) -> Option<Fact> {
        self.pools.due().find_map(|task| self.assign(now, task))
    }

    fn assign(&self, now: At, task: TaskId) -> Option<Fact> {
        if let Some(given_up) = self.given_up(task) {
            return Some(given_up);
        }
        let (role, ranking) = self.choose_role(now, task)?;
        let idle = self.idle.get(role.index())?;
        let failed_by = self.tasks.get(task.index())?.failed_agent;
        let (best, second) = (idle.iter().next()?, idle.iter().nth(1));
        let pass_over = Some(best.2) == failed_by && second.is_some();
        let &(failures, cold, agent) = if pass_over { second? } else { best };
        let lease = self.first_lease(task);
        // What others have set aside may come back; their calls are waited for before a person is asked.
        if lease == Some(Micros(0)) && self.ledger.leased == Micros(0) {
            return Some(Fact::Paused { why: PauseReason::Budget });
        }
        Some(Fact::Assigned {
            task,
            attempt: AttemptId(self.next.attempt),
            agent,
            because: Choice { role, free: idle.len() as u32, warm: !cold, failures, fresh_eyes: pass_over, ranking },
            lease,
            base: self.head.clone()?,
        })
    }

    pub(crate) fn apply_assigned(
        &mut self,
        task: TaskId,
        id: AttemptId,
        agent: AgentId,
        lease: Option<Micros>,
        base: &str,
    ) {
        self.next.attempt = self.next.attempt.max(id.0 + 1);
        self.leave_pool(task);
        self.ledger.leased = self.ledger.leased.plus(lease.unwrap_or_default());
        self.attempts.insert(
            id,
            Attempt {
                task,
                agent,
                base: base.to_owned(),
                session: None,
                turns: 0,
                state: AttemptState::Owed { resumed: false },
                claim: None,
                limited: None,
                paths: 0,
                question: None,
                permissions: BTreeMap::new(),
                carried: BTreeMap::new(),
                brief: Brief::Task,
                returned: None,
                resumed: false,
                claimed: false,
                returns: 0,
                nudges: 0,
                losses: 0,
                lease: Lease { granted: lease.unwrap_or_default(), spent: Micros(0) },
                keys: BTreeSet::new(),
            },
        );
        if let Some(entry) = self.tasks.get_mut(task.index()) {
            entry.state = TaskState::Running(id);
            entry.tries += 1;
            entry.last_agent = Some(agent);
        }
        if let Some(entry) = self.agents.get_mut(agent.index()) {
            entry.attempt = Some(id);
        }
        self.refresh(agent);
    }

    pub(crate) fn ready_if_nothing_missing(&mut self, task: TaskId) {
        if self.tasks.get(task.index()).map(|task| task.state) == Some(TaskState::Waiting(0)) {
            self.apply_task_ready(task);
        }
    }

    pub(crate) fn apply_task_ready(&mut self, task: TaskId) {
        self.timers.clear(Timer::Task(task));
        let since = self.next.ready;
        self.next.ready += 1;
        if let Some(entry) = self.tasks.get_mut(task.index()) {
            entry.state = TaskState::Ready;
        }
        self.enter_pool(task, since);
    }
}
