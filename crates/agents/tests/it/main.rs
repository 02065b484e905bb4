//! An agent as a script on the other end of two in-memory pipes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed expectation is a failed test")]

mod decode;
mod limits;
mod peer;
mod recordings;
mod schema;
mod sessions;
mod turns;
