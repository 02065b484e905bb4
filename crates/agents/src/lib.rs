//! How an agent is driven: one folder per runtime, each hiding one vendor's protocol behind turns, updates and typed
//! reasons for an end.
//!
//! This crate holds no rule of the mission and starts no process: it is given the pipes of a process that runs in a
//! sandbox. It trusts nothing that comes out of them: lines, texts, queues and counts are all bounded.

pub mod acp;
mod program;

pub use program::{AgentProgram, NoProgram};
