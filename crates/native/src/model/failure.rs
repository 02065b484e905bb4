//! What a failed model call means for the turn.

use std::time::Duration;

use genai::Error;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::bounds::prefix;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelFailure {
    /// The gateway refused for want of money.
    Budget(String),
    /// The conversation does not fit the model's window after all.
    TooLong(String),
    /// May work another time; not before `after`, if the other side said so.
    Passing {
        /// For the user.
        text: String,
        /// What the other side asked us to wait.
        after: Option<Duration>,
    },
    /// Will not work another time.
    Lasting(String),
}

impl ModelFailure {
    /// What to tell the user.
    pub fn text(&self) -> &str {
        match self {
            Self::Budget(text) | Self::TooLong(text) | Self::Passing { text, .. } | Self::Lasting(text) => text,
        }
    }
}

impl From<Error> for ModelFailure {
    fn from(error: Error) -> Self {
        match &error {
            Error::HttpError { status, body, headers, .. } => of_status(*status, body, headers),
            Error::WebStream { error: inner, .. } => match inner.downcast_ref::<Error>() {
                Some(Error::HttpError { status, body, headers, .. }) => of_status(*status, body, headers),
                _ => passing(with_causes(inner.as_ref())),
            },
            Error::ChatResponse { body, .. } => of_text(message(body).unwrap_or_else(|| body.to_string())),
            Error::StreamParse { serde_error, .. } => of_text(serde_error.to_string()),
            _ => Self::Lasting(bounded(&error.to_string())),
        }
    }
}

/// The stream was answered, but not in the format that it promised. `genai` reports the model's own failure in the
/// Responses format as a parse error without a place; that is not meant.
pub fn is_malformed(error: &Error) -> bool {
    match error {
        Error::StreamParse { serde_error, .. } => serde_error.line() > 0,
        Error::JsonValueExt(_) | Error::SerdeJson(_) => true,
        Error::WebStream { error, .. } => error.is::<std::string::FromUtf8Error>(),
        _ => false,
    }
}

fn of_status(status: StatusCode, body: &str, headers: &HeaderMap) -> ModelFailure {
    let read: Option<Value> = serde_json::from_str(body).ok();
    let said = read.as_ref().and_then(message).unwrap_or_else(|| body.trim().to_owned());
    let text = bounded(&format!("{status}: {said}"));
    let refused_for_money = read.as_ref().is_some_and(says_budget);
    match status.as_u16() {
        402 => ModelFailure::Budget(text),
        _ if refused_for_money => ModelFailure::Budget(text),
        403 if said.contains("budget") => ModelFailure::Budget(text),
        400 | 413 if is_too_long(body) => ModelFailure::TooLong(text),
        408 | 409 | 429 | 500..=599 => ModelFailure::Passing { text, after: retry_after(headers) },
        _ => ModelFailure::Lasting(text),
    }
}

fn of_text(text: String) -> ModelFailure {
    if is_too_long(&text) { ModelFailure::TooLong(bounded(&text)) } else { passing(text) }
}

fn passing(text: String) -> ModelFailure {
    ModelFailure::Passing { text: bounded(&text), after: None }
}

/// The gateway marks its refusals with the word as a value of their error object.
fn says_budget(body: &Value) -> bool {
    match body {
        Value::String(text) => text == "budget",
        Value::Object(members) => members.values().any(says_budget),
        _ => false,
    }
}

/// The words of OpenAI, Anthropic and the servers that imitate them.
fn is_too_long(text: &str) -> bool {
    ["context_length_exceeded", "prompt is too long", "maximum context length", "context window"]
        .iter()
        .any(|words| text.contains(words))
}

fn message(body: &Value) -> Option<String> {
    let error = body.get("error").unwrap_or(body);
    error.get("message").and_then(Value::as_str).or(error.as_str()).map(str::to_owned)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let seconds = number("retry-after-ms").map(|ms| ms / 1000.0).or_else(|| number("retry-after"))?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn bounded(text: &str) -> String {
    prefix(text, 600).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[test]
    fn refused_for_money() {
        check(
            402,
            r#"{"error":{"message":"the cap is reached"}}"#,
            expect!["Budget 402 Payment Required: the cap is reached"],
        );
        check(403, r#"{"error":{"message":"no","code":"budget"}}"#, expect!["Budget 403 Forbidden: no"]);
        check(403, r#"{"error":{"message":"no"}}"#, expect!["Lasting 403 Forbidden: no"]);
        check(429, r#"{"error":{"message":"cap","type":"budget"}}"#, expect!["Budget 429 Too Many Requests: cap"]);
    }

    #[test]
    fn passing_and_lasting() {
        check(429, "slow down", expect!["Passing 429 Too Many Requests: slow down, after 1.5s"]);
        check(503, "", expect!["Passing 503 Service Unavailable: , after 1.5s"]);
        check(401, r#"{"error":"who?"}"#, expect!["Lasting 401 Unauthorized: who?"]);
        check(400, r#"{"message":"bad tool"}"#, expect!["Lasting 400 Bad Request: bad tool"]);
    }

    #[test]
    fn too_long() {
        check(
            400,
            r#"{"error":{"code":"context_length_exceeded"}}"#,
            expect![[r#"TooLong 400 Bad Request: {"error":{"code":"context_length_exceeded"}}"#]],
        );
    }

    fn check(status: u16, body: &str, expected: Expect) {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", "1.5".parse().unwrap());
        let failure = of_status(StatusCode::from_u16(status).unwrap(), body, &headers);
        let kind = match &failure {
            ModelFailure::Budget(_) => "Budget",
            ModelFailure::TooLong(_) => "TooLong",
            ModelFailure::Passing { .. } => "Passing",
            ModelFailure::Lasting(_) => "Lasting",
        };
        let after = match &failure {
            ModelFailure::Passing { after: Some(after), .. } => format!(", after {after:?}"),
            _ => String::new(),
        };
        expected.assert_eq(&format!("{kind} {}{after}", failure.text()));
    }
}
