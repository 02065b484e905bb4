//! The answer to "why": choices and their reasons, all or about one thing.

use super::{
    history::History,
    readings::ViewError,
    reasons::{self, Reason},
};
use serde::Serialize;

/// Choices of a mission with their reasons, in the order in which they were made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Which mission.
    pub mission: String,
    /// The task, agent or interrupt that was asked about; nothing for everything.
    pub about: Option<String>,
    /// The choices.
    pub reasons: Vec<Reason>,
}

impl Explanation {
    pub(super) fn of(mission: String, history: History, about: Option<&str>) -> Result<Self, ViewError> {
        if let Some(name) = about
            && !is_known(&history, name)
        {
            return Err(ViewError::UnknownSubject(name.to_owned()));
        }
        let reasons = history.reasons.into_iter().filter(|reason| about.is_none_or(|name| reason.is_about(name)));
        Ok(Self { mission, about: about.map(str::to_owned), reasons: reasons.collect() })
    }

    /// As text. `when` tells a time.
    pub fn text(&self, when: &dyn Fn(u64) -> String) -> String {
        if self.reasons.is_empty() {
            return "nothing was chosen about it yet\n".to_owned();
        }
        reasons::text(&self.reasons, when)
    }
}

fn is_known(history: &History, name: &str) -> bool {
    let mission = history.trail.mission();
    let asked = history.asked_at_ms.keys().any(|id| id.to_string() == name);
    asked || mission.task_named(name).is_some() || mission.agent_named(name).is_some()
}
