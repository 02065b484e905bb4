//! The crate from outside: real repositories, real sandboxes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed expectation is a failed test")]

mod agents;
mod attributes;
mod checks;
mod commands;
mod completeness;
mod foreign;
mod hostile;
mod inspect;
mod merges;
mod network;
mod place;
mod publish;
mod random_repositories;
mod stores;
