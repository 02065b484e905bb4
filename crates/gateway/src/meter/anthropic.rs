//! Anthropic Messages: usage at the start (`message_start`) and again, cumulatively, near the end (`message_delta`).

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{End, Reading, TextBytes};

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
    content: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct AnthropicUsage {
    input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_creation: Option<Written>,
    output_tokens: Option<u64>,
    service_tier: Option<String>,
}

#[derive(Deserialize)]
struct Written {
    ephemeral_1h_input_tokens: Option<u64>,
}

impl Event {
    pub(super) fn into_reading(self, reading: &mut Reading) {
        reading.text_bytes += self.delta.map_or(0, |text| text.0);
        for usage in [self.message.and_then(|message| message.usage), self.usage].into_iter().flatten() {
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
        input.full = self.input_tokens.unwrap_or(input.full);
        input.cache_read = self.cache_read_input_tokens.unwrap_or(input.cache_read);
        if let Some(written) = self.cache_creation_input_tokens {
            let long = self.cache_creation.and_then(|parts| parts.ephemeral_1h_input_tokens);
            // A later report without the parts keeps the long part of the earlier one.
            input.cache_write_long = long.unwrap_or(input.cache_write_long).min(written);
            input.cache_write = written - input.cache_write_long;
        }
        if reading.input.is_some() || self.input_tokens.is_some() {
            reading.input = Some(input);
        }
        reading.output_tokens = self.output_tokens.or(reading.output_tokens);
        reading.service_tier = self.service_tier.or(reading.service_tier.take());
    }
}
