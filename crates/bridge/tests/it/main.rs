//! Conversations with vendors' programs, on what the real programs wrote.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod noise;
mod recordings;
