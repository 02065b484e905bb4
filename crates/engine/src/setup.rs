//! From settings to a gateway, and a new mission's name.

use crate::{
    engine::Secrets,
    meter::Meter,
    settings::{PriceSettings, RoleSettings, Settings, UpstreamSettings},
};
use gateway::{Format, Gateway, GatewayConfig, ModelPrice, Prices, Script, Upstream, UpstreamKind};
use std::sync::Arc;
use store::MissionKey;

/// Longest part of a mission's name that comes from its goal, in characters.
const SLUG_MAX: usize = 28;

/// Why a mission's configuration does not hold.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A key is not there.
    #[error(
        "the upstream '{upstream}' takes its key from the variable {variable}, which is not set; set it and try again"
    )]
    NoKey {
        /// Which upstream.
        upstream: String,
        /// The variable.
        variable: String,
    },
    /// A script cannot be used.
    #[error("the script of upstream '{upstream}' cannot be used: {error}")]
    Script {
        /// Which upstream.
        upstream: String,
        /// The file, with line and column where it is the text, and what is wrong with it.
        error: gateway::ScriptError,
    },
    /// A format is not one.
    #[error("the upstream '{upstream}' speaks '{format}', which is not known")]
    Format {
        /// Which upstream.
        upstream: String,
        /// The format.
        format: String,
    },
    /// A price is not one.
    #[error("the price of '{model}' cannot be used: {detail}")]
    Price {
        /// Which model.
        model: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The gateway refuses its configuration.
    #[error(transparent)]
    Gateway(#[from] gateway::SetupError),
}

pub(crate) fn gateway(settings: &Settings, secrets: &Secrets, meter: Arc<Meter>) -> Result<Gateway<Meter>, SetupError> {
    let mut prices = Prices::embedded();
    for (model, price) in &settings.prices {
        prices = prices
            .with(model, price_of(model, price)?.with_limits(input_max(settings, model), output_max(settings, model)));
    }
    let upstreams = settings.upstreams.iter().map(|(name, upstream)| upstream_of(name, upstream, secrets));
    let config =
        GatewayConfig { upstreams: upstreams.collect::<Result<_, _>>()?, prices, limits: gateway::Limits::default() };
    Ok(Gateway::new(config, meter)?)
}

/// The most input that a call of this model can have, as far as the roles that use it say: the worst case of a call needs it.
fn input_max(settings: &Settings, model: &str) -> Option<u64> {
    largest(settings, model, |role| role.context_tokens)
}

/// The most output that a call of this model can have, likewise.
fn output_max(settings: &Settings, model: &str) -> Option<u64> {
    largest(settings, model, |role| role.output_tokens)
}

fn largest(settings: &Settings, model: &str, of: impl Fn(&RoleSettings) -> Option<u32>) -> Option<u64> {
    settings.roles.values().filter(|role| role.model == model).filter_map(of).map(u64::from).max()
}

fn upstream_of(name: &str, upstream: &UpstreamSettings, secrets: &Secrets) -> Result<Upstream, SetupError> {
    let kind = match upstream {
        UpstreamSettings::Scripted { file } => {
            let unusable = |error| SetupError::Script { upstream: name.to_owned(), error };
            UpstreamKind::Scripted(Script::load(file).map_err(unusable)?)
        }
        UpstreamSettings::Url { format, base_url, key_env } => {
            let known = Format::from_name(format);
            let format =
                known.ok_or_else(|| SetupError::Format { upstream: name.to_owned(), format: format.clone() })?;
            let key = key_env.as_ref().map(|variable| {
                let no_key = || SetupError::NoKey { upstream: name.to_owned(), variable: variable.clone() };
                secrets(variable).filter(|key| !key.is_empty()).ok_or_else(no_key)
            });
            UpstreamKind::Passthrough { format, base_url: base_url.clone(), key: key.transpose()?.map(Into::into) }
        }
    };
    Ok(Upstream { name: name.to_owned(), kind, models: Vec::new() })
}

fn price_of(model: &str, price: &PriceSettings) -> Result<ModelPrice, SetupError> {
    let usd = |micros: u64| micros as f64 / 1e6;
    ModelPrice::per_million(usd(price.input), usd(price.output), price.cache_read.map(usd), price.cache_write.map(usd))
        .map_err(|error| SetupError::Price { model: model.to_owned(), detail: error.to_string() })
}

/// A name that people can type: words of the goal and four characters that make it unlike others.
pub(crate) fn fresh_key(goal: &str) -> MissionKey {
    let words = goal.to_ascii_lowercase();
    let mut slug = String::new();
    for word in words.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        if slug.len() + word.len() >= SLUG_MAX {
            break;
        }
        slug.push_str(word);
        slug.push('-');
    }
    let random = uuid::Uuid::now_v7().simple().to_string();
    let tail = &random[random.len() - 5..];
    if slug.is_empty() { format!("mission-{tail}").into() } else { format!("{slug}{tail}").into() }
}

/// An amount of US dollars such as `2`, `2.50` or `$0.10`, in millionths; nothing when it is not one.
pub fn dollars(text: &str) -> Option<u64> {
    mission::dollars(text).map(|micros| micros.0)
}
