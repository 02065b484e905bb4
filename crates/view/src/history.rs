//! A mission's journal gathered once, for every reading that needs more than the state at its end.

use super::{
    degraded::{Degraded, degraded},
    invented::invented,
    reasons::Reason,
    refused::Refusals,
    trail::Trail,
    words::{first_line, left_out_lines, return_evidence, return_word},
};
use mission::{AttemptId, By, CheckRun, Fact, Failure, InterruptId, TaskId, Usage, Work};
use serde::Serialize;
use std::collections::BTreeMap;
use store::Recorded;

/// The state of a task, and the outcome of an attempt, that is done and had nothing to add.
const NOTHING: &str = "nothing to merge";

/// Everything that the readings need, built from facts alone.
#[derive(Default)]
pub(super) struct History {
    pub(super) trail: Trail,
    pub(super) tasks: BTreeMap<TaskId, TaskHistory>,
    pub(super) messages: Vec<MessageView>,
    pub(super) reasons: Vec<Reason>,
    pub(super) notes: Vec<Note>,
    pub(super) refused: Refusals,
    pub(super) asked_at_ms: BTreeMap<InterruptId, u64>,
    /// The commit that stands in the user's repository.
    pub(super) published: Option<String>,
    pub(super) ended_at_ms: Option<u64>,
    /// The protection that its settings give up.
    pub(super) degraded: Vec<Degraded>,
    /// Whether its prices are invented.
    pub(super) invented: bool,
    /// The last fact: its number and its time.
    pub(super) last: (u64, u64),
    attempts: BTreeMap<AttemptId, (TaskId, usize)>,
    verified: BTreeMap<AttemptId, Vec<CheckView>>,
    answer: Option<(InterruptId, By)>,
}

/// What became of one task.
#[derive(Default)]
pub(super) struct TaskHistory {
    pub(super) attempts: Vec<AttemptView>,
    pub(super) merge_commit: Option<String>,
    /// The last commit that holds work on it.
    pub(super) work_commit: Option<String>,
    /// It is done, and had nothing to add to the branch.
    pub(super) changed_nothing: bool,
    pub(super) checks: Vec<CheckView>,
    /// What is not part of its change, and why.
    pub(super) left_out: Vec<String>,
    pub(super) summary: Option<String>,
    pub(super) why_not: Option<String>,
}

/// One try of one task by one agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AttemptView {
    /// Which attempt of its task, from 1.
    pub number: u32,
    /// Who tries.
    pub agent: String,
    /// When it began, milliseconds since the Unix epoch.
    pub began_at_ms: u64,
    /// When it was over.
    pub ended_at_ms: Option<u64>,
    /// `running`, `merged`, `nothing to merge`, `done` (a task whose result is its text) or `failed`.
    pub outcome: &'static str,
    /// Why it failed.
    pub why: Option<String>,
    /// What lies behind it as data, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Box<mission::Problem>>,
    /// How many turns have begun.
    pub turns: u32,
    /// How many times its agent's process was lost meanwhile.
    pub losses: u32,
    /// Every time that its change came back.
    pub returns: Vec<ReturnView>,
    /// The agent's last account of it.
    pub summary: Option<String>,
    /// Model calls.
    pub calls: u64,
    /// Model calls whose cost is not known; `cost_micros` is without them.
    pub unknown_calls: u64,
    /// What its calls cost, in millionths of a US dollar.
    pub cost_micros: u64,
}

/// A change that came back from the merge queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReturnView {
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Why, in one line.
    pub why: String,
    /// The end of what failed checks printed, or the conflicting hunks.
    pub evidence: String,
}

/// An acceptance check that passed at a merge commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckView {
    /// The command line.
    pub run: String,
    /// Whether it passed.
    pub passed: bool,
    /// How it ended: `exit 0`.
    pub ended: String,
    /// How long it took, in milliseconds.
    pub ms: u64,
}

/// A message between agents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MessageView {
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Who sent it.
    pub from: String,
    /// To whom: an agent's name, `every ROLE` or `topic NAME`.
    pub to: String,
    /// The text.
    pub body: String,
}

/// Something that went wrong on the way, whether or not it was mended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The agent, if it is about one.
    pub agent: Option<String>,
    /// The task, if it is about one.
    pub task: Option<String>,
    /// What happened.
    pub text: String,
}

impl History {
    /// Takes in the next fact.
    pub(super) fn follow(&mut self, recorded: &Recorded) {
        let Recorded { seq, at_ms, fact } = recorded;
        self.trail.note(fact);
        self.last = (*seq, *at_ms);
        self.reasons.extend(Reason::of(&self.trail, *seq, *at_ms, fact, self.answer));
        self.answer = match fact {
            Fact::InterruptAnswered { interrupt, by: by @ (By::Person | By::Default), .. } => Some((*interrupt, *by)),
            Fact::BudgetRaised { .. } | Fact::AllowanceRaised { .. } | Fact::AllowanceDenied { .. } => self.answer,
            _ => None,
        };
        self.take(*at_ms, fact);
        self.refused.take(|agent| self.trail.agent_name(agent).to_owned(), fact);
        if let Some(text) = misfortune(fact) {
            let subject = self.trail.subject(fact);
            let agent = subject.agent.map(|agent| self.trail.agent_name(agent).to_owned());
            let task = subject.task.map(|task| self.trail.task_name(task).to_owned());
            self.notes.push(Note { at_ms: *at_ms, agent, task, text });
        }
        self.trail.apply(fact);
    }

    fn take(&mut self, at_ms: u64, fact: &Fact) {
        match fact {
            Fact::Opened { opening, .. } => {
                self.degraded = degraded(&opening.settings);
                self.invented = invented(&opening.settings);
            }
            Fact::Assigned { task, attempt, agent, .. } => self.begin(at_ms, *task, *attempt, *agent),
            Fact::AttemptFailed { attempt, reason, problem, .. } => {
                self.end(at_ms, *attempt, "failed", Some(reason.told(problem.as_deref())));
                let problem = problem.clone();
                self.with(*attempt, |one| one.problem = problem);
            }
            Fact::CheckpointTaken { attempt, commit, .. }
            | Fact::ChangeQueued { attempt, commit, .. }
            | Fact::TurnEnded { attempt, work: Work::Changed { commit, .. }, .. } => self.worked(*attempt, commit),
            Fact::TurnStarted { attempt, turn, .. } => self.with(*attempt, |one| one.turns = *turn),
            Fact::ResultClaimed { attempt, summary, .. } => {
                self.with(*attempt, |one| one.summary = Some(summary.clone()))
            }
            Fact::UsageSettled { attempt, usage } => self.with(*attempt, |one| one.count(usage)),
            Fact::AgentLost { agent, .. } => {
                let attempt = self.trail.mission().agent(*agent).and_then(|agent| agent.attempt);
                attempt.into_iter().for_each(|attempt| self.with(attempt, |one| one.losses += 1));
            }
            Fact::TurnOwed { attempt, brief: mission::Brief::Returned(why) } => self.returned(at_ms, *attempt, why),
            Fact::ChangeReturned { change, why } => {
                let attempt = self.trail.attempt_of(*change);
                attempt.into_iter().for_each(|attempt| self.returned(at_ms, attempt, why));
            }
            Fact::ChangeVerified { change, checks, .. } => {
                let checks = checks.iter().map(CheckView::of).collect();
                self.trail.attempt_of(*change).and_then(|attempt| self.verified.insert(attempt, checks));
            }
            Fact::Merged { change, head, nothing } => {
                let head = Some(head.as_str()).filter(|_| !nothing);
                let left_out = self.trail.left_out(*change).map(left_out_lines).unwrap_or_default();
                let attempt = self.trail.attempt_of(*change);
                attempt.into_iter().for_each(|attempt| self.merged(at_ms, attempt, head, left_out.clone()));
            }
            Fact::TaskDone { task, attempt, summary } => {
                self.end(at_ms, *attempt, "done", None);
                self.tasks.entry(*task).or_default().summary = Some(summary.clone());
            }
            Fact::TaskFailed { task, why } => self.tasks.entry(*task).or_default().why_not = Some(why.clone()),
            Fact::TaskSkipped { task, because } => {
                let why = format!("it needs '{}', which will not be done", self.trail.task_name(*because));
                self.tasks.entry(*task).or_default().why_not = Some(why);
            }
            Fact::MessageSent { from, to, body, .. } => {
                let (from, to) = (self.trail.agent_name(*from).to_owned(), self.trail.recipient(to));
                self.messages.push(MessageView { at_ms, from, to, body: body.clone() });
            }
            Fact::InterruptRaised { interrupt, .. } => drop(self.asked_at_ms.insert(*interrupt, at_ms)),
            Fact::Published { commit, .. } => self.published = Some(commit.clone()),
            Fact::Closed { .. } => self.ended_at_ms = Some(at_ms),
            _ => {}
        }
    }

    fn begin(&mut self, at_ms: u64, task: TaskId, attempt: AttemptId, agent: mission::AgentId) {
        let attempts = &mut self.tasks.entry(task).or_default().attempts;
        self.attempts.insert(attempt, (task, attempts.len()));
        attempts.push(AttemptView {
            number: attempts.len() as u32 + 1,
            agent: self.trail.agent_name(agent).to_owned(),
            began_at_ms: at_ms,
            outcome: "running",
            ..AttemptView::default()
        });
    }

    fn with(&mut self, attempt: AttemptId, change: impl FnOnce(&mut AttemptView)) {
        let Some((task, index)) = self.attempts.get(&attempt) else { return };
        let attempts = self.tasks.get_mut(task).map(|task| &mut task.attempts);
        if let Some(one) = attempts.and_then(|attempts| attempts.get_mut(*index)) {
            change(one);
        }
    }

    fn worked(&mut self, attempt: AttemptId, commit: &str) {
        if let Some((task, _)) = self.attempts.get(&attempt) {
            self.tasks.entry(*task).or_default().work_commit = Some(commit.to_owned());
        }
    }

    fn end(&mut self, at_ms: u64, attempt: AttemptId, outcome: &'static str, why: Option<String>) {
        self.with(attempt, |one| {
            one.ended_at_ms = Some(at_ms);
            one.outcome = outcome;
            one.why = why;
        });
    }

    fn returned(&mut self, at_ms: u64, attempt: AttemptId, why: &mission::Return) {
        let back = ReturnView { at_ms, why: return_word(why), evidence: return_evidence(why) };
        self.with(attempt, |one| one.returns.push(back));
    }

    /// The change is on the branch, at a commit of its own unless it had nothing to add.
    fn merged(&mut self, at_ms: u64, attempt: AttemptId, head: Option<&str>, left_out: Vec<String>) {
        self.end(at_ms, attempt, if head.is_some() { "merged" } else { NOTHING }, None);
        let checks = self.verified.remove(&attempt).unwrap_or_default();
        let Some((task, index)) = self.attempts.get(&attempt) else { return };
        let task = self.tasks.entry(*task).or_default();
        task.merge_commit = head.map(str::to_owned);
        task.changed_nothing = head.is_none();
        task.checks = checks;
        task.left_out = left_out;
        task.summary = task.attempts.get(*index).and_then(|one| one.summary.clone());
    }
}

impl TaskHistory {
    /// How its change came to the branch, once it has.
    pub(super) fn merged_word(&self) -> Option<&'static str> {
        self.merge_commit.as_ref().map(|_| "merged").or(self.changed_nothing.then_some(NOTHING))
    }
}

impl AttemptView {
    fn count(&mut self, usage: &Usage) {
        self.calls += 1;
        self.unknown_calls += u64::from(usage.cost.is_none());
        self.cost_micros = self.cost_micros.saturating_add(usage.cost.unwrap_or_default().0);
    }
}

impl CheckView {
    fn of(check: &CheckRun) -> Self {
        Self { run: check.run.clone(), passed: check.passed, ended: check.ended.clone(), ms: check.ms }
    }
}

/// What a report's last section tells.
fn misfortune(fact: &Fact) -> Option<String> {
    match fact {
        Fact::EngineRestarted => Some("the engine ended and a new one took the mission up".to_owned()),
        Fact::EffectDelayed { error, .. } => {
            Some(format!("something failed and was tried again: {}", first_line(error)))
        }
        Fact::AgentStartFailed { error, .. } => Some(format!("could not be started: {}", first_line(error))),
        // Its engine ended under it, which is told once.
        Fact::AgentLost { blame: false, .. } => None,
        Fact::AgentLost { reason, .. } => Some(format!("was lost: {}", first_line(reason))),
        Fact::AttemptFailed { reason: Failure::Closing, .. } => None,
        Fact::AttemptFailed { reason, problem, .. } => {
            Some(format!("an attempt failed: {}", first_line(&reason.told(problem.as_deref()))))
        }
        Fact::TurnOwed { brief: mission::Brief::Returned(why), .. } => {
            Some(format!("was sent back: {}", return_word(why)))
        }
        Fact::TaskFailed { why, .. } => Some(format!("will not be done: {}", first_line(why))),
        Fact::Paused { why } if *why != mission::PauseReason::Person => {
            Some(format!("the mission paused: {}", super::words::pause_word(*why)))
        }
        Fact::PublishAbandoned => Some("the result could not be put into your repository".to_owned()),
        _ => None,
    }
}
