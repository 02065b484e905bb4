//! Readings as plain text, for a terminal. No colours, and the words of agents as they came: the caller makes them harmless.

use super::{
    duration,
    invented::INVENTED,
    layout::shortened,
    list::MissionLine,
    standing::{Ending, InterruptView, MissionView, MoneyView},
    table,
    words::{cost, count, first_line, money, short},
};
use std::fmt::Write as _;

/// Characters of a goal that are shown.
const GOAL_CHARS_MAX: usize = 320;

/// A text whose further lines begin `by` spaces to the right.
pub(super) fn indented(text: &str, by: usize) -> String {
    prefixed(text, &" ".repeat(by))
}

/// A text whose further lines begin with `prefix`.
pub(super) fn prefixed(text: &str, prefix: &str) -> String {
    text.trim_end().replace('\n', &format!("\n{prefix}"))
}

/// A table of missions. `now_ms` is the time by which ages are told; `being_run` is the mission that an engine runs.
pub fn missions(missions: &[MissionLine], now_ms: u64, being_run: Option<&str>) -> String {
    if missions.is_empty() {
        return "no missions yet; `muster demo` and `muster run` begin one\n".to_owned();
    }
    let head = ["mission", "status", "tasks", "cost", "begun", "goal"].map(str::to_owned).to_vec();
    let row = |line: &MissionLine| {
        vec![
            line.name.clone(),
            status_line(line.status, line.closed, line.waiting > 0, being_run == Some(line.name.as_str())).to_owned(),
            format!("{}/{}", line.tasks_done, line.tasks_total),
            cost(line.cost_micros, line.unknown_calls) + if line.invented { " (invented)" } else { "" },
            format!("{} ago", duration(now_ms.saturating_sub(line.began_at_ms))),
            first_line(&line.goal),
        ]
    };
    table(&std::iter::once(head).chain(missions.iter().map(row)).collect::<Vec<_>>())
}

/// The journal's status, and whether anything moves: a mission that nobody runs is not running.
fn status_line(status: &'static str, closed: bool, waits: bool, is_run: bool) -> &'static str {
    match (closed, waits, is_run, status) {
        (false, true, _, "running") => "waits for you",
        (false, false, false, "running" | "beginning" | "closing") => "stopped",
        _ => status,
    }
}

/// What waits for a person, with the commands that answer it. `when` tells a time.
pub fn inbox(interrupts: &[InterruptView], when: &dyn Fn(u64) -> String) -> String {
    if interrupts.is_empty() {
        return "nothing waits for you\n".to_owned();
    }
    let shown = interrupts.iter().map(|interrupt| format!("{}\n{}", interrupt.mission, waiting(interrupt, Some(when))));
    shown.collect::<Vec<_>>().join("\n")
}

/// A goal of which the beginning tells enough.
fn few_words(goal: &str) -> String {
    let chars = goal.chars().count();
    if chars <= GOAL_CHARS_MAX {
        return goal.to_owned();
    }
    format!("{}\n({chars} characters; all of it is in --json and in the report)", shortened(goal, GOAL_CHARS_MAX))
}

/// An interrupt with the commands that answer it, and its deadline when there is a clock to tell it by.
fn waiting(interrupt: &InterruptView, when: Option<&dyn Fn(u64) -> String>) -> String {
    let InterruptView { id, kind, task, agent, question, default, deadline_ms, answers, .. } = interrupt;
    let task = task.as_ref().map(|task| format!(", task {task}"));
    let agent = agent.as_ref().map(|agent| format!(", {agent}"));
    let about = format!("{kind}{}{}", task.unwrap_or_default(), agent.unwrap_or_default());
    let mut text = format!("  {id} ({about})\n    {}\n", indented(question, 4));
    let rows = answers.iter().map(|answer| vec![format!("      {}", answer.command), format!("# {}", answer.means)]);
    text.push_str(&table(&rows.collect::<Vec<_>>()));
    if let Some(when) = when {
        let _ = writeln!(text, "    without an answer by {}: {}", when(*deadline_ms), indented(default, 4));
    }
    text
}

impl MoneyView {
    /// One line: spent, of what, in how many calls.
    pub fn line(&self) -> String {
        let mut text = money(self.spent_micros);
        if let Some(cap) = self.cap_micros {
            let _ = write!(text, " of {}", money(cap));
        }
        let _ = write!(text, " spent in {}", count(self.calls, "model call", "model calls"));
        if self.unknown_calls > 0 {
            let _ = write!(text, ", {} of them of unknown price", self.unknown_calls);
        }
        if self.estimated_calls > 0 {
            let calls = count(self.estimated_calls, "call whose bill was not seen", "calls whose bills were not seen");
            let _ = write!(text, ", {} of it estimated ({calls})", money(self.estimated_micros));
        }
        if self.beyond_micros > 0 {
            let _ = write!(text, ", {} of it billed beyond what requests allowed", money(self.beyond_micros));
        }
        if self.leased_micros > 0 {
            let _ = write!(text, ", {} set aside", money(self.leased_micros));
        }
        if self.invented && self.calls > 0 {
            let _ = write!(text, " ({INVENTED})");
        }
        text
    }
}

impl MissionView {
    /// A few plain lines for the end of a command: how it went, where the result is, what it cost, what to do next.
    pub fn summary(&self) -> String {
        let mut text = format!("mission {}: {}\n", self.name, self.status_line(false));
        let _ = writeln!(text, "  tasks   {}", self.tally_line());
        let _ = writeln!(text, "  result  {}{}", self.result_line(), self.take_it());
        let _ = writeln!(text, "  money   {}", self.money.line());
        self.write_next(&mut text, None, false);
        let _ = write!(
            text,
            "{}everything about it: muster report {}",
            if self.ending == Ending::Open { "" } else { "\n" },
            self.name
        );
        text
    }

    /// How it stands, in full. `now_ms` is the time by which ages are told, `when` tells a time; `is_run` says whether an engine runs it.
    pub fn text(&self, now_ms: u64, when: &dyn Fn(u64) -> String, is_run: bool) -> String {
        let age = match self.ended_at_ms {
            Some(ended) => format!("took {}", duration(ended.saturating_sub(self.began_at_ms))),
            None => format!("begun {} ago", duration(now_ms.saturating_sub(self.began_at_ms))),
        };
        let mut text = format!("{}: {}, {age}\n", self.name, self.status_line(is_run));
        let _ = writeln!(text, "  goal    {}", indented(&few_words(&self.goal), 10));
        let _ = writeln!(text, "  repo    {}", self.repository);
        let _ = writeln!(text, "  tasks   {}", self.tally_line());
        let _ = writeln!(text, "  result  {}{}", self.result_line(), self.take_it());
        let _ = writeln!(text, "  money   {}", self.money.line());
        for limit in &self.money.limits {
            let left = match limit.state {
                "asking" => ": a person is asked for more",
                "denied" => ": more was denied",
                _ => "",
            };
            let _ = writeln!(text, "          {} used of {}{left}", limit.used_words, limit.words);
        }
        for role in &self.health {
            let reason = if role.reason.is_empty() { String::new() } else { format!(": {}", first_line(&role.reason)) };
            let since = duration(now_ms.saturating_sub(role.since_ms));
            let _ = writeln!(text, "  health  {} is {}, since {since} ago{reason}", role.role, role.state);
        }
        self.write_tables(&mut text, is_run);
        self.write_next(&mut text, Some(when), is_run);
        text
    }

    fn status_line(&self, is_run: bool) -> &'static str {
        status_line(self.status, self.ending != Ending::Open, !self.interrupts.is_empty(), is_run)
    }

    fn write_tables(&self, text: &mut String, is_run: bool) {
        if !self.tasks.is_empty() {
            let head = ["  task", "state", "agent", "attempts", "commit"].map(str::to_owned).to_vec();
            let row = |task: &super::TaskView| {
                let commit = task.merge_commit.as_deref().map(short).unwrap_or_default().to_owned();
                let agent = task.agent.clone().unwrap_or_default();
                vec![format!("  {}", task.name), task.state_line(), agent, task.attempts.to_string(), commit]
            };
            let rows: Vec<_> = std::iter::once(head).chain(self.tasks.iter().map(row)).collect();
            let _ = write!(text, "\n{}", table(&rows));
        }
        let used: Vec<_> = self.agents.iter().filter(|agent| agent.calls > 0 || agent.state != "not started").collect();
        // The journal of a mission that nobody runs remembers processes that are gone.
        if is_run && !used.is_empty() {
            let head = ["  agent", "process", "task", "cost"].map(str::to_owned).to_vec();
            let row = |agent: &&super::AgentView| {
                let task = agent.task.clone().unwrap_or_default();
                vec![
                    format!("  {}", agent.name),
                    agent.state.to_owned(),
                    task,
                    cost(agent.cost_micros, agent.unknown_calls),
                ]
            };
            let rows: Vec<_> = std::iter::once(head).chain(used.iter().map(row)).collect();
            let _ = write!(text, "\n{}", table(&rows));
        }
        if !self.queue.is_empty() {
            let changes = self.queue.iter().map(|change| format!("{} ({})", change.task, change.state));
            let _ = writeln!(text, "\n  merge queue: {}", changes.collect::<Vec<_>>().join(", "));
        }
    }

    /// What a person can do now.
    fn write_next(&self, text: &mut String, when: Option<&dyn Fn(u64) -> String>, is_run: bool) {
        if self.ending != Ending::Open {
            return;
        }
        if !self.interrupts.is_empty() {
            text.push_str("\nwaits for you:\n");
            self.interrupts.iter().for_each(|interrupt| text.push_str(&waiting(interrupt, when)));
        }
        let name = &self.name;
        let _ = match (is_run, self.interrupts.is_empty()) {
            (true, _) => writeln!(text, "\nan engine runs it: muster tail {name}"),
            (false, true) => writeln!(text, "\nno engine runs it; to go on: muster resume {name}"),
            (false, false) => writeln!(text, "\nthen: muster resume {name}"),
        };
    }

    fn take_it(&self) -> String {
        self.published.as_ref().map(|_| format!("; take it: git merge {}", self.branch)).unwrap_or_default()
    }

    /// Tasks by how they stand, in words.
    pub fn tally_line(&self) -> String {
        let tally = self.tally;
        let mut text = format!("{} of {} done", tally.done, tally.total);
        let rest = [
            (tally.open, "open"),
            (tally.failed, "failed"),
            (tally.skipped, "skipped"),
            (tally.superseded, "superseded"),
        ];
        for (number, word) in rest.iter().filter(|(number, _)| *number > 0) {
            let _ = write!(text, ", {number} {word}");
        }
        text
    }

    /// Where the result is.
    pub fn result_line(&self) -> String {
        let merged = self.head.as_ref().filter(|head| **head != self.base);
        match (&self.published, merged, self.ending) {
            (Some(commit), ..) => format!("branch {} at {}", self.branch, short(commit)),
            (None, Some(head), Ending::Open) => {
                format!("{} merged so far; branch {} appears at the end", short(head), self.branch)
            }
            (None, Some(head), _) => format!("{} in the mission's own repository, not in yours", short(head)),
            (None, None, Ending::Open) => "nothing is merged yet".to_owned(),
            (None, None, _) => "nothing was merged".to_owned(),
        }
    }
}
