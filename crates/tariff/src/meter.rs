//! Usage and the way an answer ends, read from its bytes.
//!
//! Every vendor counts its own way; [`Usage`] is one way for all. OpenAI's `prompt_tokens` and `input_tokens` include
//! cached input, Anthropic's `input_tokens` excludes it. OpenAI's chat reports usage in one chunk near the end,
//! Responses in the last event, Anthropic at the start and, cumulatively, near the end, Gemini so far in every chunk.
//! A number that cannot be one (negative, absurd) is no report; two reports are one, the later.

use serde::Deserialize;

use crate::format::Format;
use crate::usage::Usage;

mod anthropic;
mod bill;
mod chat;
mod count;
mod gemini;
mod responses;
mod text;

use bill::Bill;
use count::Count;
pub use text::TextBytes;

/// Reads one answer.
#[derive(Debug)]
pub struct Meter {
    format: Format,
    /// What was read so far.
    pub reading: Reading,
}

/// What was read so far.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Input tokens, if told.
    pub input: Option<Input>,
    /// Output tokens, if told.
    pub output_tokens: Option<u64>,
    /// Output that was reported before it was whole.
    pub output_floor: u64,
    /// The part of the output that was reasoning.
    pub reasoning_tokens: u64,
    /// Bytes of text, reasoning and tool arguments seen, for an estimate where the report is missing.
    pub text_bytes: u64,
    /// The service tier that the provider says it answered at.
    pub service_tier: Option<String>,
    /// What the provider says that the call cost, in micro-dollars.
    pub billed: Option<u64>,
    /// How far it came.
    pub end: End,
}

/// Input tokens, told apart as [`Usage`] does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Input {
    /// At the full price.
    pub full: u64,
    /// Read from the cache.
    pub cache_read: u64,
    /// Written to the cache.
    pub cache_write: u64,
    /// Written to the cache for the longer time.
    pub cache_write_long: u64,
}

/// How far an answer is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum End {
    /// It is not at its end.
    #[default]
    Open,
    /// The model has finished; only the closing words of the format may follow.
    Closing,
    /// The format's last word was seen.
    Complete,
    /// The upstream reported an error inside the answer.
    Failed,
}

/// Bytes per token of an estimate that errs upwards.
const ESTIMATE_BYTES_PER_TOKEN: u64 = 2;

impl Meter {
    /// For an answer of that format.
    pub fn new(format: Format) -> Self {
        Meter { format, reading: Reading::default() }
    }

    /// The format that it reads.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Reads the data of one event of a stream. What cannot be read is passed over: the bytes are the agent's to
    /// judge.
    pub fn event(&mut self, data: &[u8]) {
        match self.format {
            Format::OpenAiChat if data == b"[DONE]" => self.reading.end_at_least(End::Complete),
            Format::OpenAiChat => read(data, |chunk: chat::Chunk| chunk.into_reading(&mut self.reading, true)),
            Format::OpenAiResponses => read(data, |event: responses::Event| event.into_reading(&mut self.reading)),
            Format::Anthropic => read(data, |event: anthropic::Event| event.into_reading(&mut self.reading)),
            Format::Gemini => read(data, |chunk: gemini::Response| chunk.into_reading(&mut self.reading)),
        }
    }

    /// Reads a whole answer that is not a stream.
    pub fn document(&mut self, body: &[u8]) {
        match self.format {
            Format::OpenAiChat => read(body, |chunk: chat::Chunk| chunk.into_reading(&mut self.reading, false)),
            Format::OpenAiResponses => {
                read(body, |response: responses::Response| response.into_reading(&mut self.reading));
            }
            Format::Anthropic => read(body, |message: anthropic::Message| message.into_reading(&mut self.reading)),
            Format::Gemini => read(body, |document: gemini::Document| document.into_reading(&mut self.reading)),
        }
    }
}

fn read<'a, T: Deserialize<'a>>(json: &'a [u8], then: impl FnOnce(T)) {
    if let Ok(value) = serde_json::from_slice(json) {
        then(value);
    }
}

impl Reading {
    /// Whether what follows is only the end of the answer.
    pub fn is_closing(&self) -> bool {
        self.end != End::Open
    }

    /// The usage, with an estimate for what was not reported: `input_max` is the request's upper bound of input.
    pub fn usage(&self, input_max: u64, output_max: Option<u64>) -> Usage {
        let estimate = self.text_bytes.div_ceil(ESTIMATE_BYTES_PER_TOKEN).min(output_max.unwrap_or(u64::MAX));
        // An answer that broke off has reported at most the beginning of its output.
        let reported = self.output_tokens.filter(|_| self.is_closing());
        let input = self.input.unwrap_or(Input { full: input_max, ..Input::default() });
        Usage {
            input_tokens: input.full,
            cache_read_tokens: input.cache_read,
            cache_write_tokens: input.cache_write,
            cache_write_long_tokens: input.cache_write_long,
            output_tokens: reported.unwrap_or_else(|| estimate.max(self.output_tokens.unwrap_or(self.output_floor))),
            reasoning_tokens: self.reasoning_tokens,
            estimated: self.input.is_none() || reported.is_none(),
        }
    }

    fn end_at_least(&mut self, end: End) {
        self.end = match (self.end, end) {
            (End::Failed, _) | (_, End::Failed) => End::Failed,
            (End::Complete, _) | (_, End::Complete) => End::Complete,
            (End::Closing, _) | (_, End::Closing) => End::Closing,
            (End::Open, End::Open) => End::Open,
        };
    }
}

/// Details of OpenAI's input: part of the total.
#[derive(Default, Deserialize)]
#[serde(default)]
struct OpenAiInputDetails {
    cached_tokens: Count,
    #[serde(alias = "cache_creation_tokens")]
    cache_write_tokens: Count,
    cache_write_tokens_details: Option<OpenAiWriteDetails>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OpenAiWriteDetails {
    ttl_12h_tokens: Count,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OpenAiOutputDetails {
    reasoning_tokens: Count,
}

impl OpenAiInputDetails {
    fn split(self, total: u64) -> Input {
        let cache_read = self.cached_tokens.0.unwrap_or(0).min(total);
        let written = self.cache_write_tokens.0.unwrap_or(0).min(total - cache_read);
        let long =
            self.cache_write_tokens_details.and_then(|details| details.ttl_12h_tokens.0).unwrap_or(0).min(written);
        Input { full: total - cache_read - written, cache_read, cache_write: written - long, cache_write_long: long }
    }
}

#[cfg(test)]
mod tests;
