//! Anthropic Messages: usage at the start (`message_start`) and again, cumulatively, near the end (`message_delta`).

use serde::Deserialize;

use super::{Count, End, Reading, TextBytes};

#[derive(Deserialize)]
pub(super) struct Event {
    #[serde(rename = "type")]
    kind: String,
    message: Option<Message>,
    usage: Option<AnthropicUsage>,
    delta: Option<TextBytes>,
}

#[derive(Deserialize)]
pub(super) struct Message {
    #[serde(rename = "type")]
    kind: Option<String>,
    usage: Option<AnthropicUsage>,
    content: Option<TextBytes>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AnthropicUsage {
    input_tokens: Count,
    cache_read_input_tokens: Count,
    cache_creation_input_tokens: Count,
    cache_creation: Option<Written>,
    output_tokens: Count,
    output_tokens_details: Option<Details>,
    service_tier: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Written {
    ephemeral_1h_input_tokens: Count,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    #[serde(alias = "reasoning_tokens")]
    thinking_tokens: Count,
}

impl Event {
    pub(super) fn into_reading(self, reading: &mut Reading) {
        reading.text_bytes += self.delta.map_or(0, |text| text.0);
        if let Some(mut usage) = self.message.and_then(|message| message.usage) {
            // What the start says of the output is only its beginning.
            reading.output_floor = std::mem::take(&mut usage.output_tokens).0.unwrap_or(0);
            usage.into_reading(reading);
        }
        if let Some(usage) = self.usage {
            usage.into_reading(reading);
        }
        match self.kind.as_str() {
            "message_delta" => reading.end_at_least(End::Closing),
            "message_stop" => reading.end_at_least(End::Complete),
            "error" => reading.end_at_least(End::Failed),
            _ => {}
        }
    }
}

impl Message {
    pub(super) fn into_reading(self, reading: &mut Reading) {
        if let Some(usage) = self.usage {
            usage.into_reading(reading);
        }
        reading.text_bytes += self.content.map_or(0, |text| text.0);
        if self.kind.as_deref() == Some("error") {
            reading.end_at_least(End::Failed);
        } else if self.content.is_some() {
            reading.end_at_least(End::Complete);
        }
    }
}

impl AnthropicUsage {
    fn into_reading(self, reading: &mut Reading) {
        let mut input = reading.input.unwrap_or_default();
        input.full = self.input_tokens.0.unwrap_or(input.full);
        input.cache_read = self.cache_read_input_tokens.0.unwrap_or(input.cache_read);
        if let Some(written) = self.cache_creation_input_tokens.0 {
            let long = self.cache_creation.and_then(|parts| parts.ephemeral_1h_input_tokens.0);
            // A later report without the parts keeps the long part of the earlier one.
            input.cache_write_long = long.unwrap_or(input.cache_write_long).min(written);
            input.cache_write = written - input.cache_write_long;
        }
        if reading.input.is_some() || self.input_tokens.0.is_some() {
            reading.input = Some(input);
        }
        reading.output_tokens = self.output_tokens.0.or(reading.output_tokens);
        let thought = self.output_tokens_details.and_then(|details| details.thinking_tokens.0);
        reading.reasoning_tokens = thought.unwrap_or(reading.reasoning_tokens);
        reading.service_tier = self.service_tier.or(reading.service_tier.take());
    }
}
