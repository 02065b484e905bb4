//! Upstreams: where a model is reached.

use super::UPSTREAMS_MAX;
use crate::{
    source::{
        Place,
        checker::{Checker, Wrong, quote},
        shape::{At, Entries, Text},
    },
    value::Name,
};
use http::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};

/// Where a model is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Upstream {
    /// A provider, or a proxy that speaks like one.
    Url {
        /// What is spoken there.
        format: Format,
        /// Address with or without the version, without a slash at the end: `https://host/v1`.
        base_url: String,
        /// The environment variable that holds the key; none for a server that wants none.
        key_env: Option<String>,
    },
    /// Recorded answers from a file; no network.
    Scripted {
        /// The file as it was written: relative to the folder of the configuration.
        file: PathBuf,
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
}

impl Format {
    /// The word for it in files and in `MUSTER_MODEL_FORMAT`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenaiChat => "openai-chat",
            Self::OpenaiResponses => "openai-responses",
            Self::Anthropic => "anthropic",
        }
    }
}

/// Where a model is reached: either `format` and `base_url`, or `scripted`, or `replay`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    {"required": ["format", "base_url"], "properties": {"scripted": false, "replay": false}},
    {"required": ["scripted"], "properties": {"format": false, "base_url": false, "key_env": false, "replay": false}},
    {"required": ["replay"], "properties": {"scripted": false, "base_url": false, "key_env": false}},
]))]
pub(super) struct UpstreamSpec {
    /// What is spoken there.
    format: Option<At<Format>>,
    /// Address of the server, for example `https://models.example.com/v1`.
    #[schemars(extend("pattern" = "^https?://[^/?#@]+(/[^?#]*)?$"))]
    base_url: Option<At<Text>>,
    /// The environment variable that holds the key. The key itself never stands in a file.
    #[schemars(extend("pattern" = "^[A-Z_][A-Z0-9_]{0,63}$"))]
    key_env: Option<At<Text>>,
    /// A file of recorded answers, relative to this one; for tests and demonstrations without a network.
    scripted: Option<At<Text>>,
    /// The recorded calls of a mission (`muster run --record`): the mission's name, or the folder that holds them, written
    /// with a slash (`./cassette`). Answers without a network and at no cost what was asked when they were recorded.
    replay: Option<At<Text>>,
}

pub(super) fn upstreams(checker: &mut Checker, specs: Entries<UpstreamSpec>) -> BTreeMap<Name, Upstream> {
    if let Some((name, _)) = specs.0.get(UPSTREAMS_MAX) {
        checker.wrong(name.place, format!("there are {} upstreams", specs.0.len()), format!("keep {UPSTREAMS_MAX}"));
    }
    let mut judged = BTreeMap::new();
    for (name, spec) in specs.0 {
        let known = checker.take(name.place, Name::parse(&name.value), Name::stand_in(&name.value));
        judged.insert(known, upstream(checker, spec));
    }
    judged
}

fn upstream(checker: &mut Checker, spec: At<UpstreamSpec>) -> Upstream {
    let At { value: UpstreamSpec { format, base_url, key_env, scripted, replay }, place } = spec;
    if let Some(replay) = replay {
        let stray = [("base_url", base_url.map(|url| url.place)), ("scripted", scripted.map(|file| file.place))];
        let stray = stray.into_iter().chain([("key_env", key_env.map(|name| name.place))]);
        return replaying(checker, replay, format, stray);
    }
    match (scripted, base_url) {
        (Some(file), None) => {
            let stray = format.map(|format| ("format", format.place)).or(key_env.map(|name| ("key_env", name.place)));
            if let Some((key, place)) = stray {
                checker.wrong(
                    place,
                    format!("`{key}` says nothing about a scripted upstream"),
                    format!("remove `{key}`"),
                );
            }
            Upstream::Scripted { file: checker.text("the path of the script", file).into() }
        }
        (None, Some(url)) => Upstream::Url {
            format: required_format(checker, format, place),
            base_url: checker.take(url.place, base_url_of(&url.value.0), String::new()),
            key_env: key_env.map(|name| checker.take(name.place, variable(&name.value.0), String::new())),
        },
        (Some(file), Some(_)) => {
            let fix = "keep `base_url` for a provider, or `scripted` for recorded answers";
            checker.wrong(file.place, "`base_url` and `scripted` exclude each other", fix);
            Upstream::Scripted { file: PathBuf::new() }
        }
        (None, None) => {
            let fix = "add `format` and `base_url` for a provider, `scripted` for written answers, or `replay` for recorded calls";
            checker.wrong(place, "this upstream does not say where it is", fix);
            Upstream::Scripted { file: PathBuf::new() }
        }
    }
}

fn replaying(
    checker: &mut Checker,
    replay: At<Text>,
    format: Option<At<Format>>,
    stray: impl Iterator<Item = (&'static str, Option<Place>)>,
) -> Upstream {
    for (key, place) in stray {
        if let Some(place) = place {
            let what = format!("`{key}` says nothing about recorded calls");
            checker.wrong(place, what, format!("remove `{key}`, or `replay`"));
        }
    }
    let text = checker.text("the mission or the folder of recorded calls", replay);
    let of = if text.contains('/') { Recording::Folder(text.into()) } else { Recording::Mission(text) };
    Upstream::Replay { of, format: format.map_or(Format::OpenaiChat, |format| format.value) }
}

fn required_format(checker: &mut Checker, format: Option<At<Format>>, place: Place) -> Format {
    format.map(|format| format.value).unwrap_or_else(|| {
        let fix = "add `format: openai-chat`, `openai-responses` or `anthropic`";
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
    Ok(text.trim_end_matches('/').into())
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
