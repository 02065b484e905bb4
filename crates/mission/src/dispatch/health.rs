//! How the agents of a role are, as the driver's checks found them. It rules out nobody for ever: when all are down the first is tried all the same,
//! because a check may be wrong and a person learns more from a failed attempt than from a mission that waits.

use crate::{
    decide::{Decision, Rejected},
    fact::Fact,
    id::{At, RoleId},
    opening::shortened,
    state::Mission,
};
use serde::{Deserialize, Serialize};

/// How something is.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum State {
    /// It works, as far as anybody knows.
    #[default]
    Active,
    /// It works, and not well.
    Degraded,
    /// It is there, and something has to be done before it can work.
    Blocked,
    /// It is not there.
    Down,
}

/// How the agents of a role are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// In a word.
    pub state: State,
    /// Why, for people; empty when nothing is wrong.
    pub reason: String,
    /// Since when.
    pub since: At,
}

impl State {
    /// Whether work can be given to it.
    pub fn can_work(self) -> bool {
        matches!(self, State::Active | State::Degraded)
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        self.into()
    }
}

impl Mission {
    pub(crate) fn health_checked(&self, now: At, role: RoleId, state: State, reason: String) -> Decision {
        let known = self.health.get(role.index()).ok_or(Rejected::UnknownRole(role))?;
        if known.state == state {
            return Err(Rejected::Duplicate);
        }
        Ok(vec![Fact::HealthChanged { role, state, reason: shortened(reason), since: now }])
    }

    pub(crate) fn apply_health_changed(&mut self, role: RoleId, state: State, reason: &str, since: At) {
        if let Some(known) = self.health.get_mut(role.index()) {
            *known = Health { state, reason: reason.to_owned(), since };
        }
    }

    /// How the agents of a role are.
    pub fn health(&self, role: RoleId) -> Option<&Health> {
        self.health.get(role.index())
    }
}
