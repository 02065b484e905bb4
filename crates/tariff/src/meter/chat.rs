//! OpenAI Chat Completions: a chunk of a stream and a whole completion share their fields.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Bill, Count, End, OpenAiInputDetails, OpenAiOutputDetails, Reading, TextBytes};

#[derive(Deserialize)]
pub(super) struct Chunk {
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    usage: Option<ChatUsage>,
    service_tier: Option<String>,
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice {
    finish_reason: Option<String>,
    #[serde(alias = "message")]
    delta: Option<TextBytes>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ChatUsage {
    prompt_tokens: Count,
    completion_tokens: Count,
    prompt_tokens_details: Option<OpenAiInputDetails>,
    completion_tokens_details: Option<OpenAiOutputDetails>,
    /// LiteLLM and other translators of Anthropic put cache writes here.
    cache_creation_input_tokens: Count,
    cost: Bill,
}

impl Chunk {
    pub(super) fn into_reading(self, reading: &mut Reading, streaming: bool) {
        for choice in self.choices.iter().flatten() {
            reading.text_bytes += choice.delta.map_or(0, |text| text.0);
            // Some servers send an empty reason with every chunk.
            if choice.finish_reason.as_deref().is_some_and(|reason| !reason.is_empty()) {
                reading.end_at_least(End::Closing);
            }
        }
        if let Some(usage) = self.usage {
            usage.into_reading(reading);
        }
        reading.service_tier = self.service_tier.or(reading.service_tier.take());
        if self.error.is_some() {
            reading.end_at_least(End::Failed);
        } else if !streaming && self.choices.is_some() {
            reading.end_at_least(End::Complete);
        }
    }
}

impl ChatUsage {
    fn into_reading(self, reading: &mut Reading) {
        if let Some(total) = self.prompt_tokens.0 {
            let mut details = self.prompt_tokens_details.unwrap_or_default();
            if details.cache_write_tokens.0.is_none() {
                details.cache_write_tokens = self.cache_creation_input_tokens;
            }
            reading.input = Some(details.split(total));
        }
        reading.billed = self.cost.0.or(reading.billed);
        reading.output_tokens = self.completion_tokens.0.or(reading.output_tokens);
        let details = self.completion_tokens_details.unwrap_or_default();
        reading.reasoning_tokens = details.reasoning_tokens.0.unwrap_or(reading.reasoning_tokens);
    }
}
