//! What we say beside the agent protocol, in the `_meta` members that it keeps for extensions.
//!
//! Every key is optional for the reader: an agent that knows none of them is still driven, and our agent works
//! under any other editor. Nothing that changes a decision about money or rights is ever read from here.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// In the `_meta` of `session/prompt`: `true` means "carry on with the turn that was interrupted"; the prompt's
/// text is then not added to the conversation.
pub const RESUME: &str = "muster/resume";
/// In the `_meta` of `session/prompt`: the turn's number, unique in its session and increasing. The same number is the
/// same turn: an agent that knows it carries on with it, or answers how it ended, and does not take the text again.
pub const TURN: &str = "muster/turn";
/// In the `_meta` of the prompt's result, or in the `data` of its error: a [`Stop`].
pub const STOP: &str = "muster/stop";
/// In the `_meta` of the prompt's result, beside a stop other than `done`: one sentence for people on what happened.
pub const WHY: &str = "muster/why";
/// In the `_meta` of an MCP server in `session/new` and `session/load`: what it offers, as the `tools` of its `tools/list` would say. An
/// agent that knows the word need not ask it, and need not shake hands with it before it calls: the server keeps no sessions.
pub const TOOLS: &str = "muster/tools";
/// In the `_meta` of an MCP `tools/call`: the idempotency key of the call, `<session id>/<model's call id>`.
pub const CALL_ID: &str = "muster/callId";

/// In the `data` of an error, or beside a stop: a [`ProgramFailure`].
pub const PROGRAM: &str = "muster/program";

/// A program that the bridge could not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramFailure {
    /// The program as it was asked for.
    pub program: String,
    /// What happened, in words that follow its name.
    pub words: String,
    /// The number of the system's error, where it gave one.
    pub errno: Option<i32>,
}

/// Most bytes of each text of a [`ProgramFailure`] that are read.
const PROGRAM_BYTES_MAX: usize = 1024;

impl ProgramFailure {
    /// A program that the system does not start.
    pub fn start(program: &str, error: &std::io::Error) -> Self {
        let what = match error.kind() {
            std::io::ErrorKind::NotFound => {
                "is not there, or the interpreter that its first line names is not".to_owned()
            }
            std::io::ErrorKind::PermissionDenied => "may not be executed".to_owned(),
            _ => format!("cannot be started: {error}"),
        };
        Self { program: program.to_owned(), words: what, errno: error.raw_os_error() }
    }

    /// The `_meta` or `data` object that carries it.
    pub fn meta(&self) -> Value {
        json!({ PROGRAM: {"program": self.program, "words": self.words, "errno": self.errno} })
    }

    /// Reads one from a `_meta` or `data` value, every text cut to a kilobyte; nothing when it is absent or malformed.
    pub fn read(meta: Option<&Value>) -> Option<Self> {
        let told = meta?.get(PROGRAM)?;
        let text = |name: &str| {
            let text = told.get(name)?.as_str()?;
            Some(text[..text.floor_char_boundary(PROGRAM_BYTES_MAX)].to_owned())
        };
        let errno = told.get("errno").and_then(Value::as_i64).and_then(|errno| i32::try_from(errno).ok());
        Some(Self { program: text("program").filter(|program| !program.is_empty())?, words: text("words")?, errno })
    }
}

impl std::fmt::Display for ProgramFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.program, self.words)
    }
}

/// Why our agent ended a turn, finer than the protocol's five stop reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// The model had nothing more to do.
    Done,
    /// The gateway refused a model call for want of money.
    Budget,
    /// The model could not be reached or answered with errors, retries included.
    ModelError,
    /// The model's answers could not be used (empty, unparsable, unknown tools) too often in a row.
    BadAnswers,
    /// The model refused.
    Refusal,
    /// One answer hit the limit on output tokens.
    MaxTokens,
    /// The turn hit the limit on model calls.
    MaxSteps,
    /// `session/cancel` came.
    Cancelled,
    /// The conversation no longer fits the model's context.
    ContextFull,
}

impl Stop {
    /// Every stop, in the order of their declaration.
    pub const ALL: [Self; 9] = [
        Self::Done,
        Self::Budget,
        Self::ModelError,
        Self::BadAnswers,
        Self::Refusal,
        Self::MaxTokens,
        Self::MaxSteps,
        Self::Cancelled,
        Self::ContextFull,
    ];

    /// The word on the wire and on screens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Budget => "budget",
            Self::ModelError => "model_error",
            Self::BadAnswers => "bad_answers",
            Self::Refusal => "refusal",
            Self::MaxTokens => "max_tokens",
            Self::MaxSteps => "max_steps",
            Self::Cancelled => "cancelled",
            Self::ContextFull => "context_full",
        }
    }

    /// The protocol's stop reason that misleads a foreign client least: only `done` looks like success.
    pub fn acp_stop_reason(self) -> &'static str {
        match self {
            Self::Done => "end_turn",
            Self::Budget | Self::MaxSteps => "max_turn_requests",
            Self::MaxTokens | Self::ContextFull => "max_tokens",
            Self::ModelError | Self::BadAnswers | Self::Refusal => "refusal",
            Self::Cancelled => "cancelled",
        }
    }

    /// The `_meta` object that carries this stop.
    pub fn meta(self) -> Value {
        json!({ STOP: self.as_str() })
    }

    /// Reads the stop from a `_meta` or `data` value; `None` if it is absent or an unknown word.
    pub fn read(meta: Option<&Value>) -> Option<Self> {
        let word = meta?.get(STOP)?.as_str()?;
        Self::ALL.into_iter().find(|stop| stop.as_str() == word)
    }
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The `_meta` object of a prompt: which turn it is, and whether it was begun before and interrupted.
pub fn prompt_meta(turn: u32, resumed: bool) -> Value {
    if resumed { json!({ TURN: turn, RESUME: true }) } else { json!({ TURN: turn }) }
}

/// The turn's number in a prompt's `_meta`, if there is one.
pub fn turn(meta: Option<&Value>) -> Option<u32> {
    meta?.get(TURN)?.as_u64().and_then(|turn| u32::try_from(turn).ok())
}

/// Whether a prompt's `_meta` asks to resume; only a plain `true` does.
pub fn is_resume(meta: Option<&Value>) -> bool {
    meta.and_then(|meta| meta.get(RESUME)) == Some(&Value::Bool(true))
}

/// The sentence beside a stop, if it is a text that is not empty.
pub fn why(meta: Option<&Value>) -> Option<&str> {
    meta?.get(WHY)?.as_str().filter(|why| !why.is_empty())
}

/// The idempotency key in the `_meta` of a tool call, if it is a text that is not empty.
pub fn call_id(meta: Option<&Value>) -> Option<&str> {
    meta?.get(CALL_ID)?.as_str().filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stop_survives_the_wire() {
        for stop in Stop::ALL {
            assert_eq!(Stop::read(Some(&stop.meta())), Some(stop));
            assert_eq!(serde_json::to_value(stop).unwrap(), stop.as_str());
        }
    }

    #[test]
    fn only_done_looks_like_success() {
        let successes: Vec<Stop> = Stop::ALL.into_iter().filter(|stop| stop.acp_stop_reason() == "end_turn").collect();
        assert_eq!(successes, [Stop::Done]);
    }

    #[test]
    fn a_program_failure_survives_the_wire_and_is_cut() {
        let missing = ProgramFailure::start("codex", &std::io::Error::from_raw_os_error(2));
        assert_eq!(ProgramFailure::read(Some(&missing.meta())), Some(missing));
        let long = json!({ PROGRAM: {"program": "x", "words": "é".repeat(9_000), "errno": 1_u64 << 40} });
        let read = ProgramFailure::read(Some(&long)).unwrap();
        assert!(read.words.len() <= PROGRAM_BYTES_MAX && read.errno.is_none());
        for strange in [
            json!({ PROGRAM: 3 }),
            json!({ PROGRAM: {"program": "", "words": "x"} }),
            json!({ PROGRAM: {"program": "x"} }),
        ] {
            assert_eq!(ProgramFailure::read(Some(&strange)), None);
        }
    }

    #[test]
    fn strange_meta_means_nothing() {
        for meta in [json!(null), json!([]), json!({}), json!({STOP: 3, RESUME: "true", CALL_ID: "", WHY: 1})] {
            assert_eq!(Stop::read(Some(&meta)), None);
            assert!(!is_resume(Some(&meta)));
            assert_eq!(call_id(Some(&meta)), None);
            assert_eq!(turn(Some(&meta)), None);
            assert_eq!(why(Some(&meta)), None);
        }
        assert!(is_resume(Some(&prompt_meta(3, true))) && !is_resume(Some(&prompt_meta(3, false))));
        assert_eq!(turn(Some(&prompt_meta(3, true))), Some(3));
        assert_eq!(call_id(Some(&json!({CALL_ID: "s/1"}))), Some("s/1"));
        assert_eq!(why(Some(&json!({WHY: "no answer"}))), Some("no answer"));
    }
}
