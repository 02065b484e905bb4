//! Keeping a conversation within the model's window.
//!
//! When it grows near the window, the past is cut: first the results and long arguments of old steps are
//! shortened, then old steps are left out. Prompts always stay. The cut is recorded, so that it is the same after a
//! restart; and it goes well below the window, because every cut costs the model's cached prompt.

use crate::conversation::{Conversation, Message};
use crate::record::Cut;

/// Bytes taken for one token. Source code has three to four; counting high only cuts a little early.
const TOKEN_BYTES: u64 = 3;
/// Envelope of one message or call, in bytes, generously.
const ENVELOPE_BYTES: usize = 64;

/// Room for the prompt, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// More than this is not sent.
    pub tokens_max: u64,
    /// Size of system prompt and tools, which are always sent.
    pub fixed_tokens: u64,
}

impl Room {
    /// The room that a window leaves beside the answer and a thirty-second of slack.
    pub fn new(context_tokens: u64, output_tokens: u32, fixed_bytes: usize) -> Self {
        let slack = context_tokens / 32;
        let beside = context_tokens.saturating_sub(u64::from(output_tokens) + slack);
        // A window smaller than the longest answer is a mistake of the configuration; half is a guess that works.
        Self { tokens_max: beside.max(context_tokens / 2), fixed_tokens: tokens(fixed_bytes) }
    }

    /// Less room than the conversation takes now: the model counted differently and refused it.
    pub fn tightened(self, talk: &Conversation) -> Self {
        let used = self.used(&talk.messages(talk.cut()));
        Self { tokens_max: self.tokens_max.min(used.saturating_mul(2) / 3), ..self }
    }

    /// The cut with which the conversation fits: the present one while it does, otherwise one that leaves four
    /// tenths of the room free if possible. `None`: no cut is enough.
    pub fn fit(self, talk: &Conversation) -> Option<Cut> {
        let now = talk.cut();
        if self.used(&talk.messages(now)) <= self.tokens_max {
            return Some(now);
        }
        let target = self.tokens_max / 10 * 6;
        let fits = |cut: Cut, limit| self.used(&talk.messages(cut)) <= limit;
        // The newest step is what the model is working on.
        let old = talk.steps().saturating_sub(1);
        let shortened = |shorten_before| Cut { shorten_before, ..now };
        if let Some(cut) = (now.shorten_before..=old).map(shortened).find(|cut| fits(*cut, target)) {
            return Some(cut);
        }
        let dropped = |drop_before| Cut { drop_before, shorten_before: old.max(now.shorten_before) };
        if let Some(cut) = (now.drop_before..=old).map(dropped).find(|cut| fits(*cut, target)) {
            return Some(cut);
        }
        let last = [dropped(old), Cut { drop_before: old, shorten_before: talk.steps() }];
        last.into_iter().find(|cut| fits(*cut, self.tokens_max))
    }

    fn used(self, messages: &[Message]) -> u64 {
        self.fixed_tokens + tokens(messages.iter().map(bytes).sum())
    }
}

fn tokens(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(TOKEN_BYTES)
}

fn bytes(message: &Message) -> usize {
    let content = match message {
        Message::User(text) => text.len(),
        Message::Assistant(answer) => {
            let thoughts: usize = answer.thoughts.iter().map(json_bytes).sum();
            let calls = answer.calls.iter().map(|call| ENVELOPE_BYTES + call.name.len() + json_bytes(&call.arguments));
            answer.text.len() + thoughts + calls.sum::<usize>()
        }
        Message::Results(results) => results.iter().map(|result| ENVELOPE_BYTES + result.text.len()).sum(),
    };
    ENVELOPE_BYTES + content
}

/// Size of a value as JSON, near enough, without writing it.
pub fn json_bytes(value: &serde_json::Value) -> usize {
    use serde_json::Value;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len() + 3,
        Value::Array(list) => 2 + list.iter().map(json_bytes).sum::<usize>(),
        Value::Object(members) => {
            2 + members.iter().map(|(key, value)| key.len() + 4 + json_bytes(value)).sum::<usize>()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Answer, Call, Record};
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn nothing_is_cut_while_there_is_room() {
        assert_eq!(room(100_000).fit(&talk(&[1000; 5])), Some(Cut::default()));
    }

    #[test]
    fn old_results_are_shortened_before_anything_is_dropped() {
        let cut = room(6000).fit(&talk(&[6000; 5])).unwrap();
        assert_eq!(cut, Cut { drop_before: 0, shorten_before: 4 });
    }

    #[test]
    fn then_old_steps_are_dropped() {
        let cut = room(4000).fit(&talk(&[500; 40])).unwrap();
        assert!(cut.drop_before > 0 && cut.shorten_before == 39, "{cut:?}");
    }

    #[test]
    fn the_newest_step_is_shortened_only_as_a_last_resort() {
        let cut = room(2000).fit(&talk(&[9000])).unwrap();
        assert_eq!(cut, Cut { drop_before: 0, shorten_before: 1 });
    }

    #[test]
    fn prompts_cannot_be_cut() {
        assert_eq!(room(300).fit(&talk(&[10])), None);
    }

    #[test]
    fn a_refused_request_gets_smaller() {
        let talk = talk(&[3000; 9]);
        let roomy = room(100_000);
        let cut = roomy.tightened(&talk).fit(&talk).unwrap();
        assert!(roomy.used(&talk.messages(cut)) < roomy.used(&talk.messages(Cut::default())) * 2 / 3);
    }

    proptest! {
        #[test]
        fn whatever_fits_fits_and_cuts_only_grow(sizes in prop::collection::vec(1usize..20_000, 1..30), max in 500u64..20_000) {
            let mut talk = Conversation::default();
            talk.apply(Record::Prompt { text: "p".repeat(900), turn: None }).unwrap();
            for size in sizes {
                step(&mut talk, size);
                if let Some(cut) = room(max).fit(&talk) {
                    prop_assert!(cut.drop_before >= talk.cut().drop_before && cut.shorten_before >= talk.cut().shorten_before);
                    prop_assert!(room(max).used(&talk.messages(cut)) <= room(max).tokens_max);
                    talk.apply(Record::Compaction(cut)).unwrap();
                }
            }
        }
    }

    fn room(tokens_max: u64) -> Room {
        Room { tokens_max, fixed_tokens: 100 }
    }

    fn talk(sizes: &[usize]) -> Conversation {
        let mut talk = Conversation::default();
        talk.apply(Record::Prompt { text: "p".repeat(900), turn: None }).unwrap();
        sizes.iter().for_each(|size| step(&mut talk, *size));
        talk
    }

    fn step(talk: &mut Conversation, size: usize) {
        let call = Call { id: "1".into(), name: "read_file".into(), arguments: json!({"path": "a"}), problem: None };
        talk.apply(Record::Answer(Answer { calls: vec![call], ..Answer::default() })).unwrap();
        talk.apply(Record::Result { index: 0, text: "x".repeat(size), failed: false }).unwrap();
    }
}
