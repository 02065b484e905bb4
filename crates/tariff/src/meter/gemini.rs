//! Gemini: every chunk of a stream is a whole response so far as its numbers go, so that the last report counts.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Count, End, Input, Reading, TextBytes};

/// A response, or one chunk of a stream.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Response {
    candidates: Option<Vec<Candidate>>,
    prompt_feedback: Option<Feedback>,
    usage_metadata: Option<GeminiUsage>,
    error: Option<IgnoredAny>,
}

/// What is not a stream of events: one response, or an array of them (a stream without `alt=sse`).
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Document {
    Array(Vec<Response>),
    One(Box<Response>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    content: Option<TextBytes>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback {
    block_reason: Option<IgnoredAny>,
}

/// Google's `GenerateContentResponse.UsageMetadata`: the prompt includes what was cached, and excludes what its own
/// tools put in; the candidates exclude the thoughts. Zeros are left out.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct GeminiUsage {
    prompt_token_count: Count,
    cached_content_token_count: Count,
    tool_use_prompt_token_count: Count,
    candidates_token_count: Count,
    thoughts_token_count: Count,
}

impl Response {
    pub(super) fn into_reading(self, reading: &mut Reading) {
        let mut finished = self.prompt_feedback.is_some_and(|feedback| feedback.block_reason.is_some());
        for candidate in self.candidates.into_iter().flatten() {
            reading.text_bytes += candidate.content.map_or(0, |text| text.0);
            finished |= candidate.finish_reason.is_some_and(|reason| !reason.is_empty());
        }
        if let Some(usage) = self.usage_metadata {
            usage.into_reading(reading, finished);
        }
        if self.error.is_some() {
            reading.end_at_least(End::Failed);
        } else if finished {
            reading.end_at_least(End::Closing);
        }
    }
}

impl Document {
    pub(super) fn into_reading(self, reading: &mut Reading) {
        match self {
            Document::Array(chunks) => chunks.into_iter().for_each(|chunk| chunk.into_reading(reading)),
            Document::One(response) => response.into_reading(reading),
        }
        if reading.is_closing() {
            reading.end_at_least(End::Complete);
        }
    }
}

impl GeminiUsage {
    fn into_reading(self, reading: &mut Reading, finished: bool) {
        if let Some(prompt) = self.prompt_token_count.0 {
            let total = prompt.saturating_add(self.tool_use_prompt_token_count.0.unwrap_or(0));
            let cache_read = self.cached_content_token_count.0.unwrap_or(0).min(prompt);
            reading.input = Some(Input { full: total - cache_read, cache_read, ..Input::default() });
        }
        let (said, thought) = (self.candidates_token_count.0, self.thoughts_token_count.0);
        let readable = !self.candidates_token_count.is_unreadable() && !self.thoughts_token_count.is_unreadable();
        if readable && (said.is_some() || thought.is_some()) {
            reading.reasoning_tokens = thought.unwrap_or(0);
            reading.output_tokens = Some(said.unwrap_or(0).saturating_add(reading.reasoning_tokens));
        } else if finished {
            // What was told earlier is not the whole. Without a text the number that is left out is a zero.
            reading.output_floor = reading.output_tokens.take().unwrap_or(0);
            reading.output_tokens = (readable && reading.text_bytes == 0).then_some(0);
        }
    }
}
