//! Permission that an agent asks a person for in the middle of a turn.
//!
//! ```text
//! asked ──InterruptRaised, TurnExtended──▶ open ──InterruptAnswered, TurnExtended──▶ the agent is told
//!                                           ├─ nobody in time: the default, which is no
//!                                           └─ the turn ends: moot
//! ```
//! The time that a person takes does not count as the turn's. An agent that dies over a question asks again when its turn is taken up: the same words
//! then meet the open question, or the answer that was given meanwhile. Whoever needs nobody (a rule of its role says yes or no) never gets here.

use crate::{
    decide::{Decision, Rejected},
    fact::Fact,
    id::{AgentId, At, AttemptId, InterruptId},
    input::Answer,
    limits::{INTERRUPTS_MAX, PERMISSIONS_MAX, TEXT_BYTES_MAX},
    opening::at_most,
    reason::{About, By},
    state::{Attempt, AttemptState, Mission},
    timer::Timer,
};

impl Mission {
    pub(crate) fn permission_asked(&self, now: At, agent: AgentId, key: String, request: String) -> Decision {
        at_most(request.len(), TEXT_BYTES_MAX)?;
        if request.trim().is_empty() {
            return Err(Rejected::Empty);
        }
        let id = self.speaking(agent, &key)?;
        let attempt = self.attempts.get(&id).ok_or(Rejected::NoAttempt(agent))?;
        if !matches!(attempt.state, AttemptState::Working { cancelled: None, .. }) {
            return Err(Rejected::Standing("ending this turn"));
        }
        if let Some((open, _)) = attempt.permissions.iter().find(|(_, text)| **text == request) {
            return Err(Rejected::PermissionOpen(*open));
        }
        if attempt.permissions.len() >= PERMISSIONS_MAX || self.interrupts.len() >= INTERRUPTS_MAX {
            return Err(Rejected::TooManyInterrupts);
        }
        let (interrupt, deadline) = (InterruptId(self.next.interrupt), now.after(self.limits().interrupt_ms));
        let carried = attempt.carried.get(&request).cloned();
        let raised = Fact::InterruptRaised {
            interrupt,
            about: About::Permission(id),
            question: request,
            deadline,
            default: Answer::Deny,
            key: Some(key),
        };
        let next = match carried {
            Some(answer) => Fact::InterruptAnswered { interrupt, answer, by: By::Person },
            None => Fact::TurnExtended { attempt: id, deadline: deadline.after(self.turn_left(now, id, attempt)) },
        };
        Ok(vec![raised, next])
    }

    /// How much of its turn an attempt has left, in milliseconds, what it waits for people not counted.
    fn turn_left(&self, now: At, id: AttemptId, attempt: &Attempt) -> u64 {
        let open = attempt.permissions.keys().filter_map(|open| self.interrupts.get(open));
        let since = open.map(|interrupt| interrupt.deadline).max().unwrap_or(now);
        let until = self.timers.at(Timer::Turn(id)).filter(|until| *until > since);
        until.map_or(self.limits().turn_ms_max, |until| until.0 - since.0)
    }

    /// The turn goes on with what it had left, unless another question of it is open.
    pub(crate) fn permission_answered(
        &self,
        now: At,
        id: AttemptId,
        interrupt: InterruptId,
        answer: &Answer,
    ) -> Decision {
        if let Answer::Text(text) = answer {
            return Err(Rejected::NotThat { text: text.clone(), example: "a yes or a no (--approve, --deny)" });
        }
        let Some(attempt) = self.attempts.get(&id) else { return Ok(Vec::new()) };
        if !matches!(attempt.state, AttemptState::Working { cancelled: None, .. }) {
            return Ok(Vec::new());
        }
        let others = attempt.permissions.keys().filter(|open| **open != interrupt);
        let waits = others.filter_map(|open| self.interrupts.get(open)).map(|other| other.deadline).max();
        let left = self.turn_left(now, id, attempt);
        Ok(vec![Fact::TurnExtended { attempt: id, deadline: waits.unwrap_or(now).after(left) }])
    }

    pub(crate) fn apply_turn_extended(&mut self, id: AttemptId, deadline: At) {
        self.timers.set(Timer::Turn(id), deadline);
    }

    pub(crate) fn apply_permission_asked(&mut self, id: AttemptId, interrupt: InterruptId, request: &str, key: &str) {
        self.apply_key(id, key);
        if let Some(attempt) = self.attempts.get_mut(&id) {
            attempt.carried.remove(request);
            attempt.permissions.insert(interrupt, request.to_owned());
        }
    }

    /// What is answered while nobody waits for it is kept until it is asked again.
    pub(crate) fn apply_permission_answered(&mut self, id: AttemptId, interrupt: InterruptId, answer: &Answer, by: By) {
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        let Some(request) = attempt.permissions.remove(&interrupt) else { return };
        if by != By::Moot && !matches!(attempt.state, AttemptState::Working { .. }) {
            attempt.carried.insert(request, answer.clone());
        }
    }
}

/// The end of what an attempt asked to be allowed, when nobody waits for it any more.
pub(crate) fn moot(attempt: &Attempt) -> impl Iterator<Item = Fact> + '_ {
    let open = attempt.permissions.keys();
    open.map(|interrupt| Fact::InterruptAnswered { interrupt: *interrupt, answer: Answer::Deny, by: By::Moot })
}
