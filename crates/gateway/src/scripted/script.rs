//! The script file: read, checked, and asked for the step that answers.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};
use serde_saphyr::Spanned;

use super::conversation::Conversation;

/// A script, ready to answer. Clones share it. See the [module](crate::scripted) for the file's format.
#[derive(Clone, Debug)]
pub struct Script(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    model: String,
    replies: Vec<Reply>,
}

#[derive(Debug)]
struct Reply {
    when: When,
    steps: Vec<Step>,
}

/// One step and how long it is thought about.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) says: Says,
    pub(super) usage: StepUsage,
    pub(super) latency_ms: u64,
}

#[derive(Debug)]
pub(super) enum Says {
    Text(String),
    Calls { say: Option<String>, calls: Vec<ScriptedCall> },
    Error(ScriptedError),
    Raw(Raw),
}

/// The step that answers a request.
pub(super) struct Found<'a> {
    pub(super) reply: usize,
    pub(super) step: usize,
    /// `None` beyond the last step.
    pub(super) of: Option<&'a Step>,
}

/// A script that cannot be used: where, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ScriptError {
    /// The file, when it was read from one.
    pub file: Option<String>,
    /// The line, from 1; `None` when the error has no place.
    pub line: Option<u64>,
    /// The column, from 1.
    pub column: Option<u64>,
    /// What is wrong and what would be right.
    pub message: String,
}

impl std::fmt::Display for ScriptError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.file.as_deref().unwrap_or("script"))?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptFile {
    version: Spanned<u32>,
    #[serde(default = "default_model")]
    model: String,
    #[serde(default)]
    latency_ms: u64,
    replies: Vec<ReplyFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplyFile {
    #[serde(default)]
    when: When,
    latency_ms: Option<u64>,
    steps: Vec<Spanned<StepFile>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct When {
    contains: Texts,
    tool_result_contains: Texts,
    model: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
enum Texts {
    One(String),
    All(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepFile {
    text: Option<String>,
    say: Option<String>,
    calls: Option<Vec<ScriptedCall>>,
    error: Option<Spanned<ScriptedError>>,
    raw: Option<Raw>,
    #[serde(default)]
    usage: StepUsage,
    latency_ms: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScriptedCall {
    pub(super) tool: String,
    #[serde(default)]
    pub(super) args: Map<String, Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScriptedError {
    pub(super) status: u16,
    pub(super) message: String,
    pub(super) retry_after_s: Option<u64>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) kind: RawKind,
    #[serde(default = "default_huge_bytes")]
    pub(super) bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawKind {
    Empty,
    Refusal,
    Length,
    UnknownTool,
    Malformed,
    Truncated,
    Stalled,
    Unreachable,
    Garbage,
    Huge,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StepUsage {
    pub(super) input_tokens: Option<u64>,
    pub(super) cached_tokens: u64,
    pub(super) output_tokens: Option<u64>,
}

fn default_model() -> String {
    "scripted".to_owned()
}

fn default_huge_bytes() -> usize {
    1024 * 1024
}

impl Script {
    /// Reads a script from its text.
    pub fn parse(text: &str) -> Result<Script, ScriptError> {
        let file: ScriptFile = serde_saphyr::from_str(text).map_err(|error| {
            let place = error.location();
            ScriptError {
                file: None,
                line: place.map(|place| place.line()),
                column: place.map(|place| place.column()),
                message: message_of(&error),
            }
        })?;
        if file.version.value != 1 {
            return Err(wrong(&file.version, "this program reads version 1 of the script format"));
        }
        let replies = file.replies.into_iter().map(|reply| {
            let latency_ms = reply.latency_ms.unwrap_or(file.latency_ms);
            let steps = reply.steps.into_iter().map(|step| step_of(step, latency_ms)).collect::<Result<_, _>>()?;
            Ok(Reply { when: reply.when, steps })
        });
        Ok(Script(Arc::new(Parts { model: file.model, replies: replies.collect::<Result<_, _>>()? })))
    }

    /// Reads a script from a file.
    pub fn load(path: &Path) -> Result<Script, ScriptError> {
        let file = Some(path.display().to_string());
        let text = std::fs::read_to_string(path).map_err(|error| ScriptError {
            file: file.clone(),
            line: None,
            column: None,
            message: format!("cannot be read: {error}"),
        })?;
        Script::parse(&text).map_err(|error| ScriptError { file, ..error })
    }

    /// The model that the script plays.
    pub fn model(&self) -> &str {
        &self.0.model
    }

    /// How many replies it has.
    pub(super) fn replies(&self) -> usize {
        self.0.replies.len()
    }

    /// The step that answers; `None` when no reply fits.
    pub(super) fn find(&self, conversation: &Conversation<'_>) -> Option<Found<'_>> {
        let fits = |reply: &Reply| reply.when.fits(conversation);
        let (number, reply) = self.0.replies.iter().enumerate().find(|(_, reply)| fits(reply))?;
        Some(Found { reply: number, step: conversation.turns, of: reply.steps.get(conversation.turns) })
    }
}

impl Default for Texts {
    fn default() -> Self {
        Texts::All(Vec::new())
    }
}

impl Texts {
    fn all_in(&self, places: &[&str]) -> bool {
        let wanted = match self {
            Texts::One(text) => std::slice::from_ref(text),
            Texts::All(texts) => texts,
        };
        wanted.iter().all(|text| places.iter().any(|place| place.contains(text.as_str())))
    }
}

impl When {
    fn fits(&self, conversation: &Conversation<'_>) -> bool {
        self.contains.all_in(&conversation.user_texts)
            && self.tool_result_contains.all_in(&conversation.tool_results)
            && self.model.as_deref().is_none_or(|model| model == conversation.model)
    }
}

fn step_of(spanned: Spanned<StepFile>, reply_latency_ms: u64) -> Result<Step, ScriptError> {
    let at = Spanned { value: (), referenced: spanned.referenced, defined: spanned.defined };
    let StepFile { text, say, calls, error, raw, usage, latency_ms } = spanned.value;
    let says = match (text, calls, error, raw, say) {
        (Some(text), None, None, None, None) => Says::Text(text),
        (None, Some(calls), None, None, say) if !calls.is_empty() => Says::Calls { say, calls },
        (None, None, Some(error), None, None) if (400..=599).contains(&error.value.status) => Says::Error(error.value),
        (None, None, Some(error), None, None) => return Err(wrong(&error, "the status of an error is 400 to 599")),
        (None, None, None, Some(raw), None) => Says::Raw(raw),
        _ => {
            let message = "a step is exactly one of: text; calls (not empty), with or without say; error; raw";
            return Err(wrong(&at, message));
        }
    };
    Ok(Step { says, usage, latency_ms: latency_ms.unwrap_or(reply_latency_ms) })
}

fn wrong<T>(at: &Spanned<T>, message: &str) -> ScriptError {
    let place = at.referenced;
    ScriptError { file: None, line: Some(place.line()), column: Some(place.column()), message: message.to_owned() }
}

/// The parser's message without its place and its picture of the source, which [`ScriptError`] has of its own.
fn message_of(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let first = text.lines().next().unwrap_or_default();
    first.split(" at line ").next().unwrap_or(first).to_owned()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check_error(text: &str, expected: Expect) {
        expected.assert_eq(&Script::parse(text).unwrap_err().to_string());
    }

    #[test]
    fn a_wrong_script_is_told_with_its_place() {
        check_error(
            "version: 2\nreplies: []\n",
            expect!["script:1:10: this program reads version 1 of the script format"],
        );
        check_error("version: 1\n", expect!["script:1:1: missing field `replies`"]);
        check_error(
            "version: 1\nreplies:\n  - setps: []\n",
            expect!["script:3:5: unknown field `setps`, expected one of when, latency_ms, steps"],
        );
        check_error(
            "version: 1\nreplies:\n  - steps:\n      - text: a\n        calls: []\n",
            expect!["script:4:9: a step is exactly one of: text; calls (not empty), with or without say; error; raw"],
        );
        check_error(
            "version: 1\nreplies:\n  - steps:\n      - say: a\n",
            expect!["script:4:9: a step is exactly one of: text; calls (not empty), with or without say; error; raw"],
        );
        check_error(
            "version: 1\nreplies:\n  - steps:\n      - error: {status: 200, message: x}\n",
            expect!["script:4:16: the status of an error is 400 to 599"],
        );
        check_error(
            "version: 1\nreplies:\n  - steps:\n      - raw: {kind: funny}\n",
            expect![
                "script:4:21: unknown variant `funny`, expected one of empty, refusal, length, unknown_tool, malformed, truncated, stalled, unreachable, garbage, huge"
            ],
        );
        check_error(
            "version: 1\nreplies:\n  - when: {contains: {a: b}}\n    steps: []\n",
            expect!["script:3:22: expected a text or a list of texts"],
        );
        check_error("version: 1\nreplies: [", expect!["script:2:10: unclosed bracket '['"]);
    }

    #[test]
    fn a_script_may_be_json() {
        let script = Script::parse(r#"{"version": 1, "model": "m", "replies": [{"steps": [{"text": "a"}]}]}"#).unwrap();
        assert_eq!((script.model(), script.replies()), ("m", 1));
    }

    #[test]
    fn a_missing_file_is_told_by_its_name() {
        let error = Script::load(Path::new("/nonexistent/script.yaml")).unwrap_err();
        assert!(error.to_string().starts_with("/nonexistent/script.yaml: cannot be read: "), "{error}");
    }
}
