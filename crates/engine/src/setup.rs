//! From settings to a gateway, and a new mission's name.

use crate::{
    engine::Secrets,
    masking::{Masking, Named},
    meter::Meter,
    settings::{PriceSettings, Recording, RoleSettings, RulesSettings, Settings, UpstreamSettings},
};
use gateway::{
    Cassette, CassetteError, Credential, Format, Gateway, GatewayConfig, ModelPrice, Pace, Retries, Rules, Script,
    Upstream, UpstreamKind,
};
use mission::Plan;
use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    iter,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
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
    /// The file of a key cannot be used.
    #[error("the key of upstream '{upstream}' cannot be taken from {}: {detail}", file.display())]
    KeyFile {
        /// Which upstream.
        upstream: String,
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The program that prints a key does not.
    #[error("the key of upstream '{upstream}': {error}")]
    KeyCommand {
        /// Which upstream.
        upstream: String,
        /// The program, and what is wrong with it.
        error: workspace::Error,
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
    let (kind, rules) = match upstream {
        UpstreamSettings::Scripted { file, rules } => {
            let unusable = |error| SetupError::Script { upstream: name.to_owned(), error };
            (UpstreamKind::Scripted(Script::load(file).map_err(unusable)?), rules)
        }
        UpstreamSettings::Replay { of, .. } => {
            // A call that failed when it was recorded fails once again, and no more.
            let rules = RulesSettings { retries: Some(0), ..RulesSettings::default() };
            let kind = UpstreamKind::Replay(recorded(of, home, cassettes)?);
            return Ok(Upstream { name: name.to_owned(), kind, models: Vec::new(), rules: rules_of(&rules) });
        }
        UpstreamSettings::Url {
            format,
            also,
            base_url,
            key_env,
            key_file,
            key_command,
            bearer,
            pass_through,
            rules,
        } => {
            let formats = iter::once(format).chain(also).map(|word| {
                let unknown = || SetupError::Format { upstream: name.to_owned(), format: word.clone() };
                Format::from_name(word).ok_or_else(unknown)
            });
            let key = match (key_env, key_file, key_command) {
                (Some(variable), ..) => Some(variable_key(name, variable, secrets)?),
                (None, Some(file), _) => Some(file_key(name, file)?),
                (None, None, Some(words)) => Some(printed_key(name, words)?),
                (None, None, None) => None,
            };
            let credential = match key {
                _ if *pass_through => Credential::Agents,
                Some(key) if *bearer => Credential::Bearer(key.into()),
                Some(key) => Credential::Key(key.into()),
                None => Credential::None,
            };
            let formats = formats.collect::<Result<_, _>>()?;
            (UpstreamKind::Passthrough { formats, base_url: base_url.clone(), credential }, rules)
        }
    };
    Ok(Upstream { name: name.to_owned(), kind, models: rules.models.clone(), rules: rules_of(rules) })
}

fn rules_of(settings: &RulesSettings) -> Rules {
    let default = Retries::default();
    Rules {
        aliases: settings.aliases.clone(),
        fallback: settings.fallback.clone(),
        retries: Retries {
            count: settings.retries.unwrap_or(default.count),
            wait_max: settings.retry_wait_ms.map_or(default.wait_max, Duration::from_millis),
            ..default
        },
        pace: Pace { concurrency: settings.concurrency, requests_per_minute: settings.requests_per_minute },
        connect: settings.connect_ms.map(Duration::from_millis),
        first_byte: settings.first_byte_ms.map(Duration::from_millis),
        silence: settings.silence_ms.map(Duration::from_millis),
    }
}

fn variable_key(upstream: &str, variable: &str, secrets: &Secrets) -> Result<String, SetupError> {
    let no_key = || SetupError::NoKey { upstream: upstream.to_owned(), variable: variable.to_owned() };
    secrets(variable).filter(|key| !key.is_empty()).ok_or_else(no_key)
}

/// The largest file that is taken for a key, in bytes.
const KEY_BYTES_MAX: u64 = 64 * 1024;

/// How long the program that prints a key may take: a person may have to confirm it.
const KEY_COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// A key from a file that only its owner can read.
pub(crate) fn file_key(upstream: &str, file: &Path) -> Result<String, SetupError> {
    let wrong = |detail: String| SetupError::KeyFile { upstream: upstream.to_owned(), file: file.to_owned(), detail };
    let mut opened = File::open(file).map_err(|error| wrong(error.to_string()))?;
    // Asked of the open file: the name may lead elsewhere by now.
    let about = opened.metadata().map_err(|error| wrong(error.to_string()))?;
    if !about.is_file() {
        return Err(wrong("it is not a file".to_owned()));
    }
    if about.permissions().mode() & 0o077 != 0 {
        return Err(wrong("others can read it; allow it to yourself alone with `chmod 600`".to_owned()));
    }
    let mut text = String::new();
    opened.by_ref().take(KEY_BYTES_MAX).read_to_string(&mut text).map_err(|error| wrong(error.to_string()))?;
    match text.trim() {
        "" => Err(wrong("it is empty".to_owned())),
        key => Ok(key.to_owned()),
    }
}

/// A key that a program of the person's prints.
fn printed_key(upstream: &str, words: &[String]) -> Result<String, SetupError> {
    let told = workspace::secret_of(words, KEY_COMMAND_LIMIT);
    told.map_err(|error| SetupError::KeyCommand { upstream: upstream.to_owned(), error })
}

/// The cassette, one for all upstreams that answer from it: each call in it is given once.
pub(crate) fn recorded(
    of: &Recording,
    home: &Path,
    cassettes: &mut BTreeMap<PathBuf, Cassette>,
) -> Result<Cassette, SetupError> {
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
        UpstreamKind::Passthrough { credential: Credential::Key(key) | Credential::Bearer(key), .. } => {
            Some((upstream.name.clone(), key.clone()))
        }
        UpstreamKind::Passthrough { .. } | UpstreamKind::Scripted(_) | UpstreamKind::Replay(_) => None,
    }
}

fn price_of(model: &str, price: &PriceSettings) -> Result<ModelPrice, SetupError> {
    let usd = |micros: u64| micros as f64 / 1e6;
    ModelPrice::per_million(usd(price.input), usd(price.output), price.cache_read.map(usd), price.cache_write.map(usd))
        .map_err(|error| SetupError::Price { model: model.to_owned(), detail: error.to_string() })
}

/// A name that people can type: words of the goal and four characters that make it unlike others.
pub(crate) fn fresh_key(goal: &str, plan: &Plan) -> MissionKey {
    let slug = words_of(goal, plan.tasks.iter().map(|task| task.name.as_str()));
    let random = uuid::Uuid::now_v7().simple().to_string();
    let tail = &random[random.len() - 5..];
    if slug.is_empty() { format!("mission-{tail}").into() } else { format!("{slug}{tail}").into() }
}

/// Words of the goal. One in another script has none that a branch should be named with; the names of its tasks always are.
fn words_of<'a>(goal: &str, tasks: impl Iterator<Item = &'a str>) -> String {
    let of_goal = slug(goal.split(|c: char| !c.is_alphanumeric()));
    if of_goal.is_empty() { slug(tasks) } else { of_goal }
}

/// The first of these words that are of plain letters and digits, each with a hyphen behind it.
fn slug<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let plain = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let mut slug = String::new();
    for word in words.filter(plain) {
        if slug.len() + word.len() >= SLUG_MAX {
            break;
        }
        slug.push_str(&word.to_ascii_lowercase());
        slug.push('-');
    }
    slug
}

/// An amount of US dollars such as `2`, `2.50` or `$0.10`, in millionths; nothing when it is not one.
pub fn dollars(text: &str) -> Option<u64> {
    mission::dollars(text).map(|micros| micros.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mission_is_named_by_its_goal_or_by_its_tasks() {
        let named = |goal: &str| words_of(goal, ["parser", "dates"].into_iter());
        assert_eq!(named("Fix the parser!"), "fix-the-parser-");
        assert_eq!(named("日付と通貨を直してください"), "parser-dates-");
        assert_eq!(named("Die Größe von parser prüfen"), "die-von-parser-");
        assert!(fresh_key("日付", &Plan::default()).as_str().starts_with("mission-"));
    }

    #[test]
    fn a_key_file_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        let with = |text: &str, mode: u32| {
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            file_key("main", &file).map_err(|error| error.to_string())
        };
        assert_eq!(with(" a-key\n", 0o600), Ok("a-key".to_owned()));
        assert_eq!(with("a-key", 0o400), Ok("a-key".to_owned()));
        for mode in [0o640, 0o604, 0o620] {
            let error = with("a-key", mode).unwrap_err();
            assert!(error.contains("chmod 600") && !error.contains("a-key"), "{error}");
        }
        assert!(with("\n", 0o600).unwrap_err().ends_with("it is empty"));
        assert!(file_key("main", dir.path()).unwrap_err().to_string().ends_with("it is not a file"));
        assert!(file_key("main", &dir.path().join("none")).is_err());
    }

    #[test]
    fn settings_of_an_older_version_are_still_read() {
        let old = r#"{"url": {"format": "anthropic", "base_url": "http://h/v1", "key_env": "K"}}"#;
        let settings: UpstreamSettings = serde_json::from_str(old).unwrap();
        let secrets: Secrets = Arc::new(|name| (name == "K").then(|| "a-key".to_owned()));
        let upstream = upstream_of("main", &settings, &secrets, Path::new("/"), &mut BTreeMap::new()).unwrap();
        assert!(matches!(
            upstream.kind,
            UpstreamKind::Passthrough { credential: Credential::Key(_), formats, .. } if formats == [Format::Anthropic]
        ));
        assert_eq!(upstream.rules.retries, Retries::default());
        let script: UpstreamSettings = serde_json::from_str(r#"{"scripted": {"file": "/s.yaml"}}"#).unwrap();
        assert!(matches!(script, UpstreamSettings::Scripted { .. }));
    }
}
