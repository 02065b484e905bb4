//! A mission's facts as they become durable, each with its line in words.

use super::{
    readings::ViewError,
    tell::{Line, Teller},
};
use mission::{Fact, Status};
use serde::Serialize;
use std::collections::VecDeque;
use store::Tail;

/// One fact for people and for programs. As JSON it is `{seq, at_ms, kind, fact}`, the fact as it is stored.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    /// Its number in its mission, from 1.
    pub seq: u64,
    /// When it was decided, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Its kind.
    pub kind: &'static str,
    /// The fact, an object with the kind as its only key.
    pub fact: Fact,
    /// The fact in words.
    #[serde(skip)]
    pub line: Line,
}

/// Follows a mission; see [`super::Readings::follow`].
pub struct Follow {
    tail: Tail,
    teller: Teller,
    /// The last fact when following began.
    last: u64,
    seq: u64,
    page: VecDeque<Told>,
}

impl Follow {
    pub(super) fn new(tail: Tail, last: u64) -> Self {
        Self { tail, teller: Teller::default(), last, seq: 0, page: VecDeque::new() }
    }

    /// Whether every fact that was there when following began has been given.
    pub fn caught_up(&self) -> bool {
        self.seq >= self.last
    }

    /// Whether the mission is over and its last fact has been given. A late bill may still follow.
    pub fn ended(&self) -> bool {
        self.page.is_empty() && matches!(self.teller.mission().status(), Status::Closed(_))
    }

    /// Waits for the next fact. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`ViewError::Read`].
    pub async fn next(&mut self) -> Result<Told, ViewError> {
        loop {
            if let Some(told) = self.page.pop_front() {
                self.seq = told.seq;
                return Ok(told);
            }
            for stored in self.tail.next().await? {
                let recorded = stored.decode()?;
                let line = self.teller.tell(&recorded.fact);
                let kind = recorded.fact.kind();
                self.page.push_back(Told { seq: recorded.seq, at_ms: recorded.at_ms, kind, fact: recorded.fact, line });
            }
        }
    }
}
