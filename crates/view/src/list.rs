//! All missions of a home in one list.

use super::{history::History, words::status_word};
use mission::Status;
use serde::Serialize;
use store::MissionRow;

/// One mission in the list. Field names are stable; money is in millionths of a US dollar, times are in milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissionLine {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub goal: String,
    /// The user's repository.
    pub repository: String,
    /// As in [`super::MissionView::status`].
    pub status: &'static str,
    /// Whether it is over.
    pub closed: bool,
    /// Tasks that are done.
    pub tasks_done: u32,
    /// All tasks.
    pub tasks_total: u32,
    /// What its calls have cost, those of unknown price left out.
    pub cost_micros: u64,
    /// Calls whose cost is not known.
    pub unknown_calls: u64,
    /// Whether its prices are invented, because every model is scripted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub invented: bool,
    /// How many interrupts wait for a person.
    pub waiting: u32,
    /// When it was begun.
    pub began_at_ms: u64,
    /// When its last fact was decided.
    pub changed_at_ms: u64,
}

impl MissionLine {
    pub(super) fn of(row: &MissionRow, history: &History) -> Self {
        let mission = history.trail.mission();
        Self {
            name: row.key.to_string(),
            goal: row.goal.clone(),
            repository: row.repository.clone(),
            status: status_word(mission.status()),
            closed: matches!(mission.status(), Status::Closed(_)),
            tasks_done: mission.tally().done,
            tasks_total: mission.plan().tasks.len() as u32,
            cost_micros: mission.ledger().settled.0,
            unknown_calls: mission.ledger().unknown,
            invented: history.invented,
            waiting: mission.interrupts().count() as u32,
            began_at_ms: row.created_at_ms,
            changed_at_ms: history.last.1.max(row.created_at_ms),
        }
    }
}
