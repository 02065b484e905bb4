//! What an agent does, on its way to its transcript: known secrets are covered, also when they come in pieces.
//!
//! The pieces of an agent's text are one stream for each session and kind, and what a tool puts out is one for each call. Of each
//! only that end is held back which may still become a secret; it comes with the next piece, or at the end of the turn.

use super::activity::Activity;
use crate::{clock::Clock, masking::Masking};
use agents::acp::{Change, Update, Updates};
use gateway::{MaskedStream, Masker};
use std::{collections::BTreeMap, sync::Arc};
use store::{Chunk, MissionKey, Transcripts};
use tokio::sync::Notify;

/// Texts of an agent that are followed at a time, by session and kind; of more, the ones that were added to last.
const TEXTS_MAX: usize = 32;
/// Its tool calls that are followed at a time. Each keeps what it said last, 16 KiB at most.
const OUTPUTS_MAX: usize = 128;

/// Where what one agent does goes to.
pub(super) struct Transcript {
    pub(super) transcripts: Transcripts,
    pub(super) mission: MissionKey,
    pub(super) agent: String,
    pub(super) clock: Clock,
    pub(super) masking: Masking,
    /// Whether it does anything.
    pub(super) activity: Arc<Activity>,
    /// Finds the agent's own key of the gateway, which is worth nothing elsewhere.
    pub(super) own: Masker,
}

impl Transcript {
    /// Carries everything into the transcript, the last words included: it ends when nothing more can come. A turn's end lets go of
    /// what is held back.
    pub(super) async fn run(self, mut updates: Updates, turn_ended: Arc<Notify>) {
        let mut pieces = Pieces::default();
        loop {
            let next = tokio::select! {
                // What came before the end of a turn belongs to it.
                biased;
                next = updates.next() => next,
                () = turn_ended.notified() => {
                    self.push_all(pieces.rest(&self.masking.masker()));
                    continue;
                }
            };
            let Some(update) = next else { break };
            self.activity.seen();
            if let Some(update) = pieces.covered(&self.masking.masker(), update) {
                self.push(&update);
            }
        }
        self.push_all(pieces.rest(&self.masking.masker()));
    }

    fn push_all(&self, updates: Vec<Update>) {
        updates.iter().for_each(|update| self.push(update));
    }

    fn push(&self, update: &Update) {
        let json = serde_json::to_vec(update).unwrap_or_default();
        let covered = self.masking.masker().bytes(&json).into_owned();
        self.transcripts.push(Chunk {
            mission: self.mission.clone(),
            agent: self.agent.clone(),
            attempt: None,
            at_ms: self.clock.now().0,
            kind: kind_of(update).to_owned(),
            bytes: self.own.bytes(&covered).into_owned(),
        });
    }
}

/// The texts of an agent that come in pieces. How many there are is up to the agent, so only so many are followed: of one that is
/// forgotten, what was held back is lost, and what comes later begins anew.
#[derive(Default)]
struct Pieces {
    texts: BTreeMap<String, Text>,
    /// By session and call.
    outputs: BTreeMap<String, Output>,
    /// Goes up with every piece.
    now: u64,
}

/// A stream of text, and an update that carries pieces of it.
struct Text {
    stream: MaskedStream,
    like: Update,
    added_to: u64,
}

/// What a tool call has put out: some agents send all of it each time, others what is new.
#[derive(Default)]
struct Output {
    last: String,
    stream: MaskedStream,
    added_to: u64,
}

impl Pieces {
    /// The update with its text covered; nothing when all of it is held back.
    fn covered(&mut self, masker: &Masker, mut update: Update) -> Option<Update> {
        if masker.is_empty() {
            return Some(update);
        }
        self.now += 1;
        if let Some((key, output, over)) = output_of(&mut update) {
            make_room(&mut self.outputs, &key, OUTPUTS_MAX, |call| call.added_to);
            let call = self.outputs.entry(key.clone()).or_default();
            call.added_to = self.now;
            call.cover(masker, output, over);
            if over {
                self.outputs.remove(&key);
            }
            return Some(update);
        }
        let key = key_of(&update);
        let Some(text) = text_of(&mut update) else { return Some(update) };
        if text.is_empty() {
            return Some(update);
        }
        let piece = std::mem::take(text);
        make_room(&mut self.texts, &key, TEXTS_MAX, |text| text.added_to);
        let known = self.texts.entry(key);
        let known =
            known.or_insert_with(|| Text { stream: MaskedStream::default(), like: update.clone(), added_to: 0 });
        known.added_to = self.now;
        let covered = pushed(&mut known.stream, masker, &piece);
        let text = text_of(&mut update)?;
        *text = covered;
        (!text.is_empty()).then_some(update)
    }

    /// What is held back.
    fn rest(&mut self, masker: &Masker) -> Vec<Update> {
        self.outputs.clear();
        let texts = std::mem::take(&mut self.texts).into_values();
        let rest = texts.filter_map(|Text { mut stream, mut like, .. }| {
            let rest = String::from_utf8_lossy(&stream.finish(masker)).into_owned();
            *text_of(&mut like)? = Some(rest).filter(|rest| !rest.is_empty())?;
            Some(like)
        });
        rest.collect()
    }
}

/// Forgets the one that was added to least recently, if this key is a new one and there are enough.
fn make_room<T>(known: &mut BTreeMap<String, T>, key: &str, most: usize, added_to: impl Fn(&T) -> u64) {
    if known.len() >= most && !known.contains_key(key) {
        let oldest = known.iter().min_by_key(|(_, one)| added_to(one)).map(|(key, _)| key.clone());
        oldest.map(|oldest| known.remove(&oldest));
    }
}

impl Output {
    fn cover(&mut self, masker: &Masker, output: &mut String, over: bool) {
        if output.is_empty() {
            return;
        }
        let all_of_it = output.starts_with(&self.last);
        let before = std::mem::replace(&mut self.last, std::mem::take(output));
        if all_of_it && !before.is_empty() {
            self.stream = MaskedStream::default();
        }
        *output = pushed(&mut self.stream, masker, &self.last);
        if over {
            output.push_str(&String::from_utf8_lossy(&self.stream.finish(masker)));
        }
    }
}

/// A stream passes whole characters on: a form begins and ends with one.
fn pushed(stream: &mut MaskedStream, masker: &Masker, text: &str) -> String {
    String::from_utf8_lossy(&stream.push(masker, text.as_bytes())).into_owned()
}

fn key_of(update: &Update) -> String {
    match update {
        Update::Session { session, change } => {
            let kind = match change {
                Change::UserText { .. } => "user",
                Change::Text { .. } => "text",
                Change::Thought { .. } => "thought",
                _ => "",
            };
            format!("{kind} {}", session.0)
        }
        _ => String::new(),
    }
}

/// The text of an update that is a piece of a longer one.
fn text_of(update: &mut Update) -> Option<&mut String> {
    match update {
        Update::Session {
            change: Change::UserText { text } | Change::Text { text } | Change::Thought { text },
            ..
        }
        | Update::Stderr { text } => Some(text),
        _ => None,
    }
}

/// Which call an update is of, what it has put out, and whether that is all.
fn output_of(update: &mut Update) -> Option<(String, &mut String, bool)> {
    let Update::Session { session, change } = update else { return None };
    let (Change::ToolCall { call, status, output, .. } | Change::ToolProgress { call, status, output, .. }) = change
    else {
        return None;
    };
    let over = matches!(status.as_str(), "completed" | "failed");
    Some((format!("{} {call}", session.0), output, over))
}

fn kind_of(update: &Update) -> &'static str {
    match update {
        Update::Session { .. } => "update",
        Update::Permission { .. } => "permission",
        Update::Stderr { .. } => "stderr",
        Update::BadLine { .. } => "bad_line",
        Update::Note { .. } => "note",
        Update::Lost { .. } => "lost",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agents::acp::SessionId;

    const SECRET: &str = "planted-key-0123456789";

    fn masker() -> Masker {
        Masker::new([("KEY".to_owned(), SECRET.into())])
    }

    fn session(change: Change) -> Update {
        Update::Session { session: SessionId("s".into()), change }
    }

    #[test]
    fn calls_without_an_end_and_sessions_without_number_take_up_so_much() {
        let mut pieces = Pieces::default();
        let progress = |call: String, output: &str| {
            let (status, output, none) = ("in_progress".to_owned(), output.to_owned(), String::new());
            session(Change::ToolProgress { call, status, title: none.clone(), input: none, output })
        };
        for number in 0..10_000 {
            said(&mut pieces, [progress(format!("c{number}"), "some output")]);
            let of = SessionId(format!("s{number}"));
            said(&mut pieces, [Update::Session { session: of, change: Change::Text { text: "some text".into() } }]);
        }
        assert_eq!((pieces.outputs.len(), pieces.texts.len()), (OUTPUTS_MAX, TEXTS_MAX));
        // What goes on is followed all the while.
        let mut shown = String::new();
        let (head, tail) = SECRET.split_at(9);
        for (number, piece) in [head, tail, " end"].into_iter().enumerate() {
            for update in
                said(&mut pieces, [session(Change::Text { text: piece.into() }), progress(number.to_string(), "x")])
            {
                if let Update::Session { change: Change::Text { text }, .. } = update {
                    shown.push_str(&text);
                }
            }
        }
        assert!(!shown.contains(head) && shown.contains("end"), "{shown}");
    }

    fn said(pieces: &mut Pieces, updates: impl IntoIterator<Item = Update>) -> Vec<Update> {
        updates.into_iter().filter_map(|update| pieces.covered(&masker(), update)).collect()
    }

    fn joined(updates: &mut [Update]) -> String {
        updates.iter_mut().filter_map(text_of).map(|text| text.clone()).collect()
    }

    #[test]
    fn a_key_in_updates_of_one_byte_cannot_be_put_together() {
        let kinds: [fn(String) -> Update; 4] = [
            |text| session(Change::Text { text }),
            |text| session(Change::Thought { text }),
            |text| session(Change::UserText { text }),
            |text| Update::Stderr { text },
        ];
        for kind in kinds {
            let mut pieces = Pieces::default();
            let text = format!("it is {SECRET}, planted");
            // Other kinds in between change nothing.
            let mut updates = Vec::new();
            for byte in text.chars() {
                updates.extend(said(&mut pieces, [kind(byte.to_string())]));
                updates.extend(said(&mut pieces, [Update::Note { text: "x".into() }]));
            }
            assert_eq!(joined(&mut updates), "it is [masked:KEY], ");
            updates.extend(pieces.rest(&masker()));
            assert_eq!(joined(&mut updates), "it is [masked:KEY], planted");
            assert!(pieces.rest(&masker()).is_empty());
        }
    }

    #[test]
    fn nor_from_the_output_of_a_tool_told_whole_or_in_pieces() {
        let progress = |output: &str, status: &str| {
            let (call, title, input) = ("c".to_owned(), String::new(), String::new());
            session(Change::ToolProgress { call, title, status: status.into(), input, output: output.to_owned() })
        };
        let text = format!("{SECRET}; done");
        for whole in [true, false] {
            let mut pieces = Pieces::default();
            let mut outputs = Vec::new();
            for at in 0..text.len() {
                let piece = if whole { &text[..=at] } else { &text[at..=at] };
                let status = if at + 1 == text.len() { "completed" } else { "in_progress" };
                let Some(mut update) = pieces.covered(&masker(), progress(piece, status)) else { continue };
                outputs.push(output_of(&mut update).unwrap().1.clone());
            }
            assert!(outputs.iter().all(|output| !output.contains("planted")), "{outputs:?}");
            let end = if whole { outputs.pop().unwrap() } else { outputs.concat() };
            assert_eq!(end, "[masked:KEY]; done");
        }
    }
}
