//! The shape of `muster.yaml`, and the parts of it that are judged in a few lines.

use super::{Limits, Price, secrets::SecretsSpec, upstream::UpstreamSpec};
use crate::{
    policy::PolicySpec,
    source::{
        checker::{Checker, quote},
        shape::{At, DurationText, Entries, List, NameText, Text, UsdText, Whole, WordOr},
    },
    value::{duration_ms, usd_micros},
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The configuration of muster for one repository or one user.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "muster.yaml")]
pub(crate) struct ConfigFile {
    /// The version of this file's format.
    #[schemars(extend("maximum" = 1, "minimum" = 1))]
    pub(super) version: Option<At<Whole>>,
    /// Where models are reached, by a name of your choice.
    #[serde(default)]
    #[schemars(extend("maxProperties" = super::UPSTREAMS_MAX, "propertyNames" = {"pattern": "^[a-z0-9][a-z0-9-]{0,63}$"}))]
    pub(super) upstreams: Entries<UpstreamSpec>,
    /// The roles that plans may use. A plan may replace them and add its own.
    #[serde(default)]
    #[schemars(extend("maxProperties" = super::ROLES_MAX, "propertyNames" = {"pattern": "^[a-z0-9][a-z0-9-]{0,63}$"}))]
    pub(super) roles: Entries<RoleSpec>,
    /// What one mission may spend.
    pub(super) budget: Option<super::budget::BudgetSpec>,
    /// What bounds a mission.
    pub(super) limits: Option<LimitsSpec>,
    /// How tasks are classified and which role gets one.
    pub(super) dispatch: Option<super::dispatch::DispatchSpec>,
    /// Prices by model, ahead of the built-in table.
    #[serde(default)]
    pub(super) prices: Entries<PriceSpec>,
    /// What acceptance checks may use beyond the system's own folders.
    pub(super) checks: Option<PolicySpec>,
    /// Whether every model call is kept, masked and compressed, so that `muster replay` can run the mission again.
    pub(super) record: Option<bool>,
    /// What is masked, and what becomes of a secret in a request to a model.
    pub(super) secrets: Option<SecretsSpec>,
}

/// What a kind of agent is for and how it is run.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    {"properties": {"runtime": {"const": "native"}, "command": false}},
    {"properties": {"runtime": {"enum": ["acp", "exec"]}, "command": {"minItems": 1}}, "required": ["command"]},
    {"properties": {"runtime": {"enum": ["codex", "claude", "cursor"]}, "command": {"minItems": 1}}},
]))]
pub(crate) struct RoleSpec {
    /// How its agents are run: `native` is muster's own agent; `codex`, `claude` and `cursor` are the vendors' command lines; `acp` is any program
    /// that speaks the Agent Client Protocol; `exec` any other, which is given the prompt and whose output is the result.
    pub(super) runtime: At<RuntimeSpec>,
    /// The program and its arguments: needed for `acp` and `exec`, in place of the usual name for `codex`, `claude` and `cursor`, none for `native`.
    pub(super) command: Option<At<List<Text>>>,
    /// The model that its agents ask for.
    pub(super) model: At<Text>,
    /// Which upstream serves the model; needed when there are several.
    pub(super) upstream: Option<At<NameText>>,
    /// What every turn of this role begins with.
    pub(super) instructions: Option<At<Text>>,
    /// How many agents of this role may work at the same time; 1 when left out.
    #[schemars(extend("minimum" = 1, "maximum" = super::AGENTS_MAX))]
    pub(super) count: Option<At<Whole>>,
    /// Who takes its tasks, in this order, when it cannot: roles that are well, not held up by their provider, and have not failed the task.
    #[serde(default)]
    #[schemars(extend("maxItems" = super::ROLES_MAX, "uniqueItems" = true))]
    pub(super) fallback: List<NameText>,
    /// What its agents can do beyond what every agent of the runtime can, by names of your choice. Tasks may need them.
    #[serde(default)]
    #[schemars(extend("maxItems" = super::CAPABILITIES_MAX))]
    pub(super) capabilities: List<Text>,
    /// What becomes of a request for permission: `allow` (the usual: the sandbox is the boundary), `ask` a person, `deny`, or rules. Where
    /// `shell_commands: approved_only` holds, `ask` is the usual.
    #[serde(default)]
    #[schemars(schema_with = "super::approvals::schema")]
    pub(super) approvals: Option<At<WordOr<super::approvals::ApprovalsSpec>>>,
    /// How their health is looked after while a mission runs.
    pub(super) health: Option<At<super::ability::HealthSpec>>,
    /// `clone` is a private clone of the repository, `scratch` an empty folder; `clone` when left out.
    pub(super) workspace: Option<At<WorkspaceSpec>>,
    /// How many tokens the model can read at once.
    #[schemars(extend("minimum" = 1_024, "maximum" = 100_000_000))]
    pub(super) context_tokens: Option<At<Whole>>,
    /// How many tokens one answer may have.
    #[schemars(extend("minimum" = 1, "maximum" = 100_000_000))]
    pub(super) output_tokens: Option<At<Whole>>,
    /// What its agents may use beyond the system's own folders and their workspace: the name of a preset, or a policy.
    #[serde(default)]
    #[schemars(schema_with = "crate::policy::sandbox_schema")]
    pub(super) sandbox: Option<At<WordOr<PolicySpec>>>,
}

/// How an agent is run.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum RuntimeSpec {
    Native,
    Acp,
    Codex,
    Claude,
    Cursor,
    Exec,
}

/// What an agent works in.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum WorkspaceSpec {
    Clone,
    Scratch,
}

/// What bounds a mission.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsSpec {
    /// Attempts of a task before a person is asked; 3 when left out.
    #[schemars(extend("minimum" = 1, "maximum" = 100))]
    attempts_max: Option<At<Whole>>,
    /// How long one acceptance check may take; `10m` when left out.
    check_timeout: Option<At<DurationText>>,
    /// How long one turn of an agent may take.
    turn_timeout: Option<At<DurationText>>,
    /// How long an agent may do nothing in its turn that can be seen (say something, call its model or a tool, wait for a person) before it is ended and
    /// its turn taken up again. What a program runs itself without a word is not seen; no such limit when left out.
    silence_timeout: Option<At<DurationText>>,
    /// How long a question waits for a person before its default is taken.
    answer_timeout: Option<At<DurationText>>,
    /// How many times a change may come back from the merge queue within one attempt.
    #[schemars(extend("maximum" = 100))]
    returns_max: Option<At<Whole>>,
}

impl LimitsSpec {
    pub(super) fn judge(self, checker: &mut Checker) -> Limits {
        let default = Limits::default();
        let attempts = checker.number("the number of attempts", self.attempts_max, 1..=100);
        Limits {
            attempts_max: attempts.unwrap_or(default.attempts_max),
            check_ms_max: self.check_timeout.map_or(default.check_ms_max, |text| checker.duration(text)),
            silence_ms_max: self.silence_timeout.map(|text| checker.duration(text)),
            turn_ms_max: self.turn_timeout.map(|text| checker.duration(text)),
            interrupt_ms: self.answer_timeout.map(|text| checker.duration(text)),
            returns_max: checker.number("the number of returns", self.returns_max, 0..=100),
        }
    }
}

/// What a model costs, in US dollars for one million tokens.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PriceSpec {
    /// Tokens of the request.
    input: At<UsdText>,
    /// Tokens of the answer.
    output: At<UsdText>,
    /// Tokens of the request that the provider had in its cache; they cost what `input` does when left out.
    cache_read: Option<At<UsdText>>,
    /// Tokens of the request that the provider put into its cache; they cost what `input` does when left out.
    cache_write: Option<At<UsdText>>,
}

pub(super) fn prices(checker: &mut Checker, prices: Entries<PriceSpec>) -> BTreeMap<String, Price> {
    let judge = |(model, At { value: price, .. }): (At<String>, At<PriceSpec>)| {
        if model.value.trim().is_empty() {
            checker.wrong(model.place, format!("{} is not a model", quote(&model.value)), "write the model's name");
        }
        let judged = Price {
            input_micros_per_mtok: checker.usd(price.input),
            output_micros_per_mtok: checker.usd(price.output),
            cache_read_micros_per_mtok: price.cache_read.map(|text| checker.usd(text)),
            cache_write_micros_per_mtok: price.cache_write.map(|text| checker.usd(text)),
        };
        (model.value, judged)
    };
    prices.0.into_iter().map(judge).collect()
}

impl Checker<'_> {
    /// Millionths of a US dollar.
    pub(crate) fn usd(&mut self, text: At<UsdText>) -> u64 {
        self.take(text.place, usd_micros(&text.value.0), 0)
    }

    /// Milliseconds.
    pub(crate) fn duration(&mut self, text: At<DurationText>) -> u64 {
        self.take(text.place, duration_ms(&text.value.0), 0)
    }
}
