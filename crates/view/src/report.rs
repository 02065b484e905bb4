//! The report: the final account of a mission, for people as Markdown or one HTML page, for programs as JSON.

use super::{
    changes::{self, FileChange},
    degraded::Degraded,
    document::{self, Block, code, text},
    duration,
    history::{AttemptView, CheckView, History, MessageView, Note, TaskHistory},
    reasons::{self, Reason},
    refused::{self, RefusedView},
    standing::{Ending, MissionView, SpendView, TaskView},
    words::{cost, count, short},
};
use mission::TaskId;
use serde::Serialize;

/// The account of a mission, rendered from its journal and nothing else. Field names are stable; money is in millionths of a US dollar, times are
/// in milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The mission as it stands, its money by agent, model and source included.
    pub mission: MissionView,
    /// The commands that take the result into your branch; empty when there is nothing to take.
    pub take_it: Vec<String>,
    /// What was done, task by task.
    pub tasks: Vec<TaskReport>,
    /// The files that the result changes; nothing when the mission's stores are gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<FileChange>>,
    /// Tasks that are not done, each with why.
    pub not_done: Vec<NotDone>,
    /// Protection that its configuration gave up.
    pub degraded: Vec<Degraded>,
    /// Messages between agents.
    pub messages: Vec<MessageView>,
    /// Assignments, answers, pauses and what they were for.
    pub decisions: Vec<Reason>,
    /// Hosts that agents were not let to, each once.
    pub refused: Vec<RefusedView>,
    /// What went wrong on the way, mended or not.
    pub notes: Vec<Note>,
}

/// A task that is not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotDone {
    /// Its name.
    pub task: String,
    /// Why.
    pub why: String,
}

/// What became of one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskReport {
    /// Its name, title, state, agent and merge commit.
    #[serde(flatten)]
    pub task: TaskView,
    /// The files that it changes, as far as its work was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<FileChange>>,
    /// The agent's own account of the result.
    pub summary: Option<String>,
    /// The checks that passed at the merge commit.
    pub checks: Vec<CheckView>,
    /// What was in the agent's workspace and is not part of the merged change, and why: a line each, those that matter first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// Every attempt.
    pub tries: Vec<AttemptView>,
}

/// Files of one change that a report lists.
const FILES_MAX: usize = 100;

/// The kinds of facts that a person wants to find again as decisions.
const DECISIONS: &[&str] = &[
    "opened",
    "assigned",
    "interrupt_raised",
    "interrupt_answered",
    "budget_raised",
    "allowance_raised",
    "allowance_denied",
    "task_reopened",
    "task_failed",
    "task_skipped",
    "paused",
    "resumed",
    "closing",
    "publish_abandoned",
];

impl Report {
    pub(super) fn of(mission: MissionView, mut history: History) -> Self {
        let tasks: Vec<TaskReport> = mission
            .tasks
            .iter()
            .zip((0..).map(TaskId))
            .map(|(task, id)| TaskReport::of(task.clone(), history.tasks.get(&id)))
            .collect();
        let undone = mission.tasks.iter().zip((0..).map(TaskId)).filter(|(task, _)| !task.is_done());
        let why = |(task, id): (&TaskView, TaskId)| {
            let why = history.tasks.get(&id).and_then(|past| past.why_not.clone());
            NotDone { task: task.name.clone(), why: why.unwrap_or_else(|| left(task)) }
        };
        let not_done = undone.map(why).collect();
        let take_it = match &mission.published {
            Some(_) => vec![format!("git merge {}", mission.branch)],
            None => Vec::new(),
        };
        history.reasons.retain(|reason| DECISIONS.contains(&reason.kind));
        Self {
            take_it,
            files: None,
            tasks,
            not_done,
            degraded: history.degraded,
            messages: history.messages,
            decisions: history.reasons,
            refused: history.refused.into_views(),
            notes: history.notes,
            mission,
        }
    }

    /// The same with the files that the result changes: the journal knows commits, whoever can read the mission's stores knows files.
    pub fn with_files(mut self, files: Vec<FileChange>) -> Self {
        self.files = Some(files);
        self
    }

    /// As Markdown.
    pub fn markdown(&self) -> String {
        document::markdown(&self.blocks())
    }

    /// As one HTML page that needs nothing else and runs nothing.
    pub fn html(&self) -> String {
        document::html(&format!("{}: {}", self.mission.name, self.mission.status), &self.blocks())
    }

    fn blocks(&self) -> Vec<Block> {
        let mut blocks = self.head();
        blocks.extend(self.result());
        blocks.extend(section("Degraded protection", self.degraded.iter().map(|one| vec![text(one.line())])));
        if !self.tasks.is_empty() {
            blocks.push(heading(2, "Tasks"));
            blocks.push(self.task_table());
        }
        blocks.extend(self.tasks.iter().filter(|task| !task.tries.is_empty()).flat_map(task_blocks));
        blocks.extend(section(
            "Messages",
            self.messages.iter().map(|message| {
                vec![text(format!("{} {} to {}: {}", utc(message.at_ms), message.from, message.to, message.body))]
            }),
        ));
        blocks.extend(section(
            "Decisions",
            self.decisions.iter().map(|reason| {
                let who: Vec<&str> = [&reason.agent, &reason.task].into_iter().flatten().map(String::as_str).collect();
                let who = if who.is_empty() { "mission".to_owned() } else { who.join(", ") };
                vec![text(format!("{} {who}: {}", utc(reason.at_ms), reasons::one_line(reason)))]
            }),
        ));
        if !self.refused.is_empty() {
            blocks.extend([heading(2, "Refused network access"), refused::table(&self.refused)]);
        }
        blocks.extend(self.costs());
        blocks.extend(section(
            "What went wrong on the way",
            self.notes.iter().map(|note| {
                let who: Vec<&str> = [&note.agent, &note.task].into_iter().flatten().map(String::as_str).collect();
                let who = if who.is_empty() { "mission".to_owned() } else { who.join(", ") };
                vec![text(format!("{} {who}: {}", utc(note.at_ms), note.text))]
            }),
        ));
        blocks
    }

    fn head(&self) -> Vec<Block> {
        let mission = &self.mission;
        let ended = mission.ended_at_ms.map_or_else(
            || format!("begun {} UTC, not over", utc(mission.began_at_ms)),
            |ended| {
                let took = duration(ended.saturating_sub(mission.began_at_ms));
                format!("begun {} UTC, ended {} UTC, took {took}", utc(mission.began_at_ms), utc(ended))
            },
        );
        vec![
            Block::Heading(1, vec![text("Mission "), code(&mission.name), text(format!(": {}", mission.status))]),
            Block::Quote(mission.goal.clone()),
            Block::List(vec![
                vec![text("tasks: "), text(mission.tally_line())],
                vec![text("money: "), text(mission.money.line())],
                vec![text("time: "), text(ended)],
                vec![text("repository: "), code(&mission.repository), text(" from "), code(short(&mission.base))],
            ]),
        ]
    }

    fn result(&self) -> Vec<Block> {
        let mut blocks = vec![
            heading(2, "The result"),
            Block::Paragraph(vec![text(format!("{}.", capital(&self.mission.result_line())))]),
        ];
        if self.mission.published.is_some() {
            blocks.push(Block::Paragraph(vec![
                text("Every commit on it was merged by muster after the task's checks had succeeded in a clean sandbox at exactly that commit. "),
                text("Your checkout and your branches were not touched. Take it with:"),
            ]));
            blocks.push(Block::Output(self.take_it.join("\n")));
        }
        if let Some(files) = self.files.as_ref().filter(|files| !files.is_empty()) {
            blocks.extend(changed(files));
        }
        if self.mission.ending == Ending::Open {
            blocks.push(Block::Paragraph(vec![
                text("The mission is not over. It goes on with "),
                code(format!("muster resume {}", self.mission.name)),
            ]));
        }
        let undone = self.not_done.iter().map(|NotDone { task, why }| vec![code(task), text(format!(": {why}"))]);
        blocks.extend(section("What was not done", undone));
        blocks
    }

    fn task_table(&self) -> Block {
        let row = |task: &TaskReport| {
            let TaskView { name, title, agent, merge_commit, .. } = &task.task;
            let commit = merge_commit.as_deref().map_or_else(|| text(""), |commit| code(short(commit)));
            let tries = task.tries.len().to_string();
            vec![
                code(name),
                text(title),
                text(task.task.state_line()),
                text(agent.as_deref().unwrap_or_default()),
                text(tries),
                commit,
            ]
        };
        Block::Table(&["task", "title", "state", "agent", "attempts", "commit"], self.tasks.iter().map(row).collect())
    }

    fn costs(&self) -> Vec<Block> {
        let row = |spend: &SpendView| {
            let input =
                spend.input_tokens.saturating_add(spend.cache_read_tokens).saturating_add(spend.cache_write_tokens);
            vec![
                text(&spend.agent),
                text(&spend.model),
                text(match spend.prices.as_str() {
                    "" => spend.source.clone(),
                    prices => format!("{} ({prices})", spend.source),
                }),
                text(spend.calls.to_string()),
                text(spend.unknown_calls.to_string()),
                text(input.to_string()),
                text(spend.output_tokens.to_string()),
                text(cost(spend.cost_micros, spend.unknown_calls)),
            ]
        };
        let mut blocks =
            vec![heading(2, "Cost"), Block::Paragraph(vec![text(format!("{}.", capital(&self.mission.money.line())))])];
        if !self.mission.money.by.is_empty() {
            blocks.push(Block::Table(
                &["agent", "model", "price from", "calls", "of unknown price", "tokens in", "tokens out", "cost"],
                self.mission.money.by.iter().map(row).collect(),
            ));
        }
        blocks
    }
}

impl TaskReport {
    fn of(task: TaskView, past: Option<&TaskHistory>) -> Self {
        Self {
            task,
            files: None,
            summary: past.and_then(|past| past.summary.clone()),
            checks: past.map(|past| past.checks.clone()).unwrap_or_default(),
            left_out: past.map(|past| past.left_out.clone()).unwrap_or_default(),
            tries: past.map(|past| past.attempts.clone()).unwrap_or_default(),
        }
    }
}

/// Why a task is not done that neither failed nor was skipped.
fn left(task: &TaskView) -> String {
    match task.state {
        "not done" => "the mission ended before".to_owned(),
        _ => format!("it is not over: {}", task.state_line()),
    }
}

/// Files that a change touches, and the sum.
fn changed(files: &[FileChange]) -> Vec<Block> {
    let row = |file: &FileChange| vec![code(&file.path), text(file.change), text(file.lines())];
    let more = files.len().saturating_sub(FILES_MAX);
    let rest = (more > 0).then(|| format!(" {more} more are listed by muster diff --stat."));
    vec![
        Block::Table(&["file", "change", "lines"], files.iter().take(FILES_MAX).map(row).collect()),
        Block::Paragraph(vec![text(format!("{}.{}", changes::sum(files), rest.unwrap_or_default()))]),
    ]
}

fn task_blocks(report: &TaskReport) -> Vec<Block> {
    let mut blocks = vec![Block::Heading(3, vec![code(&report.task.name), text(format!(": {}", report.task.title))])];
    if let Some(files) = report.files.as_ref().filter(|files| !files.is_empty()) {
        blocks.extend(changed(files));
    }
    if let Some(summary) = &report.summary {
        blocks.push(Block::Paragraph(vec![text("The agent's own account:")]));
        blocks.push(Block::Quote(summary.clone()));
    }
    if let Some(commit) = &report.task.merge_commit {
        blocks.push(Block::Paragraph(vec![text("Verified at "), code(commit), text(":")]));
        let row = |check: &CheckView| vec![code(&check.run), text(&check.ended), text(format!("{} ms", check.ms))];
        blocks.push(Block::Table(&["check", "ended", "took"], report.checks.iter().map(row).collect()));
    }
    if !report.left_out.is_empty() {
        blocks.push(Block::Paragraph(vec![text("Not part of the change:")]));
        blocks.push(Block::List(report.left_out.iter().map(|line| vec![text(line)]).collect()));
    }
    for one in &report.tries {
        blocks.push(Block::Paragraph(vec![text(attempt_line(one))]));
        for back in &one.returns {
            blocks.push(Block::Paragraph(vec![text(format!(
                "{} its change came back: {}",
                utc(back.at_ms),
                back.why
            ))]));
            if !back.evidence.is_empty() {
                blocks.push(Block::Output(back.evidence.clone()));
            }
        }
    }
    blocks
}

fn attempt_line(one: &AttemptView) -> String {
    let why = one.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let took = one.ended_at_ms.map(|ended| format!(" after {}", duration(ended.saturating_sub(one.began_at_ms))));
    let losses =
        if one.losses > 0 { format!(", {}", count(one.losses.into(), "loss", "losses")) } else { String::new() };
    format!(
        "Attempt {} by {}: {}{}{why} ({}{losses}, {}, cost {})",
        one.number,
        one.agent,
        one.outcome,
        took.unwrap_or_default(),
        count(one.turns.into(), "turn", "turns"),
        count(one.calls, "model call", "model calls"),
        cost(one.cost_micros, one.unknown_calls),
    )
}

fn heading(level: u8, words: &str) -> Block {
    Block::Heading(level, vec![text(words)])
}

/// A heading and a list, or nothing when the list is empty.
fn section(title: &str, items: impl Iterator<Item = Vec<document::Span>>) -> Vec<Block> {
    let items: Vec<_> = items.collect();
    if items.is_empty() { Vec::new() } else { vec![heading(2, title), Block::List(items)] }
}

fn capital(words: &str) -> String {
    let mut chars = words.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// A time to the second, as everybody reads it the same.
fn utc(at_ms: u64) -> String {
    let at = i64::try_from(at_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or_else(|| at_ms.to_string(), |at| at.strftime("%Y-%m-%d %H:%M:%S").to_string())
}
