//! What `muster` keeps on disk: the journal of facts with missions and model calls (`journal.db`), and apart from it the
//! agents' transcripts (`transcripts.db`). The only crate that knows SQL.
//!
//! Why it exists: an acknowledged fact must survive `kill -9` and a power cut, and agents' steps must not pay one disk
//! flush each. So one thread owns the only write connection and commits whatever has queued up in one transaction
//! ([`Store`]); everyone else reads through connections that cannot write ([`Reader`]).
//!
//! What it refuses to do: change or delete a fact; give a fact a number that is taken; open a file that is damaged, that
//! is not ours or that a newer version wrote; let two processes write in one home; read a clock; know what a fact means.
//!
//! | to | use |
//! |---|---|
//! | own a home, then write | [`Home::lock`], [`Store::open`], [`Transcripts::open`] |
//! | write one thing | [`Store::append`], [`Store::append_rows`], [`Store::create_mission`], [`Store::put_call`] |
//! | write several things or none | [`Batch`], [`Store::commit`] |
//! | write from a thread without a runtime | [`wait`] around any of them |
//! | know what is durable, here | [`Store::subscribe`] |
//! | read, from any process | [`Reader::open`], [`TranscriptReader::open`] |
//! | follow, from any process | [`Reader::tail`] |

mod batch;
mod call;
mod error;
mod fact;
mod file;
mod home;
mod privacy;
mod reader;
mod reservation;
mod schema;
mod spend;
mod store;
mod tail;
mod transcript;
mod typed;
mod wait;
mod worker;
mod writer;

pub use batch::{BATCH_BYTES_MAX, Batch};
pub use call::{Answer, CallRow, StoredCall};
pub use error::{LockError, OpenError, ReadError, WriteError};
pub use fact::{FactRow, MissionKey, MissionRow, StoredFact};
pub use home::{Home, HomeLock};
pub use privacy::NotPrivate;
pub use reader::{Beyond, Facts, Reader};
pub use reservation::{Reservation, ReservationKey};
pub use spend::Spend;
pub use store::{Options, PreviousEnd, Stats, Store};
pub use tail::Tail;
pub use transcript::{
    Chunk, Content, Entry, GapReason, TranscriptOptions, TranscriptReader, TranscriptStats, Transcripts,
};
pub use typed::Recorded;
pub use wait::wait;
