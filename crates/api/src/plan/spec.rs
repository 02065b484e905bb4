//! The shape of a plan file.

use crate::{
    config::{PlanBudgetSpec, ROLES_MAX, RoleSpec},
    source::shape::{At, DurationText, Entries, List, NameText, Text, UsdText, Value, Whole},
};
use schemars::JsonSchema;
use serde::Deserialize;

/// A plan: which tasks there are, who does them, in which order, and what counts as done.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "muster plan")]
pub(crate) struct PlanFile {
    /// The version of this file's format.
    #[schemars(extend("maximum" = 1, "minimum" = 1))]
    pub(crate) version: Option<At<Whole>>,
    /// What the mission is for, in one or a few sentences.
    pub(crate) goal: Option<At<Text>>,
    /// Roles of this plan; each replaces the one of the same name in `muster.yaml`.
    #[serde(default)]
    #[schemars(extend("maxProperties" = ROLES_MAX, "propertyNames" = {"pattern": "^[a-z0-9][a-z0-9-]{0,63}$"}))]
    pub(crate) roles: Entries<RoleSpec>,
    /// What its tasks, roles and agents may use, beside the limits in `muster.yaml`.
    pub(crate) budget: Option<PlanBudgetSpec>,
    /// The tasks. Their order does not matter; `depends_on` does.
    #[schemars(extend("minItems" = 1, "maxItems" = super::TASKS_MAX))]
    pub(crate) tasks: At<List<TaskSpec>>,
}

/// One task of the plan.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = [
    {"properties": {"writes": {"maxItems": 0}}, "required": ["writes"]},
    {"properties": {"checks": {"minItems": 1}}, "required": ["checks"]},
]))]
pub(crate) struct TaskSpec {
    /// The name of the task, unique in the plan.
    pub(crate) id: At<NameText>,
    /// One line for screens and commit messages; the id when left out.
    #[schemars(length(max = 200))]
    pub(crate) title: Option<At<Text>>,
    /// Which role does it. Left out: whichever of all roles has the most points by what it can do, its health, its budget, its price and how such
    /// tasks went before.
    pub(crate) role: Option<At<NameText>>,
    /// Who does it, in this order, when that role cannot; the role's own `fallback` when left out, `[]` for nobody.
    #[schemars(extend("maxItems" = ROLES_MAX, "uniqueItems" = true))]
    pub(crate) fallback: Option<At<List<NameText>>>,
    /// What whoever does it must be able to: capabilities of roles.
    #[serde(default)]
    #[schemars(extend("maxItems" = crate::config::CAPABILITIES_MAX))]
    pub(crate) needs: List<Text>,
    /// What kind of work it is, such as `bug_fix`; by the rules under `dispatch` when left out.
    #[serde(rename = "type")]
    #[schemars(extend("pattern" = "^[a-z0-9][a-z0-9_-]{0,63}$"))]
    pub(crate) task_type: Option<At<Text>>,
    /// By how many it is done independently; the smallest change that passes every check is merged. 1 when left out.
    #[schemars(extend("minimum" = 1, "maximum" = super::BEST_OF_MAX))]
    pub(crate) best_of: Option<At<Whole>>,
    /// What is to be done.
    pub(crate) instructions: At<Text>,
    /// The ids of the tasks that must be done first.
    #[serde(default)]
    #[schemars(extend("maxItems" = super::DEPENDENCIES_MAX, "uniqueItems" = true))]
    pub(crate) depends_on: List<NameText>,
    /// Which paths it may change, as globs from the repository's root. Left out: any. `[]`: none, the result is a text.
    #[schemars(extend("maxItems" = super::WRITES_MAX))]
    pub(crate) writes: Option<At<List<Text>>>,
    /// What must succeed at the merge commit; at least one unless `writes` is `[]`.
    #[serde(default)]
    #[schemars(extend("maxItems" = super::CHECKS_MAX))]
    pub(crate) checks: List<CheckSpec>,
    /// Whether a result that changes nothing is as good: when it may turn out that there is nothing to do. Otherwise a task with
    /// `writes` that changes none of them gets its result back.
    pub(crate) may_change_nothing: Option<bool>,
    /// How many attempts before a person is asked.
    #[schemars(extend("minimum" = 1, "maximum" = 100))]
    pub(crate) attempts_max: Option<At<Whole>>,
    /// How much one attempt may spend in all, in US dollars. For all attempts together, put a limit under `budget`.
    pub(crate) budget_usd: Option<At<UsdText>>,
}

/// One acceptance check.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckSpec {
    /// A command line for a shell, run in a clean checkout without network; exit status 0 passes.
    #[schemars(extend("pattern" = "\\S"))]
    pub(crate) run: At<Value>,
    /// How long it may take, for example `60s`.
    pub(crate) timeout: Option<At<DurationText>>,
}
