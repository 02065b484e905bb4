//! What a mission needs from its configuration to be carried out, in a form that the journal keeps, so that it can be taken up again
//! even when the files it came from have changed. It holds no key: only the name of the variable that does.

use api::config::{Approvals, Speaks};
use api::{config, plan::CheckedPlan, value::Name};
use mission::Limits;
use policies::{Extras, Places};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};
use workspace::Preset;

mod planned;

pub use planned::core_plan;
pub(crate) use planned::{has_choice, note_prices};

/// The settings of one mission.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// By role name.
    pub roles: BTreeMap<String, RoleSettings>,
    /// By upstream name.
    pub upstreams: BTreeMap<String, UpstreamSettings>,
    /// By model name.
    #[serde(default)]
    pub prices: BTreeMap<String, PriceSettings>,
    /// What acceptance checks may use.
    #[serde(default)]
    pub checks: Extras,
    /// How long an agent may be silent in its turn, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silence_ms: Option<u64>,
    /// Whether the model calls are kept, in the folder `cassette` of the mission.
    #[serde(default)]
    pub record: bool,
    /// What is masked.
    #[serde(default)]
    pub secrets: SecretSettings,
}

/// What is masked beyond provider keys and the variables whose names tell, and what becomes of secrets in requests.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SecretSettings {
    /// Names of variables.
    #[serde(default)]
    pub mask: Vec<String>,
    /// What becomes of a secret in a request to an upstream.
    #[serde(default)]
    pub outgoing: Leaving,
}

/// What becomes of a secret in a request to an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leaving {
    /// It is covered.
    #[default]
    Mask,
    /// The call is refused.
    Refuse,
    /// It leaves.
    Allow,
}

impl From<Leaving> for gateway::Leaving {
    fn from(leaving: Leaving) -> Self {
        match leaving {
            Leaving::Mask => gateway::Leaving::Mask,
            Leaving::Refuse => gateway::Leaving::Refuse,
            Leaving::Allow => gateway::Leaving::Allow,
        }
    }
}

/// How the agents of a role are run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RoleSettings {
    /// The command of a program of somebody else's; none for our own agent.
    #[serde(default)]
    pub command: Option<Vec<String>>,
    /// What that program speaks.
    #[serde(default)]
    pub speaks: Speaks,
    /// The model that they ask for.
    pub model: String,
    /// The upstream that serves it.
    pub upstream: String,
    /// Whether they have no clone of the repository.
    #[serde(default)]
    pub scratch: bool,
    /// The model's window, in tokens.
    #[serde(default)]
    pub context_tokens: Option<u32>,
    /// The longest answer, in tokens.
    #[serde(default)]
    pub output_tokens: Option<u32>,
    /// What they may use beyond the usual.
    #[serde(default)]
    pub extras: Extras,
    /// What every turn begins with, where the program takes it as its own rules; empty where the brief says it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rules: String,
    /// What is switched off in a program of somebody else's, beside what its sandbox holds: `web`, `edit`, `shell`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub off: Vec<String>,
    /// What becomes of their requests for permission.
    #[serde(default)]
    pub approvals: Approvals,
    /// How their health is looked after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthSettings>,
}

/// How the health of a role is looked after: by an address, or else by a command.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HealthSettings {
    /// The address.
    #[serde(default)]
    pub url: Option<String>,
    /// The command.
    #[serde(default)]
    pub command: Vec<String>,
    /// How long after one answer the next is asked for, in milliseconds.
    pub interval_ms: u64,
    /// How long an answer may take, in milliseconds.
    pub timeout_ms: u64,
}

impl HealthSettings {
    fn of(health: &config::HealthCheck) -> Self {
        let (url, command) = match &health.ask {
            config::HealthAsk::Url(url) => (Some(url.clone()), Vec::new()),
            config::HealthAsk::Command(words) => (None, words.clone()),
        };
        Self { url, command, interval_ms: health.interval_ms, timeout_ms: health.timeout_ms }
    }
}

/// Where models are.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamSettings {
    /// A provider or proxy.
    Url {
        /// The wire format, as in the configuration; of several the one that our own agent speaks.
        format: String,
        /// The other formats that are spoken there.
        #[serde(default)]
        also: Vec<String>,
        /// The address.
        base_url: String,
        /// The variable that holds the key.
        key_env: Option<String>,
        /// The file that holds the key, absolute.
        #[serde(default)]
        key_file: Option<PathBuf>,
        /// The program that prints the key, and its arguments.
        #[serde(default)]
        key_command: Option<Vec<String>>,
        /// Whether the key is shown as a bearer token, whatever is spoken.
        #[serde(default)]
        bearer: bool,
        /// Whether the agent's own credential is passed on.
        #[serde(default)]
        pass_through: bool,
        /// How it is treated.
        #[serde(default)]
        rules: RulesSettings,
    },
    /// A script.
    Scripted {
        /// The file, absolute.
        file: PathBuf,
        /// How it is treated.
        #[serde(default)]
        rules: RulesSettings,
    },
    /// Recorded calls.
    Replay {
        /// Whose.
        of: Recording,
        /// The wire format that our own agent speaks, as in the configuration.
        format: String,
    },
}

/// Where recorded calls are.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recording {
    /// With the mission of this name, in the same home.
    Mission(String),
    /// In this folder, absolute.
    Folder(PathBuf),
}

/// How an upstream is treated; where nothing is set, the gateway's own default holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RulesSettings {
    /// The models it serves, `*` standing for any text; empty: any.
    pub models: Vec<String>,
    /// Our name for a model, and the upstream's.
    pub aliases: BTreeMap<String, String>,
    /// Who is asked in its place, in this order.
    pub fallback: Vec<String>,
    /// Further tries of one call.
    pub retries: Option<u32>,
    /// The most that one call waits between its tries.
    pub retry_wait_ms: Option<u64>,
    /// Calls under way at one time.
    pub concurrency: Option<u32>,
    /// Calls begun in any minute.
    pub requests_per_minute: Option<u32>,
    /// How long a connection may take.
    pub connect_ms: Option<u64>,
    /// How long the head of an answer may take.
    pub first_byte_ms: Option<u64>,
    /// How long an answer may be silent.
    pub silence_ms: Option<u64>,
}

/// A price in micro-dollars per million tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PriceSettings {
    /// Input.
    pub input: u64,
    /// Output.
    pub output: u64,
    /// Input read from the cache.
    #[serde(default)]
    pub cache_read: Option<u64>,
    /// Input written to the cache.
    #[serde(default)]
    pub cache_write: Option<u64>,
}

impl Settings {
    /// The settings of a configuration, with the roles as the plan has them.
    pub fn of(config: &config::CheckedConfig, plan: &CheckedPlan, places: Places<'_>) -> Self {
        let mut all = Self::of_all(config, plan, places);
        let used = used(config, plan);
        all.upstreams.retain(|name, _| used.iter().any(|used| used.as_str() == name));
        all
    }

    /// The same with every upstream of the configuration, used or not.
    pub fn of_all(config: &config::CheckedConfig, plan: &CheckedPlan, places: Places<'_>) -> Self {
        let roles = plan.roles.iter().map(|(name, role)| (name.to_string(), RoleSettings::of(role, places)));
        let upstreams = config.upstreams.iter();
        let upstreams = upstreams.map(|(name, upstream)| (name.to_string(), UpstreamSettings::of(upstream, places)));
        Self {
            roles: roles.collect(),
            upstreams: upstreams.collect(),
            prices: config.prices.iter().map(|(model, price)| (model.clone(), PriceSettings::of(price))).collect(),
            checks: Extras::of(&config.checks, places),
            silence_ms: config.limits.silence_ms_max,
            record: config.record,
            secrets: SecretSettings::of(&config.secrets),
        }
    }
}

/// The upstreams that the plan's roles use, and those that stand in for them: no key of another is looked for.
fn used<'a>(config: &'a config::CheckedConfig, plan: &'a CheckedPlan) -> Vec<&'a Name> {
    let mut used: Vec<&Name> = plan.roles.values().filter_map(|role| role.upstream.as_ref()).collect();
    let mut next = 0;
    while let Some(upstream) = used.get(next) {
        next += 1;
        let others = config.upstreams.get(*upstream).and_then(config::Upstream::rules).map(|rules| &rules.fallback);
        let new: Vec<&Name> = others.into_iter().flatten().filter(|other| !used.contains(other)).collect();
        used.extend(new);
    }
    used
}

impl RoleSettings {
    /// Those of a role of a configuration.
    pub fn of(role: &config::Role, places: Places<'_>) -> Self {
        let mut extras = Extras::of(&role.sandbox, places);
        if role.has_commands_run() {
            // It starts nothing itself; what is run for it has a sandbox of its own, in which it may start what it needs.
            (extras.preset, extras.children) = (Preset::Worker, None);
        }
        Self {
            command: match &role.runtime {
                config::Runtime::Native => None,
                config::Runtime::Program { command, .. } => Some(command.clone()),
            },
            speaks: match &role.runtime {
                config::Runtime::Native => Speaks::default(),
                config::Runtime::Program { speaks, .. } => *speaks,
            },
            model: role.model.clone(),
            upstream: role.upstream.as_ref().map(ToString::to_string).unwrap_or_default(),
            scratch: role.workspace == config::WorkspaceKind::Scratch,
            context_tokens: role.context_tokens,
            output_tokens: role.output_tokens,
            extras,
            rules: if role.takes_rules() { role.instructions.clone() } else { String::new() },
            off: role.switched_off().into_iter().map(str::to_owned).collect(),
            approvals: role.approvals.clone(),
            health: role.health.as_ref().map(HealthSettings::of),
        }
    }
}

impl UpstreamSettings {
    /// The wire format that our own agent speaks with it; a script speaks all.
    pub(crate) fn format(&self) -> &str {
        match self {
            Self::Url { format, .. } | Self::Replay { format, .. } => format,
            Self::Scripted { .. } => "openai-chat",
        }
    }

    /// Whether the agent's own credential is passed on to it.
    pub(crate) fn passes_credentials(&self) -> bool {
        matches!(self, Self::Url { pass_through: true, .. })
    }

    fn of(upstream: &config::Upstream, places: Places<'_>) -> Self {
        match upstream {
            config::Upstream::Url { formats, base_url, key, bearer, rules } => {
                let mut words = formats.iter().map(|format| format.as_str().to_owned());
                Self::Url {
                    format: words.next().unwrap_or_default(),
                    also: words.collect(),
                    base_url: base_url.clone(),
                    key_env: match key {
                        config::Key::Env(name) => Some(name.clone()),
                        _ => None,
                    },
                    key_file: match key {
                        config::Key::File(file) => Some(places.file(file)),
                        _ => None,
                    },
                    key_command: match key {
                        config::Key::Command(words) => Some(words.clone()),
                        _ => None,
                    },
                    bearer: *bearer,
                    pass_through: *key == config::Key::Agents,
                    rules: RulesSettings::of(rules),
                }
            }
            config::Upstream::Replay { of, format } => {
                Self::Replay { of: Recording::of(of, places), format: format.as_str().to_owned() }
            }
            config::Upstream::Scripted { file, rules } => {
                Self::Scripted { file: places.config_dir.join(file), rules: RulesSettings::of(rules) }
            }
        }
    }
}

impl Recording {
    fn of(recording: &config::Recording, places: Places<'_>) -> Self {
        match recording {
            config::Recording::Mission(name) => Self::Mission(name.clone()),
            config::Recording::Folder(folder) => Self::Folder(places.config_dir.join(folder)),
        }
    }
}

impl SecretSettings {
    fn of(secrets: &config::Secrets) -> Self {
        let outgoing = match secrets.outgoing {
            config::Outgoing::Mask => Leaving::Mask,
            config::Outgoing::Refuse => Leaving::Refuse,
            config::Outgoing::Allow => Leaving::Allow,
        };
        Self { mask: secrets.mask.clone(), outgoing }
    }
}

impl RulesSettings {
    fn of(rules: &config::UpstreamRules) -> Self {
        Self {
            models: rules.models.clone(),
            aliases: rules.aliases.clone(),
            fallback: rules.fallback.iter().map(ToString::to_string).collect(),
            retries: rules.retries,
            retry_wait_ms: rules.retry_wait_ms,
            concurrency: rules.concurrency,
            requests_per_minute: rules.requests_per_minute,
            connect_ms: rules.connect_ms,
            first_byte_ms: rules.first_byte_ms,
            silence_ms: rules.silence_ms,
        }
    }
}

impl PriceSettings {
    fn of(price: &config::Price) -> Self {
        Self {
            input: price.input_micros_per_mtok,
            output: price.output_micros_per_mtok,
            cache_read: price.cache_read_micros_per_mtok,
            cache_write: price.cache_write_micros_per_mtok,
        }
    }
}

/// What a model costs for a million tokens, three of input to one of output, in micro-dollars, by the settings or else by the table.
fn prices_known(settings: &Settings, table: &gateway::Prices, model: &str) -> Option<u64> {
    let mixed = |input: u64, output: u64| input.saturating_mul(3).saturating_add(output) / 4;
    if let Some(price) = settings.prices.get(model) {
        return Some(mixed(price.input, price.output));
    }
    let [input, output, ..] = table.of(model)?.0.usd_per_million();
    let micros = |usd: f64| (usd * 1e6).round() as u64;
    Some(mixed(micros(input?), micros(output?)))
}

/// The limits that a configuration sets, over the core's own.
pub fn limits(config: &config::CheckedConfig) -> Limits {
    let usual = Limits::default();
    Limits {
        turn_ms_max: config.limits.turn_ms_max.unwrap_or(usual.turn_ms_max),
        interrupt_ms: config.limits.interrupt_ms.unwrap_or(usual.interrupt_ms),
        returns_max: config.limits.returns_max.unwrap_or(usual.returns_max),
        budget_warn_percent: config.budget_warn_percent.unwrap_or(usual.budget_warn_percent),
        ..usual
    }
}
