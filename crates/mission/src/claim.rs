//! What an agent says of its own attempt while its turn is on: a result, a wish to keep its work. Each call counts once.

use crate::{
    attempt::{moot_question, unmended},
    decide::{Decision, Rejected},
    fact::Fact,
    id::{AgentId, At, AttemptId},
    input::Work,
    limits::{KEYS_MAX, TEXT_BYTES_MAX},
    opening::at_most,
    plan::Writes,
    reason::{Brief, Failure, Return},
    state::{Attempt, AttemptState, Mission},
};

impl Mission {
    /// What follows when a result was submitted and the change is empty though the task is to change something, or lacks
    /// what may have been meant to be part of it. The agent hears it once; a change that is still empty then fails its attempt.
    pub(crate) fn incomplete(&self, now: At, id: AttemptId, attempt: &Attempt, work: &Work) -> Option<Vec<Fact>> {
        let task = self.plan.tasks.get(attempt.task.index())?;
        let told = matches!(attempt.returned, Some(Return::Unchanged(_) | Return::LeftOut(_)));
        let again = attempt.returns < self.limits().returns_max && !told;
        let why = match work {
            _ if task.writes == Writes::Nothing => return None,
            Work::Unchanged { left_out, .. } if matches!(task.writes, Writes::Only(_)) && !task.may_change_nothing => {
                if !again {
                    let problem = unmended(Some(Return::Unchanged(left_out.clone())));
                    return Some(self.fail_attempt_for(now, id, Failure::NotAccepted, problem));
                }
                Return::Unchanged(left_out.clone())
            }
            Work::Unchanged { left_out, .. } if again && !left_out.is_empty() && !task.may_change_nothing => {
                Return::Unchanged(left_out.clone())
            }
            Work::Changed { left_out, .. } if again && left_out.matters() => Return::LeftOut(left_out.clone()),
            _ => return None,
        };
        let owed = Fact::TurnOwed { attempt: id, brief: Brief::Returned(why) };
        Some(moot_question(attempt).into_iter().chain([owed]).collect())
    }

    pub(crate) fn result_submitted(&self, agent: AgentId, key: String, summary: String) -> Decision {
        at_most(summary.len(), TEXT_BYTES_MAX)?;
        let attempt = self.speaking(agent, &key)?;
        Ok(vec![Fact::ResultClaimed { attempt, key, summary }])
    }

    pub(crate) fn apply_result_claimed(&mut self, id: AttemptId, key: &str, summary: &str) {
        self.apply_key(id, key);
        if let Some(attempt) = self.attempts.get_mut(&id) {
            attempt.claim = Some(summary.to_owned());
        }
    }

    pub(crate) fn checkpoint_taken(&self, agent: AgentId, key: String, commit: String) -> Decision {
        let attempt = self.speaking(agent, &key)?;
        Ok(vec![Fact::CheckpointTaken { attempt, key, commit }])
    }

    /// The attempt that an agent may speak for now: the one whose turn is on. Each call counts once.
    pub(crate) fn speaking(&self, agent: AgentId, key: &str) -> Result<AttemptId, Rejected> {
        at_most(key.len(), 256)?;
        let entry = self.agents.get(agent.index()).ok_or(Rejected::UnknownAgent(agent))?;
        let id = entry.attempt.ok_or(Rejected::NoAttempt(agent))?;
        let attempt = self.attempts.get(&id).ok_or(Rejected::NoAttempt(agent))?;
        if attempt.keys.contains(key) || entry.past_keys.contains(key) {
            return Err(Rejected::Duplicate);
        }
        if !matches!(attempt.state, AttemptState::Working { .. }) {
            return Err(Rejected::NoAttempt(agent));
        }
        if attempt.keys.len() >= KEYS_MAX { Err(Rejected::TooManyCalls) } else { Ok(id) }
    }

    pub(crate) fn apply_key(&mut self, id: AttemptId, key: &str) {
        if let Some(attempt) = self.attempts.get_mut(&id) {
            attempt.keys.insert(key.to_owned());
        }
    }
}
