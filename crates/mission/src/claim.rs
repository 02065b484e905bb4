//! What an agent says of its own attempt while its turn is on: a result, a wish to keep its work. Each call counts once.

use crate::{
    decide::{Decision, Rejected},
    fact::Fact,
    id::{AgentId, AttemptId},
    limits::{KEYS_MAX, TEXT_BYTES_MAX},
    opening::at_most,
    state::{AttemptState, Mission},
};

impl Mission {
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
