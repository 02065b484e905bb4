//! What a failed model call means for the turn.

use std::time::Duration;

use genai::Error;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::bounds::prefix;

mod words;

use words::{Means, Said};

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
            Error::ChatResponse { body, .. } => of_error(body),
            Error::StreamParse { serde_error, .. } => of_error(&serde_error.to_string().into()),
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

/// What an answer with an error status means.
pub fn of_status(status: StatusCode, body: &str, headers: &HeaderMap) -> ModelFailure {
    let said = Said::read(body);
    let text = bounded(&format!("{status}: {}", said.words));
    let ours = headers.get(REFUSED_BY_US).and_then(|kind| kind.to_str().ok());
    match words::judge(Some(status.as_u16()), ours, &said) {
        Means::Budget => ModelFailure::Budget(text),
        Means::TooLong => ModelFailure::TooLong(text),
        Means::Passing => ModelFailure::Passing { text, after: retry_after(headers) },
        Means::Lasting => ModelFailure::Lasting(text),
    }
}

/// What an error inside an answer that began well means.
pub fn of_error(error: &Value) -> ModelFailure {
    let said = Said::of(error);
    let text = bounded(&said.words);
    match words::judge(None, None, &said) {
        Means::TooLong => ModelFailure::TooLong(text),
        Means::Lasting | Means::Budget => ModelFailure::Lasting(text),
        Means::Passing => passing(text),
    }
}

/// The gateway puts the kind of its own refusals there; what a provider says is without it.
const REFUSED_BY_US: &str = "x-muster-refusal";

pub fn passing(text: String) -> ModelFailure {
    ModelFailure::Passing { text: bounded(&text), after: None }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let seconds = number("retry-after-ms").map(|ms| ms / 1000.0).or_else(|| number("retry-after"))?;
    Duration::try_from_secs_f64(seconds).ok()
}

pub fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
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
            expect!["TooLong 400 Bad Request: context_length_exceeded"],
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
