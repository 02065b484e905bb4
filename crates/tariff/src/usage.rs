//! What a call used, what it cost, and how one is refused that nobody pays for.

use crate::price::PriceSource;

/// A call that the ledger does not pay for. The agent reads it as an error in its own format.
///
/// Choose the status by what the agent's client should do: the vendors' clients retry 408, 409, 429 and 5xx and give
/// up at once on 400, 402 and 403 (the gateway adds `x-should-retry: false` to every 4xx it makes itself).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status, 400 to 599.
    pub status: u16,
    /// Why, and what to do: read by the agent.
    pub message: String,
    /// A short word for machines, e.g. `budget`.
    pub kind: String,
}

/// Tokens of one call. The four kinds of input exclude each other; their sum is all that went in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Input billed at the full price.
    pub input_tokens: u64,
    /// Input read from the provider's cache.
    pub cache_read_tokens: u64,
    /// Input written to the provider's cache for its usual time (Anthropic 5 minutes, OpenAI 30 minutes).
    pub cache_write_tokens: u64,
    /// Input written to the provider's cache for the longer time (Anthropic 1 hour, OpenAI 12 hours).
    pub cache_write_long_tokens: u64,
    /// Output, reasoning included.
    pub output_tokens: u64,
    /// The part of the output that was reasoning, where the provider says so.
    pub reasoning_tokens: u64,
    /// Whether any of the numbers is our estimate (which errs upwards) instead of the provider's report.
    pub estimated: bool,
}

impl Usage {
    /// All input tokens, cached or not.
    pub fn input_total(&self) -> u64 {
        let cached = self.cache_read_tokens.saturating_add(self.cache_write_tokens);
        self.input_tokens.saturating_add(cached).saturating_add(self.cache_write_long_tokens)
    }
}

/// What a call cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// Priced.
    Known {
        /// Micro-dollars (1e-6 USD), rounded up once, over the whole call.
        micros: u64,
        /// Where the price is from.
        source: PriceSource,
    },
    /// There is no price for the model. Not zero.
    Unknown,
}
