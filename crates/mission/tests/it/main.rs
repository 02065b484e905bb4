//! The core from outside: each row of the transition table, the money under random calls, and the journal of each release.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod allowances;
mod claims;
mod golden;
mod left_out;
mod money;
mod play;
mod reasons;
mod regressions;
mod table;
