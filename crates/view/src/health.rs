//! How the agents of roles are, as their health checks found them.

use mission::{At, HealthState, Mission, RoleId};
use serde::Serialize;

/// How an agent stands. `active` says that somebody looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// Looked at, and well.
    Active,
    /// It works, but not as it should.
    Degraded,
    /// Something has to be done before it can work.
    Blocked,
    /// It does not work.
    Down,
    /// Its program is not on this machine.
    NotInstalled,
    /// Nobody has looked: its role has no health check.
    NotChecked,
}

impl AgentState {
    /// In a word or two.
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Degraded => "degraded",
            Self::Blocked => "blocked",
            Self::Down => "down",
            Self::NotInstalled => "not installed",
            Self::NotChecked => "not checked",
        }
    }
}

impl From<HealthState> for AgentState {
    fn from(state: HealthState) -> Self {
        match state {
            HealthState::Active => Self::Active,
            HealthState::Degraded => Self::Degraded,
            HealthState::Blocked => Self::Blocked,
            HealthState::Down => Self::Down,
        }
    }
}

/// How the agents of a role are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HealthView {
    /// The role.
    pub role: String,
    /// `active`, `degraded`, `blocked` or `down`.
    pub state: &'static str,
    /// Why.
    pub reason: String,
    /// Since when, milliseconds since the Unix epoch.
    pub since_ms: u64,
}

/// The roles whose checks have found something.
pub(super) fn of(mission: &Mission) -> Vec<HealthView> {
    let roles = (0..).map(RoleId).zip(&mission.plan().roles);
    let known = roles.filter_map(|(id, role)| Some((role, mission.health(id)?)));
    let found = known.filter(|(_, health)| health.since != At(0));
    found
        .map(|(role, health)| HealthView {
            role: role.name.clone(),
            state: health.state.word(),
            reason: health.reason.clone(),
            since_ms: health.since.0,
        })
        .collect()
}

/// For what is left out of a document when there is none of it.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
pub(super) fn is_zero(number: &u32) -> bool {
    *number == 0
}
