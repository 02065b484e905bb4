//! From settings to a gateway, and a new mission's name.

use crate::{
    engine::Secrets,
    masking::{Masking, Named},
    meter::Meter,
    settings::{PriceSettings, Recording, RoleSettings, Settings, UpstreamSettings},
};
use gateway::{Cassette, CassetteError, Format, Gateway, GatewayConfig, ModelPrice, Script, Upstream, UpstreamKind};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};
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
    /// Recorded calls cannot be used.
    #[error("the recorded calls cannot be used: {0}")]
    Cassette(#[from] CassetteError),
    /// Nothing was recorded.
    #[error(
        "nothing was recorded of the mission '{0}': run it with `muster run --record`, or with `record: true` in muster.yaml"
    )]
    NotRecorded(String),
    /// A format is not one.
    #[error("the upstream '{upstream}' speaks '{format}', which is not known")]
    Format {
        /// Which upstream.
        upstream: String,
        /// The format.
        format: String,
    },
    /// A price table cannot be used.
    #[error("{}: {detail}", file.display())]
    PriceTable {
        /// The file.
        file: PathBuf,
        /// Where it is wrong, and why.
        detail: String,
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

/// The folder with everything of one mission.
pub(crate) fn mission_dir(home: &Path, name: &str) -> PathBuf {
    home.join("missions").join(name)
}

/// The folder of a mission's recorded calls.
pub(crate) fn cassette_dir(home: &Path, name: &str) -> PathBuf {
    mission_dir(home, name).join("cassette")
}

/// The mission's gateway; what it takes for secret is added to `masking`.
pub(crate) fn gateway(
    settings: &Settings,
    secrets: &Secrets,
    masking: &Masking,
    meter: Arc<Meter>,
    home: &Path,
) -> Result<Gateway<Meter>, SetupError> {
    let mut prices = crate::prices::of_home(home)?;
    for (model, price) in &settings.prices {
        prices = prices
            .with(model, price_of(model, price)?.with_limits(input_max(settings, model), output_max(settings, model)));
    }
    let mut cassettes = BTreeMap::new();
    let upstreams =
        settings.upstreams.iter().map(|(name, upstream)| upstream_of(name, upstream, secrets, home, &mut cassettes));
    let upstreams = upstreams.collect::<Result<Vec<_>, _>>()?;
    masking.add(settings.secrets.mask.iter().filter_map(|name| Some((name.clone(), secrets(name)?.into()))));
    masking.add(upstreams.iter().filter_map(key_of));
    let secrets = gateway::Secrets { masker: masking.masker(), leaving: settings.secrets.outgoing.into() };
    let config = GatewayConfig { upstreams, prices, limits: gateway::Limits::default(), secrets };
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

fn upstream_of(
    name: &str,
    upstream: &UpstreamSettings,
    secrets: &Secrets,
    home: &Path,
    cassettes: &mut BTreeMap<PathBuf, Cassette>,
) -> Result<Upstream, SetupError> {
    let kind = match upstream {
        UpstreamSettings::Scripted { file } => {
            let unusable = |error| SetupError::Script { upstream: name.to_owned(), error };
            UpstreamKind::Scripted(Script::load(file).map_err(unusable)?)
        }
        UpstreamSettings::Replay { of, .. } => UpstreamKind::Replay(recorded(of, home, cassettes)?),
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

/// The cassette, one for all upstreams that answer from it: each call in it is given once.
fn recorded(of: &Recording, home: &Path, cassettes: &mut BTreeMap<PathBuf, Cassette>) -> Result<Cassette, SetupError> {
    let dir = match of {
        Recording::Folder(folder) => folder.clone(),
        Recording::Mission(name) => {
            let dir = cassette_dir(home, name);
            // What is no name of a mission leads nowhere else.
            let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            if !plain || !dir.is_dir() {
                return Err(SetupError::NotRecorded(name.clone()));
            }
            dir
        }
    };
    if let Some(cassette) = cassettes.get(&dir) {
        return Ok(cassette.clone());
    }
    let cassette = Cassette::open(&dir)?;
    cassettes.insert(dir, cassette.clone());
    Ok(cassette)
}

/// The provider's key of an upstream, under the upstream's name.
fn key_of(upstream: &Upstream) -> Option<Named> {
    match &upstream.kind {
        UpstreamKind::Passthrough { key, .. } => Some((upstream.name.clone(), key.clone()?)),
        UpstreamKind::Scripted(_) | UpstreamKind::Replay(_) => None,
    }
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
