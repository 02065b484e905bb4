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
    pub(crate) version: Option<At<Whole>>,
    /// Where models are reached, by a name of your choice.
    #[serde(default)]
    #[schemars(extend("maxProperties" = super::UPSTREAMS_MAX, "propertyNames" = {"pattern": "^[a-z0-9][a-z0-9-]{0,63}$"}))]
    pub(crate) upstreams: Entries<UpstreamSpec>,
    /// The roles that plans may use. A plan may replace them and add its own.
    #[serde(default)]
    #[schemars(extend("maxProperties" = super::ROLES_MAX, "propertyNames" = {"pattern": "^[a-z0-9][a-z0-9-]{0,63}$"}))]
    pub(crate) roles: Entries<RoleSpec>,
    /// What one mission may spend.
    pub(crate) budget: Option<super::budget::BudgetSpec>,
    /// What bounds a mission.
    pub(crate) limits: Option<LimitsSpec>,
    /// How tasks are classified and which role gets one.
    pub(crate) dispatch: Option<super::dispatch::DispatchSpec>,
    /// Prices by model, ahead of the built-in table.
    #[serde(default)]
    pub(crate) prices: Entries<PriceSpec>,
    /// What acceptance checks may use beyond the system's own folders.
    pub(crate) checks: Option<PolicySpec>,
    /// Whether every model call is kept, masked and compressed, so that `muster replay` can run the mission again.
    pub(crate) record: Option<bool>,
    /// What is masked, and what becomes of a secret in a request to a model.
    pub(crate) secrets: Option<SecretsSpec>,
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
    pub(crate) runtime: At<RuntimeSpec>,
    /// The program and its arguments: needed for `acp` and `exec`, in place of the usual name for `codex`, `claude` and `cursor`, none for `native`.
    pub(crate) command: Option<At<List<Text>>>,
    /// The model that its agents ask for.
    pub(crate) model: At<Text>,
    /// Which upstream serves the model; needed when there are several.
    pub(crate) upstream: Option<At<NameText>>,
    /// What every turn of this role begins with.
    pub(crate) instructions: Option<At<Text>>,
    /// How many agents of this role may work at the same time; 1 when left out.
    #[schemars(extend("minimum" = 1, "maximum" = super::AGENTS_MAX))]
    pub(crate) count: Option<At<Whole>>,
    /// Who takes its tasks, in this order, when it cannot: roles that are well, not held up by their provider, and have not failed the task.
    #[serde(default)]
    #[schemars(extend("maxItems" = super::ROLES_MAX, "uniqueItems" = true))]
    pub(crate) fallback: List<NameText>,
    /// What its agents can do beyond what every agent of the runtime can, by names of your choice. Tasks may need them.
    #[serde(default)]
    #[schemars(extend("maxItems" = super::CAPABILITIES_MAX))]
    pub(crate) capabilities: List<Text>,
    /// What becomes of a request for permission: `allow` (the usual: the sandbox is the boundary), `ask` a person, `deny`, or rules. Where
    /// `shell_commands: approved_only` holds, `ask` is the usual.
    #[serde(default)]
    #[schemars(schema_with = "super::approvals::schema")]
    pub(crate) approvals: Option<At<WordOr<super::approvals::ApprovalsSpec>>>,
    /// How their health is looked after while a mission runs.
    pub(crate) health: Option<At<super::ability::HealthSpec>>,
    /// `clone` is a private clone of the repository, `scratch` an empty folder; `clone` when left out.
    pub(crate) workspace: Option<At<WorkspaceSpec>>,
    /// How many tokens the model can read at once.
    #[schemars(extend("minimum" = 1_024, "maximum" = 100_000_000))]
    pub(crate) context_tokens: Option<At<Whole>>,
    /// How many tokens one answer may have.
    #[schemars(extend("minimum" = 1, "maximum" = 100_000_000))]
    pub(crate) output_tokens: Option<At<Whole>>,
    /// What its agents may use beyond the system's own folders and their workspace: the name of a preset, or a policy.
    #[serde(default)]
    #[schemars(schema_with = "crate::policy::sandbox_schema")]
    pub(crate) sandbox: Option<At<WordOr<PolicySpec>>>,
}

/// How an agent is run.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum RuntimeSpec {
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
pub(crate) enum WorkspaceSpec {
    Clone,
    Scratch,
}

/// What bounds a mission.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitsSpec {
    /// Attempts of a task before a person is asked; 3 when left out.
    #[schemars(extend("minimum" = 1, "maximum" = 100))]
    pub(crate) attempts_max: Option<At<Whole>>,
    /// How long one acceptance check may take; `10m` when left out.
    pub(crate) check_timeout: Option<At<DurationText>>,
    /// How long one turn of an agent may take.
    pub(crate) turn_timeout: Option<At<DurationText>>,
    /// How long an agent may do nothing in its turn that can be seen (say something, call its model or a tool, wait for a person) before it is ended and
    /// its turn taken up again. What a program runs itself without a word is not seen; no such limit when left out.
    pub(crate) silence_timeout: Option<At<DurationText>>,
    /// How long a question waits for a person before its default is taken.
    pub(crate) answer_timeout: Option<At<DurationText>>,
    /// How many times a change may come back from the merge queue within one attempt.
    #[schemars(extend("maximum" = 100))]
    pub(crate) returns_max: Option<At<Whole>>,
}

impl LimitsSpec {
    /// Where nothing is said, `own` holds.
    pub(super) fn judge(self, checker: &mut Checker, own: &Limits) -> Limits {
        let attempts = checker.number("the number of attempts", self.attempts_max, 1..=100);
        Limits {
            attempts_max: attempts.unwrap_or(own.attempts_max),
            check_ms_max: self.check_timeout.map_or(own.check_ms_max, |text| checker.duration(text)),
            silence_ms_max: self.silence_timeout.map(|text| checker.duration(text)).or(own.silence_ms_max),
            turn_ms_max: self.turn_timeout.map(|text| checker.duration(text)).or(own.turn_ms_max),
            interrupt_ms: self.answer_timeout.map(|text| checker.duration(text)).or(own.interrupt_ms),
            returns_max: checker.number("the number of returns", self.returns_max, 0..=100).or(own.returns_max),
        }
    }
}

/// What a model costs, in US dollars for one million tokens.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PriceSpec {
    /// Tokens of the request.
    pub(crate) input: At<UsdText>,
    /// Tokens of the answer.
    pub(crate) output: At<UsdText>,
    /// Tokens of the request that the provider had in its cache; they cost what `input` does when left out.
    pub(crate) cache_read: Option<At<UsdText>>,
    /// Tokens of the request that the provider put into its cache; they cost what `input` does when left out.
    pub(crate) cache_write: Option<At<UsdText>>,
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
