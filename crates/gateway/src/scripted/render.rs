//! An answer in the shape of each format, whole or as a stream.

use bytes::Bytes;
use serde_json::{Value, json};

use super::answer::Answer;
use crate::format::Format;

mod anthropic;
mod chat;
mod gemini;
mod responses;

const PIECE_BYTES_MIN: usize = 16;
const PIECES_MAX: usize = 64;

/// The answer as one JSON document.
pub(super) fn document(format: Format, answer: &Answer) -> Bytes {
    let document = match format {
        Format::OpenAiChat => chat::document(answer),
        Format::OpenAiResponses => responses::document(answer),
        Format::Anthropic => anthropic::document(answer),
        Format::Gemini => gemini::document(answer),
    };
    Bytes::from(document.to_string())
}

/// The answer as server-sent events, one chunk each.
pub(super) fn stream(format: Format, answer: &Answer) -> Vec<Bytes> {
    match format {
        Format::OpenAiChat => chat::stream(answer),
        Format::OpenAiResponses => responses::stream(answer),
        Format::Anthropic => anthropic::stream(answer),
        Format::Gemini => gemini::stream(answer),
    }
}

/// The answer as Gemini's array of chunks.
pub(super) fn array(answer: &Answer) -> Vec<Bytes> {
    gemini::array(answer)
}

/// A text in the pieces that a stream brings it in.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let size = PIECE_BYTES_MIN.max(text.len().div_ceil(PIECES_MAX));
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = rest.ceil_char_boundary(size);
        let (piece, after) = rest.split_at(end);
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

/// An event without a name.
fn data(value: &Value) -> Bytes {
    Bytes::from(format!("data: {value}\n\n"))
}

/// An event named by the `type` of its data.
fn named(value: &Value) -> Bytes {
    Bytes::from(format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap_or_default()))
}

/// OpenAI's usage object, with the two formats' names for input and output.
fn openai_usage(answer: &Answer, input: &str, output: &str) -> Value {
    let usage = answer.usage;
    json!({
        input: usage.input,
        output: usage.output,
        "total_tokens": usage.input + usage.output,
        (format!("{input}_details")): {"cached_tokens": usage.cached},
        (format!("{output}_details")): {"reasoning_tokens": 0},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_in_whole_characters_and_few_pieces() {
        let text = "äöü€ ".repeat(500);
        let pieces: Vec<&str> = pieces(&text).collect();
        assert_eq!(pieces.concat(), text);
        assert!((2..=PIECES_MAX).contains(&pieces.len()), "{}", pieces.len());
        assert_eq!(super::pieces("").count(), 0);
        assert_eq!(super::pieces("short").collect::<Vec<_>>(), ["short"]);
        assert_eq!(super::pieces("a text of some more bytes").count(), 2);
    }
}
