//! Model calls: what each one was, what it cost, and the complete answer when there was one.

use std::borrow::Cow;

use crate::{error::ReadError, fact::MissionKey};
use rusqlite::{Row, types::ValueRef};

/// Bodies are packed at zstd's default level: a few hundred MB/s, and SSE streams shrink by an order of magnitude.
const ZSTD_LEVEL: i32 = 3;

/// One model call, as it is put into the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRow {
    /// Whose call.
    pub mission: MissionKey,
    /// Which agent.
    pub agent: String,
    /// The attempt it worked on; `None` outside of attempts. Such a call is never recalled.
    pub attempt: Option<u32>,
    /// Which of its processes made it, by a number that is unique in its epoch; 0: the answer is for whoever asks next, because the agent went before it had it.
    pub process: u64,
    /// What the request was: a hash over method, path and body, as hex.
    pub digest: String,
    /// The model asked for.
    pub model: String,
    /// The upstream that answered, by its name in the configuration; empty in rows of older versions.
    pub upstream: String,
    /// The wire format.
    pub format: String,
    /// Tokens read at full price; `None`: unknown.
    pub input_tokens: Option<u64>,
    /// Tokens written; `None`: unknown.
    pub output_tokens: Option<u64>,
    /// Which of the written ones were reasoning; `None`: unknown.
    pub reasoning_tokens: Option<u64>,
    /// Tokens read from the provider's cache; `None`: unknown.
    pub cache_read_tokens: Option<u64>,
    /// Tokens written to the provider's cache; `None`: unknown.
    pub cache_write_tokens: Option<u64>,
    /// Millionths of a US dollar; `None`: unknown, which is not zero.
    pub cost_micros: Option<u64>,
    /// Where the cost comes from, in one word: `list-price`, `provider` (it said so itself), `estimated` (from what was sent and seen), `unknown`, `scripted`, `replayed`,
    /// `not-billed`.
    pub cost_source: String,
    /// Which prices it was computed with: a table and its version, or `configured`; empty when none were.
    pub prices_version: String,
    /// The most input tokens that the request could hold, when the provider reports more than that.
    pub bound_tokens: Option<u64>,
    /// The HTTP status; 0 when there was no answer.
    pub status: u16,
    /// How it ended, in one word.
    pub outcome: String,
    /// From the request to the last byte, milliseconds.
    pub duration_ms: u64,
    /// From the request to the first byte of the answer, milliseconds.
    pub first_byte_ms: Option<u64>,
    /// When it was settled, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// A call as it stands in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCall {
    /// Its number over all missions; increases with time.
    pub key: u64,
    /// Which incarnation of the writer settled it ([`crate::Store::epoch`]).
    pub epoch: u64,
    /// Whether the answer is stored too.
    pub answered: bool,
    /// The call.
    pub call: CallRow,
}

/// A complete answer of a model, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The `Content-Type`.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

/// An answer ready for the file: packed when that saves space.
pub(crate) struct PackedAnswer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) coding: &'static str,
    pub(crate) size: usize,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Done by the caller's thread, so that the writer only writes.
    pub(crate) fn pack(self) -> PackedAnswer {
        let Self { status, content_type, body } = self;
        let size = body.len();
        let (coding, body) = match zstd::bulk::compress(&body, ZSTD_LEVEL) {
            Ok(packed) if packed.len() < size => ("zstd", packed),
            _ => ("plain", body),
        };
        PackedAnswer { status, content_type, coding, size, body }
    }

    /// From the columns status, content_type, coding, size, body.
    pub(crate) fn unpack(row: &Row<'_>) -> Result<Self, ReadError> {
        let (coding, size): (String, usize) = (row.get(2)?, row.get(3)?);
        let ValueRef::Blob(packed) = row.get_ref(4)? else { return Err(undecodable("its body is not bytes")) };
        let body = match coding.as_str() {
            "zstd" => zstd::bulk::decompress(packed, size).map_err(|error| undecodable(error.to_string()))?,
            "plain" => packed.to_vec(),
            other => return Err(undecodable(format!("unknown coding `{other}`"))),
        };
        Ok(Self { status: row.get(0)?, content_type: row.get(1)?, body })
    }
}

fn undecodable(detail: impl Into<Cow<'static, str>>) -> ReadError {
    ReadError::Undecodable { what: "a stored answer".to_owned(), detail: detail.into().into_owned() }
}
