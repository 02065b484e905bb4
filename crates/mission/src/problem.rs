//! What went wrong outside the mission, as far as it is known: the one form in which a reason travels from where it is known to a person.
//!
//! Whoever sees a failure (the gateway a provider's answer, a hand a program that is not there, the merge queue a check) says what it saw; nobody
//! guesses. The texts in it are of providers, programs and agents: bounded here, masked before they come here, made harmless by whoever shows them.

use crate::{opening::shortened, reason::Return};
use serde::{Deserialize, Serialize};

/// A cause, and what is to be done about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What happened.
    pub cause: Cause,
    /// Whether the same would happen again until a person has changed something. Decided once, where it is seen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lasting: bool,
    /// What a person can do about it, in whole sentences; empty when nothing is known beyond the cause.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Cause {
    /// A provider answered a model call with an error.
    Answered {
        /// The upstream's name in the configuration.
        upstream: String,
        /// Where it is, without user, query or key; empty when it is nowhere.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        address: String,
        /// The HTTP status.
        status: u16,
        /// The provider's own word for it, such as `insufficient_quota`; often empty.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        code: String,
        /// What the provider said.
        words: String,
        /// How many times it was asked.
        tries: u32,
    },
    /// No connection to a provider could be made; nothing was sent.
    Unreachable {
        /// The upstream's name in the configuration.
        upstream: String,
        /// Where it should be.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        address: String,
        /// Why not, as the system says.
        words: String,
        /// How many times it was tried.
        tries: u32,
    },
    /// A provider took a call and its answer was none: it broke off, stayed out or could not be read.
    Unanswered {
        /// The upstream's name in the configuration.
        upstream: String,
        /// Where it is.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        address: String,
        /// What was seen.
        words: String,
        /// How many times it was asked.
        tries: u32,
    },
    /// A rule of ours refused a model call.
    Refused {
        /// The rule in a word, such as `unknown_price`.
        rule: String,
        /// What it says.
        words: String,
    },
    /// A program could not be started, or failed.
    Program {
        /// The program.
        program: String,
        /// What happened.
        words: String,
        /// The number of the system's error, where it gave one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        errno: Option<i32>,
    },
    /// What the agent submitted came back, and it did not mend it.
    Returned(Box<Return>),
    /// What the agent itself says; nobody else saw it.
    Said(String),
}

/// Most bytes of a provider's or a program's words that are kept.
const WORDS_BYTES_MAX: usize = 1024;

/// Lines of a failed check's output that a question quotes.
const CHECK_LINES: usize = 12;

impl Problem {
    /// One that may be over the next time.
    pub fn passing(cause: Cause) -> Self {
        Self { cause, lasting: false, hint: String::new() }
    }

    /// One that stays until a person has changed something, as the hint says.
    pub fn lasting(cause: Cause, hint: impl Into<String>) -> Self {
        Self { cause, lasting: true, hint: hint.into() }
    }

    /// With every text within its bounds.
    pub(crate) fn bounded(mut self) -> Self {
        self.hint = shortened(self.hint);
        match &mut self.cause {
            Cause::Answered { upstream, address, code, words, .. } => {
                [upstream, address, code, words].into_iter().for_each(cut);
            }
            Cause::Unreachable { upstream, address, words, .. }
            | Cause::Unanswered { upstream, address, words, .. } => {
                [upstream, address, words].into_iter().for_each(cut);
            }
            Cause::Refused { rule, words } => [rule, words].into_iter().for_each(cut),
            Cause::Program { program, words, .. } => [program, words].into_iter().for_each(cut),
            Cause::Returned(_) => {}
            Cause::Said(words) => cut(words),
        }
        self
    }

    /// What happened, in words that follow a colon. One line, but for what a check printed.
    pub fn tell(&self) -> String {
        match &self.cause {
            Cause::Answered { upstream, address, status, code, words, tries } => {
                let code =
                    if code.is_empty() || words.contains(code.as_str()) { String::new() } else { format!(" ({code})") };
                let said = match one_line(words) {
                    said if said.is_empty() => " and said no more".to_owned(),
                    said => format!(": {said}"),
                };
                let status = status_words(*status);
                format!("upstream {upstream}{} answered {status}{code}{}{said}", at(address), times(*tries))
            }
            Cause::Unreachable { upstream, address, words, tries } => {
                let words = one_line(words);
                format!("upstream {upstream}{} cannot be reached{}: {words}", at(address), times(*tries))
            }
            Cause::Unanswered { upstream, address, words, tries } => {
                format!("upstream {upstream}{}{} {}", at(address), times(*tries), one_line(words))
            }
            Cause::Refused { words, .. } => one_line(words),
            Cause::Program { program, words, errno } => {
                let errno = errno.map(|errno| format!(" (errno {errno})")).unwrap_or_default();
                format!("`{program}` {}{errno}", one_line(words))
            }
            Cause::Returned(why) => returned(why),
            Cause::Said(words) => one_line(words),
        }
    }
}

fn at(address: &str) -> String {
    if address.is_empty() { String::new() } else { format!(" ({address})") }
}

fn times(tries: u32) -> String {
    if tries > 1 { format!(" {tries} times") } else { String::new() }
}

fn cut(text: &mut String) {
    if text.len() > WORDS_BYTES_MAX {
        text.truncate(text.floor_char_boundary(WORDS_BYTES_MAX));
        text.push_str(" …");
    }
}

/// A text as one line: what was on several is separated by spaces.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Why a change came back, with the end of what the failed check printed.
fn returned(why: &Return) -> String {
    match why {
        Return::Checks(checks) => {
            let Some(failed) = checks.iter().find(|check| !check.passed) else { return "a check failed".to_owned() };
            let lines: Vec<&str> = failed.output.trim_end().lines().collect();
            let last = &lines[lines.len().saturating_sub(CHECK_LINES)..];
            let shown: String = last.iter().map(|line| format!("\n  {line}")).collect();
            let end = if shown.is_empty() { " and printed nothing" } else { ":" };
            format!("its check `{}` failed ({}){end}{shown}", failed.run, failed.ended)
        }
        Return::Conflict { .. } => "it conflicts with what others have merged".to_owned(),
        Return::Outside(paths) => format!("it changes paths that are not its own: {}", paths.join(", ")),
        Return::Rejected(why) => format!("it cannot be taken over: {}", one_line(why)),
        Return::Unchanged(left) => left.first().map_or_else(
            || "it was submitted and changes nothing".to_owned(),
            |first| format!("it was submitted and changes nothing: {first}"),
        ),
        Return::LeftOut(left) => format!("a part of it is not in the change: {}", left.first().unwrap_or_default()),
    }
}

/// A status with its name (RFC 9110, section 15; 529 is Anthropic's).
fn status_words(status: u16) -> String {
    let name = match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        529 => "Overloaded",
        _ => return status.to_string(),
    };
    format!("{status} {name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::CheckRun;
    use expect_test::{Expect, expect};

    fn check(cause: Cause, expected: Expect) {
        expected.assert_eq(&Problem::passing(cause).bounded().tell());
    }

    #[test]
    fn a_provider_is_quoted() {
        let answered = |status, code: &str, words: &str, tries| Cause::Answered {
            upstream: "main".into(),
            address: "https://api.example.com/v1".into(),
            status,
            code: code.into(),
            words: words.into(),
            tries,
        };
        check(
            answered(401, "invalid_api_key", "Incorrect API key\nprovided.", 1),
            expect![
                "upstream main (https://api.example.com/v1) answered 401 Unauthorized (invalid_api_key): Incorrect API key provided."
            ],
        );
        check(
            answered(503, "", "", 3),
            expect![
                "upstream main (https://api.example.com/v1) answered 503 Service Unavailable 3 times and said no more"
            ],
        );
        assert!(Problem::passing(answered(500, "", &"x".repeat(9_000), 1)).bounded().tell().len() < 1_200);
    }

    #[test]
    fn what_was_never_sent_says_why() {
        let words = "Connection refused (os error 111)".to_owned();
        check(
            Cause::Unreachable { upstream: "main".into(), address: "http://127.0.0.1:9".into(), words, tries: 1 },
            expect!["upstream main (http://127.0.0.1:9) cannot be reached: Connection refused (os error 111)"],
        );
        let program = Cause::Program {
            program: "codex".into(),
            words: "cannot be started: No such file or directory".into(),
            errno: Some(2),
        };
        check(program, expect!["`codex` cannot be started: No such file or directory (errno 2)"]);
    }

    #[test]
    fn a_check_is_quoted_with_its_last_lines() {
        let output = (1..=20).map(|line| format!("line {line}\n")).collect();
        let run = CheckRun { run: "cargo test".into(), passed: false, ended: "exit 1".into(), output, ms: 1 };
        let problem = Problem::passing(Cause::Returned(Box::new(Return::Checks(vec![run]))));
        let told = problem.tell();
        assert!(
            told.starts_with("its check `cargo test` failed (exit 1):\n  line 9\n") && told.ends_with("\n  line 20"),
            "{told}"
        );
    }
}
