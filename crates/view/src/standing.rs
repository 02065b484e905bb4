//! One mission as it stands: what `show` prints and what `run --json` gives back.

use super::{
    allowances::BudgetLimitView,
    health::{self, HealthView},
    history::{History, TaskHistory},
    options,
    words::{change_word, process_word, status_word, task_word},
};
use mission::{About, Answer, InterruptId, Mission, Outcome, Status, TaskId, TaskState};
use serde::Serialize;
use std::collections::BTreeMap;
use store::{MissionRow, Spend};

/// One mission as it stands. Field names are stable; money is in millionths of a US dollar, times are in milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissionView {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub goal: String,
    /// The user's repository.
    pub repository: String,
    /// The commit that it began at; empty before its first fact.
    pub base: String,
    /// The branch that its result appears as in the user's repository; empty before its first fact.
    pub branch: String,
    /// The head of the mission branch in the mission's own repository.
    pub head: Option<String>,
    /// The commit that the branch stands at in the user's repository, once it is there.
    pub published: Option<String>,
    /// `beginning`, `running`, `paused`, `out of budget`, `out of disk space`, `closing`, `done`, `failed` or `cancelled`.
    pub status: &'static str,
    /// How it has ended.
    pub ending: Ending,
    /// When it was begun.
    pub began_at_ms: u64,
    /// When it was over.
    pub ended_at_ms: Option<u64>,
    /// When its last fact was decided.
    pub changed_at_ms: u64,
    /// The number of its last fact.
    pub seq: u64,
    /// Its tasks by how they stand.
    pub tally: TallyView,
    /// Its tasks, in the order of the plan.
    pub tasks: Vec<TaskView>,
    /// The roles whose health checks have found something.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub health: Vec<HealthView>,
    /// Its agents, in the order of the registry.
    pub agents: Vec<AgentView>,
    /// What waits for a person.
    pub interrupts: Vec<InterruptView>,
    /// The merge queue, first come first.
    pub queue: Vec<QueuedView>,
    /// Its money.
    pub money: MoneyView,
}

/// How a mission has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Every task is done.
    Done,
    /// Some task is not done.
    Failed,
    /// A person ended it.
    Cancelled,
    /// It has not.
    Open,
}

/// Tasks by how they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TallyView {
    /// All of them.
    pub total: u32,
    /// Not yet decided.
    pub open: u32,
    /// Done.
    pub done: u32,
    /// Failed.
    pub failed: u32,
    /// Skipped, because one that they need failed.
    pub skipped: u32,
    /// Put aside because a rival of them is done.
    #[serde(skip_serializing_if = "super::health::is_zero")]
    pub superseded: u32,
}

/// One task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskView {
    /// Its name.
    pub name: String,
    /// Its one line.
    pub title: String,
    /// The role that does it.
    pub role: String,
    /// `waiting`, `ready`, `running`, `resting`, `asking`, `merged`, `nothing to merge`, `done` (its result is a text), `failed`, `skipped`, `superseded` or `not done`.
    pub state: &'static str,
    /// The tasks that it waits for.
    pub waits_for: Vec<String>,
    /// The interrupt that asks what is to become of it.
    pub interrupt: Option<String>,
    /// Who has it, or had it last.
    pub agent: Option<String>,
    /// How many attempts have begun.
    pub attempts: u32,
    /// The commit that merged it.
    pub merge_commit: Option<String>,
    /// The last commit that holds work on it, in the mission's own store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub work_commit: Option<String>,
}

/// One agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AgentView {
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: String,
    /// Its process: `not started`, `starting`, `up`, `stopping` or `resting`.
    pub state: &'static str,
    /// The task that it has.
    pub task: Option<String>,
    /// How many attempts of it have failed.
    pub failures: u32,
    /// Messages that wait for it.
    pub unread: u32,
    /// Model calls.
    pub calls: u64,
    /// Calls whose cost is not known.
    pub unknown_calls: u64,
    /// What the others cost.
    pub cost_micros: u64,
}

/// Something that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InterruptView {
    /// Its id: `i0`.
    pub id: String,
    /// Its mission.
    pub mission: String,
    /// `user_input` or `budget`.
    pub kind: &'static str,
    /// The task that it is about, if any.
    pub task: Option<String>,
    /// The agent that asks, if one does.
    pub agent: Option<String>,
    /// What is asked.
    pub question: String,
    /// When it was asked.
    pub asked_at_ms: u64,
    /// When the default is taken.
    pub deadline_ms: u64,
    /// The default: `approve`, `deny`, or words.
    pub default: String,
    /// The answers that the agent offers, if it offers any: another one is given as `--amend`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// The commands that answer it.
    pub answers: Vec<AnswerWith>,
}

/// One way to answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AnswerWith {
    /// The command.
    pub command: String,
    /// What it leads to.
    pub means: &'static str,
}

/// A change in the merge queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QueuedView {
    /// Its task.
    pub task: String,
    /// Who made it.
    pub agent: String,
    /// `waiting`, `being checked` or `being merged`.
    pub state: &'static str,
    /// The commit that holds it.
    pub commit: String,
}

/// A mission's money.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MoneyView {
    /// The most that may be spent; nothing when spending is only counted.
    pub cap_micros: Option<u64>,
    /// What calls have cost, those of unknown price left out.
    pub spent_micros: u64,
    /// Set aside for attempts and not spent.
    pub leased_micros: u64,
    /// Model calls.
    pub calls: u64,
    /// Calls whose cost is not known, which is not the same as free.
    pub unknown_calls: u64,
    /// Calls whose bill was not seen; `spent_micros` has the most that they can have cost.
    pub estimated_calls: u64,
    /// The part of `spent_micros` that is such an estimate.
    pub estimated_micros: u64,
    /// By how much bills have passed what their requests allowed.
    pub beyond_micros: u64,
    /// Input tokens, cached ones included.
    pub input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// Whether the prices are invented, because every model is scripted: nothing was paid.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub invented: bool,
    /// The same by agent, model and source of the price.
    pub by: Vec<SpendView>,
    /// Budgets beside the cap, in the order in which they were set.
    pub limits: Vec<BudgetLimitView>,
}

/// What the calls of one agent to one model, priced from one source, came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SpendView {
    /// Which agent.
    pub agent: String,
    /// Which model.
    pub model: String,
    /// Where the cost comes from: `list-price`, `provider`, `estimated`, `unknown`, `scripted`, `invented`, `replayed` or `not-billed`.
    pub source: String,
    /// Which prices it was computed with; empty when none were.
    pub prices: String,
    /// Model calls.
    pub calls: u64,
    /// Calls whose cost is not known.
    pub unknown_calls: u64,
    /// What the others cost.
    pub cost_micros: u64,
    /// Tokens read at full price.
    pub input_tokens: u64,
    /// Which of the written ones were reasoning.
    pub reasoning_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Tokens read from the provider's cache.
    pub cache_read_tokens: u64,
    /// Tokens written to the provider's cache.
    pub cache_write_tokens: u64,
}

impl MissionView {
    pub(super) fn of(row: &MissionRow, history: &History, spends: &[Spend]) -> Self {
        let mission = history.trail.mission();
        let opening = mission.opening();
        let name = row.key.to_string();
        Self {
            goal: row.goal.clone(),
            repository: row.repository.clone(),
            base: opening.map(|opening| opening.base.clone()).unwrap_or_default(),
            branch: opening.map(|opening| opening.branch.clone()).unwrap_or_default(),
            head: mission.head().map(str::to_owned),
            published: history.published.clone(),
            status: status_word(mission.status()),
            ending: Ending::of(mission.status()),
            began_at_ms: row.created_at_ms,
            ended_at_ms: history.ended_at_ms,
            changed_at_ms: history.last.1.max(row.created_at_ms),
            seq: history.last.0,
            tally: TallyView::of(mission),
            tasks: tasks(history),
            health: health::of(mission),
            agents: agents(mission, spends),
            interrupts: interrupts(&name, history),
            queue: queue(mission),
            money: MoneyView::of(mission, spends, history.invented),
            name,
        }
    }

    /// How it has ended.
    pub fn ending(&self) -> Ending {
        self.ending
    }
}

impl Ending {
    fn of(status: Status) -> Self {
        match status {
            Status::Closed(Outcome::Done) => Self::Done,
            Status::Closed(Outcome::Failed) => Self::Failed,
            Status::Closed(Outcome::Cancelled) => Self::Cancelled,
            Status::Empty | Status::Running | Status::Paused(_) | Status::Closing(_) => Self::Open,
        }
    }
}

impl TallyView {
    fn of(mission: &Mission) -> Self {
        let tally = mission.tally();
        let total = mission.plan().tasks.len() as u32;
        Self {
            total,
            open: tally.open,
            done: tally.done,
            failed: tally.failed,
            skipped: tally.skipped,
            superseded: tally.superseded,
        }
    }
}

fn tasks(history: &History) -> Vec<TaskView> {
    let mission = history.trail.mission();
    let undone = |id: &TaskId| mission.task(*id).is_none_or(|task| task.state != TaskState::Done);
    let view = |(spec, id): (&mission::TaskSpec, TaskId)| {
        let past = history.tasks.get(&id);
        let merge_commit = past.and_then(|past| past.merge_commit.clone());
        let state = past.and_then(TaskHistory::merged_word).unwrap_or_else(|| task_word(mission, id));
        let task = mission.task(id);
        let missing = spec.depends_on.iter().copied().filter(|id| state == "waiting" && undone(id));
        TaskView {
            name: spec.name.clone(),
            title: spec.title.clone(),
            role: history.trail.role_name(spec.role).to_owned(),
            state,
            waits_for: missing.map(|id| history.trail.task_name(id).to_owned()).collect(),
            interrupt: task.and_then(|task| match task.state {
                TaskState::Asking(interrupt) => Some(interrupt.to_string()),
                _ => None,
            }),
            agent: task.and_then(|task| task.last_agent).map(|agent| mission.agent_name(agent).to_owned()),
            attempts: past.map_or(0, |past| past.attempts.len() as u32),
            merge_commit,
            work_commit: past.and_then(|past| past.work_commit.clone()),
        }
    };
    mission.plan().tasks.iter().zip((0..).map(TaskId)).map(view).collect()
}

impl TaskView {
    /// Whether it is done, so that nothing is to be said of why not.
    pub fn is_done(&self) -> bool {
        matches!(self.state, "merged" | "done" | "nothing to merge")
    }

    /// Whether a person may give it another round of attempts.
    pub fn can_be_retried(&self) -> bool {
        matches!(self.state, "failed" | "asking")
    }

    /// Its state with what it waits for.
    pub fn state_line(&self) -> String {
        match (self.waits_for.as_slice(), &self.interrupt) {
            ([], None) => self.state.to_owned(),
            ([], Some(interrupt)) => format!("waits for the answer to {interrupt}"),
            (tasks, _) => format!("waits for {}", tasks.join(", ")),
        }
    }
}

fn agents(mission: &Mission, spends: &[Spend]) -> Vec<AgentView> {
    let mut costs: BTreeMap<&str, (u64, u64, u64)> = BTreeMap::new();
    for spend in spends {
        let (calls, unknown, micros) = costs.entry(&spend.agent).or_default();
        *calls += spend.calls;
        *unknown += spend.unpriced_calls;
        *micros = micros.saturating_add(spend.cost_micros);
    }
    let task_name = |id: TaskId| mission.plan().tasks.get(id.0 as usize).map(|task| task.name.clone());
    let view = |(id, agent): (mission::AgentId, &mission::Agent)| {
        let name = mission.agent_name(id);
        let (calls, unknown_calls, cost_micros) = costs.get(name).copied().unwrap_or_default();
        let attempt = agent.attempt.and_then(|attempt| mission.attempt(attempt));
        AgentView {
            name: name.to_owned(),
            role: mission.plan().roles.get(agent.role.0 as usize).map_or(String::new(), |role| role.name.clone()),
            state: process_word(agent.process),
            task: attempt.and_then(|attempt| task_name(attempt.task)),
            failures: agent.failures,
            unread: mission.unread(id) as u32,
            calls,
            unknown_calls,
            cost_micros,
        }
    };
    mission.agents().map(view).collect()
}

fn interrupts(name: &str, history: &History) -> Vec<InterruptView> {
    let trail = &history.trail;
    let view = |(id, interrupt): (InterruptId, &mission::Interrupt)| {
        let subject = trail.of_interrupt(id);
        InterruptView {
            id: id.to_string(),
            mission: name.to_owned(),
            kind: interrupt.about.kind(),
            task: subject.task.map(|task| trail.task_name(task).to_owned()),
            agent: subject.agent.map(|agent| trail.agent_name(agent).to_owned()),
            question: interrupt.question.clone(),
            asked_at_ms: history.asked_at_ms.get(&id).copied().unwrap_or_default(),
            deadline_ms: interrupt.deadline.0,
            default: match &interrupt.default {
                Answer::Approve => "approve".to_owned(),
                Answer::Deny => "deny".to_owned(),
                Answer::Text(text) => text.clone(),
            },
            options: match &interrupt.about {
                About::Question(_) => options::of(&interrupt.question),
                _ => Vec::new(),
            },
            answers: options::answers(trail.mission(), name, id, interrupt),
        }
    };
    trail.mission().interrupts().map(view).collect()
}

fn queue(mission: &Mission) -> Vec<QueuedView> {
    let name = |id: TaskId| mission.plan().tasks.get(id.0 as usize).map_or(String::new(), |task| task.name.clone());
    let view = |change: &mission::Change| QueuedView {
        task: name(change.task),
        agent: mission.agent_name(change.agent).to_owned(),
        state: change_word(&change.state),
        commit: change.commit.clone(),
    };
    mission.queue().map(view).collect()
}

impl MoneyView {
    fn of(mission: &Mission, spends: &[Spend], invented: bool) -> Self {
        // The price that a scripted model has in the configuration is nobody's list price.
        let source = |source: &str| if invented && source == "list-price" { "invented" } else { source }.to_owned();
        let ledger = mission.ledger();
        let by = spends.iter().map(|spend| SpendView {
            agent: spend.agent.clone(),
            model: spend.model.clone(),
            source: source(&spend.cost_source),
            prices: spend.prices_version.clone(),
            reasoning_tokens: spend.reasoning_tokens,
            calls: spend.calls,
            unknown_calls: spend.unpriced_calls,
            cost_micros: spend.cost_micros,
            input_tokens: spend.input_tokens,
            output_tokens: spend.output_tokens,
            cache_read_tokens: spend.cache_read_tokens,
            cache_write_tokens: spend.cache_write_tokens,
        });
        Self {
            cap_micros: ledger.cap.map(|cap| cap.0),
            spent_micros: ledger.settled.0,
            leased_micros: ledger.leased.0,
            calls: ledger.calls,
            unknown_calls: ledger.unknown,
            invented,
            estimated_calls: ledger.estimated_calls,
            estimated_micros: ledger.estimated.0,
            beyond_micros: ledger.beyond.0,
            limits: BudgetLimitView::all(mission),
            input_tokens: ledger.input_tokens,
            output_tokens: ledger.output_tokens,
            by: by.collect(),
        }
    }
}
