//! Cassettes: the model calls of a mission kept on disk, and an upstream that answers from them.
//!
//! Why: with its calls at hand a mission can be run again without a network, without a key and at no cost, to see whether
//! it still ends as it did. That holds only if the answers go to the questions that they were given to. A request that
//! was not recorded is therefore never answered with something similar: it is refused, and the difference is told.
//!
//! A cassette is a folder:
//!
//! ```text
//! takes.jsonl        one line for each call, in the order in which the calls ended; see `Take`
//! blobs/ab/abcd….zst bodies of requests and answers, compressed with zstd, named by the SHA-256 of what is in them
//! ```
//!
//! Bodies are masked before they are named and written. A body that is there already is not written again. A last line
//! without an end (the process died in it) is no call. What is not kept: how long anything took, the pieces in which an
//! answer came, and calls that the books refused or answered from what they had.
//!
//! | module | does |
//! |---|---|
//! | `tape` | keeps calls: [`Recorder`] |
//! | `deck` | answers from them: [`Cassette`] |
//! | `varies` | what of a request differs from run to run and means nothing |
//! | `differs` | where two requests differ |

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

mod deck;
mod differs;
mod tape;
mod varies;

pub use deck::Cassette;
pub use differs::{Difference, Spot};
pub use tape::Recorder;

pub(crate) use tape::Heard;

/// The largest body that is read back, in bytes: twice what the gateway keeps of one by default.
const BODY_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// One call of a cassette.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Take {
    mission: String,
    agent: String,
    attempt: Option<u32>,
    /// Path and query.
    path: String,
    /// The body of the request, by its SHA-256.
    request: String,
    ending: Ending,
    /// The HTTP status; 0 when there was no answer.
    status: u16,
    /// Those headers of the answer that a client acts on.
    headers: Vec<(String, String)>,
    /// The body of the answer.
    answer: Option<String>,
}

/// How the answer of a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ending {
    /// With its proper end.
    Whole,
    /// It broke off.
    Broken,
    /// There was no connection.
    Unreachable,
    /// There was no answer.
    Lost,
    /// It was too large to be kept.
    TooLarge,
}

/// A cassette that cannot be used: which file, where in it, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", place.display())]
pub struct CassetteError {
    /// The file, with `:LINE` where it has lines.
    pub place: PathBuf,
    /// What is wrong.
    pub reason: String,
}

impl CassetteError {
    fn new(place: &Path, reason: impl ToString) -> Self {
        CassetteError { place: place.to_owned(), reason: reason.to_string() }
    }
}

/// SHA-256 as 64 hexadecimal digits.
fn name_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn blob_path(dir: &Path, name: &str) -> PathBuf {
    dir.join("blobs").join(name.get(..2).unwrap_or("__")).join(format!("{name}.zst"))
}

fn takes_path(dir: &Path) -> PathBuf {
    dir.join("takes.jsonl")
}
