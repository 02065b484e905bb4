//! Who may do a task, and how one is chosen among several roles. Data of the plan; the choice itself is in [`ranking`].
//!
//! A task names a role and, in order of preference, others that may take its place. They are tried in that order: the next one only when all before
//! it cannot (they lack something, are down, must wait for their provider, have used up their budget, or have failed this very task), never
//! because they are busy. When the roles compete, the free one with the most points is taken. What a runtime can do, what it costs and how it did
//! before is told with the plan; how it is at the moment is told by [`HealthChecked`](crate::Input::HealthChecked).

use crate::{
    id::{RoleId, TaskId},
    limits::{CAPABILITIES_MAX, ROLES_MAX},
    plan::{Plan, PlanError, TaskSpec, Writes},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use health::Health;

pub(crate) mod health;
pub(crate) mod pools;
pub(crate) mod ranking;
pub(crate) mod rivals;

/// Who may do a task beside its role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dispatch {
    /// Other roles that may do it, in order of preference.
    pub also: Vec<RoleId>,
    /// Whether all of them compete by points; otherwise their order counts.
    pub compete: bool,
    /// How many attempts of one role at the task fail before another role is preferred; at least one.
    pub tries_per_role: u32,
    /// What whoever does it must be able to.
    pub needs: Vec<String>,
    /// What is known of the task.
    pub profile: Profile,
    /// The task that this one does again, independently: of all that do, the best result is merged and the others are put aside.
    pub rival_of: Option<TaskId>,
}

impl Default for Dispatch {
    fn default() -> Self {
        let (also, needs) = (Vec::new(), Vec::new());
        Self { also, compete: false, tries_per_role: 2, needs, profile: Profile::default(), rival_of: None }
    }
}

impl Dispatch {
    /// Whether nothing is said beyond the role.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What is known of a task before it is given to anybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    /// What kind of work it is, such as `bug_fix`; empty when it is not known.
    pub kind: String,
    /// How large it is.
    pub size: Size,
    /// What is good to have for it; whoever lacks it is not ruled out.
    pub wants: Vec<String>,
}

/// How large a task is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Size {
    /// A few lines.
    Small,
    /// What one does at one go.
    #[default]
    Medium,
    /// Much.
    Large,
}

/// What is known of the agents of a role before the mission begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Skills {
    /// What they can do.
    pub capabilities: Vec<String>,
    /// Whether they may change no files.
    pub read_only: bool,
    /// A boundary that was asked for and that their runtime cannot hold; they get no work then.
    pub unheld: Option<String>,
    /// What their model costs for a million tokens, three of input to one of output, in micro-dollars.
    pub price: Option<u64>,
    /// How they were when the plan was made, if somebody looked.
    pub found: Option<Health>,
    /// How tasks went before in this repository, by kind.
    pub past: BTreeMap<String, Past>,
}

impl Skills {
    /// Whether nothing is known.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How tasks went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// Attempts that ended with a result that was accepted.
    pub done: u32,
    /// Attempts that failed.
    pub failed: u32,
}

/// How much each consideration weighs when roles compete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Weights {
    /// What they can do of what is good to have.
    pub capability: u32,
    /// How they are.
    pub health: u32,
    /// How much of their budget is left.
    pub budget: u32,
    /// What their model costs.
    pub price: u32,
    /// How tasks of this kind went before.
    pub history: u32,
}

impl Default for Weights {
    fn default() -> Self {
        Self { capability: 4, health: 3, budget: 1, price: 2, history: 3 }
    }
}

impl Weights {
    /// Whether these are the usual ones.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl TaskSpec {
    /// Every role that may do it, its own first.
    pub fn candidates(&self) -> impl Iterator<Item = RoleId> + '_ {
        std::iter::once(self.role).chain(self.dispatch.also.iter().copied())
    }
}

impl Plan {
    /// Why agents of a role can never do a task, if so.
    pub(crate) fn unfit(&self, task: &TaskSpec, role: RoleId) -> Option<ranking::Out> {
        let skills = &self.roles.get(role.index())?.skills;
        let lacks = task.dispatch.needs.iter().find(|need| !skills.capabilities.contains(need));
        match (&skills.unheld, lacks) {
            (Some(why), _) => Some(ranking::Out::Unheld(why.clone())),
            (None, Some(need)) => Some(ranking::Out::Lacks(need.clone())),
            (None, None) if skills.read_only && task.writes != Writes::Nothing => Some(ranking::Out::ReadOnly),
            (None, None) => None,
        }
    }

    pub(crate) fn check_dispatch(&self, id: TaskId, task: &TaskSpec) -> Result<(), PlanError> {
        let bad = |why: String| Err(PlanError::BadDispatch { task: task.name.clone(), why });
        let dispatch = &task.dispatch;
        let texts = dispatch.needs.iter().chain(&dispatch.profile.wants).chain([&dispatch.profile.kind]);
        if dispatch.also.len() >= ROLES_MAX || texts.clone().count() > CAPABILITIES_MAX {
            return bad("too much is said of who may do it".to_owned());
        }
        let mut roles: Vec<RoleId> = task.candidates().collect();
        if roles.iter().any(|role| role.index() >= self.roles.len()) {
            return Err(PlanError::UnknownRole(task.name.clone()));
        }
        let before = roles.len();
        roles.sort_unstable();
        roles.dedup();
        if roles.len() < before {
            return bad("a role is named twice".to_owned());
        }
        if dispatch.tries_per_role == 0 {
            return bad("a role must be allowed at least one attempt".to_owned());
        }
        self.check_rivals(id, task)?;
        let unfit: Vec<String> = roles
            .iter()
            .filter_map(|role| {
                let name = self.roles.get(role.index()).map_or("", |role| role.name.as_str());
                self.unfit(task, *role).map(|out| format!("{name} {}", out.tell()))
            })
            .collect();
        if unfit.len() == roles.len() { bad(format!("nobody can do it: {}", unfit.join("; "))) } else { Ok(()) }
    }

    /// A rival does what a task of the same plan does that is nobody's rival itself, and nobody waits for it: they wait for that task.
    fn check_rivals(&self, id: TaskId, task: &TaskSpec) -> Result<(), PlanError> {
        let rival_of = |task: &TaskId| self.tasks.get(task.index()).and_then(|task| task.dispatch.rival_of);
        let bad = |why: &str| Err(PlanError::BadDispatch { task: task.name.clone(), why: why.to_owned() });
        match task.dispatch.rival_of {
            Some(leader) if leader == id || leader.index() >= self.tasks.len() || rival_of(&leader).is_some() => {
                bad("it is the rival of nothing")
            }
            _ if task.depends_on.iter().any(|needed| rival_of(needed).is_some()) => {
                bad("it depends on the rival of a task; name the task")
            }
            _ => Ok(()),
        }
    }
}
