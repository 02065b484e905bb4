//! What a model call can cost at most, and what it did cost: a reading of requests and answers in the four wire formats, and of price tables.
//!
//! Pure: bytes and prices in, numbers and reasons out; it reaches nothing and knows no clock. The [gateway](../gateway/index.html) asks it before a
//! call goes out ([`route`] which place it is, [`request`] what it asks for, [`worst`] how much that is at most) and reads answers with it on their way
//! ([`sse`], [`meter`]); [`price`] has what a token costs.
//!
//! It refuses to guess: what a request holds and no list here knows is not bounded, and a model without a price costs *unknown*, never nothing.

pub mod format;
pub mod meter;
pub mod price;
pub mod request;
pub mod route;
pub mod sse;
pub mod usage;
pub mod worst;

pub use format::Format;
pub use price::{ModelPrice, PriceError, PriceSource, PriceTable, Prices, TABLE_VERSION, TableError};
pub use usage::{Cost, Refusal, Usage};
pub use worst::{OUTPUT_TOKENS_LEAST, Worst};
