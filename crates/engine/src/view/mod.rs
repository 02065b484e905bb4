//! Readings of the journal for people and programs. None of them needs a running engine.

use mission::{Outcome, PauseReason, Status};

/// A mission's status in one word or two, for lists.
pub fn status_word(status: Status) -> &'static str {
    match status {
        Status::Empty => "beginning",
        Status::Running => "running",
        Status::Paused(PauseReason::Person) => "paused",
        Status::Paused(PauseReason::Budget) => "out of budget",
        Status::Paused(PauseReason::Space) => "out of disk space",
        Status::Closing(_) => "closing",
        Status::Closed(Outcome::Done) => "done",
        Status::Closed(Outcome::Failed) => "failed",
        Status::Closed(Outcome::Cancelled) => "cancelled",
    }
}

mod tell;

pub use tell::{Line, Teller, Weight};
