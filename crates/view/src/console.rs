//! What stands in a transcript of the console of a sandbox: chunks of kind [`CONSOLE`], one JSON object each.

use serde::{Deserialize, Serialize};

/// The kind of these chunks.
pub const CONSOLE: &str = "console";

/// One thing that a console shows. `number` tells apart what runs at the same time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "console", rename_all = "snake_case")]
pub enum Console {
    /// Something is run.
    Begun {
        /// Which.
        number: u64,
        /// For whom.
        by: RunBy,
        /// The command line.
        run: String,
        /// Where, below the work folder; none for the folder itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cwd: Option<String>,
    },
    /// It printed something.
    Said {
        /// Which.
        number: u64,
        /// Whether on standard error.
        stderr: bool,
        /// What; whole lines, but for the last one and very long ones.
        text: String,
    },
    /// It printed more than is kept; what follows is the end of it.
    LeftOut {
        /// Which.
        number: u64,
        /// How much is not kept.
        bytes: u64,
    },
    /// It ended.
    Ended {
        /// Which.
        number: u64,
        /// How, in words.
        how: String,
        /// How long it ran, in milliseconds.
        ms: u64,
        /// How many bytes it printed in all.
        bytes: u64,
        /// What of the sandbox is likely to be behind a failure.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        hints: Vec<String>,
    },
    /// The agent counts otherwise for a turn than the gateway, whose count is what counts.
    Recount {
        /// Tokens, input and output, as the agent says.
        says: [u64; 2],
        /// The same as the gateway booked them.
        booked: [u64; 2],
    },
    /// A model call is made again: the upstream gave no answer to pass on.
    Again {
        /// The upstream that is asked.
        upstream: String,
        /// Which try of the call comes next, from 2.
        next: u32,
        /// How many tries there are at most.
        of: u32,
        /// What the last one brought.
        why: String,
        /// The pause before the next, in milliseconds.
        pause_ms: u64,
    },
    /// The agent's own process ended.
    Process {
        /// How, in words.
        how: String,
    },
    /// A part of the transcript is missing here. Never stored: readers make it of what the store says.
    NotKept {
        /// How many chunks.
        chunks: u64,
        /// How many bytes.
        bytes: u64,
    },
}

/// For whom something is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunBy {
    /// The agent asked for it.
    Agent,
    /// It is an acceptance check of the agent's change.
    Check,
}
