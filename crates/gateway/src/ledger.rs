//! What the gateway asks of the books, and the words it uses.
//!
//! The gateway holds no budget and no history: the [`Ledger`] (the engine's, over its store) does.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use crate::format::Format;
use crate::session::Tag;
use crate::trouble::Trouble;
use crate::worst::Worst;
use tariff::{Cost, Refusal, Usage};

/// The books behind the gateway.
///
/// For every call the gateway asks in this order, from a task that an agent's hanging up does not end:
/// [`recall`](Ledger::recall); if nothing is stored, [`reserve`](Ledger::reserve); if that is granted, exactly one
/// [`settle`](Ledger::settle), whatever happens to the call (only the end of the process comes between the two). A try
/// that may have been billed and brought no answer is settled as it stands; the next is a call with an id of its own.
pub trait Ledger: Send + Sync + 'static {
    /// The stored answer to this very call, to be replayed byte for byte at no cost. Nothing is reserved or
    /// settled for a call that is answered so.
    fn recall(&self, call: &Call) -> impl Future<Output = Option<StoredAnswer>> + Send;

    /// Sets aside what the call can use at most, and says what that is: `worst` as it is, or
    /// [within](Worst::within) what is left. The call goes out when this returns, so that what is set aside has to be
    /// durable then: whatever ends this process, nothing is sent that the books do not know. With a shorter answer the request goes out with that number in it.
    fn reserve(&self, call: &Call, worst: Worst) -> impl Future<Output = Result<Worst, Refusal>> + Send;

    /// Books what the call cost and keeps its answer. Durable when it returns: until then the end of the answer is
    /// held back from the agent. On `Err` (told in words for the log) the agent's answer is broken off instead.
    fn settle(&self, settled: Settled) -> impl Future<Output = Result<(), String>> + Send;

    /// Hears that a request held a known secret, by the secret's name; it was covered, or the call `refused`. For people:
    /// nothing depends on it.
    fn secret_found(&self, _by: &Tag, _name: &str, _refused: bool) {}

    /// A try brought no answer to pass on, and the call is made again after a pause. For people: nothing depends on it.
    fn asked_again(&self, _call: &Call, _again: &Again) {}

    /// A call brought no answer: nobody answers it any more, and the agent is about to be told. For people, and for what follows from the end of
    /// the agent's turn; the money is settled apart from it.
    fn failed(&self, _call: &Call, _trouble: Trouble) {}

    /// The provider takes no calls of this model for so long, and no other upstream answers them: longer than a call
    /// may wait. Told before the agent is answered (status 429 with `retry-after`), after the call was settled.
    fn limited(&self, _call: &Call, _reset_in: Duration) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// A further try of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Again {
    /// Which try comes next, from 2.
    pub next: u32,
    /// How many tries of this upstream there are at most.
    pub of: u32,
    /// What the last one brought: a status, or that there was no connection or no answer.
    pub why: String,
    /// The pause before the next.
    pub pause: Duration,
}

/// One call of one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Counts the calls of this gateway from 1; joins a reservation with its settlement.
    pub id: u64,
    /// The mission of the session.
    pub mission: String,
    /// The agent of the session.
    pub agent: String,
    /// The session's number: each process of an agent has one of its own. Once settled, 0 when whoever asked hung up before the end.
    pub process: u64,
    /// The attempt that the session was bound to when the call came in.
    pub attempt: Option<u32>,
    /// The upstream that is to answer; once settled, the one that did.
    pub upstream: String,
    /// The wire format.
    pub format: Format,
    /// The model as the request names it.
    pub model: String,
    /// What was asked, as one number.
    pub digest: Digest,
    /// Whether a stream was asked for.
    pub stream: bool,
}

/// SHA-256 over method, path with query, and body as the agent sent them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    /// 64 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// A complete, successful answer as it went over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The `content-type` header.
    pub content_type: String,
    /// All bytes of the body.
    pub body: Bytes,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The call.
    pub call: Call,
    /// What was used: as the upstream reported it, or an estimate that says so.
    pub usage: Usage,
    /// What it cost.
    pub cost: Cost,
    /// The answer, when it is complete, successful and not beyond the size that is kept.
    pub answer: Option<StoredAnswer>,
    /// Milliseconds from asking the upstream to the end of its answer.
    pub ms: u64,
    /// Milliseconds from asking the upstream to the first byte of its answer's body.
    pub ttfb_ms: Option<u64>,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The upstream answered to the end.
    Complete,
    /// The upstream answered with this status, outside 200 to 299; nothing was billed.
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// The upstream reported an error inside a successful answer.
    Failed,
    /// The answer broke off, or was not waited for any longer.
    Cut,
    /// Nothing was sent: the upstream could not be reached, or the agent hung up before it was asked.
    Unreachable,
}
