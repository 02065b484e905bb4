//! Best of several: tasks that do the same work independently, of which one result is merged.
//!
//! ```text
//! all at work ──none is at work any more──▶ the best change is tried ──Merged──▶ TaskSuperseded for every other
//!                                                              └─ChangeReturned: the next best is tried, and so on
//! ```
//! The best is the change of the fewest paths, then of the lowest cost, then the first: what every check accepts and changes least. Whoever waits for
//! the work waits for the task that the others are rivals of; it is done when any of them is.

use crate::{
    fact::Fact,
    id::{At, Micros},
    id::{AttemptId, ChangeId, InterruptId, RoleId, TaskId},
    input::Answer,
    plan::Plan,
    reason::{About, By, StopReason},
    state::{AttemptState, ChangeState, Mission, TaskState},
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Which tasks are rivals, and what has come of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rivals {
    /// All of each group, by the task that the others are rivals of; that task is the first.
    groups: BTreeMap<TaskId, Vec<TaskId>>,
    /// Groups that have had every change at the queue once: from then on none waits for another.
    ripe: BTreeSet<TaskId>,
    /// Those that are put aside next, and for whose sake.
    superseded: VecDeque<(TaskId, TaskId)>,
}

impl Rivals {
    pub(crate) fn of(plan: &Plan) -> Rivals {
        let mut groups: BTreeMap<TaskId, Vec<TaskId>> = BTreeMap::new();
        for (index, task) in plan.tasks.iter().enumerate() {
            if let Some(leader) = task.dispatch.rival_of {
                groups.entry(leader).or_insert_with(|| vec![leader]).push(TaskId(index as u32));
            }
        }
        Rivals { groups, ..Rivals::default() }
    }
}

impl Mission {
    /// The task that others wait for, when they wait for this one.
    pub(crate) fn leader(&self, task: TaskId) -> TaskId {
        self.plan.tasks.get(task.index()).and_then(|task| task.dispatch.rival_of).unwrap_or(task)
    }

    /// Every task that does the work of this one, itself included.
    pub(crate) fn group(&self, task: TaskId) -> Vec<TaskId> {
        self.rivals.groups.get(&self.leader(task)).cloned().unwrap_or_else(|| vec![task])
    }

    fn state_of(&self, task: TaskId) -> Option<TaskState> {
        self.tasks.get(task.index()).map(|task| task.state)
    }

    /// Whether somebody has done the work of a task.
    pub(crate) fn is_done(&self, task: TaskId) -> bool {
        self.group(task).into_iter().any(|member| self.state_of(member) == Some(TaskState::Done))
    }

    /// Whether nobody will do the work of a task.
    pub(crate) fn is_lost(&self, task: TaskId) -> bool {
        let lost = |member| matches!(self.state_of(member), Some(TaskState::Failed | TaskState::Skipped));
        self.group(task).into_iter().all(lost)
    }

    /// Whether somebody else may still do the work of a task.
    pub(crate) fn has_rival(&self, task: TaskId) -> bool {
        let out = |member| matches!(self.state_of(member), Some(TaskState::Failed | TaskState::Skipped));
        self.group(task).into_iter().any(|member| member != task && !out(member))
    }

    /// Whether an agent of a role has had a rival of the task.
    pub(crate) fn works_on_rival(&self, task: TaskId, role: RoleId) -> bool {
        let by = |member: TaskId| self.tasks.get(member.index())?.last_agent;
        let role_of = |agent: crate::id::AgentId| self.agents.get(agent.index()).map(|agent| agent.role);
        let mut others = self.group(task).into_iter().filter(|member| *member != task);
        others.any(|member| by(member).and_then(role_of) == Some(role))
    }

    /// The change that is tried next: the first in the queue that does not wait for its rivals, or the best of those.
    pub(crate) fn next_change(&self) -> Option<ChangeId> {
        if self.rivals.groups.is_empty() {
            return self.queue.front().copied();
        }
        let task_of = |change: &ChangeId| self.changes.get(change).map(|change| change.task);
        let free = |change: &&ChangeId| task_of(change).is_some_and(|task| self.is_ripe(task));
        let first = *self.queue.iter().find(free)?;
        let leader = self.leader(task_of(&first)?);
        let same = self.queue.iter().filter(|change| task_of(change).map(|task| self.leader(task)) == Some(leader));
        same.copied().min_by_key(|change| self.worth(*change))
    }

    /// Whether nothing that a task's change should be compared with is being made at the moment. One that has no agent, waits for a person or for its
    /// provider holds up nobody: it may be this very change's agent that it waits for.
    fn is_ripe(&self, task: TaskId) -> bool {
        let leader = self.leader(task);
        let Some(group) = self.rivals.groups.get(&leader) else { return true };
        self.rivals.ripe.contains(&leader) || !group.iter().any(|member| self.is_in_the_making(*member))
    }

    fn is_in_the_making(&self, task: TaskId) -> bool {
        let Some(TaskState::Running(attempt)) = self.state_of(task) else { return false };
        let attempt = self.attempts.get(&attempt).filter(|attempt| attempt.limited.is_none());
        let state = attempt.map(|attempt| attempt.state);
        matches!(state, Some(AttemptState::Owed { .. } | AttemptState::Working { .. } | AttemptState::Ended))
    }

    fn worth(&self, id: ChangeId) -> (u32, Micros, ChangeId) {
        let attempt = self.changes.get(&id).and_then(|change| self.attempts.get(&change.attempt));
        attempt.map_or((u32::MAX, Micros(u64::MAX), id), |attempt| (attempt.paths, attempt.lease.spent, id))
    }

    /// A change is tried: it is the first in the queue from now on, and those that it was compared with wait for nobody any more.
    pub(crate) fn apply_tried(&mut self, id: ChangeId) {
        if self.queue.front() != Some(&id) {
            self.queue.retain(|queued| *queued != id);
            self.queue.push_front(id);
        }
        let Some(leader) = self.changes.get(&id).map(|change| self.leader(change.task)) else { return };
        if self.rivals.groups.contains_key(&leader) {
            self.rivals.ripe.insert(leader);
        }
    }

    /// The work is done: every other that does it is put aside.
    pub(crate) fn apply_rivals_beaten(&mut self, task: TaskId) {
        let Some(group) = self.rivals.groups.get(&self.leader(task)) else { return };
        let others = group.iter().filter(|member| **member != task);
        self.rivals.superseded.extend(others.map(|member| (*member, task)));
    }

    /// Whether a task is about to be put aside.
    pub(crate) fn is_beaten(&self, task: TaskId) -> bool {
        self.rivals.superseded.iter().any(|(member, _)| *member == task)
    }

    /// Whether the branch is moving to the change of a rival: what this one has comes too late.
    pub(crate) fn is_overtaken(&self, task: TaskId) -> bool {
        let front = self.queue.front().and_then(|id| self.changes.get(id));
        let moving = front.filter(|change| matches!(change.state, ChangeState::Merging { .. }));
        moving.is_some_and(|change| change.task != task && self.leader(change.task) == self.leader(task))
    }

    /// Puts the next one aside: first its turn ends and its questions are moot.
    pub(crate) fn supersede_next(&self, now: At) -> Option<Fact> {
        self.rivals.superseded.iter().find_map(|(task, by)| self.supersede(now, *task, *by))
    }

    fn supersede(&self, now: At, task: TaskId, by: TaskId) -> Option<Fact> {
        let attempt = match self.state_of(task) {
            Some(TaskState::Running(attempt)) => Some(attempt),
            _ => None,
        };
        match attempt.and_then(|attempt| Some((attempt, self.attempts.get(&attempt)?.state))) {
            Some((attempt, AttemptState::Working { cancelled: None, .. })) => {
                return Some(self.cancel_turn(now, attempt, StopReason::AttemptOver));
            }
            Some((_, AttemptState::Working { .. })) => return None,
            _ => {}
        }
        let moot = self.open_about(task, attempt);
        let moot = moot.map(|interrupt| Fact::InterruptAnswered { interrupt, answer: Answer::Deny, by: By::Moot });
        Some(moot.unwrap_or(Fact::TaskSuperseded { task, by }))
    }

    fn open_about(&self, task: TaskId, attempt: Option<AttemptId>) -> Option<InterruptId> {
        let about = |about: &About| match about {
            About::Task(known) => *known == task,
            About::Question(known) | About::Permission(known) => Some(*known) == attempt,
            _ => false,
        };
        self.interrupts.iter().find(|(_, interrupt)| about(&interrupt.about)).map(|(id, _)| *id)
    }

    pub(crate) fn apply_task_superseded(&mut self, task: TaskId) {
        self.rivals.superseded.retain(|(member, _)| *member != task);
        self.timers.clear(crate::timer::Timer::Task(task));
        self.leave_pool(task);
        if let Some(TaskState::Running(attempt)) = self.state_of(task) {
            self.attempt_over(attempt);
        }
        let Some(entry) = self.tasks.get_mut(task.index()) else { return };
        match entry.state {
            TaskState::Failed => self.tally.failed -= 1,
            TaskState::Skipped => self.tally.skipped -= 1,
            _ => self.tally.open -= 1,
        }
        entry.state = TaskState::Superseded;
        self.tally.superseded += 1;
    }

    /// Whether a change is on its way to the branch.
    pub(crate) fn is_under_way(&self, id: ChangeId) -> bool {
        self.changes.get(&id).is_some_and(|change| change.state != ChangeState::Waiting)
    }
}
