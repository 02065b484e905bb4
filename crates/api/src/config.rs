//! `muster.yaml`: where models are reached, which roles there are, what they may use and spend.
//!
//! [`load`] reads and judges the file once; what comes out is complete and consistent, so nobody judges it again. It
//! reads no environment and opens no other file: a key stays in the variable that `key_env` names, and a script's path
//! is handed on as it was written.

use crate::{
    policy::{self, CheckedPolicy},
    source::{Problem, Problems, Source, checker::Checker, repair},
    value::Name,
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

mod ability;
mod approvals;
mod budget;
mod dispatch;
mod places;
mod role;
mod secrets;
mod spec;
mod upstream;

pub use ability::{CAPABILITIES_MAX, HealthAsk, HealthCheck};
pub use approvals::{APPROVAL_RULES_MAX, Approval, ApprovalRule, Approvals, Fits};
pub use budget::{BUDGET_LIMITS_MAX, BudgetLimit, BudgetMeasure, BudgetScope, BudgetWindow};
pub use dispatch::{Dispatch, RULES_MAX, TaskRule, TaskSize, Weights};
pub use places::{Places, places, plan_places};
pub use role::{Role, Runtime, Speaks, WorkspaceKind};
pub use secrets::{Outgoing, SECRET_NAMES_MAX, Secrets};
pub use upstream::{Format, Key, Recording, Upstream, UpstreamRules};

pub(crate) use ability::HealthSpec;
pub(crate) use ability::{capabilities, capability};
pub(crate) use approvals::{ApprovalsSpec, RuleSpec as ApprovalRuleSpec};
pub(crate) use budget::{
    BudgetLimitSpec, BudgetSpec, PlanBudgetSpec, Subjects, limits as budget_limits, over as budget_limits_over,
};
pub(crate) use dispatch::{DispatchSpec, RuleSpec as DispatchRuleSpec, WeightsSpec};
pub(crate) use role::{named_roles, roles};
pub(crate) use secrets::SecretsSpec;
pub(crate) use spec::{ConfigFile, LimitsSpec, PriceSpec, RoleSpec, RuntimeSpec, WorkspaceSpec};
pub(crate) use upstream::{TimeoutsSpec, UpstreamSpec, Upstreams};

/// Most upstreams in one file.
pub const UPSTREAMS_MAX: usize = 64;
/// Most roles in one mission, the same as the core allows.
pub const ROLES_MAX: usize = 64;
/// Most agents in one mission over all roles, the same as the core allows.
pub const AGENTS_MAX: u32 = 1_000;

/// Attempts of a task before a person is asked, when neither the plan nor the file says otherwise.
pub const ATTEMPTS_DEFAULT: u32 = 3;
/// How long one acceptance check may take, when neither the plan nor the file says otherwise: ten minutes.
pub const CHECK_MS_DEFAULT: u64 = 10 * 60_000;

/// A whole, consistent configuration. The default is the one of an empty file: nothing is set, nothing can run yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CheckedConfig {
    /// Where models are reached, by name.
    pub upstreams: BTreeMap<Name, Upstream>,
    /// The upstream of roles that name none, if that is clear.
    #[serde(skip)]
    pub usual_upstream: Option<Name>,
    /// The roles that plans may use, by name; a plan may replace them and add its own.
    pub roles: BTreeMap<Name, Role>,
    /// The most that one mission may spend, in millionths of a US dollar.
    pub budget_micros: Option<u64>,
    /// The share of it, in percent, at which people are warned.
    pub budget_warn_percent: Option<u32>,
    /// What may be used beside that.
    pub budget_limits: Vec<BudgetLimit>,
    /// What bounds a mission.
    pub limits: Limits,
    /// How tasks are classified and given to roles.
    pub dispatch: Dispatch,
    /// Prices by model, ahead of the built-in table.
    pub prices: BTreeMap<String, Price>,
    /// What acceptance checks may use beyond the system's own folders.
    pub checks: CheckedPolicy,
    /// Whether the model calls of missions are kept, to be replayed.
    pub record: bool,
    /// What is masked.
    pub secrets: Secrets,
}

/// What bounds a mission. Where nothing is set, the core's own default holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Attempts of a task before a person is asked, unless its plan says otherwise.
    pub attempts_max: u32,
    /// How long one acceptance check may take, in milliseconds, unless its plan says otherwise.
    pub check_ms_max: u64,
    /// How long one turn of an agent may take, in milliseconds.
    pub turn_ms_max: Option<u64>,
    /// How long an agent may be silent in its turn, in milliseconds.
    pub silence_ms_max: Option<u64>,
    /// How long a question waits for a person before its default is taken, in milliseconds.
    pub interrupt_ms: Option<u64>,
    /// How many times a change may come back from the merge queue within one attempt.
    pub returns_max: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            attempts_max: ATTEMPTS_DEFAULT,
            check_ms_max: CHECK_MS_DEFAULT,
            turn_ms_max: None,
            silence_ms_max: None,
            interrupt_ms: None,
            returns_max: None,
        }
    }
}

/// What a model costs, in millionths of a US dollar for one million tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Price {
    /// Tokens of the request.
    pub input_micros_per_mtok: u64,
    /// Tokens of the answer.
    pub output_micros_per_mtok: u64,
    /// Tokens of the request that the provider had in its cache; without it they cost what `input` does.
    pub cache_read_micros_per_mtok: Option<u64>,
    /// Tokens of the request that the provider put into its cache; without it they cost what `input` does.
    pub cache_write_micros_per_mtok: Option<u64>,
}

/// Reads and judges a configuration.
///
/// # Errors
/// Everything that is wrong with it; one problem only when the text is not YAML or JSON of the right shape.
pub fn load(source: &Source) -> Result<CheckedConfig, Problems> {
    load_over(source, &CheckedConfig::default())
}

/// Reads and judges a configuration over another one: where it says nothing, the other holds. Upstreams, roles, prices and
/// budget limits are replaced one by one, limits number by number, everything else as a whole.
///
/// # Errors
/// Everything that is wrong with it; one problem only when the text is not YAML or JSON of the right shape.
pub fn load_over(source: &Source, own: &CheckedConfig) -> Result<CheckedConfig, Problems> {
    match judged(source, own).map_err(|first| every_problem(source, own, first))? {
        (config, None) => Ok(config),
        (_, Some(problems)) => Err(problems),
    }
}

/// Everything that is wrong with a text of the wrong shape.
pub(crate) fn every_problem(source: &Source, own: &CheckedConfig, first: Problems) -> Problems {
    repair::every_problem::<ConfigFile>(source, first, |mended| judged(mended, own).ok()?.1)
}

/// The same with the problems beside the value, in which stand-ins are left then.
pub(crate) fn judged(source: &Source, own: &CheckedConfig) -> Result<(CheckedConfig, Option<Problems>), Problems> {
    let file: ConfigFile = source.parse()?;
    let mut checker = Checker::new(source);
    checker.version(file.version);
    let upstreams = upstream::upstreams(&mut checker, file.upstreams, &own.upstreams);
    let budget = file.budget.unwrap_or_default();
    let mut roles = own.roles.clone();
    roles.extend(role::roles(&mut checker, file.roles, &upstreams, &own.roles));
    let limits = budget::limits(&mut checker, budget.limits, &Subjects { roles: &roles, tasks: None });
    let mut prices = own.prices.clone();
    prices.extend(spec::prices(&mut checker, file.prices));
    let config = CheckedConfig {
        budget_limits: budget::over(&own.budget_limits, limits),
        roles,
        usual_upstream: upstreams.usual,
        upstreams: upstreams.all,
        budget_micros: budget.usd.map(|usd| checker.usd(usd)).or(own.budget_micros),
        budget_warn_percent: checker.number("`warn_percent`", budget.warn_percent, 1..=100).or(own.budget_warn_percent),
        dispatch: match file.dispatch {
            Some(spec) => spec.judge(&mut checker),
            None => own.dispatch.clone(),
        },
        limits: match file.limits {
            Some(limits) => limits.judge(&mut checker, &own.limits),
            None => own.limits.clone(),
        },
        prices,
        checks: match file.checks {
            Some(spec) => policy::checks_policy(&mut checker, spec),
            None => own.checks.clone(),
        },
        record: file.record.unwrap_or(own.record),
        secrets: match file.secrets {
            Some(secrets) => secrets.judge(&mut checker, &own.secrets),
            None => own.secrets.clone(),
        },
    };
    Ok((config, checker.told()))
}

impl CheckedConfig {
    /// Refuses a configuration with which no agent could reach a model. `file` is the one that should say where models
    /// are, whether it exists or not.
    ///
    /// # Errors
    /// One problem that shows what to write.
    pub fn ready_to_run(&self, file: &str) -> Result<(), Problems> {
        if !self.upstreams.is_empty() {
            return Ok(());
        }
        let what = "no upstream is configured, so no agent can reach a model";
        let fix = format!("write into your own configuration (~/.config/muster/config.yaml), for example\n{EXAMPLE}");
        Err(Problems::one(Problem::whole(file, what, fix)))
    }

    /// The upstreams whose key a program prints: it runs outside any sandbox, so whoever wrote the configuration must be trusted.
    pub fn key_commands(&self) -> impl Iterator<Item = (&Name, &[String])> {
        self.upstreams.iter().filter_map(|(name, upstream)| match upstream {
            Upstream::Url { key: Key::Command(words), .. } => Some((name, words.as_slice())),
            _ => None,
        })
    }

    /// The same with every file of its upstreams named from the root, for a file of the folder `dir`: so it can be used
    /// under a configuration of another folder.
    #[must_use]
    pub fn anchored(mut self, dir: &Path) -> Self {
        for upstream in self.upstreams.values_mut() {
            match upstream {
                Upstream::Url { key: Key::File(file), .. } if !file.starts_with("~/") => {
                    *file = dir.join(&*file).to_string_lossy().into_owned();
                }
                Upstream::Scripted { file, .. } | Upstream::Replay { of: Recording::Folder(file), .. } => {
                    *file = dir.join(&*file);
                }
                Upstream::Url { .. } | Upstream::Replay { .. } => {}
            }
        }
        self
    }

    /// The files of scripted upstreams, as they were written: relative to the folder of the configuration.
    pub fn scripts(&self) -> impl Iterator<Item = (&Name, &PathBuf)> {
        self.upstreams.iter().filter_map(|(name, upstream)| match upstream {
            Upstream::Scripted { file, .. } => Some((name, file)),
            Upstream::Url { .. } | Upstream::Replay { .. } => None,
        })
    }
}

/// The smallest useful configuration, with an address that nobody has.
pub const EXAMPLE: &str = "\
upstreams:
  main:
    format: openai-chat
    base_url: https://models.example.com/v1
    key_env: MODELS_API_KEY
roles: {builder: {runtime: native, model: NAME-OF-A-MODEL}}";
