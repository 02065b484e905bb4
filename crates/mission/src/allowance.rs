//! Budgets beside the mission's own money: how much of something may be used, by whom, in which time. Data of the plan; the rules are in `spending`.

use crate::{
    budget::dollars,
    id::{AgentId, AllowanceId, At, Micros, RoleId, TaskId},
    plan::{Plan, PlanError},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Most allowances in one plan.
pub const ALLOWANCES_MAX: usize = 1_024;

const DAY_MS: u64 = 24 * 3_600_000;

/// How much of something may be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// By whom, or for what.
    pub scope: Scope,
    /// Of what.
    pub measure: Measure,
    /// How much: micro-dollars, tokens, calls or milliseconds; more than zero.
    pub most: u64,
    /// In which time; without it over the whole mission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<Per>,
}

/// Whose use counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everybody's.
    Mission,
    /// That of the agents of a role.
    Role(RoleId),
    /// That of one agent.
    Agent(AgentId),
    /// Whatever is used for a task, in all its attempts.
    Task(TaskId),
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Money, in millionths of a US dollar.
    Cost,
    /// Tokens of model calls, input (cached or not) and output together.
    Tokens,
    /// Model calls.
    Calls,
    /// Wall time in which a turn is on, in milliseconds.
    Time,
}

/// A time after which counting begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// The day in UTC.
    Day,
    /// So many milliseconds from the first use on, as subscriptions count their windows.
    Millis(u64),
}

impl Per {
    /// The end of the window that begins with a use at `now`.
    pub(crate) fn end(self, now: At) -> At {
        match self {
            Per::Day => At((now.0 / DAY_MS + 1).saturating_mul(DAY_MS)),
            Per::Millis(ms) => now.after(ms),
        }
    }
}

impl Measure {
    /// An amount of this in words: `$1.00`, `200 calls`, `1h 30m`.
    pub fn words(self, amount: u64) -> String {
        match self {
            Measure::Cost => Micros(amount).to_string(),
            Measure::Tokens => format!("{amount} tokens"),
            Measure::Calls => format!("{amount} calls"),
            Measure::Time => time_words(amount),
        }
    }

    /// An amount as a person writes it: dollars, a whole number, or a time such as `90s`, `30m`, `2h`.
    pub(crate) fn parse(self, text: &str) -> Option<u64> {
        match self {
            Measure::Cost => dollars(text).map(|micros| micros.0),
            Measure::Tokens | Measure::Calls => text.trim().replace('_', "").parse().ok().filter(|amount| *amount > 0),
            Measure::Time => time_of(text.trim()),
        }
    }

    /// What to write to allow more.
    pub(crate) fn example(self) -> &'static str {
        match self {
            Measure::Cost => "an amount of dollars, such as 2 or 2.50",
            Measure::Tokens => "a number of tokens, such as 100000",
            Measure::Calls => "a number of calls, such as 50",
            Measure::Time => "a time, such as 30m or 2h",
        }
    }
}

fn time_of(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
    let (number, unit) = UNITS.iter().find_map(|(unit, ms)| Some((text.strip_suffix(unit)?, *ms)))?;
    number.trim().parse::<u64>().ok()?.checked_mul(unit).filter(|ms| *ms > 0)
}

fn time_words(ms: u64) -> String {
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    match (hours, minutes, seconds) {
        (0, 0, 0) => format!("{ms}ms"),
        (0, 0, _) => format!("{seconds}s"),
        (0, _, 0) => format!("{minutes}m"),
        (0, ..) => format!("{minutes}m {seconds}s"),
        (_, 0, _) => format!("{hours}h"),
        _ => format!("{hours}h {minutes}m"),
    }
}

impl Plan {
    /// An allowance in words: `200 calls for role builder a day`.
    pub fn allowance_words(&self, id: AllowanceId, most: u64) -> String {
        let Some(allowance) = self.allowances.get(id.index()) else { return String::new() };
        let per = match allowance.per {
            None => String::new(),
            Some(Per::Day) => " a day".to_owned(),
            Some(Per::Millis(ms)) => format!(" in {}", time_words(ms)),
        };
        format!("{}{}{per}", allowance.measure.words(most), self.scope_words(allowance.scope))
    }

    fn scope_words(&self, scope: Scope) -> String {
        match scope {
            Scope::Mission => String::new(),
            Scope::Role(role) => {
                format!(" for role {}", self.roles.get(role.index()).map_or("?", |role| role.name.as_str()))
            }
            Scope::Agent(agent) => {
                let name = self.agents().nth(agent.index()).map(|(_, _, name)| name);
                format!(" for agent {}", name.unwrap_or_default())
            }
            Scope::Task(task) => {
                format!(" for task {}", self.tasks.get(task.index()).map_or("?", |task| task.name.as_str()))
            }
        }
    }

    /// Every allowance is about something that the plan has, more than nothing, and there once.
    pub(crate) fn check_allowances(&self) -> Result<(), PlanError> {
        let agents: usize = self.roles.iter().map(|role| role.count as usize).sum();
        let mut seen = BTreeSet::new();
        for (index, allowance) in self.allowances.iter().enumerate() {
            let words = || self.allowance_words(AllowanceId(index as u32), allowance.most);
            let known = match allowance.scope {
                Scope::Mission => true,
                Scope::Role(role) => role.index() < self.roles.len(),
                Scope::Agent(agent) => agent.index() < agents,
                Scope::Task(task) => task.index() < self.tasks.len(),
            };
            let window = allowance.per.is_none_or(|per| per != Per::Millis(0));
            if !known || !window || allowance.most == 0 {
                return Err(PlanError::BadAllowance(words()));
            }
            if !seen.insert((allowance.scope, allowance.measure, allowance.per)) {
                return Err(PlanError::Duplicate(words()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_told() {
        let read = |measure: Measure, text| measure.parse(text);
        assert_eq!(read(Measure::Cost, "2.5"), Some(2_500_000));
        assert_eq!(read(Measure::Tokens, "100_000"), Some(100_000));
        assert_eq!([read(Measure::Time, "90s"), read(Measure::Time, "2h")], [Some(90_000), Some(7_200_000)]);
        for (measure, bad) in
            [(Measure::Calls, "0"), (Measure::Calls, "$5"), (Measure::Time, "5"), (Measure::Time, "0m")]
        {
            assert_eq!(read(measure, bad), None, "{bad}");
        }
        let told = [90_000, 7_200_000, 5_400_000, 250, 60_000].map(|ms| Measure::Time.words(ms));
        assert_eq!(told, ["1m 30s", "2h", "1h 30m", "250ms", "1m"]);
    }

    #[test]
    fn a_day_ends_at_midnight_and_a_window_when_its_time_is_over() {
        assert_eq!(Per::Day.end(At(DAY_MS * 3 + 5)), At(DAY_MS * 4));
        assert_eq!(Per::Day.end(At(DAY_MS * 3)), At(DAY_MS * 4));
        assert_eq!(Per::Millis(5).end(At(100)), At(105));
    }
}
