//! The gateway from outside: real HTTP over loopback on both sides, books of the test's own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod bad_input;
mod books;
mod calls;
mod cassette;
mod conformance;
mod mock;
mod passthrough;
mod refusals;
mod scripted;
mod secrets;
mod serving;
mod support;
mod tries;
