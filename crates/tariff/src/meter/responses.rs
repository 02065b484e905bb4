//! OpenAI Responses: the last event of a stream holds the whole response, usage included.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Bill, Count, End, OpenAiInputDetails, OpenAiOutputDetails, Reading, TextBytes};

#[derive(Deserialize)]
pub(super) struct Event {
    #[serde(rename = "type")]
    kind: String,
    response: Option<Response>,
    delta: Option<TextBytes>,
}

#[derive(Deserialize)]
pub(super) struct Response {
    status: Option<String>,
    usage: Option<ResponsesUsage>,
    service_tier: Option<String>,
    output: Option<TextBytes>,
    error: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResponsesUsage {
    input_tokens: Count,
    output_tokens: Count,
    input_tokens_details: Option<OpenAiInputDetails>,
    output_tokens_details: Option<OpenAiOutputDetails>,
    cost: Bill,
}

impl Event {
    pub(super) fn into_reading(self, reading: &mut Reading) {
        reading.text_bytes += self.delta.map_or(0, |text| text.0);
        let end = match self.kind.as_str() {
            // `response.incomplete` is a whole answer that reached a limit.
            "response.completed" | "response.incomplete" | "response.done" => End::Complete,
            "response.failed" | "response.cancelled" | "error" => End::Failed,
            _ => return,
        };
        if let Some(response) = self.response {
            response.numbers(reading);
        }
        reading.end_at_least(end);
    }
}

impl Response {
    pub(super) fn into_reading(self, reading: &mut Reading) {
        let failed = self.error.is_some() || matches!(self.status.as_deref(), Some("failed" | "cancelled"));
        let whole = self.output.is_some();
        reading.text_bytes += self.output.map_or(0, |text| text.0);
        self.numbers(reading);
        if failed {
            reading.end_at_least(End::Failed);
        } else if whole {
            reading.end_at_least(End::Complete);
        }
    }

    fn numbers(self, reading: &mut Reading) {
        if let Some(usage) = self.usage {
            if let Some(total) = usage.input_tokens.0 {
                reading.input = Some(usage.input_tokens_details.unwrap_or_default().split(total));
            }
            reading.billed = usage.cost.0.or(reading.billed);
            reading.output_tokens = usage.output_tokens.0.or(reading.output_tokens);
            let details = usage.output_tokens_details.unwrap_or_default();
            reading.reasoning_tokens = details.reasoning_tokens.0.unwrap_or(reading.reasoning_tokens);
        }
        reading.service_tier = self.service_tier.or(reading.service_tier.take());
    }
}
