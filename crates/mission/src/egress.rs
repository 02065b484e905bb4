//! Hosts that an agent tried to reach and was not let to: worth a fact, because a person may want to allow them, and
//! because an agent that tries many of them is one to look at.
//!
//! Nothing follows from such a fact. There is a limit to them, so that an agent in a loop does not fill the journal.

use crate::{
    decide::{Decision, Rejected},
    fact::Fact,
    id::AgentId,
    input::Refusal,
    limits::{HOST_BYTES_MAX, REFUSALS_MAX},
    opening::{at_most, shortened},
    state::Mission,
};

impl Mission {
    pub(crate) fn egress_refused(&self, agent: AgentId, refusal: Refusal) -> Decision {
        let entry = self.agents.get(agent.index()).ok_or(Rejected::UnknownAgent(agent))?;
        if entry.refusals >= REFUSALS_MAX {
            return Err(Rejected::TooManyRefusals(agent));
        }
        let Refusal { host, port, reason, allow, times } = refusal;
        at_most(host.len(), HOST_BYTES_MAX)?;
        at_most(allow.as_ref().map_or(0, String::len), 2 * HOST_BYTES_MAX)?;
        let last = entry.refusals + 1 == REFUSALS_MAX;
        Ok(vec![Fact::EgressRefused { agent, host, port, reason: shortened(reason), allow, times, last }])
    }

    pub(crate) fn apply_egress_refused(&mut self, agent: AgentId) {
        if let Some(entry) = self.agents.get_mut(agent.index()) {
            entry.refusals += 1;
        }
    }
}
