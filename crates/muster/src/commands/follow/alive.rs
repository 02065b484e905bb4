//! How a mission stands at this moment, in a few lines that are drawn over: how long, what it has cost, and of each agent what it does since when.

use engine::view::{Heard, Line, Recorded, Teller, duration, money, shortened, visible};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Agents that are shown; of the others there is their number.
const AGENTS_MAX: usize = 6;

/// What an agent was last known to do, and since when.
struct Doing {
    what: String,
    since: Instant,
}

/// What is known of a mission's agents.
pub(super) struct Alive {
    began: Instant,
    doing: BTreeMap<String, Doing>,
}

impl Alive {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), doing: BTreeMap::new() }
    }

    /// Something of an agent's transcript.
    pub(super) fn heard(&mut self, heard: &Heard) {
        if let Some(brief) = heard.brief() {
            self.does(&heard.agent, brief);
        }
    }

    /// A fact and its line.
    pub(super) fn told(&mut self, recorded: &Recorded, line: &Line) {
        let Some(agent) = &line.agent else { return };
        let what = match recorded.fact.kind() {
            "assigned" => "begins",
            "agent_starting" => "is started",
            "turn_started" => "asks its model",
            "turn_ended" => "its work is kept",
            "change_queued" => "its change waits to be merged",
            "verify_started" => "its change is checked",
            "result_claimed" | "attempt_parked" | "attempt_limited" | "attempt_released" => &line.text,
            _ => return,
        };
        self.does(agent, what.to_owned());
    }

    fn does(&mut self, agent: &str, what: String) {
        self.doing.insert(agent.to_owned(), Doing { what, since: Instant::now() });
    }

    /// The lines, none wider than that many columns; none when no agent has anything to do.
    pub(super) fn lines(&self, teller: &Teller, columns: usize) -> Vec<String> {
        let mission = teller.mission();
        let ledger = mission.ledger();
        let cap = ledger.cap.map(|cap| format!(" of {}", money(cap.0))).unwrap_or_default();
        let (tally, all) = (mission.tally(), mission.plan().tasks.len());
        let head = format!(
            "{}  {}{cap}  {} of {all} tasks done",
            seconds(self.began.elapsed()),
            money(ledger.settled.0),
            tally.done
        );
        let busy: Vec<String> = mission
            .agents()
            .filter_map(|(id, agent)| {
                let task = mission.attempt(agent.attempt?)?.task;
                let task = mission.plan().tasks.get(task.0 as usize).map_or("", |task| task.name.as_str());
                Some(self.line(mission.agent_name(id), task, columns))
            })
            .collect();
        if busy.is_empty() {
            return Vec::new();
        }
        let more = busy.len().saturating_sub(AGENTS_MAX);
        let more = (more > 0).then(|| format!("  and {more} more"));
        let head = shortened(&head, columns.saturating_sub(1));
        std::iter::once(head).chain(busy.into_iter().take(AGENTS_MAX)).chain(more).collect()
    }

    fn line(&self, agent: &str, task: &str, columns: usize) -> String {
        let Some(Doing { what, since }) = self.doing.get(agent) else { return shortened(agent, columns) };
        let since = seconds(since.elapsed());
        // The time stands at the end and is never what is cut.
        let room = columns.saturating_sub(since.chars().count() + 5);
        format!("  {} {since}", shortened(&visible(&format!("{agent}  {task}: {what}")), room))
    }
}

fn seconds(time: Duration) -> String {
    duration(time.as_secs() * 1000).replace("0 ms", "0 s").replace(".0 s", " s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_never_cut() {
        let mut alive = Alive::new();
        alive.does("builder-1", format!("runs: {}", "python3 -m unittest ".repeat(9)));
        assert_eq!(alive.line("builder-1", "parser", 40), "  builder-1 parser: runs: python3… 0 s");
        assert_eq!(seconds(Duration::from_millis(61_900)), "1 min 1 s");
        assert_eq!(seconds(Duration::from_millis(3_900)), "3 s");
        assert_eq!(seconds(Duration::from_secs(10)), "10 s");
    }
}
