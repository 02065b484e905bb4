//! Facts in words: one line for each fact. Live progress and `tail` read the same lines.

use super::{
    degraded::{Degraded, degraded},
    duration,
    reasons::stopped_because,
    trail::Trail,
    words::{
        answer_word, brief_word, by_word, count, first_line, outcome_word, pause_word, return_word, short, stop_word,
    },
};
use Weight::{Detail, Notice, Step};
use mission::{Brief, ChangeId, Choice, Fact, Failure, LeftOuts, Mission, Outcome};

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// Only of interest when something is looked into.
    Detail,
    /// Progress.
    Step,
    /// Something that a person should see.
    Notice,
}

/// How something went, which a screen marks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// Neither well nor badly.
    #[default]
    Plain,
    /// Well.
    Good,
    /// Badly.
    Bad,
    /// A person is asked.
    Asks,
}

impl Tone {
    fn of(fact: &Fact) -> Self {
        match fact {
            Fact::Merged { .. } | Fact::TaskDone { .. } | Fact::Published { .. } => Self::Good,
            Fact::Closed { outcome } => match outcome {
                Outcome::Done => Self::Good,
                Outcome::Failed => Self::Bad,
                Outcome::Cancelled => Self::Plain,
            },
            Fact::InterruptRaised { .. } => Self::Asks,
            Fact::EffectDelayed { .. }
            | Fact::AgentStartFailed { .. }
            | Fact::AttemptFailed { .. }
            | Fact::ChangeReturned { .. }
            | Fact::TaskFailed { .. }
            | Fact::TaskSkipped { .. }
            | Fact::EgressRefused { .. }
            | Fact::PublishAbandoned
            | Fact::Closing { why: Some(_), .. } => Self::Bad,
            Fact::AgentLost { blame, .. } if *blame => Self::Bad,
            _ => Self::Plain,
        }
    }
}

/// One fact in words. The words of agents are in it as they came: whoever shows it makes them harmless first.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Line {
    /// How much it matters.
    pub weight: Weight,
    /// How it went.
    pub tone: Tone,
    /// The agent, or nothing when the mission speaks.
    pub agent: Option<String>,
    /// The task, when it is about one.
    pub task: Option<String>,
    /// What happened.
    pub text: String,
}

/// Turns facts into lines. Fed every fact in order, it remembers the few names that it needs.
#[derive(Default)]
pub struct Teller {
    trail: Trail,
}

impl Teller {
    /// The mission as far as it has been told.
    pub fn mission(&self) -> &Mission {
        self.trail.mission()
    }

    /// The next fact's line.
    pub fn tell(&mut self, fact: &Fact) -> Line {
        self.trail.note(fact);
        let subject = self.trail.subject(fact);
        let (weight, text) = self.words(fact);
        let agent = subject.agent.map(|agent| self.trail.agent_name(agent).to_owned());
        let task = subject.task.map(|task| self.trail.task_name(task).to_owned());
        self.trail.apply(fact);
        Line { weight, tone: Tone::of(fact), agent, task, text }
    }

    // tidy: dispatch
    fn words(&self, fact: &Fact) -> (Weight, String) {
        match fact {
            Fact::Opened { opening, .. } => {
                let opened = format!("mission opened on {} at {}", opening.repository, short(&opening.base));
                let given_up = degraded(&opening.settings);
                let without = given_up.iter().map(|Degraded { layer, of }| {
                    format!("\nallow_degraded: where this host lacks {layer}, {} run without it", of.join(", "))
                });
                let weight = if given_up.is_empty() { Step } else { Notice };
                (weight, without.fold(opened, |text, line| text + &line))
            }
            Fact::Planned { plan } => {
                let agents: u32 = plan.roles.iter().map(|role| role.count).sum();
                let tasks = count(plan.tasks.len() as u64, "task", "tasks");
                (Step, format!("{tasks} planned for {}", count(agents.into(), "agent", "agents")))
            }
            Fact::RepositoryReady { head, tried } => {
                let stands = format!("the mission's own repository stands at {}", short(head));
                let passing: Vec<&str> =
                    tried.iter().filter(|check| check.passed).map(|check| check.run.as_str()).collect();
                match passing.is_empty() {
                    true => (Detail, stands),
                    false => (Notice, format!("passing before any work is done: {}", passing.join("; "))),
                }
            }
            Fact::EngineRestarted => (Step, "the mission is taken up again".into()),
            Fact::EffectRetried { .. } => (Detail, "what failed is tried again".into()),
            Fact::EffectDelayed { error, .. } => {
                (Notice, format!("something failed and is tried again later: {error}"))
            }
            Fact::AgentStarting { .. } => (Detail, "starts".into()),
            Fact::AgentUp { .. } => (Detail, "is up in its own sandbox and workspace".into()),
            Fact::AgentStartFailed { error, .. } => (Notice, format!("could not be started: {error}")),
            Fact::AgentRested { .. } => (Detail, "may be started again".into()),
            Fact::AgentLost { blame: false, .. } => {
                (Detail, "its process ended with the engine that had started it".into())
            }
            Fact::AgentLost { reason, .. } => (Notice, format!("was lost: {reason}")),
            Fact::AgentStopping { reason, .. } => (Detail, format!("is stopped: {}", stop_word(*reason))),
            Fact::AgentDown { .. } => (Detail, "has ended".into()),
            Fact::HealthChanged { role, state, reason, .. } => {
                let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
                (Notice, format!("role {} is {}{reason}", self.trail.role_name(*role), state.word()))
            }
            Fact::Assigned { because, lease, .. } => {
                let money = lease.map(|lease| format!(", {lease} set aside")).unwrap_or_default();
                (Step, format!("takes the task ({}{money})", few_words(because)))
            }
            Fact::SessionOpened { .. } => (Detail, "opened a session".into()),
            Fact::TurnStarted { turn, resumed, .. } => {
                let again = if *resumed { ", taken up where it stopped" } else { "" };
                (Detail, format!("turn {turn} begins{again}"))
            }
            Fact::TurnExtended { .. } => {
                (Detail, "its turn may last longer: waiting for a person does not count".into())
            }
            Fact::TurnCancelling { reason, .. } => {
                (Notice, format!("is asked to end its turn: {}", stop_word(*reason)))
            }
            Fact::TurnEnded { stop, problem: Some(problem), .. } => (Detail, stopped_because(*stop, problem)),
            Fact::TurnEnded { stop, problem: None, .. } => (Detail, stop.tell().to_owned()),
            Fact::TurnOwed { brief: Brief::Returned(why), .. } => (Notice, format!("sent back: {}", return_word(why))),
            Fact::TurnOwed { brief, .. } => (Detail, format!("gets another turn: {}", brief_word(brief))),
            Fact::AttemptParked { interrupt, .. } => (Step, format!("waits for the answer to {interrupt}")),
            Fact::ResultClaimed { summary, .. } => (Step, format!("submits: {}", first_line(summary))),
            Fact::CheckpointTaken { commit, .. } => (Detail, format!("kept a checkpoint, {}", short(commit))),
            Fact::AttemptFailed { reason, retry, problem, .. } => {
                let lasting = problem.as_ref().is_some_and(|problem| problem.lasting);
                let next = if retry.is_some() && !lasting { "; it is tried again" } else { "" };
                let weight = if *reason == Failure::Closing { Detail } else { Notice };
                (weight, format!("the attempt failed: {}{next}", reason.told(problem.as_deref())))
            }
            Fact::RoleStopped { role, .. } => {
                (Notice, format!("role {} gets nothing more until that is mended", self.trail.role_name(*role)))
            }
            Fact::RoleReleased { role } => (Step, format!("role {} goes on", self.trail.role_name(*role))),
            Fact::RoleGivenUp { role } => {
                (Notice, format!("what only role {} can do is given up", self.trail.role_name(*role)))
            }
            Fact::MessageSent { to, body, .. } => {
                (Step, format!("tells {}: {}", self.trail.recipient(to), first_line(body)))
            }
            Fact::MessagesRead { .. } => (Detail, "read its messages".into()),
            Fact::InterruptRaised { interrupt, about, question, .. } => {
                (Notice, format!("{interrupt} ({}): {question}", about.kind()))
            }
            Fact::InterruptAnswered { interrupt, answer, by } => {
                (Step, format!("{interrupt} answered by {}: {}", by_word(*by), answer_word(answer)))
            }
            Fact::EgressRefused { host, port, reason, times, last, .. } => {
                let times = if *times > 1 { format!(" ({times} times more)") } else { String::new() };
                let last = if *last { "; further refusals are only counted" } else { "" };
                (Notice, format!("may not connect to {host}:{port}: {reason}{times}{last}"))
            }
            Fact::LeaseGranted { micros, .. } => (Detail, format!("gets {micros} more")),
            Fact::LeaseReturned { micros, .. } => (Detail, format!("gives {micros} back")),
            Fact::UsageSettled { usage, .. } => told_usage(usage),
            Fact::AttemptLimited { lasts_ms, own, .. } => {
                let why = if *own { "its budget allows" } else { "the provider takes" };
                (Notice, format!("waits: {why} no more calls for {}", duration(*lasts_ms)))
            }
            Fact::AttemptReleased { .. } => (Step, "may go on: the limit is over".into()),
            Fact::WindowBegan { allowance, .. } => {
                (Detail, format!("a new window of the budget of {} begins", self.trail.allowance(*allowance, None)))
            }
            Fact::TimeCounted { allowance, ms, .. } => {
                let time = self.trail.amount(*allowance, *ms);
                (Detail, format!("{time} more of the budget of {}", self.trail.allowance(*allowance, None)))
            }
            Fact::AllowanceWarned { allowance, used, most } => {
                let used = self.trail.amount(*allowance, *used);
                (Notice, format!("{used} of the budget of {} is used", self.trail.allowance(*allowance, Some(*most))))
            }
            Fact::AllowanceUsedUp { allowance, .. } => {
                (Notice, format!("the budget of {} is used up", self.trail.allowance(*allowance, None)))
            }
            Fact::AllowanceRaised { allowance, by } => {
                let by = self.trail.amount(*allowance, *by);
                (Notice, format!("the budget of {} is raised by {by}", self.trail.allowance(*allowance, None)))
            }
            Fact::AllowanceDenied { allowance } => {
                (Notice, format!("no more than {} may be used", self.trail.allowance(*allowance, None)))
            }
            Fact::BudgetWarned { spent, cap } => (Notice, format!("{spent} of the budget of {cap} is spent")),
            Fact::BudgetRaised { by } => (Notice, format!("the budget is raised by {by}")),
            Fact::TaskReady { .. } => (Detail, "is ready again".into()),
            Fact::ChangeQueued { change, commit, .. } => {
                (Detail, format!("change {change} at {} waits in the merge queue", short(commit)))
            }
            Fact::VerifyStarted { onto, .. } => {
                (Detail, format!("is merged on {} and checked in a clean sandbox", short(onto)))
            }
            Fact::ChangeVerified { checks, .. } => {
                let (number, ms) = (checks.len() as u64, checks.iter().map(|check| check.ms).sum::<u64>());
                (Detail, format!("{} at the merge commit ({ms} ms)", count(number, "check passes", "checks pass")))
            }
            Fact::ChangeReturned { why, .. } => (Notice, format!("sent back: {}", return_word(why))),
            Fact::Merged { change, head, nothing: true } => {
                let lacks = self.lacks(*change);
                (Notice, format!("nothing to merge: it changes nothing; its checks pass at {}{lacks}", short(head)))
            }
            Fact::Merged { change, head, nothing: false } => {
                (Step, format!("merged, verified at {}{}", short(head), self.lacks(*change)))
            }
            Fact::TaskDone { summary, .. } => (Step, format!("done: {}", first_line(summary))),
            Fact::TaskFailed { why, .. } => (Notice, format!("will not be done: {why}")),
            Fact::TaskSkipped { because, .. } => {
                (Notice, format!("is skipped, because it needs '{}'", self.trail.task_name(*because)))
            }
            Fact::TaskSuperseded { by, .. } => {
                (Step, format!("is put aside: '{}' has done it", self.trail.task_name(*by)))
            }
            Fact::TaskReopened { .. } => (Step, "gets another round of attempts".into()),
            Fact::Paused { why } => (Notice, format!("paused: {}", pause_word(*why))),
            Fact::Resumed => (Notice, "going on".into()),
            Fact::Closing { why: Some(why), .. } => (Notice, format!("the mission cannot go on: {why}")),
            Fact::Closing { outcome, why: None } => (Detail, format!("closing: {}", outcome_word(*outcome))),
            Fact::PublishStarted { commit, .. } => {
                (Detail, format!("the result {} goes into your repository", short(commit)))
            }
            Fact::Published { branch, commit } => {
                (Step, format!("branch {branch} stands at {} in your repository", short(commit)))
            }
            Fact::PublishAbandoned => (Notice, "the result stays in the mission's own repository".into()),
            Fact::Closed { outcome } => (Notice, format!("mission {}", outcome_word(*outcome))),
        }
    }
}

impl Teller {
    /// What a change lacks that somebody may have counted on; what builds leave behind is not worth a line's words.
    fn lacks(&self, change: ChangeId) -> String {
        let first = self.trail.left_out(change).filter(|left| left.matters()).and_then(LeftOuts::first);
        first.map(|first| format!("; not part of it: {first}")).unwrap_or_default()
    }
}

fn few_words(choice: &Choice) -> String {
    let Choice { free, failures, .. } = choice;
    format!("{free} free, {} before", count(u64::from(*failures), "failure", "failures"))
}

/// A model call. What its provider billed beyond what the request allowed is for everybody to see.
fn told_usage(usage: &mission::Usage) -> (Weight, String) {
    let cost = usage.cost.map_or("cost unknown".to_owned(), |cost| cost.to_string());
    let used = format!("{} in, {} out, {cost}", usage.input_tokens, usage.output_tokens);
    match usage.beyond {
        Some(more) if more > mission::Micros(0) => (
            Weight::Notice,
            format!(
                "a model call was billed at more than its request allows ({used}): {more} more than was set aside for it; further requests for this \
                 model set more aside"
            ),
        ),
        Some(_) => (
            Weight::Notice,
            format!(
                "the provider reports more input than the request holds ({used}), within what was set aside; further requests for this model set more \
                 aside"
            ),
        ),
        None if usage.estimated => {
            (Weight::Detail, format!("model call whose bill was not seen, at the most that it can have cost: {used}"))
        }
        None => (Weight::Detail, format!("model call: {used}")),
    }
}
