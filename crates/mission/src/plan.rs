//! The plan: roles and tasks as data, checked once when it is proposed, unchanged afterwards.

use crate::{
    allowance::{ALLOWANCES_MAX, Allowance},
    dispatch::{Dispatch, Skills, Weights},
    id::{AgentId, Micros, RoleId, TaskId},
    limits::{AGENTS_MAX, CHECKS_MAX, DEPENDENCIES_MAX, ROLES_MAX, TASKS_MAX, TEXT_BYTES_MAX},
};
use serde::{Deserialize, Serialize};

/// Who does what, in which order, and what counts as done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The roles; a [`RoleId`] is a position in this list.
    pub roles: Vec<Role>,
    /// The tasks; a [`TaskId`] is a position in this list. Dependencies may point either way in it, but never in a circle.
    pub tasks: Vec<TaskSpec>,
    /// What may be used beside the mission's budget; an [`AllowanceId`](crate::id::AllowanceId) is a position in this list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowances: Vec<Allowance>,
    /// What counts how much when roles compete for a task.
    #[serde(default, skip_serializing_if = "Weights::is_default")]
    pub weights: Weights,
}

/// What an agent is for, and how many agents of it there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// The name that people and agents use.
    pub name: String,
    /// How many agents of this role there may be, at least one.
    pub count: u32,
    /// What every turn brief of this role begins with.
    #[serde(default)]
    pub instructions: String,
    /// What is known of its agents.
    #[serde(default, skip_serializing_if = "Skills::is_default")]
    pub skills: Skills,
}

/// One node of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// The name that people and agents use; unique in the plan.
    pub name: String,
    /// One line for screens and commit messages.
    pub title: String,
    /// Which role does it.
    pub role: RoleId,
    /// What is to be done.
    pub instructions: String,
    /// What must be done first.
    #[serde(default)]
    pub depends_on: Vec<TaskId>,
    /// What it may change.
    #[serde(default)]
    pub writes: Writes,
    /// What must succeed at the merge commit. Never empty for a task that changes something.
    #[serde(default)]
    pub checks: Vec<Check>,
    /// How many attempts before a person is asked; at least one.
    pub attempts_max: u32,
    /// How much one attempt may spend in all; without it only the mission's budget bounds it.
    #[serde(default)]
    pub budget: Option<Micros>,
    /// A result without a change is as good: what is to be done may have been done already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_change_nothing: bool,
    /// Who may do it beside its role.
    #[serde(default, skip_serializing_if = "Dispatch::is_default")]
    pub dispatch: Dispatch,
}

/// The write-set of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Writes {
    /// Any path.
    #[default]
    Anything,
    /// Only paths that match one of these globs.
    Only(Vec<String>),
    /// No path: the task's result is its text.
    Nothing,
}

/// One acceptance check: a command run by a shell in a clean sandbox at the exact merge commit; exit status 0 passes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The command line.
    pub run: String,
    /// How long it may take, in milliseconds.
    pub timeout_ms: u64,
}

/// Why a plan is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// There is nothing to do.
    #[error("the plan has no tasks")]
    Empty,
    /// One of the fixed limits is passed.
    #[error("the plan has {count} {what}, at most {max} are allowed")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// A text is longer than [`TEXT_BYTES_MAX`].
    #[error("the instructions of '{0}' are longer than {TEXT_BYTES_MAX} bytes")]
    TextTooLong(String),
    /// A role without agents.
    #[error("role '{0}' has no agents: its count must be at least 1")]
    NoAgents(String),
    /// A task names a role that is not in the list.
    #[error("task '{0}' names a role that the plan does not have")]
    UnknownRole(String),
    /// A task depends on one that is not in the list.
    #[error("task '{0}' depends on a task that the plan does not have")]
    UnknownDependency(String),
    /// Two tasks or two roles of one name.
    #[error("two entries are named '{0}'")]
    Duplicate(String),
    /// The dependencies go round in a circle through this task.
    #[error("task '{0}' depends on itself through its dependencies")]
    Cycle(String),
    /// A task that changes something without a check, or with an empty one.
    #[error("task '{0}' changes files but has no acceptance check")]
    NoCheck(String),
    /// A task without a single attempt.
    #[error("task '{0}' must be allowed at least one attempt")]
    NoAttempts(String),
    /// An allowance of nothing, or about something that the plan does not have.
    #[error("the allowance '{0}' is of nothing, or about something that the plan does not have")]
    BadAllowance(String),
    /// Who may do a task does not make sense, or nobody can.
    #[error("task '{task}': {why}")]
    BadDispatch {
        /// Which task.
        task: String,
        /// What is wrong.
        why: String,
    },
}

impl Plan {
    /// Every rule that a plan has to keep; the first one broken is the answer.
    ///
    /// # Errors
    /// [`PlanError`] names the entry.
    pub fn check(&self) -> Result<(), PlanError> {
        if self.tasks.is_empty() {
            return Err(PlanError::Empty);
        }
        at_most("tasks", self.tasks.len(), TASKS_MAX)?;
        at_most("roles", self.roles.len(), ROLES_MAX)?;
        at_most("allowances", self.allowances.len(), ALLOWANCES_MAX)?;
        self.check_roles()?;
        let names: std::collections::BTreeSet<&str> = self.tasks.iter().map(|task| task.name.as_str()).collect();
        if names.len() < self.tasks.len() {
            return Err(PlanError::Duplicate(first_twice(self.tasks.iter().map(|task| &task.name))));
        }
        self.tasks.iter().try_for_each(|task| self.check_task(task))?;
        (0..).zip(&self.tasks).try_for_each(|(id, task)| self.check_dispatch(TaskId(id), task))?;
        self.check_allowances()?;
        self.check_order()
    }

    fn check_roles(&self) -> Result<(), PlanError> {
        let names: std::collections::BTreeSet<&str> = self.roles.iter().map(|role| role.name.as_str()).collect();
        if names.len() < self.roles.len() {
            return Err(PlanError::Duplicate(first_twice(self.roles.iter().map(|role| &role.name))));
        }
        let mut agents = 0usize;
        for role in &self.roles {
            if role.count == 0 {
                return Err(PlanError::NoAgents(role.name.clone()));
            }
            if role.instructions.len() > TEXT_BYTES_MAX {
                return Err(PlanError::TextTooLong(role.name.clone()));
            }
            agents = agents.saturating_add(role.count as usize);
        }
        at_most("agents", agents, AGENTS_MAX)
    }

    fn check_task(&self, task: &TaskSpec) -> Result<(), PlanError> {
        let name = || task.name.clone();
        if task.role.index() >= self.roles.len() {
            return Err(PlanError::UnknownRole(name()));
        }
        if task.instructions.len() > TEXT_BYTES_MAX {
            return Err(PlanError::TextTooLong(name()));
        }
        at_most("dependencies of one task", task.depends_on.len(), DEPENDENCIES_MAX)?;
        at_most("checks of one task", task.checks.len(), CHECKS_MAX)?;
        if task.depends_on.iter().any(|needed| needed.index() >= self.tasks.len()) {
            return Err(PlanError::UnknownDependency(name()));
        }
        let checked = !task.checks.is_empty() && task.checks.iter().all(|check| !check.run.trim().is_empty());
        if task.writes != Writes::Nothing && !checked {
            return Err(PlanError::NoCheck(name()));
        }
        if task.attempts_max == 0 {
            return Err(PlanError::NoAttempts(name()));
        }
        Ok(())
    }

    /// Kahn's order: whatever cannot be reached lies on a circle or behind one.
    fn check_order(&self) -> Result<(), PlanError> {
        let mut missing: Vec<usize> = self.tasks.iter().map(|task| task.depends_on.len()).collect();
        let dependents = self.dependents();
        let mut open: Vec<usize> = (0..missing.len()).filter(|&task| missing[task] == 0).collect();
        let mut reached = 0;
        while let Some(task) = open.pop() {
            reached += 1;
            for dependent in &dependents[task] {
                missing[dependent.index()] -= 1;
                if missing[dependent.index()] == 0 {
                    open.push(dependent.index());
                }
            }
        }
        match missing.iter().position(|&left| left > 0) {
            Some(task) if reached < missing.len() => Err(PlanError::Cycle(self.tasks[task].name.clone())),
            _ => Ok(()),
        }
    }

    /// For each task, the tasks that wait for it (once for every time that they name it).
    pub fn dependents(&self) -> Vec<Vec<TaskId>> {
        let mut dependents = vec![Vec::new(); self.tasks.len()];
        for (index, task) in self.tasks.iter().enumerate() {
            for needed in &task.depends_on {
                if let Some(list) = dependents.get_mut(needed.index()) {
                    list.push(TaskId(index as u32));
                }
            }
        }
        dependents
    }

    /// The agents that the roles make, in order: for each its role and its name (`builder-1`, `builder-2`, …).
    pub fn agents(&self) -> impl Iterator<Item = (AgentId, RoleId, String)> + '_ {
        let slots = self.roles.iter().enumerate();
        slots
            .flat_map(|(role, spec)| (1..=spec.count).map(move |number| (RoleId(role as u32), &spec.name, number)))
            .enumerate()
            .map(|(agent, (role, name, number))| (AgentId(agent as u32), role, format!("{name}-{number}")))
    }
}

fn at_most(what: &'static str, count: usize, max: usize) -> Result<(), PlanError> {
    if count > max { Err(PlanError::TooMany { what, count, max }) } else { Ok(()) }
}

fn first_twice<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let mut seen = std::collections::BTreeSet::new();
    names.into_iter().find(|name| !seen.insert(name.as_str())).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(name: &str, depends_on: &[u32]) -> TaskSpec {
        TaskSpec {
            name: name.into(),
            title: name.into(),
            role: RoleId(0),
            instructions: String::new(),
            depends_on: depends_on.iter().map(|&task| TaskId(task)).collect(),
            writes: Writes::Anything,
            checks: vec![Check { run: "true".into(), timeout_ms: 1_000 }],
            may_change_nothing: false,
            attempts_max: 1,
            budget: None,
            dispatch: Dispatch::default(),
        }
    }

    fn plan(tasks: Vec<TaskSpec>) -> Plan {
        Plan { roles: vec![Role { name: "builder".into(), count: 2, ..Role::default() }], tasks, ..Plan::default() }
    }

    #[test]
    fn a_diamond_is_fine() {
        assert_eq!(plan(vec![task("a", &[]), task("b", &[0]), task("c", &[0]), task("d", &[1, 2])]).check(), Ok(()));
    }

    #[test]
    fn each_broken_rule_is_named() {
        let cases: Vec<(Plan, PlanError)> = vec![
            (plan(vec![]), PlanError::Empty),
            (plan(vec![task("a", &[1]), task("b", &[0])]), PlanError::Cycle("a".into())),
            (plan(vec![task("a", &[0])]), PlanError::Cycle("a".into())),
            (plan(vec![task("a", &[]), task("a", &[])]), PlanError::Duplicate("a".into())),
            (plan(vec![task("a", &[7])]), PlanError::UnknownDependency("a".into())),
            (plan(vec![TaskSpec { role: RoleId(3), ..task("a", &[]) }]), PlanError::UnknownRole("a".into())),
            (plan(vec![TaskSpec { checks: vec![], ..task("a", &[]) }]), PlanError::NoCheck("a".into())),
            (plan(vec![TaskSpec { attempts_max: 0, ..task("a", &[]) }]), PlanError::NoAttempts("a".into())),
        ];
        for (plan, expected) in cases {
            assert_eq!(plan.check(), Err(expected));
        }
    }

    #[test]
    fn a_report_needs_no_check() {
        let report = TaskSpec { writes: Writes::Nothing, checks: vec![], ..task("a", &[]) };
        assert_eq!(plan(vec![report]).check(), Ok(()));
    }

    #[test]
    fn agents_are_numbered_within_their_role() {
        let names: Vec<String> = plan(vec![]).agents().map(|(_, _, name)| name).collect();
        assert_eq!(names, ["builder-1", "builder-2"]);
    }
}
