//! Readings of the state, for drivers and screens. None of them changes anything.

use crate::{
    id::{AgentId, AttemptId, InterruptId, Micros, RoleId, TaskId},
    input::Opening,
    ledger::Ledger,
    plan::Plan,
    state::{Agent, Attempt, Change, Interrupt, Mission, Status, Tally, Task},
};

impl Mission {
    /// Where the mission stands.
    pub fn status(&self) -> Status {
        self.status
    }

    /// What it began with.
    pub fn opening(&self) -> Option<&Opening> {
        self.opening.as_deref()
    }

    /// Its plan; empty before there is one.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The head of the mission branch, once the repositories stand.
    pub fn head(&self) -> Option<&str> {
        self.head.as_deref()
    }

    /// One task's state.
    pub fn task(&self, id: TaskId) -> Option<&Task> {
        self.tasks.get(id.index())
    }

    /// The task of this name.
    pub fn task_named(&self, name: &str) -> Option<TaskId> {
        self.plan.tasks.iter().position(|task| task.name == name).map(|index| TaskId(index as u32))
    }

    /// Every agent of the registry.
    pub fn agents(&self) -> impl Iterator<Item = (AgentId, &Agent)> {
        self.agents.iter().enumerate().map(|(index, agent)| (AgentId(index as u32), agent))
    }

    /// One agent.
    pub fn agent(&self, id: AgentId) -> Option<&Agent> {
        self.agents.get(id.index())
    }

    /// The agent of this name.
    pub fn agent_named(&self, name: &str) -> Option<AgentId> {
        self.names.iter().position(|known| known == name).map(|index| AgentId(index as u32))
    }

    /// The role of this name.
    pub fn role_named(&self, name: &str) -> Option<RoleId> {
        self.plan.roles.iter().position(|role| role.name == name).map(|index| RoleId(index as u32))
    }

    /// The attempts that are on.
    pub fn attempts(&self) -> impl Iterator<Item = (AttemptId, &Attempt)> {
        self.attempts.iter().map(|(id, attempt)| (*id, attempt))
    }

    /// One attempt that is on.
    pub fn attempt(&self, id: AttemptId) -> Option<&Attempt> {
        self.attempts.get(&id)
    }

    /// What an attempt may still spend without asking; nothing when it is over or neither the mission nor its task has a budget.
    pub fn lease_left(&self, id: AttemptId) -> Option<Micros> {
        self.ledger.cap.or_else(|| self.task_budget_left(id))?;
        self.attempts.get(&id).map(|attempt| attempt.lease.left())
    }

    /// The merge queue, first come first.
    pub fn queue(&self) -> impl Iterator<Item = &Change> {
        self.queue.iter().filter_map(|id| self.changes.get(id))
    }

    /// The interrupts that are open.
    pub fn interrupts(&self) -> impl Iterator<Item = (InterruptId, &Interrupt)> {
        self.interrupts.iter().map(|(id, interrupt)| (*id, interrupt))
    }

    /// The money.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Tasks by how they stand.
    pub fn tally(&self) -> Tally {
        self.tally
    }
}
