//! Hosts that agents were not let to, each once, with what would allow it.

use super::document::{Block, code, text};
use mission::{AgentId, Fact};
use serde::Serialize;
use std::collections::BTreeMap;

/// A host that an agent was not let to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RefusedView {
    /// Which agent.
    pub agent: String,
    /// The host as the agent asked for it.
    pub host: String,
    /// The port; 0 when none could be read.
    pub port: u16,
    /// Why not, the last time.
    pub why: String,
    /// The line to add to the hosts of the agent's role to allow it, if a line could.
    pub allow: Option<String>,
    /// How many times, at least.
    pub times: u64,
    /// Whether it is the last that is recorded of its agent: further refusals were only counted.
    pub last: bool,
}

/// Refusals, gathered from facts.
#[derive(Default)]
pub(super) struct Refusals(BTreeMap<(AgentId, String, u16), RefusedView>);

impl Refusals {
    pub(super) fn take(&mut self, name: impl FnOnce(AgentId) -> String, fact: &Fact) {
        let Fact::EgressRefused { agent, host, port, reason, allow, times, last } = fact else { return };
        let known = self.0.entry((*agent, host.clone(), *port)).or_insert_with(|| RefusedView {
            agent: name(*agent),
            host: host.clone(),
            port: *port,
            ..RefusedView::default()
        });
        known.why.clone_from(reason);
        known.allow.clone_from(allow);
        known.times = known.times.saturating_add(*times);
        known.last |= last;
    }

    pub(super) fn into_views(self) -> Vec<RefusedView> {
        self.0.into_values().collect()
    }
}

/// What a refusal says of the way to allow it, for people.
pub(super) fn remedy(allow: Option<&str>) -> String {
    allow.map(|line| format!("; to allow it, add `{line}` to the hosts of its role")).unwrap_or_default()
}

/// The report's table, one row for each host of each agent.
pub(super) fn table(refused: &[RefusedView]) -> Block {
    let row = |one: &RefusedView| {
        let more = if one.last { " (the last recorded of this agent)" } else { "" };
        vec![
            text(&one.agent),
            code(format!("{}:{}", one.host, one.port)),
            text(format!("{}{more}", one.times)),
            text(&one.why),
            one.allow.as_deref().map_or_else(|| text("cannot be allowed"), code),
        ]
    };
    Block::Table(
        &["agent", "host", "times", "why", "to allow it, add to the role's hosts"],
        refused.iter().map(row).collect(),
    )
}
