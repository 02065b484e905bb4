//! What must hold, whatever happens. Each rule is one function; a run stops at the first one broken.

use crate::{shadow::Shadow, world::World};
use mission::{
    Allowance, AttemptState, Fact, Measure, Mission, PauseReason, Scope, Stance, Status, Tally, TaskId, TaskState,
    limits,
};
use std::{collections::BTreeSet, fmt};

/// The rules by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A task has at most one live attempt, an agent at most one task, and both sides know it.
    OneTaskPerAgent,
    /// An agent never has two turns at once.
    OneTurnPerAgent,
    /// An agent never has two processes at once.
    OneProcessPerAgent,
    /// No effect starts before its fact is durable.
    DurableBeforeEffect,
    /// An effect asked for again is asked for in the same words; ids are never used twice.
    SameEffectSameWords,
    /// What is settled and what is set aside never pass the cap together.
    CapHolds,
    /// What is used of an allowance never passes it.
    AllowancesHold,
    /// What an agent was told is recorded is judged, however its turn ends.
    ClaimsHold,
    /// The ledger is the sum of the bills; what is set aside is the sum of the leases.
    BooksMatch,
    /// A message is given to each recipient exactly once.
    MessagesOnce,
    /// A call of an agent has its effect once, however often it is made.
    CallsOnce,
    /// The mission branch takes each change once, one after the other, and stands where the journal says.
    LinearMerges,
    /// A task is done only when its change is merged at the verified commit, or when its result is its text.
    DoneIsMerged,
    /// Of tasks that are rivals one is done, and the others are put aside.
    OneOfRivals,
    /// No task is given to agents that cannot do it.
    OnlyTheFit,
    /// No attempt begins before what its task needs is done.
    NeedsFirst,
    /// When a mission is over no process and no turn is on, and nothing but a bill comes after it.
    ClosedIsQuiet,
    /// No turn and no attempt begins while the mission is paused or ends.
    PausedIsPaused,
    /// After a cause that lasts nothing begins for its role until a person answered.
    StoppedIsQuiet,
    /// No turn goes on or begins for an attempt whose provider takes no calls.
    LimitsAreKept,
    /// Replaying the journal makes the same state.
    ReplayIsState,
    /// A refusal changes nothing.
    RefusalChangesNothing,
    /// The timer never fires twice for nothing.
    WakeupIsSane,
    /// No collection passes its limit.
    WithinLimits,
    /// One decision is bounded by what it touches.
    ShortDecisions,
    /// Every open question is about something that is still on.
    QuestionsAreLive,
    /// The tally counts the tasks.
    TallyCounts,
    /// Without faults a mission ends, or waits for a person.
    Ends,
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub rule: Rule,
    /// How.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.detail)
    }
}

/// A violation with its detail.
pub fn broken(rule: Rule, detail: impl Into<String>) -> Violation {
    Violation { rule, detail: detail.into() }
}

fn hold(rule: Rule, holds: bool, detail: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(broken(rule, detail())) }
}

/// Every rule about what the core, the world and the journal are like between two steps.
///
/// # Errors
/// The first rule broken.
pub fn check(mission: &Mission, world: &World, shadow: &Shadow) -> Result<(), Violation> {
    if let Some(violation) = &world.broken {
        return Err(violation.clone());
    }
    one_task_per_agent(mission)?;
    cap_holds(mission, world)?;
    allowances_hold(mission, world)?;
    books_match(mission, shadow)?;
    linear_merges(mission, world, shadow)?;
    messages_once(mission, world, shadow)?;
    within_limits(mission)?;
    questions_are_live(mission)?;
    tally_counts(mission)
}

fn one_task_per_agent(mission: &Mission) -> Result<(), Violation> {
    let rule = Rule::OneTaskPerAgent;
    let mut agents = BTreeSet::new();
    for (id, attempt) in mission.attempts() {
        hold(rule, agents.insert(attempt.agent), || format!("{} has two attempts", attempt.agent))?;
        let task = mission.task(attempt.task).map(|task| task.state);
        hold(rule, task == Some(TaskState::Running(id)), || format!("{id} is on {} which is {task:?}", attempt.task))?;
        let agent = mission.agent(attempt.agent).and_then(|agent| agent.attempt);
        hold(rule, agent == Some(id), || format!("{} has {agent:?}, not {id}", attempt.agent))?;
        hold(rule, attempt.state != AttemptState::Ended, || format!("nothing follows from the end of {id}'s turn"))?;
    }
    let busy = mission.agents().filter(|(_, agent)| agent.attempt.is_some()).count();
    hold(rule, busy == agents.len(), || format!("{busy} agents have attempts, there are {}", agents.len()))
}

fn cap_holds(mission: &Mission, world: &World) -> Result<(), Violation> {
    let ledger = mission.ledger();
    let Some(cap) = ledger.cap.filter(|_| world.scenario.faults.respectful()) else { return Ok(()) };
    let held = ledger.settled.plus(ledger.leased);
    hold(Rule::CapHolds, held <= cap, || format!("settled {} and leased {} pass {cap}", ledger.settled, ledger.leased))
}

/// Time is the exception: a turn needs some to end.
fn allowances_hold(mission: &Mission, world: &World) -> Result<(), Violation> {
    if !world.scenario.faults.respectful() {
        return Ok(());
    }
    // A bill that nobody made a call for counts for the mission, and nothing was set aside for it.
    let forged = |allowance: &Allowance| {
        world.scenario.faults.nonsense > 0 && (allowance.scope, allowance.measure) == (Scope::Mission, Measure::Calls)
    };
    let counted =
        mission.allowances().filter(|(_, allowance, _)| allowance.measure != Measure::Time && !forged(allowance));
    for (id, allowance, spent) in counted {
        hold(Rule::AllowancesHold, spent.used <= spent.most, || format!("{spent:?} of {id}, {allowance:?}"))?;
    }
    // Nobody who was told no still has something to do.
    let denied = mission.attempts().find(|(_, attempt)| {
        // What is claimed is taken without another call.
        matches!(attempt.state, AttemptState::Owed { .. })
            && attempt.claim.is_none()
            && mission.status() == Status::Running
            && mission.allowances().any(|(_, allowance, spent)| {
                spent.stance == Stance::Denied
                    && match allowance.scope {
                        Scope::Agent(agent) => agent == attempt.agent,
                        Scope::Task(task) => task == leader(mission, attempt.task),
                        Scope::Role(role) => mission.agent(attempt.agent).is_some_and(|agent| agent.role == role),
                        Scope::Mission => false,
                    }
            })
    });
    hold(Rule::AllowancesHold, denied.is_none(), || format!("{denied:?} goes on after it was denied"))
}

/// The task that stands for all of its rivals.
fn leader(mission: &Mission, task: TaskId) -> TaskId {
    mission.plan().tasks.get(task.0 as usize).and_then(|task| task.dispatch.rival_of).unwrap_or(task)
}

fn books_match(mission: &Mission, shadow: &Shadow) -> Result<(), Violation> {
    let ledger = mission.ledger();
    let booked = (ledger.settled.0, ledger.calls);
    hold(Rule::BooksMatch, booked == (shadow.settled, shadow.calls), || {
        format!("the ledger has {booked:?}, the bills say {} in {} calls", shadow.settled, shadow.calls)
    })?;
    let over: u64 = mission.lingering_leases().map(|(_, left)| left.0).sum();
    let leases: u64 = if ledger.cap.is_some() {
        over + mission.attempts().filter_map(|(id, _)| mission.lease_left(id)).map(|left| left.0).sum::<u64>()
    } else {
        ledger.leased.0
    };
    hold(Rule::BooksMatch, leases == ledger.leased.0, || {
        format!("{leases} in leases, {} on the books", ledger.leased.0)
    })
}

fn linear_merges(mission: &Mission, world: &World, shadow: &Shadow) -> Result<(), Violation> {
    let rule = Rule::LinearMerges;
    hold(rule, mission.head() == shadow.head.as_deref(), || format!("{:?} is not {:?}", mission.head(), shadow.head))?;
    let once: BTreeSet<_> = world.moves.iter().map(|(change, _)| change).collect();
    hold(rule, once.len() == world.moves.len(), || format!("the branch moved {:?}", world.moves))?;
    // The branch may be one move ahead of the journal: the move whose answer is under way.
    let ahead = world.moves.len().saturating_sub(shadow.merges.len());
    hold(rule, ahead <= 1 && world.moves.starts_with(&shadow.merges), || {
        format!("the branch moved {:?}, the journal has {:?}", world.moves, shadow.merges)
    })
}

fn messages_once(mission: &Mission, world: &World, shadow: &Shadow) -> Result<(), Violation> {
    let rule = Rule::MessagesOnce;
    for (agent, _) in mission.agents() {
        let waiting = shadow.inboxes.get(&agent).map_or(0, std::collections::VecDeque::len);
        hold(rule, mission.unread(agent) == waiting, || {
            format!("{} messages wait for {agent}, by the journal {waiting}", mission.unread(agent))
        })?;
    }
    for ((agent, message), key) in &world.received {
        let given = shadow.given.get(&(*agent, *message));
        hold(rule, given == Some(key), || format!("{agent} received {message} with {key}, given with {given:?}"))?;
    }
    Ok(())
}

fn within_limits(mission: &Mission) -> Result<(), Violation> {
    let full = mission.agents().find(|(agent, _)| mission.unread(*agent) > limits::INBOX_MAX);
    hold(Rule::WithinLimits, full.is_none(), || format!("the inbox of {full:?}"))?;
    let noisy = mission.agents().find(|(_, agent)| agent.refusals > limits::REFUSALS_MAX);
    hold(Rule::WithinLimits, noisy.is_none(), || format!("the refusals of {noisy:?}"))?;
    let open = mission.interrupts().count();
    hold(Rule::WithinLimits, open <= limits::INTERRUPTS_MAX, || format!("{open} interrupts"))?;
    let (queued, attempts) = (mission.queue().count(), mission.attempts().count());
    hold(Rule::WithinLimits, queued <= attempts, || format!("{queued} changes of {attempts} attempts"))
}

fn questions_are_live(mission: &Mission) -> Result<(), Violation> {
    let rule = Rule::QuestionsAreLive;
    for (id, interrupt) in mission.interrupts() {
        match interrupt.about {
            mission::About::Question(attempt) | mission::About::Permission(attempt) => {
                hold(rule, mission.attempt(attempt).is_some(), || format!("{id} asks for {attempt}, which is over"))?;
            }
            mission::About::Task(task) => {
                let state = mission.task(task).map(|task| task.state);
                hold(rule, state == Some(TaskState::Asking(id)), || format!("{id} asks about {task}: {state:?}"))?;
            }
            _ => {}
        }
    }
    for (id, attempt) in mission.attempts() {
        if let AttemptState::Parked(on) = attempt.state {
            let open = mission.interrupts().any(|(interrupt, _)| interrupt == on);
            hold(rule, open, || format!("{id} waits for {on}, which is not open"))?;
        }
    }
    Ok(())
}

fn tally_counts(mission: &Mission) -> Result<(), Violation> {
    let mut counted = Tally::default();
    for index in 0..mission.plan().tasks.len() {
        let Some(task) = mission.task(mission::TaskId(index as u32)) else { continue };
        match task.state {
            TaskState::Done => counted.done += 1,
            TaskState::Failed => counted.failed += 1,
            TaskState::Skipped => counted.skipped += 1,
            TaskState::Superseded => counted.superseded += 1,
            _ => counted.open += 1,
        }
    }
    let tally = mission.tally();
    hold(Rule::TallyCounts, tally == counted, || format!("{tally:?} is not {counted:?}"))
}

/// What one decision may be like.
///
/// # Errors
/// The rule that it breaks.
pub fn check_decision(before: Status, facts: &[Fact], mission: &Mission) -> Result<(), Violation> {
    let touched = mission.agents().count() + mission.plan().tasks.len() + mission.interrupts().count();
    hold(Rule::ShortDecisions, facts.len() <= 16 + 8 * touched, || format!("{} facts: {facts:?}", facts.len()))?;
    let mut status = before;
    for fact in facts {
        let begins = matches!(fact, Fact::TurnStarted { .. } | Fact::Assigned { .. } | Fact::AgentStarting { .. });
        hold(Rule::PausedIsPaused, !begins || status == Status::Running, || format!("{fact:?} while {status:?}"))?;
        match fact {
            Fact::Paused { why } => status = Status::Paused(*why),
            Fact::Resumed => status = Status::Running,
            Fact::Closing { outcome, .. } => {
                let twice = matches!(status, Status::Closing(_));
                hold(Rule::ClosedIsQuiet, !twice, || "the mission begins to end twice".to_owned())?;
                status = Status::Closing(*outcome);
            }
            _ => {}
        }
    }
    let paused = mission.status() == Status::Paused(PauseReason::Person);
    let on =
        mission.attempts().find(|(_, attempt)| matches!(attempt.state, AttemptState::Working { cancelled: None, .. }));
    hold(Rule::PausedIsPaused, !paused || on.is_none(), || format!("{on:?} goes on while a person wants a pause"))?;
    let limited = mission.attempts().find(|(_, attempt)| {
        attempt.limited.is_some() && matches!(attempt.state, AttemptState::Working { cancelled: None, .. })
    });
    hold(Rule::LimitsAreKept, limited.is_none(), || format!("{limited:?}"))
}

/// The timer never fires twice for nothing.
///
/// # Errors
/// That rule.
pub fn check_wakeup(now: mission::At, facts: &[Fact], mission: &Mission) -> Result<(), Violation> {
    let next = mission.next_wakeup();
    hold(Rule::WakeupIsSane, !facts.is_empty() || next.is_none_or(|at| at > now), || {
        format!("nothing was due at {now:?}, next {next:?}")
    })
}

/// When a mission is over nothing is left running.
///
/// # Errors
/// That rule.
pub fn check_closed(world: &World) -> Result<(), Violation> {
    let on = world.bodies.iter().find(|(_, body)| body.alive || body.starting.is_some() || body.turn.is_some());
    hold(Rule::ClosedIsQuiet, on.is_none(), || format!("{on:?} outlives the mission"))
}

/// When a mission is over its accounts are complete: every bill is booked, those that died with an engine at their worst, the branch is where the journal
/// says, every message was given or still waits, and the result is where it belongs.
///
/// # Errors
/// The first rule broken.
pub fn check_end(mission: &Mission, world: &World, shadow: &Shadow) -> Result<(), Violation> {
    let (bills, ledger) = (world.bills, mission.ledger());
    // Nonsense bills are free of charge and are not the provider's.
    let booked = bills.paid + bills.over;
    hold(Rule::BooksMatch, ledger.settled.0 == booked, || format!("{bills:?} but {} settled", ledger.settled))?;
    hold(Rule::BooksMatch, ledger.leased.0 == 0, || format!("{} is still set aside", ledger.leased))?;
    // A move that was given up because the mission ended may have happened; the result is what the journal says.
    hold(Rule::LinearMerges, shadow.merge_given_up || world.moves == shadow.merges, || {
        format!("the branch moved {:?}, the journal has {:?}", world.moves, shadow.merges)
    })?;
    let wanted = mission.head().filter(|_| shadow.published);
    hold(Rule::LinearMerges, wanted == world.published.as_deref() || wanted.is_none(), || {
        format!("{:?} is published, not {wanted:?}", world.published)
    })?;
    hold(Rule::ClosedIsQuiet, mission.interrupts().next().is_none(), || "a question is open".to_owned())?;
    hold(Rule::ClosedIsQuiet, mission.next_wakeup().is_none(), || "a timer runs".to_owned())
}
