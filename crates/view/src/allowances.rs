//! Budgets beside the mission's cap, as people see them.

use mission::{Measure, Mission, Scope, Stance};
use serde::Serialize;

/// A budget beside the mission's cap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BudgetLimitView {
    /// In words: `200 calls for role builder a day`.
    pub words: String,
    /// How much of it is used, in words.
    pub used_words: String,
    /// `cost` (micro-dollars), `tokens`, `calls` or `time` (milliseconds).
    pub measure: &'static str,
    /// How much may be used.
    pub most: u64,
    /// How much is used, in the present window if it has one.
    pub used: u64,
    /// When counting begins anew.
    pub until_ms: Option<u64>,
    /// `open`, `asking` or `denied`.
    pub state: &'static str,
}

impl BudgetLimitView {
    pub(super) fn all(mission: &Mission) -> Vec<Self> {
        let view = |(id, allowance, spent): (mission::AllowanceId, &mission::Allowance, &mission::Spent)| Self {
            words: mission.plan().allowance_words(id, spent.most),
            used_words: allowance.measure.words(spent.used),
            measure: match allowance.measure {
                Measure::Cost => "cost",
                Measure::Tokens => "tokens",
                Measure::Calls => "calls",
                Measure::Time => "time",
            },
            most: spent.most,
            used: spent.used,
            until_ms: spent.until.map(|until| until.0),
            state: match spent.stance {
                Stance::Open => "open",
                Stance::Asking(_) => "asking",
                Stance::Denied => "denied",
            },
        };
        mission.allowances().map(view).collect()
    }
}

/// An example of more, and what no leads to.
pub(super) fn more_and_no(mission: &Mission, id: mission::AllowanceId) -> (&'static str, &'static str) {
    let allowance = mission.plan().allowances.get(id.0 as usize);
    let more = match allowance.map(|allowance| allowance.measure) {
        Some(Measure::Tokens) => "100000",
        Some(Measure::Calls) => "50",
        Some(Measure::Time) => "30m",
        Some(Measure::Cost) | None => "2.50",
    };
    let denied = match allowance.map(|allowance| allowance.scope) {
        Some(Scope::Role(_)) => "the tasks of the role are given up",
        Some(Scope::Agent(_)) => "it goes on without the agent",
        Some(Scope::Task(_)) => "the task is given up",
        Some(Scope::Mission) | None => "the mission ends with what is merged",
    };
    (more, denied)
}
