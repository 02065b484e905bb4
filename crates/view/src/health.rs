//! How the agents of roles are, as their health checks found them.

use mission::{At, Mission, RoleId};
use serde::Serialize;

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
