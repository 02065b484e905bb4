//! The number in a request that bounds its answer, lowered in its place.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::place;
use crate::format::Format;

/// Fields that ask for so much thinking before the answer. Providers want the bound to stay above it, so such a request is left as it is.
const THINKING: [&[u8]; 2] = [b"\"budget_tokens\"", b"\"thinkingBudget\""];

#[derive(Deserialize)]
struct Bounds<'a> {
    #[serde(borrow)]
    max_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    max_completion_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    max_output_tokens: Option<&'a RawValue>,
    #[serde(borrow, rename = "generationConfig", alias = "generation_config")]
    generation_config: Option<Generation<'a>>,
}

#[derive(Deserialize)]
struct Generation<'a> {
    #[serde(borrow, rename = "maxOutputTokens", alias = "max_output_tokens")]
    max_output_tokens: Option<&'a RawValue>,
}

/// Whether a request has such a number. OpenAI's Responses takes one that was not there; in the other formats a missing one is left out for a reason (an
/// upstream knows only one of its names).
pub(super) fn lowers(format: Format, tokens_max: Option<u64>, body: &[u8]) -> bool {
    let thinks = THINKING.iter().any(|field| memchr::memmem::find(body, field).is_some());
    !thinks && (tokens_max.is_some() || format == Format::OpenAiResponses)
}

/// The body with this bound in place of its own; every other byte stays. As it was when it has no place for one.
pub(crate) fn with_output(format: Format, body: &Bytes, tokens: u64) -> Bytes {
    let changed = || {
        let bounds: Bounds<'_> = serde_json::from_slice(body).ok()?;
        let number = match format {
            Format::OpenAiChat => bounds.max_completion_tokens.or(bounds.max_tokens),
            Format::OpenAiResponses => bounds.max_output_tokens,
            Format::Anthropic => bounds.max_tokens,
            Format::Gemini => bounds.generation_config.and_then(|config| config.max_output_tokens),
        };
        let Some(number) = number else { return inserted(format, body, tokens) };
        let (start, end) = place(body, number)?;
        Some([body.get(..start)?, tokens.to_string().as_bytes(), body.get(end..)?].concat().into())
    };
    changed().unwrap_or_else(|| body.clone())
}

fn inserted(format: Format, body: &Bytes, tokens: u64) -> Option<Bytes> {
    let start = body.iter().position(|byte| *byte == b'{').filter(|_| format == Format::OpenAiResponses)? + 1;
    // A request has a model, so that something follows the comma.
    Some([&body[..start], format!("\"max_output_tokens\":{tokens},").as_bytes(), &body[start..]].concat().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lowered(format: Format, body: &'static str) -> String {
        String::from_utf8(with_output(format, &Bytes::from_static(body.as_bytes()), 5_000).to_vec()).unwrap()
    }

    #[test]
    fn only_the_number_changes() {
        assert_eq!(
            lowered(Format::Anthropic, r#"{"model":"m", "max_tokens" : 32000 ,"x":{"max_tokens":1}}"#),
            r#"{"model":"m", "max_tokens" : 5000 ,"x":{"max_tokens":1}}"#
        );
        assert_eq!(
            lowered(Format::OpenAiChat, r#"{"max_tokens":9,"max_completion_tokens":32000}"#),
            r#"{"max_tokens":9,"max_completion_tokens":5000}"#
        );
        assert_eq!(
            lowered(Format::OpenAiResponses, r#"{"model":"m","max_output_tokens":32000}"#),
            r#"{"model":"m","max_output_tokens":5000}"#
        );
        assert_eq!(lowered(Format::OpenAiResponses, r#" {"model":"m"}"#), r#" {"max_output_tokens":5000,"model":"m"}"#);
        assert_eq!(
            lowered(Format::Gemini, r#"{"generationConfig":{"maxOutputTokens":32000}}"#),
            r#"{"generationConfig":{"maxOutputTokens":5000}}"#
        );
    }

    #[test]
    fn what_has_no_place_for_it_stays() {
        for (format, body) in
            [(Format::OpenAiChat, r#"{"model":"m"}"#), (Format::Gemini, "{}"), (Format::Anthropic, "[")]
        {
            assert_eq!(lowered(format, body), body);
        }
        assert!(lowers(Format::OpenAiResponses, None, b"{}") && lowers(Format::Anthropic, Some(5), b"{}"));
        assert!(!lowers(Format::OpenAiChat, None, b"{}"));
        let thinks = br#"{"max_tokens":32000,"thinking":{"type":"enabled","budget_tokens":16000}}"#;
        assert!(!lowers(Format::Anthropic, Some(32_000), thinks));
    }
}
