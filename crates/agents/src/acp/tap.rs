//! The data plane: what an agent does, on its way to a transcript and to whoever watches.
//!
//! The channel is bounded in items and every text in bytes, so a chatty agent costs at most their product. When it is
//! full, updates are dropped and counted, and the count is sent before the next one that fits: a reader knows where
//! something is missing and how much. Nothing here ever waits.

use super::{Change, Choice, SessionId};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// Longest text in one update, in bytes; longer ones are cut and say so.
pub const TEXT_BYTES_MAX: usize = 16 * 1024;

/// One thing for the transcript.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "update", rename_all = "snake_case")]
pub enum Update {
    /// Something changed in a session.
    Session {
        /// Which session.
        session: SessionId,
        /// What changed.
        #[serde(flatten)]
        change: Change,
    },
    /// The agent asked for permission and was answered.
    Permission {
        /// In which session.
        session: SessionId,
        /// What it wanted to do.
        title: String,
        /// What it was told.
        choice: Choice,
    },
    /// Text from the agent's standard error.
    Stderr {
        /// Not necessarily whole lines.
        text: String,
    },
    /// A line that is not a message of the protocol.
    BadLine {
        /// What is wrong with it.
        problem: String,
        /// Its beginning.
        line: String,
    },
    /// Something odd that did no harm: an answer to nothing, an unknown request, …
    Note {
        /// One sentence.
        text: String,
    },
    /// Updates were dropped here because the reader was slow.
    Lost {
        /// How many.
        count: u64,
    },
}

/// Where updates go in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tap {
    sender: mpsc::Sender<Update>,
    lost: Arc<AtomicU64>,
}

/// Where updates come out.
#[derive(Debug)]
pub struct Updates {
    receiver: mpsc::Receiver<Update>,
    lost: Arc<AtomicU64>,
}

impl Tap {
    /// A tap that holds at most `updates_max` updates (at least one).
    pub fn new(updates_max: usize) -> (Self, Updates) {
        let (sender, receiver) = mpsc::channel(updates_max.max(1));
        let lost = Arc::new(AtomicU64::new(0));
        (Self { sender, lost: lost.clone() }, Updates { receiver, lost })
    }

    /// Sends an update or counts it as lost; never waits. Without a reader it goes nowhere.
    pub fn send(&self, update: Update) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 && self.sender.try_send(Update::Lost { count: lost }).is_err() {
            self.lost.fetch_add(lost + 1, Ordering::Relaxed);
        } else if self.sender.try_send(update).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn note(&self, text: impl AsRef<str>) {
        self.send(Update::Note { text: clip(text.as_ref()) });
    }
}

impl Updates {
    /// The next update; `None` when every tap is gone and nothing is left. Cancel safe.
    pub async fn next(&mut self) -> Option<Update> {
        match self.receiver.recv().await {
            Some(update) => Some(update),
            None => match self.lost.swap(0, Ordering::Relaxed) {
                0 => None,
                count => Some(Update::Lost { count }),
            },
        }
    }
}

/// At most [`TEXT_BYTES_MAX`] bytes of a text, saying how much was cut.
pub(crate) fn clip(text: &str) -> String {
    clip_to(text, TEXT_BYTES_MAX)
}

pub(crate) fn clip_to(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let head = &text[..text.floor_char_boundary(bytes_max)];
    format!("{head}… ({} more bytes)", text.len() - head.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_reader_learns_how_much_it_missed_and_where() {
        let (tap, mut updates) = Tap::new(2);
        for text in ["1", "2", "3", "4"] {
            tap.note(text);
        }
        assert_eq!(drain(&mut updates), ["1", "2"]);
        tap.note("5");
        assert_eq!(drain(&mut updates), ["lost 2", "5"]);
    }

    #[tokio::test]
    async fn what_was_lost_at_the_end_is_told_at_the_end() {
        let (tap, mut updates) = Tap::new(1);
        tap.note("1");
        tap.note("2");
        drop(tap);
        assert_eq!(updates.next().await, Some(Update::Note { text: "1".into() }));
        assert_eq!(updates.next().await, Some(Update::Lost { count: 1 }));
        assert_eq!(updates.next().await, None);
    }

    #[test]
    fn cutting_keeps_characters_whole() {
        assert_eq!(clip_to("äöü", 3), "ä… (4 more bytes)");
        assert_eq!(clip_to("äöü", 6), "äöü");
    }

    #[test]
    fn updates_are_flat_json() {
        let change = Change::Text { text: "hi".into() };
        let update = Update::Session { session: SessionId("s".into()), change };
        let expected = serde_json::json!({"update": "session", "session": "s", "change": "text", "text": "hi"});
        assert_eq!(serde_json::to_value(update).unwrap(), expected);
        let choice = Choice::Selected { option: "once".into() };
        let update = Update::Permission { session: SessionId("s".into()), title: "t".into(), choice };
        let told = serde_json::json!({"told": "selected", "option": "once"});
        let expected = serde_json::json!({"update": "permission", "session": "s", "title": "t", "choice": told});
        assert_eq!(serde_json::to_value(update).unwrap(), expected);
    }

    fn drain(updates: &mut Updates) -> Vec<String> {
        std::iter::from_fn(|| updates.receiver.try_recv().ok())
            .map(|update| match update {
                Update::Note { text } => text,
                Update::Lost { count } => format!("lost {count}"),
                other => format!("{other:?}"),
            })
            .collect()
    }
}
