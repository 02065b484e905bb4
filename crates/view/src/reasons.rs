//! Why: every choice of a mission with its reason, read from its journal.
//!
//! Nothing is guessed afterwards. A reason is what the fact itself holds (why this agent, why a change came back) or the fact that it follows
//! from (a pause at the cap, a person's answer).

use super::{
    ranked,
    refused::remedy,
    trail::Trail,
    words::{
        answer_word, brief_word, count, first_line, left_out_lines, outcome_word, pause_word, return_evidence,
        return_word, short, stop_word,
    },
};
use mission::{About, AttemptId, By, Choice, Fact, Failure, InterruptId, Micros, Outcome, Problem, TaskId};
use serde::Serialize;

/// One choice and its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The number of the fact.
    pub seq: u64,
    /// When it was decided, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The kind of the fact, as the journal has it.
    pub kind: &'static str,
    /// The agent that it is about, if any.
    pub agent: Option<String>,
    /// The task that it is about, if any.
    pub task: Option<String>,
    /// The interrupt that it is about, if any: `i0`.
    pub interrupt: Option<String>,
    /// What was decided.
    pub what: String,
    /// Why.
    pub why: String,
    /// What there is to see: the end of a failed check's output, conflicting hunks, an error; often empty.
    pub evidence: String,
}

/// A choice before it knows its place.
struct Chosen {
    what: String,
    why: String,
    evidence: String,
}

fn chosen(what: impl Into<String>, why: impl Into<String>) -> Option<Chosen> {
    Some(Chosen { what: what.into(), why: why.into(), evidence: String::new() })
}

impl Reason {
    /// The choice in a fact, if there is one that asks for a reason. `answer` is the interrupt whose answer came right before it.
    pub(super) fn of(
        trail: &Trail,
        seq: u64,
        at_ms: u64,
        fact: &Fact,
        answer: Option<(InterruptId, By)>,
    ) -> Option<Self> {
        let Chosen { what, why, evidence } = choice(trail, fact, answer)?;
        let subject = trail.subject(fact);
        Some(Self {
            seq,
            at_ms,
            kind: fact.kind(),
            agent: subject.agent.map(|agent| trail.agent_name(agent).to_owned()),
            task: subject.task.map(|task| trail.task_name(task).to_owned()),
            interrupt: subject.interrupt.map(|interrupt| interrupt.to_string()),
            what,
            why,
            evidence,
        })
    }

    /// Whether it is about the task, agent or interrupt of this name.
    pub(super) fn is_about(&self, name: &str) -> bool {
        [&self.agent, &self.task, &self.interrupt].iter().any(|own| own.as_deref() == Some(name))
    }
}

// tidy: dispatch
fn choice(trail: &Trail, fact: &Fact, answer: Option<(InterruptId, By)>) -> Option<Chosen> {
    match fact {
        Fact::Opened { opening, .. } => {
            let budget = opening.budget?;
            chosen(format!("at most {budget} may be spent"), "the mission was begun with this budget")
        }
        Fact::EngineRestarted => chosen(
            "a new engine took the mission up",
            "the one before it ended; what it had not finished is begun again",
        ),
        Fact::EffectDelayed { error, .. } => chosen("it is tried again after a pause", error.as_str()),
        Fact::AgentStartFailed { error, .. } => chosen("it rests before it is started again", error.as_str()),
        Fact::AgentLost { reason, blame, .. } => lost(reason, *blame),
        Fact::AgentStopping { reason, .. } => chosen("its process is stopped", stop_word(*reason)),
        Fact::Assigned { attempt, because, lease, .. } => assigned(trail, *attempt, because, *lease),
        Fact::TurnStarted { resumed: true, .. } => {
            chosen("its turn is taken up where it stopped", "the process that was in it is gone")
        }
        Fact::TurnCancelling { reason, .. } => chosen("it is asked to end its turn", stop_word(*reason)),
        Fact::TurnOwed { brief, .. } => chosen("it gets another turn", brief_word(brief)),
        Fact::AttemptParked { interrupt, .. } => {
            chosen(format!("it waits for the answer to {interrupt}"), "it asked and ended its turn without a result")
        }
        Fact::TurnEnded { stop, problem: Some(problem), .. } => {
            let evidence = problem.hint.clone();
            Some(Chosen { what: "its turn is over".to_owned(), why: stopped_because(*stop, problem), evidence })
        }
        Fact::AttemptFailed { attempt, reason, retry, problem } => {
            failed(trail, *attempt, (reason, problem.as_deref()), retry.is_some())
        }
        Fact::RoleStopped { role, problem } => {
            let what = format!("nothing more is given to role {}", trail.role_name(*role));
            let why = format!("{}; trying again would end the same", problem.tell());
            Some(Chosen { what, why, evidence: problem.hint.clone() })
        }
        Fact::RoleReleased { role } => {
            chosen(format!("role {} goes on", trail.role_name(*role)), after(answer, "a person wants it tried again"))
        }
        Fact::RoleGivenUp { role } => chosen(
            format!("what only role {} can do is given up", trail.role_name(*role)),
            after(answer, "too many questions are open already"),
        ),
        Fact::InterruptRaised { interrupt, about, question, .. } => {
            chosen(format!("{interrupt} asks a person: {question}"), raised_because(about))
        }
        Fact::InterruptAnswered { interrupt, answer, by } => {
            chosen(format!("{interrupt} is answered: {}", answer_word(answer)), answered_because(*by))
        }
        Fact::EgressRefused { host, port, reason, allow, .. } => {
            chosen(format!("it may not connect to {host}:{port}"), format!("{reason}{}", remedy(allow.as_deref())))
        }
        Fact::LeaseGranted { micros, .. } => chosen(
            format!("{micros} more of the budget is set aside for it"),
            "its next model call may need more than was left",
        ),
        Fact::AttemptLimited { own: true, .. } => chosen("it waits", "the budget of this time is used up"),
        Fact::AttemptLimited { .. } => chosen("it waits", "the provider takes no calls until its limit is reset"),
        Fact::AttemptReleased { .. } => chosen("it goes on", "the time that it had to wait is over"),
        Fact::AllowanceRaised { allowance, by } => chosen(
            format!(
                "the budget of {} is raised by {}",
                trail.allowance(*allowance, None),
                trail.amount(*allowance, *by)
            ),
            after(answer, "a person allowed it"),
        ),
        Fact::AllowanceDenied { allowance } => chosen(
            format!("no more than {} may be used", trail.allowance(*allowance, None)),
            after(answer, "a person denied it"),
        ),
        Fact::BudgetRaised { by } => {
            chosen(format!("the budget is raised by {by}"), after(answer, "a person allowed it"))
        }
        Fact::TaskReady { .. } => {
            chosen("it may be given to an agent again", "its pause after the failed attempt is over")
        }
        Fact::ChangeVerified { change, commit, checks, .. } => {
            let checks: Vec<String> = checks.iter().map(|check| format!("{} ({} ms)", check.run, check.ms)).collect();
            let lacks = trail.left_out(*change).map(|left| left_out_lines(left).join("\n"));
            Some(Chosen {
                what: format!("its change is accepted as {}", short(commit)),
                why: format!("in a clean sandbox at exactly this commit every check succeeded: {}", checks.join("; ")),
                evidence: lacks.map(|lacks| format!("not part of the change:\n{lacks}")).unwrap_or_default(),
            })
        }
        Fact::ChangeReturned { why, .. } => {
            let evidence = return_evidence(why);
            Some(Chosen { what: "its change goes back to it".to_owned(), why: return_word(why), evidence })
        }
        Fact::TaskFailed { why, .. } => chosen("it will not be done", why.as_str()),
        Fact::TaskSkipped { because, .. } => skipped(trail, *because),
        Fact::TaskSuperseded { by, .. } => {
            chosen("it is put aside", format!("'{}' does the same work and is done", trail.task_name(*by)))
        }
        Fact::HealthChanged { role, state, reason, .. } => {
            let reason = if reason.is_empty() { "its check found nothing wrong" } else { reason };
            chosen(format!("role {} is {}", trail.role_name(*role), state.word()), reason)
        }
        Fact::TaskReopened { .. } => {
            chosen("it gets another round of attempts", after(answer, "a person wants it tried again"))
        }
        Fact::Paused { why } => chosen("the mission pauses", pause_word(*why)),
        Fact::Resumed => chosen("the mission goes on", after(answer, "a person wants it to go on")),
        Fact::Closing { outcome, why: Some(why) } => {
            chosen(format!("the mission ends: {}", outcome_word(*outcome)), why.as_str())
        }
        Fact::Closing { outcome, why: None } => closing(trail, *outcome, answer),
        Fact::PublishAbandoned => {
            chosen("the result stays in the mission's own repository", after(answer, "a person let it be"))
        }
        _ => None,
    }
}

fn assigned(trail: &Trail, attempt: AttemptId, because: &Choice, lease: Option<Micros>) -> Option<Chosen> {
    let number = trail.attempt(attempt).map_or(1, |tried| tried.number);
    let money = lease.map(|lease| format!(", with {lease} of the budget set aside")).unwrap_or_default();
    let Choice { role, free, warm, failures, fresh_eyes, ranking } = because;
    let what = format!("it is given the task (attempt {number}{money})");
    if let Some(ranking) = ranking {
        let why = ranked::why(trail, ranking, *role);
        return Some(Chosen { what, why, evidence: ranked::evidence(trail, ranking, *role) });
    }
    let role = trail.role_name(*role);
    let warm = if *warm { ", its process is up" } else { "" };
    let why = match (free, fresh_eyes) {
        (1, _) => format!("the task asks for role {role}, and no other agent of it was free"),
        (_, true) => {
            format!(
                "the task asks for role {role}; of {free} that were free, one had failed this very task, and this one comes next ({failures} failed attempts{warm})"
            )
        }
        (_, false) => format!(
            "the task asks for role {role}; of {free} that were free, none had fewer failed attempts ({failures}{warm})"
        ),
    };
    chosen(what, why)
}

fn lost(reason: &str, blame: bool) -> Option<Chosen> {
    let blame = if blame {
        "this counts as one of the losses that an attempt may have"
    } else {
        "this does not count against it"
    };
    chosen("its process is gone; a turn that was on is owed again", format!("{reason}; {blame}"))
}

/// Why a turn ended: the cause itself where it says it all.
pub(super) fn stopped_because(stop: mission::Stop, problem: &Problem) -> String {
    Failure::Stopped(stop).told(Some(problem))
}

fn failed(
    trail: &Trail,
    attempt: AttemptId,
    (reason, problem): (&Failure, Option<&Problem>),
    again: bool,
) -> Option<Chosen> {
    let tried = trail.attempt(attempt)?;
    let lasting = problem.is_some_and(|problem| problem.lasting);
    let next = match (again, reason) {
        (true, _) if lasting => "; the task waits for another role, or for a person",
        (true, _) => "; the task is tried again after a pause",
        (false, Failure::Closing) => "",
        (false, _) => "; its attempts are used up, so a person is asked",
    };
    chosen(format!("attempt {} ends without success{next}", tried.number), reason.told(problem))
}

fn raised_because(about: &About) -> &'static str {
    match about {
        About::Question(_) => "the agent asked",
        About::Permission(_) => "the rules of its role leave this to a person",
        About::Task(_) => "the attempts of the task are used up",
        About::Role(_) => "what one of its agents met would meet all of them again",
        About::Budget | About::Allowance(_) => "more would pass the budget",
        About::Space => "the disk is full",
        About::Checks => "a check cannot start, whatever the agents do",
        About::Publish => "the result could not be put into your repository",
    }
}

fn answered_because(by: By) -> &'static str {
    match by {
        By::Person => "a person answered",
        By::Default => "nobody answered in time, so its default holds",
        By::Moot => "what it was about is over",
    }
}

fn skipped(trail: &Trail, because: TaskId) -> Option<Chosen> {
    chosen("it will not be done", format!("it needs '{}', which will not be done", trail.task_name(because)))
}

fn closing(trail: &Trail, outcome: Outcome, answer: Option<(InterruptId, By)>) -> Option<Chosen> {
    let tally = trail.mission().tally();
    let why = match outcome {
        Outcome::Done => "every task is done".to_owned(),
        Outcome::Failed if tally.open > 0 || tally.failed == 0 => "something of ours failed for good".to_owned(),
        Outcome::Failed => {
            let skipped = if tally.skipped > 0 { format!(" and {} skipped", tally.skipped) } else { String::new() };
            format!("{} failed{skipped}", count(tally.failed.into(), "task", "tasks"))
        }
        Outcome::Cancelled => after(answer, "a person ended it"),
    };
    chosen(format!("the mission ends: {}", outcome_word(outcome)), why)
}

/// The answer that led to a fact, else what leads to such a fact otherwise.
fn after(answer: Option<(InterruptId, By)>, otherwise: &str) -> String {
    match answer {
        Some((interrupt, By::Default)) => format!("nobody answered {interrupt} in time, so its default holds"),
        Some((interrupt, _)) => format!("it follows from the answer to {interrupt}"),
        None => otherwise.to_owned(),
    }
}

/// Choices with their reasons as text.
pub(super) fn text(reasons: &[Reason], when: &dyn Fn(u64) -> String) -> String {
    let mut text = String::new();
    for reason in reasons {
        let who: Vec<&str> = [&reason.agent, &reason.task].into_iter().flatten().map(String::as_str).collect();
        let who = if who.is_empty() { "mission".to_owned() } else { who.join(", ") };
        text.push_str(&format!("{}  {who}: {}\n", when(reason.at_ms), super::text::indented(&reason.what, 6)));
        text.push_str(&format!("      because {}\n", super::text::indented(&reason.why, 14)));
        if !reason.evidence.is_empty() {
            text.push_str(&format!("      | {}\n", super::text::prefixed(&reason.evidence, "      | ")));
        }
    }
    text
}

/// A choice in one line, for reports.
pub(super) fn one_line(reason: &Reason) -> String {
    format!("{}, because {}", first_line(&reason.what), reason.why)
}
