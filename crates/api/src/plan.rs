//! Plan files: which tasks there are, who does them, in which order, and what counts as done.
//!
//! [`load`] reads and judges a plan once, against the configuration that it runs under; what comes out is complete: every
//! role is resolved, every dependency exists, no task waits for itself, every change has a check.

use crate::{
    config::{
        self, AGENTS_MAX, BudgetLimit, BudgetScope, CheckedConfig, Dispatch, ROLES_MAX, Role, Subjects, Upstreams,
        Weights, budget_limits, budget_limits_over, roles,
    },
    source::{Place, Problems, Source, checker::Checker, repair},
    value::Name,
};
use serde::Serialize;
use std::{collections::BTreeMap, iter};

mod order;
mod profile;
mod spec;
mod task;

pub use profile::Profile;

pub(crate) use spec::{CheckSpec, PlanFile, TaskSpec};

/// Most tasks in one plan, the same as the core allows.
pub const TASKS_MAX: usize = 10_000;
/// Most dependencies of one task, the same as the core allows.
pub const DEPENDENCIES_MAX: usize = 256;
/// Most acceptance checks of one task, the same as the core allows.
pub const CHECKS_MAX: usize = 32;
/// By how many one task may be done for the best result.
pub const BEST_OF_MAX: u32 = 8;
/// Most globs in one write-set.
pub const WRITES_MAX: usize = 256;
/// Most bytes of a title, which becomes the first line of a commit message.
pub const TITLE_BYTES_MAX: usize = 200;

/// A whole, consistent plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckedPlan {
    /// What the mission is for, if the plan says so.
    pub goal: Option<String>,
    /// The roles that tasks of this plan use, by name: the plan's own, else the configuration's.
    pub roles: BTreeMap<Name, Role>,
    /// The tasks in the plan's order, at least one; ids are unique, dependencies exist and form no circle.
    pub tasks: Vec<Task>,
    /// What counts how much when roles compete.
    pub weights: Weights,
    /// How many attempts of one role at a task fail before another is preferred.
    pub tries_per_role: u32,
    /// What they may use beside the mission's dollars: the configuration's limits where they concern this plan, each replaced by the plan's own
    /// for the same.
    pub budget_limits: Vec<BudgetLimit>,
}

/// One node of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Task {
    /// Its name in the plan.
    pub id: Name,
    /// One line for screens and commit messages; the id when the plan gives none.
    pub title: String,
    /// Which role does it; one of [`CheckedPlan::roles`].
    pub role: Name,
    /// Who may do it in its place, in order of preference; other roles of [`CheckedPlan::roles`], each once.
    pub fallback: Vec<Name>,
    /// Whether all of these compete, because the plan names no role.
    pub compete: bool,
    /// What whoever does it must be able to.
    pub needs: Vec<String>,
    /// By how many it is done independently, for the best result to be taken; at least 1.
    pub best_of: u32,
    /// What is known of it.
    pub profile: Profile,
    /// What is to be done.
    pub instructions: String,
    /// What must be done first; other tasks of the plan, each named once.
    pub depends_on: Vec<Name>,
    /// What it may change.
    pub writes: Writes,
    /// What must succeed at the merge commit; at least one unless it changes nothing.
    pub checks: Vec<Check>,
    /// Whether a result that changes nothing is as good as one that changes something.
    pub may_change_nothing: bool,
    /// How many attempts before a person is asked; at least 1.
    pub attempts_max: u32,
    /// How much one attempt may spend in all, in millionths of a US dollar.
    pub budget_micros: Option<u64>,
}

/// What a task may change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Writes {
    /// Any path.
    Anything,
    /// Only paths that match one of these globs, which [`crate::globs::Globs::compile`] takes.
    Only(Vec<String>),
    /// No path: the task's result is its text.
    Nothing,
}

/// One acceptance check: a command line for a shell; exit status 0 passes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The command line.
    pub run: String,
    /// How long it may take, in milliseconds.
    pub timeout_ms: u64,
}

impl CheckedPlan {
    /// A plan without a task that uses every role of a configuration: for looking at what they need.
    pub fn of_roles(config: &CheckedConfig) -> Self {
        let Dispatch { weights, tries_per_role, .. } = config.dispatch;
        let (roles, budget_limits) = (config.roles.clone(), config.budget_limits.clone());
        Self { goal: None, roles, tasks: Vec::new(), budget_limits, weights, tries_per_role }
    }
}

/// Reads and judges a plan against the configuration that it runs under.
///
/// A role in the plan replaces the configuration's role of the same name as a whole.
///
/// # Errors
/// Everything that is wrong with it; one problem only when the text is not YAML or JSON of the right shape.
pub fn load(source: &Source, config: &CheckedConfig) -> Result<CheckedPlan, Problems> {
    read(source, config).map_err(|first| match source.parse::<PlanFile>() {
        Ok(_) => first,
        Err(_) => repair::every_problem::<PlanFile>(source, first, |mended| read(mended, config).err()),
    })
}

fn read(source: &Source, config: &CheckedConfig) -> Result<CheckedPlan, Problems> {
    let file: PlanFile = source.parse()?;
    let mut checker = Checker::new(source);
    checker.version(file.version);
    let goal = file.goal.map(|goal| checker.text("the goal", goal));
    let mut known = config.roles.clone();
    known.extend(roles(
        &mut checker,
        file.roles,
        &Upstreams { all: config.upstreams.clone(), usual: config.usual_upstream.clone() },
        &config.roles,
    ));
    let tasks_place = file.tasks.place;
    let tasks = task::tasks(&mut checker, file.tasks, &known, config);
    let ids = tasks.iter().map(|task| task.id.as_str()).collect();
    let subjects = Subjects { roles: &known, tasks: Some(ids) };
    let own = budget_limits(&mut checker, file.budget.unwrap_or_default().limits, &subjects);
    known.retain(|name, _| tasks.iter().any(|task| task.role == *name || task.fallback.contains(name)));
    check_numbers(&mut checker, &known, tasks_place);
    let budget_limits = both_limits(&config.budget_limits, own, &known);
    let Dispatch { weights, tries_per_role, .. } = config.dispatch;
    checker.finish(CheckedPlan { goal, roles: known, tasks, budget_limits, weights, tries_per_role })
}

/// Reads and judges a plan and the configuration that it runs under, so that all faults of both are told at once. Without a
/// configuration, `own` is what it runs under.
///
/// # Errors
/// Everything that is wrong with either.
pub fn load_both(
    configured: Option<&Source>,
    own: &CheckedConfig,
    source: &Source,
) -> Result<(CheckedConfig, CheckedPlan), Vec<Problems>> {
    let judged = configured.map_or_else(|| Ok((own.clone(), None)), |configured| config::judged(configured, own));
    match judged {
        Ok((config, None)) => load(source, &config).map(|plan| (config, plan)).map_err(|problems| vec![problems]),
        Ok((config, Some(problems))) => Err(iter::once(problems).chain(load(source, &config).err()).collect()),
        // What the plan may name is not known, so only its shape is judged.
        Err(first) => {
            let problems = configured.map(|configured| config::every_problem(configured, own, first));
            let shape = |first| repair::every_problem::<PlanFile>(source, first, |_| None);
            Err(problems.into_iter().chain(source.parse::<PlanFile>().err().map(shape)).collect())
        }
    }
}

/// The configuration's limits that the plan does not set itself, and the plan's. What is about roles or agents that the plan does not use limits nothing.
fn both_limits(config: &[BudgetLimit], plan: Vec<BudgetLimit>, roles: &BTreeMap<Name, Role>) -> Vec<BudgetLimit> {
    let concerns = |limit: &BudgetLimit| match &limit.scope {
        BudgetScope::Role(role) => roles.contains_key(role),
        BudgetScope::Agent(role, number) => roles.get(role).is_some_and(|role| *number <= role.count),
        BudgetScope::Mission | BudgetScope::Task(_) => true,
    };
    budget_limits_over(config, plan).into_iter().filter(concerns).collect()
}

/// The roles of a plan come from two files, so their numbers are judged once more where they meet.
fn check_numbers(checker: &mut Checker, roles: &BTreeMap<Name, Role>, place: Place) {
    if roles.len() > ROLES_MAX {
        checker.wrong(place, format!("these tasks use {} roles", roles.len()), format!("keep {ROLES_MAX}"));
    }
    let agents = roles.values().fold(0u32, |sum, role| sum.saturating_add(role.count));
    if agents > AGENTS_MAX {
        checker.wrong(
            place,
            format!("these tasks use {agents} agents"),
            format!("keep {AGENTS_MAX}: lower `count` of a role"),
        );
    }
}
