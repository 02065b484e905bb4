//! The number in a request that bounds its answer, lowered in its place.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::place;
use crate::format::Format;

#[derive(Deserialize)]
struct Bounds<'a> {
    #[serde(borrow, default, deserialize_with = "super::even_null")]
    max_tokens: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "super::even_null")]
    max_completion_tokens: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "super::even_null")]
    max_output_tokens: Option<&'a RawValue>,
    #[serde(borrow, rename = "generationConfig", alias = "generation_config")]
    generation_config: Option<Generation<'a>>,
}

#[derive(Deserialize)]
struct Generation<'a> {
    #[serde(
        borrow,
        default,
        deserialize_with = "super::even_null",
        rename = "maxOutputTokens",
        alias = "max_output_tokens"
    )]
    max_output_tokens: Option<&'a RawValue>,
}

/// Whether a request has such a number. OpenAI's Responses takes one that was not there; in the other formats a missing one is left out for a reason (an
/// upstream knows only one of its names).
pub(super) fn lowers(format: Format, tokens_max: Option<u64>) -> bool {
    tokens_max.is_some() || format == Format::OpenAiResponses
}

/// The body with this bound in place of every larger one; every other byte stays. As it was when it has no place for one.
pub fn with_output(format: Format, body: &Bytes, tokens: u64) -> Bytes {
    let changed = || {
        let bounds: Bounds<'_> = serde_json::from_slice(body).ok()?;
        let numbers = match format {
            Format::OpenAiChat => [bounds.max_completion_tokens, bounds.max_tokens],
            Format::OpenAiResponses => [bounds.max_output_tokens, None],
            Format::Anthropic => [bounds.max_tokens, None],
            Format::Gemini => [bounds.generation_config.and_then(|config| config.max_output_tokens), None],
        };
        let larger =
            |number: &&RawValue| number.get().parse::<u64>().is_ok_and(|number| number == 0 || number > tokens);
        let mut places: Vec<_> =
            numbers.iter().flatten().filter(|n| larger(n)).filter_map(|n| place(body, n)).collect();
        if numbers.iter().all(|number| number.is_none_or(|number| number.get() == "null")) {
            return inserted(format, body, tokens, numbers[0]);
        }
        places.sort_unstable();
        let mut made = Vec::with_capacity(body.len());
        let mut from = 0;
        for (start, end) in places {
            made.extend_from_slice(body.get(from..start)?);
            made.extend_from_slice(tokens.to_string().as_bytes());
            from = end;
        }
        made.extend_from_slice(body.get(from..)?);
        Some(made.into())
    };
    changed().unwrap_or_else(|| body.clone())
}

fn inserted(format: Format, body: &Bytes, tokens: u64, null: Option<&RawValue>) -> Option<Bytes> {
    if format != Format::OpenAiResponses {
        return None;
    }
    if let Some((start, end)) = null.and_then(|null| place(body, null)) {
        return Some([body.get(..start)?, tokens.to_string().as_bytes(), body.get(end..)?].concat().into());
    }
    let start = body.iter().position(|byte| *byte == b'{')? + 1;
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
            lowered(Format::OpenAiChat, r#"{"max_tokens":60000, "max_completion_tokens":6000}"#),
            r#"{"max_tokens":5000, "max_completion_tokens":5000}"#
        );
        assert_eq!(
            lowered(Format::OpenAiResponses, r#"{"max_output_tokens": null}"#),
            r#"{"max_output_tokens": 5000}"#
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
        assert!(lowers(Format::OpenAiResponses, None) && lowers(Format::Anthropic, Some(5)));
        assert!(!lowers(Format::OpenAiChat, None));
    }
}
