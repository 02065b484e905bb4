//! What the calls of a turn met, until one of them is answered: how the turn ends is then known, whatever the agent makes of it.
//!
//! What would end the same again is answered here from then on, and no provider is asked: the vendors' clients try what they are refused up to six
//! times. A turn that begins for the same upstream asks anew, for then a person has changed something.

use gateway::{Call, Refusal, Trouble, What};
use std::collections::BTreeMap;

/// The troubles of one mission's calls.
#[derive(Default)]
pub(super) struct Troubles {
    /// The last of each attempt's turn.
    last: BTreeMap<u32, Trouble>,
    /// Those that last, by upstream and model.
    lasting: BTreeMap<(String, String), Trouble>,
}

impl Troubles {
    pub(super) fn turn_begins(&mut self, attempt: u32, upstream: &str) {
        self.last.remove(&attempt);
        self.lasting.retain(|(known, _), _| known != upstream);
    }

    pub(super) fn failed(&mut self, call: &Call, trouble: Trouble) {
        let Some(attempt) = call.attempt else { return };
        // A rule of ours concerns what was asked for, and this call alone.
        if trouble.lasting && !matches!(trouble.what, What::Refused { .. }) {
            self.lasting.insert((call.upstream.clone(), call.model.clone()), trouble.clone());
        }
        self.last.insert(attempt, trouble);
    }

    pub(super) fn answered(&mut self, attempt: u32) {
        self.last.remove(&attempt);
    }

    pub(super) fn of(&self, attempt: u32) -> Option<Trouble> {
        self.last.get(&attempt).cloned()
    }

    /// What is known to come of a call; it is noted as what its attempt met.
    pub(super) fn known(&mut self, call: &Call) -> Option<Trouble> {
        let trouble = self.lasting.get(&(call.upstream.clone(), call.model.clone()))?.clone();
        self.last.insert(call.attempt?, trouble.clone());
        Some(trouble)
    }
}

/// What the agent is told in place of a call whose end is known.
pub(super) fn refusal(trouble: &Trouble, status: u16) -> Refusal {
    let message =
        format!("The upstream {} would not answer this call any more than the last. End your turn.", trouble.upstream);
    Refusal { status, kind: "upstream".to_owned(), message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gateway::{Digest, Format};

    fn call(attempt: u32, model: &str) -> Call {
        Call {
            id: 1,
            mission: "m".into(),
            agent: "a".into(),
            attempt: Some(attempt),
            upstream: "main".into(),
            format: Format::OpenAiChat,
            model: model.into(),
            digest: Digest([0; 32]),
            process: 0,
            stream: false,
        }
    }

    fn trouble(status: u16, lasting: bool) -> Trouble {
        let what = What::Answered { status, code: String::new(), words: "no".into() };
        Trouble { upstream: "main".into(), address: String::new(), tries: 1, lasting, what }
    }

    #[test]
    fn what_lasts_is_known_to_every_attempt_until_a_turn_begins() {
        let mut troubles = Troubles::default();
        troubles.failed(&call(1, "gpt"), trouble(401, true));
        assert_eq!(troubles.known(&call(2, "gpt")), Some(trouble(401, true)));
        assert_eq!((troubles.of(2), troubles.known(&call(2, "other"))), (Some(trouble(401, true)), None));
        troubles.turn_begins(3, "elsewhere");
        assert!(troubles.known(&call(2, "gpt")).is_some());
        troubles.turn_begins(2, "main");
        assert_eq!((troubles.of(2), troubles.known(&call(2, "gpt"))), (None, None));
    }

    #[test]
    fn an_answer_makes_up_for_what_passed_before() {
        let mut troubles = Troubles::default();
        troubles.failed(&call(1, "gpt"), trouble(503, false));
        assert!(troubles.known(&call(1, "gpt")).is_none() && troubles.of(1).is_some());
        troubles.answered(1);
        assert_eq!(troubles.of(1), None);
    }
}
