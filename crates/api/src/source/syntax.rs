//! YAML and JSON text to values of the right shape, and the parser's refusals in our words.

use super::{Place, Problem, Source, checker::quote, suggest::instead_of};
use serde::de::DeserializeOwned;
use serde_saphyr::{Error, Location, Options};

/// Parses the whole text as one document.
pub(super) fn parse<T: DeserializeOwned>(source: &Source) -> Result<T, Problem> {
    let silent = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    if source.text().lines().all(silent) {
        return Err(Problem::whole(
            source.name(),
            "the file says nothing",
            "the README shows an example to start from",
        ));
    }
    serde_saphyr::from_str_with_options(source.text(), options()).map_err(|error| problem(source.name(), &error))
}

/// Room for ten thousand tasks, with aliases for what they share, and an end to documents that grow by aliases of aliases.
fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 4_000_000,
            max_nodes: 2_000_000,
            max_aliases: 20_000,
            max_recorded_anchor_bytes: 64 * 1024,
            max_depth: 32,
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 400_000,
            max_replay_stack_depth: 8,
        },
        with_snippet: false,
    }
}

fn problem(file: &str, error: &Error) -> Problem {
    let error = error.without_snippet();
    if let Error::AliasError { error, .. } = error {
        return problem(file, error);
    }
    let place = error.location().map(Place::from).unwrap_or_default();
    let (what, fix) = words(error);
    Problem { file: file.into(), place, what, fix }
}

fn words(error: &Error) -> (String, String) {
    match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            (format!("unknown key {}", quote(field)), unknown_key(field, expected))
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            (format!("{} is not one of the choices", quote(variant)), instead_of(variant, expected.iter().copied()))
        }
        Error::SerdeMissingField { field, .. } => {
            (format!("the key `{field}` is missing"), format!("add `{field}: …` here"))
        }
        Error::SerdeInvalidType { unexpected, expected, .. } => {
            (format!("this is {}, not {expected}", found(unexpected)), right_kind(expected))
        }
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().map_or_else(|| "a key".into(), quote);
            (format!("{key} stands twice in the same map"), "keep one of them".into())
        }
        Error::Unexpected { expected, .. } => (format!("this is not {}", kind(expected)), right_kind(kind(expected))),
        Error::Eof { .. } => ("the text ends too early".into(), "complete the file".into()),
        Error::MultipleDocuments { .. } => {
            ("a second document starts here".into(), "keep one document in a file: remove the `---`".into())
        }
        other => (cut(&other.to_string()), "correct the YAML or JSON here".into()),
    }
}

/// A key pasted into the file is the one mistake that deserves its own words.
fn unknown_key(field: &str, expected: &[&'static str]) -> String {
    let secret = ["key", "token", "secret", "password"].iter().any(|word| field.to_ascii_lowercase().contains(word));
    if secret && expected.contains(&"key_env") {
        return "keys never stand in this file: write `key_env: NAME`, the environment variable that holds the key"
            .into();
    }
    instead_of(field, expected.iter().copied())
}

/// The parser's names of kinds, in ours.
fn kind(expected: &'static str) -> &'static str {
    match expected {
        "sequence start" => "a list",
        "mapping start" => "a map",
        "string scalar" => "a text",
        other => other,
    }
}

/// What serde found instead, in our words.
fn found(unexpected: &str) -> String {
    match unexpected {
        "unit value" => "nothing".into(),
        "sequence" => "a list".into(),
        "map" => "a map".into(),
        other => format!("the {}", cut(&other.replacen("string ", "text ", 1))),
    }
}

fn right_kind(expected: &str) -> String {
    match expected {
        "a text" => "write a text; put quotes around one that looks like a number or a word like true".into(),
        "a list" => "write a list: `[one, two]`, or `[]` for an empty one".into(),
        "a map" => "write a map of keys and values, or `{}` for an empty one".into(),
        "a whole number" => "write a whole number without quotes, zero or more".into(),
        other => format!("write {other}"),
    }
}

/// The parser's own words without the place, which is told in front, and of bounded length.
fn cut(words: &str) -> String {
    let words = words.split(" at line ").next().unwrap_or(words);
    words.chars().take(160).collect()
}

impl From<Location> for Place {
    fn from(location: Location) -> Self {
        Self { line: location.line(), column: location.column() }
    }
}
