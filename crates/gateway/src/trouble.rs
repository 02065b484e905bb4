//! What went wrong with a call, as the gateway saw it: who was asked, where, and what came of it. Agents say less of this, or nothing.
//!
//! Whether a repetition can help is decided here, by status, then code, then words, in one table with its tests: the vendors disagree on all three.

use std::error::Error as StdError;

use serde_json::Value;

/// A call that brought no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The upstream's name in the configuration.
    pub upstream: String,
    /// The URL that was asked, without query; empty for what answers in process.
    pub address: String,
    /// How many times it was asked for this call.
    pub tries: u32,
    /// Whether the same call would end the same until a person has changed something.
    pub lasting: bool,
    /// What came of it.
    pub what: What,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// An answer with an error status, or with an error inside (then the status is a success).
    Answered {
        /// The HTTP status.
        status: u16,
        /// The provider's word for the error; often empty.
        code: String,
        /// What the provider said; at most [`WORDS_BYTES_MAX`] bytes, as it came.
        words: String,
    },
    /// No connection; nothing was sent.
    Unreachable {
        /// Why not, as the system says.
        words: String,
    },
    /// It was sent, and no answer that can be used came back.
    Unanswered {
        /// What was seen.
        words: String,
    },
    /// Nothing was sent: a rule of ours.
    Refused {
        /// The rule in a word.
        rule: String,
        /// What it says.
        words: String,
    },
}

/// Most bytes of a provider's words that are kept.
pub const WORDS_BYTES_MAX: usize = 1024;

/// Most bytes of an answer that are read for its words.
const READ_BYTES_MAX: usize = 64 * 1024;

impl What {
    /// Whether the provider's own account is what has to be filled.
    pub fn is_of_money(&self) -> bool {
        let words = ["credit", "quota", "billing", "balance", "spending"];
        matches!(self, What::Answered { status: 402 | 429, .. }) || self.names(&words)
    }

    /// Whether the key is what has to be changed.
    pub fn is_of_key(&self) -> bool {
        matches!(self, What::Answered { status: 401 | 403, .. }) || self.names(&["api key", "api_key", "auth"])
    }

    fn names(&self, known: &[&str]) -> bool {
        let What::Answered { code, words, .. } = self else { return false };
        let said = format!("{code} {words}").to_lowercase();
        known.iter().any(|word| said.contains(word))
    }

    /// An answer with an error.
    pub(crate) fn answered(status: u16, body: &[u8]) -> What {
        let (code, words) = said(body);
        What::Answered { status, code, words }
    }

    /// Whether a repetition ends the same.
    pub(crate) fn lasts(&self) -> bool {
        match self {
            What::Answered { status, code, words } => lasts(*status, code, words),
            What::Unreachable { .. } | What::Unanswered { .. } => false,
            What::Refused { .. } => true,
        }
    }
}

/// Why there is no connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unreached {
    pub(crate) words: String,
    /// Whether the address itself is at fault.
    pub(crate) lasting: bool,
}

impl Unreached {
    /// Read from the client's error: its innermost cause says what happened.
    pub(crate) fn of(error: &reqwest::Error) -> Self {
        let mut causes: Vec<&(dyn StdError + 'static)> = Vec::new();
        let mut next = error.source();
        while let Some(cause) = next {
            causes.push(cause);
            next = cause.source();
        }
        let innermost = causes.last().map_or_else(|| error.to_string(), ToString::to_string);
        let says = |words: &str| causes.iter().any(|cause| cause.to_string().contains(words));
        let system = causes.iter().filter_map(|cause| cause.downcast_ref::<std::io::Error>()).next_back();
        let refused = system.is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused);
        let names = says("dns error");
        let unknown = names && !innermost.contains("Temporary failure");
        let secure = says("certificate") || says("InvalidContentType") || says("corrupt message");
        let words = if names { format!("its name has no address ({innermost})") } else { innermost };
        Unreached { words: cut(&words).to_owned(), lasting: error.is_builder() || refused || unknown || secure }
    }

    pub(crate) fn lasting(words: impl Into<String>) -> Self {
        Unreached { words: words.into(), lasting: true }
    }

    pub(crate) fn passing(words: impl Into<String>) -> Self {
        Unreached { words: words.into(), lasting: false }
    }
}

/// Codes and types of errors that stay: a key, a model or a bill has to be changed.
const LASTING_CODES: [&str; 12] = [
    "insufficient_quota",
    "invalid_api_key",
    "authentication_error",
    "permission_error",
    "billing_error",
    "billing_not_active",
    "billing_hard_limit_reached",
    "model_not_found",
    "invalid_model",
    "not_found_error",
    "account_deactivated",
    "unsupported_country_region_territory",
];

/// Words of such errors, in lower case, for providers that have no code for them.
const LASTING_WORDS: [&str; 14] = [
    "exceeded your current quota",
    "insufficient balance",
    "insufficient credit",
    "credit balance is too low",
    "out of credits",
    "spending limit",
    "billing",
    "api key not valid",
    "invalid api key",
    "incorrect api key",
    "model not exist",
    "model does not exist",
    "unknown model",
    "invalid model",
];

/// Whether an error stays as it is, whoever repeats the call. What may be a matter of this one request (400 without such words, 413, 422) is none.
fn lasts(status: u16, code: &str, words: &str) -> bool {
    let known = || {
        let words = words.to_lowercase();
        LASTING_CODES.contains(&code) || LASTING_WORDS.iter().any(|known| words.contains(known))
    };
    match status {
        // A redirect is not followed: it would carry the key elsewhere.
        300..=399 | 401 | 402 | 403 | 404 | 405 | 410 => true,
        400 | 422 | 429 => known(),
        _ => false,
    }
}

/// Code and words of an error body.
fn said(body: &[u8]) -> (String, String) {
    let body = &body[..body.len().min(READ_BYTES_MAX)];
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start_matches('\u{feff}').trim();
    match serde_json::from_str::<Value>(text).ok().or_else(|| event(text)) {
        Some(value) => of_json(&value).unwrap_or_else(|| (String::new(), cut(text).to_owned())),
        None if text.starts_with('<') => (String::new(), page(text)),
        None => (String::new(), cut(text).to_owned()),
    }
}

/// The last event of a stream that holds an error.
fn event(text: &str) -> Option<Value> {
    let data = text.lines().rev().filter_map(|line| line.strip_prefix("data:"));
    let mut values = data.filter_map(|data| serde_json::from_str::<Value>(data.trim()).ok());
    values.find(|value| value.get("error").is_some_and(|error| !error.is_null()) || value["type"] == "response.failed")
}

fn of_json(value: &Value) -> Option<(String, String)> {
    // Some wrap it in a list (Gemini), and the Responses format in a response.
    let value = value.get(0).unwrap_or(value);
    let error = value.get("error").or_else(|| value.pointer("/response/error")).unwrap_or(value);
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let words = text(error, "message").or_else(|| error.as_str().map(str::to_owned)).or_else(|| text(value, "detail"));
    let code = ["code", "type", "status"].into_iter().find_map(|name| text(error, name).filter(|code| code != "error"));
    Some((cut(&code.unwrap_or_default()).to_owned(), cut(&words?).to_owned()))
}

/// A web page in place of an answer, by its title.
fn page(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let title = lower.find("<title>").and_then(|at| text.get(at + 7..)).and_then(|rest| rest.split('<').next());
    match title.map(str::trim).filter(|title| !title.is_empty()) {
        Some(title) => format!("a web page, \"{}\", and no answer of an API", cut(title)),
        None => "a web page, and no answer of an API".to_owned(),
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(WORDS_BYTES_MAX)]
}

/// What is wrong with an answer that says it is a success.
pub(crate) fn no_answer(status: u16, content_type: &str, body: Option<&[u8]>, whole: bool) -> What {
    let body = body.unwrap_or_default();
    let kind = if content_type.is_empty() { "without a content type" } else { content_type };
    let words = match (whole, body.iter().all(u8::is_ascii_whitespace)) {
        (false, true) => "began an answer that never came".to_owned(),
        (false, false) => "began an answer and broke it off".to_owned(),
        (true, true) => format!("answered {status} with an empty body"),
        (true, false) => {
            let (_, words) = said(body);
            let shown: String = words.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect();
            format!("answered {status} with something that is no answer ({kind}): {shown}")
        }
    };
    What::Unanswered { words }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_provider_says_is_found_in_every_shape() {
        let cases: [(&str, &str, &str); 9] = [
            (
                r#"{"error":{"message":"No such key","type":"invalid_request_error","code":"invalid_api_key"}}"#,
                "invalid_api_key",
                "No such key",
            ),
            (
                r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}"#,
                "authentication_error",
                "invalid x-api-key",
            ),
            (
                r#"[{"error":{"code":404,"message":"models/x is not found","status":"NOT_FOUND"}}]"#,
                "NOT_FOUND",
                "models/x is not found",
            ),
            (r#"{"error":"model 'x' not found"}"#, "", "model 'x' not found"),
            (r#"{"detail":"Unauthorized"}"#, "", "Unauthorized"),
            (
                "data: {\"id\":1}\n\ndata: {\"error\":{\"message\":\"overloaded\",\"type\":\"overloaded_error\"}}\n\n",
                "overloaded_error",
                "overloaded",
            ),
            ("  slow down ", "", "slow down"),
            (
                "<html><head><title>502 Bad Gateway</title></head></html>",
                "",
                "a web page, \"502 Bad Gateway\", and no answer of an API",
            ),
            ("", "", ""),
        ];
        for (body, code, words) in cases {
            assert_eq!(said(body.as_bytes()), (code.to_owned(), words.to_owned()), "{body}");
        }
        assert!(said("é".repeat(9_000).as_bytes()).1.len() <= WORDS_BYTES_MAX);
    }

    #[test]
    fn what_stays_is_told_from_what_passes() {
        let cases: [(u16, &str, &str, bool); 18] = [
            (401, "", "", true),
            (402, "", "Insufficient credits", true),
            (403, "", "", true),
            (404, "model_not_found", "", true),
            (308, "", "", true),
            (429, "insufficient_quota", "You exceeded your current quota", true),
            (429, "", "You exceeded your current quota, please check your plan", true),
            (429, "rate_limit_exceeded", "Rate limit reached for requests", false),
            (400, "invalid_request_error", "Your credit balance is too low", true),
            (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", true),
            (400, "invalid_request_error", "Model Not Exist", true),
            (400, "context_length_exceeded", "maximum context length is 8192 tokens", false),
            (400, "invalid_request_error", "tools.0: bad schema", false),
            (408, "", "", false),
            (413, "", "", false),
            (500, "", "invalid model state", false),
            (503, "", "", false),
            (529, "overloaded_error", "Overloaded", false),
        ];
        for (status, code, words, expected) in cases {
            assert_eq!(lasts(status, code, words), expected, "{status} {code} {words}");
        }
    }

    #[test]
    fn an_answer_that_is_none_is_described() {
        let told = |content_type, body: &str, whole| match no_answer(200, content_type, Some(body.as_bytes()), whole) {
            What::Unanswered { words } => words,
            other => format!("{other:?}"),
        };
        assert_eq!(told("application/json", "", true), "answered 200 with an empty body");
        assert_eq!(
            told("text/html", "<html><title>Log in</title>", true),
            "answered 200 with something that is no answer (text/html): a web page, \"Log in\", and no answer of an API"
        );
        assert_eq!(told("application/json", "{\"id\":", false), "began an answer and broke it off");
    }
}
