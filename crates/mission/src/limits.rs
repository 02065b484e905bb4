//! The limit on everything: every collection of a mission has a largest size, named here, and a refusal when it is reached.
//!
//! The fixed ones bound memory and the length of one decision. [`Limits`] are the ones that a mission may set for itself.

use serde::{Deserialize, Serialize};

/// Most tasks in one plan.
pub const TASKS_MAX: usize = 10_000;
/// Most roles in one plan.
pub const ROLES_MAX: usize = 64;
/// Most agents in one mission, over all roles.
pub const AGENTS_MAX: usize = 1_000;
/// Most capabilities that one task may ask for.
pub const CAPABILITIES_MAX: usize = 64;
/// Most dependencies of one task.
pub const DEPENDENCIES_MAX: usize = 256;
/// Most acceptance checks of one task.
pub const CHECKS_MAX: usize = 32;
/// Most bytes of any text that an agent, a person or a check gives.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;
/// Most bytes of one message between agents.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024;
/// Most messages that wait for one agent.
pub const INBOX_MAX: usize = 256;
/// Most bytes of messages that wait, over all agents.
pub const INBOX_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most interrupts open at once.
pub const INTERRUPTS_MAX: usize = 1_024;
/// Most permissions that one attempt may wait for at once.
pub const PERMISSIONS_MAX: usize = 16;
/// Most idempotency keys remembered for one attempt; more calls than this in one attempt are refused.
pub const KEYS_MAX: usize = 4_096;
/// Most bytes of the settings text that a mission carries for its driver.
pub const SETTINGS_BYTES_MAX: usize = 1024 * 1024;
/// Most refusals of the network that are recorded for one agent; the last says that further ones are not.
pub const REFUSALS_MAX: u32 = 64;
/// Most bytes of the name of a host (RFC 1035).
pub const HOST_BYTES_MAX: usize = 253;
/// Most timers worked off in one decision; the rest follows in the next one.
pub const TIMERS_PER_DECISION: usize = 64;

/// What a mission may set for itself. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// How long one turn may take before it is cancelled.
    pub turn_ms_max: u64,
    /// How long a cancelled turn may take to end before its agent is stopped.
    pub cancel_grace_ms: u64,
    /// How many times a change may come back from the merge queue within one attempt.
    pub returns_max: u32,
    /// How many times an agent is reminded to submit within one attempt.
    pub nudges_max: u32,
    /// How many times an agent may be lost within one attempt.
    pub losses_max: u32,
    /// How many times an effect of ours (repository, start, verification) is tried again.
    pub effect_retries_max: u32,
    /// The first pause before something is tried again; doubles each time.
    pub backoff_ms: u64,
    /// The longest pause before something is tried again.
    pub backoff_ms_max: u64,
    /// How long an interrupt waits for a person before its default is taken.
    pub interrupt_ms: u64,
    /// How long a mission without disk space waits before it tries again by itself.
    pub space_retry_ms: u64,
    /// At which share of the budget people are warned, in percent.
    pub budget_warn_percent: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            turn_ms_max: 30 * 60_000,
            cancel_grace_ms: 10_000,
            returns_max: 3,
            nudges_max: 2,
            losses_max: 5,
            effect_retries_max: 3,
            backoff_ms: 1_000,
            backoff_ms_max: 5 * 60_000,
            interrupt_ms: 24 * 3_600_000,
            space_retry_ms: 60_000,
            budget_warn_percent: 80,
        }
    }
}

impl Limits {
    /// The pause before try number `tries` + 1 (`tries` have failed): doubling from `backoff_ms`, at most `backoff_ms_max`.
    pub fn backoff(&self, tries: u32) -> u64 {
        let doubled = self.backoff_ms.saturating_mul(1 << tries.saturating_sub(1).min(20));
        doubled.min(self.backoff_ms_max)
    }
}
