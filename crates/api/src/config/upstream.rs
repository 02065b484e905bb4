//! Upstreams: where a model is reached.

use super::UPSTREAMS_MAX;
use crate::{
    source::{
        Place,
        checker::{Checker, Wrong, quote},
        shape::{At, DurationText, Entries, List, NameText, Text, Whole},
    },
    value::Name,
};
use http::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};

mod rules;

pub(crate) use rules::TimeoutsSpec;
pub use rules::UpstreamRules;

/// Where a model is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Upstream {
    /// A provider, or a proxy that speaks like one.
    Url {
        /// What is spoken there; the first is what our own agent speaks. Never empty.
        formats: Vec<Format>,
        /// Address with or without the version, without a slash at the end: `https://host/v1`.
        base_url: String,
        /// What it is shown.
        key: Key,
        /// Whether a key is shown as `Authorization: Bearer` whatever is spoken.
        bearer: bool,
        /// How it is treated.
        rules: UpstreamRules,
    },
    /// Recorded answers from a file; no network.
    Scripted {
        /// The file as it was written: relative to the folder of the configuration.
        file: PathBuf,
        /// How it is treated.
        rules: UpstreamRules,
    },
    /// The recorded calls of a mission; no network.
    Replay {
        /// Whose: see [`Recording`].
        of: Recording,
        /// What our own agent speaks; it has to be what was spoken when the calls were recorded.
        format: Format,
    },
}

/// Where recorded calls are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Recording {
    /// In the home, with the mission of this name.
    Mission(String),
    /// In this folder as it was written: relative to the folder of the configuration.
    Folder(PathBuf),
}

/// Where the key for an upstream is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// The server wants none.
    #[default]
    None,
    /// In this environment variable.
    Env(String),
    /// In this file, as its name was written: relative to the folder of the configuration, or beginning with `~/`.
    File(String),
    /// What this program prints: the program and its arguments, no shell.
    Command(Vec<String>),
    /// With the agent, which is logged in itself; its own credential is passed on.
    Agents,
}

impl Upstream {
    /// How it is treated; recorded calls are answered as they come.
    pub fn rules(&self) -> Option<&UpstreamRules> {
        match self {
            Self::Url { rules, .. } | Self::Scripted { rules, .. } => Some(rules),
            Self::Replay { .. } => None,
        }
    }

    /// Whether the agent's own credential is passed on to it.
    pub fn passes_credentials(&self) -> bool {
        matches!(self, Self::Url { key: Key::Agents, .. })
    }

    /// Whether our own agent speaks with it: Gemini's format is for other programs.
    pub fn speaks_native(&self) -> bool {
        match self {
            Self::Url { formats, .. } => formats.first() != Some(&Format::Gemini),
            Self::Replay { format, .. } => *format != Format::Gemini,
            Self::Scripted { .. } => true,
        }
    }
}

/// What is spoken on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Format {
    /// Chat completions, as of OpenAI.
    OpenaiChat,
    /// Responses, as of OpenAI.
    OpenaiResponses,
    /// Messages, as of Anthropic.
    Anthropic,
    /// `generateContent` and its kin, as of Gemini.
    Gemini,
}

impl Format {
    /// The word for it in files and in `MUSTER_MODEL_FORMAT`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenaiChat => "openai-chat",
            Self::OpenaiResponses => "openai-responses",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
        }
    }
}

/// Whose interface a server has. It says what is spoken there and how the key is shown, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Kind {
    Openai,
    Anthropic,
    Gemini,
    Litellm,
}

impl Kind {
    fn formats(self) -> Vec<Format> {
        match self {
            Self::Openai => vec![Format::OpenaiChat, Format::OpenaiResponses],
            Self::Anthropic => vec![Format::Anthropic],
            Self::Gemini => vec![Format::Gemini],
            Self::Litellm => {
                vec![Format::OpenaiChat, Format::OpenaiResponses, Format::Anthropic, Format::Gemini]
            }
        }
    }
}

/// Where a model is reached: either `base_url` with `format` or `kind`, or `scripted`, or `replay`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend(
    "oneOf" = [
        {"required": ["base_url"], "anyOf": [{"required": ["format"]}, {"required": ["kind"]}],
            "properties": {"scripted": false, "replay": false}},
        {"required": ["scripted"], "properties": {"format": false, "kind": false, "base_url": false, "key_env": false,
            "key_file": false, "key_command": false, "pass_through": false, "replay": false}},
        {"required": ["replay"], "properties": {"scripted": false, "kind": false, "base_url": false, "key_env": false,
            "key_file": false, "key_command": false, "pass_through": false}},
    ],
    "not" = {"anyOf": [{"required": ["key_env", "key_file"]}, {"required": ["key_env", "key_command"]},
        {"required": ["key_file", "key_command"]}]},
    "if" = {"required": ["pass_through"], "properties": {"pass_through": {"const": true}}},
    "then" = {"properties": {"key_env": false, "key_file": false, "key_command": false, "fallback": {"maxItems": 0}}},
))]
pub(crate) struct UpstreamSpec {
    /// What is spoken there; with `kind` only where it is one of several.
    pub(crate) format: Option<At<Format>>,
    /// Whose interface it has: what is spoken there and how the key is shown. The address is never implied.
    pub(crate) kind: Option<At<Kind>>,
    /// Address of the server, for example `https://models.example.com/v1`.
    #[schemars(extend("pattern" = "^https?://[^/?#@]+(/[^?#]*)?$"))]
    pub(crate) base_url: Option<At<Text>>,
    /// The environment variable that holds the key. The key itself never stands in a file of ours.
    #[schemars(extend("pattern" = "^[A-Z_][A-Z0-9_]{0,63}$"))]
    pub(crate) key_env: Option<At<Text>>,
    /// The file that holds the key, relative to this one or beginning with `~/`; nobody else may be able to read it.
    pub(crate) key_file: Option<At<Text>>,
    /// The program that prints the key, and its arguments: `[op, read, "op://work/models/key"]`. It runs outside any sandbox, with no
    /// shell, once for each run; only a person's own configuration may say so, never a file of a repository.
    #[schemars(extend("minItems" = 1, "maxItems" = 64))]
    pub(crate) key_command: Option<At<List<Text>>>,
    /// Whether the agent's own credential is passed on, for programs that are logged in with a subscription.
    pub(crate) pass_through: Option<At<bool>>,
    /// A file of recorded answers, relative to this one; for tests and demonstrations without a network.
    pub(crate) scripted: Option<At<Text>>,
    /// The recorded calls of a mission (`muster run --record`): the mission's name, or the folder that holds them, written
    /// with a slash (`./cassette`). Answers without a network and at no cost what was asked when they were recorded.
    pub(crate) replay: Option<At<Text>>,
    /// The models it serves, `*` standing for any text; any when left out.
    #[schemars(extend("maxItems" = 256))]
    pub(crate) models: Option<At<List<Text>>>,
    /// Names of your own for its models: `fast: gpt-5-mini`.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 256, "propertyNames" = {"pattern": "^[^*]+$"}))]
    pub(crate) aliases: Entries<Text>,
    /// The upstreams that are asked in this order when it cannot answer.
    #[schemars(extend("maxItems" = 256))]
    pub(crate) fallback: Option<At<List<NameText>>>,
    /// How many times a call is tried again; 2 when left out.
    #[schemars(extend("maximum" = 10))]
    pub(crate) retries: Option<At<Whole>>,
    /// How long one call may wait between its tries, all together; `20s` when left out.
    pub(crate) retry_wait: Option<At<DurationText>>,
    /// How many calls it may get at one time.
    #[schemars(extend("minimum" = 1, "maximum" = 10_000))]
    pub(crate) concurrency: Option<At<Whole>>,
    /// How many calls may begin in any minute.
    #[schemars(extend("minimum" = 1, "maximum" = 100_000))]
    pub(crate) requests_per_minute: Option<At<Whole>>,
    /// How long it may take.
    pub(crate) timeouts: Option<TimeoutsSpec>,
}

/// The upstreams that roles may name, and the one of a role that names none.
pub(crate) struct Upstreams {
    pub(crate) all: BTreeMap<Name, Upstream>,
    /// The only one of the file, or else the only one that there is.
    pub(crate) usual: Option<Name>,
}

impl Upstreams {
    pub(crate) fn of(all: &BTreeMap<Name, Upstream>) -> Self {
        let usual = all.keys().next().filter(|_| all.len() == 1).cloned();
        Self { all: all.clone(), usual }
    }
}

/// Those of a file over those of another.
pub(super) fn upstreams(
    checker: &mut Checker,
    specs: Entries<UpstreamSpec>,
    own: &BTreeMap<Name, Upstream>,
) -> Upstreams {
    if let Some((name, _)) = specs.0.get(UPSTREAMS_MAX) {
        checker.wrong(name.place, format!("there are {} upstreams", specs.0.len()), format!("keep {UPSTREAMS_MAX}"));
    }
    let mut judged = BTreeMap::new();
    let mut fallbacks = Vec::new();
    for (name, spec) in specs.0 {
        let known = checker.take(name.place, Name::parse(&name.value), Name::stand_in(&name.value));
        let names = spec.value.fallback.iter().flat_map(|names| &names.value.0);
        let names = names.map(|name| At { value: name.value.0.clone(), place: name.place });
        fallbacks.push((known.clone(), names.collect()));
        judged.insert(known, upstream(checker, spec));
    }
    let only = judged.keys().next().filter(|_| judged.len() == 1).cloned();
    let own = own.iter().map(|(name, upstream)| (name.clone(), upstream.clone()));
    let all = own.chain(judged).collect();
    rules::check_fallbacks(checker, &fallbacks, &all);
    let usual = only.or(Upstreams::of(&all).usual);
    Upstreams { all, usual }
}

fn upstream(checker: &mut Checker, spec: At<UpstreamSpec>) -> Upstream {
    let At { value: mut spec, place } = spec;
    let rules = rules::rules(checker, &mut spec);
    if let Some(replay) = spec.replay.take() {
        return replaying(checker, replay, &spec);
    }
    match (spec.scripted.take(), spec.base_url.take()) {
        (Some(file), None) => {
            no_strays(checker, &spec);
            Upstream::Scripted { file: checker.text("the path of the script", file).into(), rules }
        }
        (None, Some(url)) => Upstream::Url {
            bearer: spec.kind.as_ref().is_some_and(|kind| kind.value == Kind::Litellm),
            formats: formats(checker, spec.kind.take(), spec.format.take(), place),
            base_url: checker.take(url.place, base_url_of(&url.value.0), String::new()),
            key: key(checker, spec, &rules),
            rules,
        },
        (Some(file), Some(_)) => {
            let fix = "keep `base_url` for a provider, or `scripted` for recorded answers";
            checker.wrong(file.place, "`base_url` and `scripted` exclude each other", fix);
            Upstream::Scripted { file: PathBuf::new(), rules }
        }
        (None, None) if spec.kind.is_some() => {
            let fix = "add `base_url: https://…`; no provider's address is built in";
            checker.wrong(place, "this upstream does not say where it is", fix);
            Upstream::Scripted { file: PathBuf::new(), rules }
        }
        (None, None) => {
            let fix = "add `format` and `base_url` for a provider, `scripted` for written answers, or `replay` for recorded calls";
            checker.wrong(place, "this upstream does not say where it is", fix);
            Upstream::Scripted { file: PathBuf::new(), rules }
        }
    }
}

fn replaying(checker: &mut Checker, replay: At<Text>, spec: &UpstreamSpec) -> Upstream {
    let stray = [
        ("base_url", spec.base_url.as_ref().map(|at| at.place)),
        ("scripted", spec.scripted.as_ref().map(|at| at.place)),
        ("kind", spec.kind.as_ref().map(|at| at.place)),
        ("key_env", spec.key_env.as_ref().map(|at| at.place)),
        ("key_file", spec.key_file.as_ref().map(|at| at.place)),
        ("key_command", spec.key_command.as_ref().map(|at| at.place)),
        ("pass_through", spec.pass_through.as_ref().map(|at| at.place)),
    ];
    for (key, place) in stray {
        if let Some(place) = place {
            let what = format!("`{key}` says nothing about recorded calls");
            checker.wrong(place, what, format!("remove `{key}`, or `replay`"));
        }
    }
    let text = checker.text("the mission or the folder of recorded calls", replay);
    let of = if text.contains('/') { Recording::Folder(text.into()) } else { Recording::Mission(text) };
    Upstream::Replay { of, format: spec.format.as_ref().map_or(Format::OpenaiChat, |format| format.value) }
}

/// Says what stands at a scripted upstream in vain.
fn no_strays(checker: &mut Checker, spec: &UpstreamSpec) {
    let stray = [
        ("format", spec.format.as_ref().map(|at| at.place)),
        ("kind", spec.kind.as_ref().map(|at| at.place)),
        ("key_env", spec.key_env.as_ref().map(|at| at.place)),
        ("key_file", spec.key_file.as_ref().map(|at| at.place)),
        ("key_command", spec.key_command.as_ref().map(|at| at.place)),
        ("pass_through", spec.pass_through.as_ref().map(|at| at.place)),
    ];
    if let Some((key, place)) = stray.into_iter().find_map(|(key, place)| Some((key, place?))) {
        let what = format!("`{key}` says nothing about a scripted upstream");
        checker.wrong(place, what, format!("remove `{key}`"));
    }
}

fn formats(checker: &mut Checker, kind: Option<At<Kind>>, format: Option<At<Format>>, place: Place) -> Vec<Format> {
    let Some(kind) = kind else { return vec![required_format(checker, format, place)] };
    let spoken = kind.value.formats();
    let Some(format) = format else { return spoken };
    if !spoken.contains(&format.value) {
        let words: Vec<String> = spoken.iter().map(|format| format!("`{}`", format.as_str())).collect();
        let fix = format!("write one of {}, or remove `format`", words.join(", "));
        checker.wrong(format.place, format!("`{}` is not spoken there", format.value.as_str()), fix);
    }
    vec![format.value]
}

fn key(checker: &mut Checker, spec: UpstreamSpec, rules: &UpstreamRules) -> Key {
    let passes = spec.pass_through.filter(|pass| pass.value);
    let given = [
        ("key_env", spec.key_env.as_ref().map(|at| at.place)),
        ("key_file", spec.key_file.as_ref().map(|at| at.place)),
        ("key_command", spec.key_command.as_ref().map(|at| at.place)),
    ];
    let given: Vec<_> = given.into_iter().filter_map(|(word, place)| Some((word, place?))).collect();
    if let (Some(pass), false) = (&passes, given.is_empty()) {
        let fix = "keep the key, or `pass_through` for an agent that is logged in itself";
        checker.wrong(pass.place, "`pass_through` and a key exclude each other", fix);
    } else if let [(first, _), (second, place), ..] = given.as_slice() {
        checker.wrong(*place, format!("`{first}` and `{second}` exclude each other"), "keep one of them");
    }
    if let (Some(pass), false) = (&passes, rules.fallback.is_empty()) {
        let fix = "remove `fallback`: an agent's own credential is for one provider";
        checker.wrong(pass.place, "an upstream with `pass_through` can have no stand-in", fix);
    }
    match (passes, spec.key_env, spec.key_file, spec.key_command) {
        (Some(_), ..) => Key::Agents,
        (None, Some(name), ..) => Key::Env(checker.take(name.place, variable(&name.value.0), String::new())),
        (None, None, Some(file), _) => Key::File(checker.text("the path of the key", file)),
        (None, None, None, Some(words)) => Key::Command(key_command(checker, words)),
        (None, None, None, None) => Key::None,
    }
}

/// Most words of a command.
const COMMAND_WORDS_MAX: usize = 64;

fn key_command(checker: &mut Checker, words: At<List<Text>>) -> Vec<String> {
    let At { value: words, place } = words;
    let named = words.0.first().is_some_and(|program| !program.value.0.trim().is_empty());
    if !named || words.0.len() > COMMAND_WORDS_MAX {
        let fix = format!("write the program and at most {} arguments, each a word of the list", COMMAND_WORDS_MAX - 1);
        checker.wrong(place, "`key_command` names no program that can be run", fix);
    }
    words.0.into_iter().take(COMMAND_WORDS_MAX).map(|word| word.value.0).collect()
}

fn required_format(checker: &mut Checker, format: Option<At<Format>>, place: Place) -> Format {
    format.map(|format| format.value).unwrap_or_else(|| {
        let fix = "add `format: openai-chat`, `openai-responses`, `anthropic` or `gemini`";
        checker.wrong(place, "this upstream does not say what is spoken there", fix);
        Format::OpenaiChat
    })
}

/// An address without a slash at its end. What is refused for carrying a password is not repeated.
fn base_url_of(text: &str) -> Result<String, Wrong> {
    let fix = "write an address like `https://models.example.com/v1`";
    let uri: Uri = text.parse().map_err(|_| Wrong::new("this is not an address", fix))?;
    let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().unwrap_or_default().is_empty() {
        return Err(Wrong::new(format!("{} is not an http or https address", quote(text)), fix));
    }
    if authority.contains('@') || uri.query().is_some() || text.contains('#') {
        return Err(Wrong::new(
            "this address carries more than a host and a path",
            format!("{fix}; name the key with `key_env`"),
        ));
    }
    possible(&uri).map_err(|what| Wrong::new(format!("{} cannot be reached: {what}", quote(text)), fix))?;
    Ok(text.trim_end_matches('/').into())
}

/// Whether a connection to an address could ever be made; what is wrong with it.
pub(super) fn possible(uri: &Uri) -> Result<(), &'static str> {
    let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
    let host = uri.host().unwrap_or_default();
    let port = authority.strip_prefix(host).and_then(|rest| rest.strip_prefix(':'));
    if port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0)) {
        return Err("a port is a number from 1 to 65535");
    }
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']').unwrap_or(inner);
        return inner.parse::<std::net::Ipv6Addr>().map(drop).map_err(|_| "this is no IPv6 address");
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    if !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()) {
        return host.parse::<std::net::Ipv4Addr>().map(drop).map_err(|_| "this is no IPv4 address");
    }
    let label = |label: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(allowed)
    };
    let named = host.strip_suffix('.').unwrap_or(host);
    if named.len() > 253 || !named.split('.').all(label) {
        return Err("this is no name of a host");
    }
    Ok(())
}

/// The name of an environment variable. A key written here by mistake is not repeated.
fn variable(text: &str) -> Result<String, Wrong> {
    let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if (1..=64).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(text.into());
    }
    let fix = "write the variable's name, for example `MODELS_API_KEY`; set the key itself in the environment";
    Err(Wrong::new("`key_env` is not the name of an environment variable (capitals, digits and _)", fix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(base_url_of("http://127.0.0.1:8080/v1/"), Ok("http://127.0.0.1:8080/v1".into()));
        for text in [
            "",
            "models.example.com/v1",
            "ftp://a/b",
            "https://",
            "https://a/b?c",
            "https://a/#b",
            "https://u:p@a/",
            "https://a b",
            "http://127.0.0.1:99999/v1",
            "http://127.0.0.1:0/v1",
            "http://127.0.0.1:/v1",
            "http://256.1.1.1/v1",
            "http://1.2.3/v1",
            "http://[::zz]/v1",
            "http://a..b/v1",
            "http://a_*/v1",
            "http://[::1]:65536/v1",
            "http://a:/v1",
            "http://:8080/v1",
        ] {
            assert!(base_url_of(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_may_be_secret_is_not_repeated() {
        let secrets = [base_url_of("https://me:hunter2@a/v1").unwrap_err(), variable("hunter2-long-text").unwrap_err()];
        assert!(secrets.iter().all(|wrong| !wrong.what.contains("hunter2") && !wrong.fix.contains("hunter2")));
    }
}
