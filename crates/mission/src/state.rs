//! What a mission remembers: one value, built from facts alone.
//!
//! States are enums whose variants hold what exists only then. The sets at the end of [`Mission`] are an agenda: who can be given what right
//! now, kept exact by [`Mission::refresh`], so that no decision has to look through all tasks or agents.

use crate::{
    dispatch::{Past, health::Health, pools::Pools, rivals::Rivals},
    id::{AgentId, At, AttemptId, ChangeId, EffectId, InterruptId, MessageId, RoleId, TaskId},
    input::{Answer, Opening},
    ledger::{Lease, Ledger, Lingering},
    plan::Plan,
    reason::{About, Brief, Outcome, PauseReason, Return, StopReason},
    spending::Spending,
    stopped::Stopped,
    timer::Timers,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// One mission as a pure value. See the crate's documentation for the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mission {
    pub(crate) opening: Option<Box<Opening>>,
    pub(crate) plan: Plan,
    pub(crate) dependents: Vec<Vec<TaskId>>,
    pub(crate) names: Vec<String>,
    pub(crate) status: Status,
    /// The head of the mission branch, once the repositories stand.
    pub(crate) head: Option<String>,
    pub(crate) publication: Publication,
    pub(crate) tasks: Vec<Task>,
    pub(crate) agents: Vec<Agent>,
    pub(crate) attempts: BTreeMap<AttemptId, Attempt>,
    pub(crate) changes: BTreeMap<ChangeId, Change>,
    pub(crate) queue: VecDeque<ChangeId>,
    pub(crate) inbox_bytes: usize,
    pub(crate) interrupts: BTreeMap<InterruptId, Interrupt>,
    pub(crate) ledger: Ledger,
    /// Leases of attempts that are over, of which calls may still be billed.
    pub(crate) lingering: BTreeMap<AttemptId, Lingering>,
    pub(crate) spending: Spending,
    pub(crate) health: Vec<Health>,
    /// Roles that nothing is given to for a lasting cause.
    pub(crate) stopped: BTreeMap<RoleId, Stopped>,
    /// Attempts whose provider takes no calls, by the role of their agent, and until when.
    pub(crate) limited: BTreeMap<RoleId, BTreeMap<AttemptId, At>>,
    /// How attempts of this mission went, by role and kind of task.
    pub(crate) record: BTreeMap<(RoleId, String), Past>,
    pub(crate) rivals: Rivals,
    pub(crate) tally: Tally,
    pub(crate) effects: BTreeMap<EffectId, InFlight>,
    pub(crate) delayed: BTreeMap<EffectId, InFlight>,
    pub(crate) effect_of: BTreeMap<Wanted, EffectId>,
    pub(crate) timers: Timers,
    pub(crate) next: Next,
    // The agenda.
    pub(crate) pools: Pools,
    pub(crate) idle: Vec<BTreeSet<(u32, bool, AgentId)>>,
    pub(crate) turns_due: BTreeSet<AttemptId>,
    pub(crate) starts_due: BTreeSet<AgentId>,
    pub(crate) uncancelled: BTreeSet<AttemptId>,
    pub(crate) working: u32,
    pub(crate) alive: BTreeSet<AgentId>,
    pub(crate) stoppable: BTreeSet<AgentId>,
    pub(crate) to_skip: VecDeque<(TaskId, TaskId)>,
}

/// Where a mission stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Nothing has happened.
    #[default]
    Empty,
    /// Work goes on.
    Running,
    /// No new work begins.
    Paused(PauseReason),
    /// What there is is put away.
    Closing(Outcome),
    /// It is over.
    Closed(Outcome),
}

/// How far the result is on its way into the user's repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Publication {
    #[default]
    NotYet,
    Going,
    Asking,
    Over,
}

/// One task of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Where it stands.
    pub state: TaskState,
    /// How many attempts have begun since it was last opened.
    pub tries: u32,
    /// Who tried last.
    pub last_agent: Option<AgentId>,
    /// Who failed it last, and not for something of ours.
    pub(crate) failed_agent: Option<AgentId>,
    /// How many attempts failed since it was last opened, by role.
    pub(crate) failed_by: BTreeMap<RoleId, u32>,
    /// Roles of which an agent could not be started for it.
    pub(crate) unavailable: BTreeSet<RoleId>,
    /// What the last failed attempt teaches.
    pub(crate) lesson: Option<Lesson>,
}

/// What a failed attempt teaches the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lesson {
    pub(crate) reason: String,
    pub(crate) why: Option<Return>,
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// It waits for so many dependencies.
    Waiting(u32),
    /// It can be given to an agent.
    Ready,
    /// An attempt is on.
    Running(AttemptId),
    /// It rests before the next attempt.
    Resting,
    /// A person is asked what to do with it.
    Asking(InterruptId),
    /// Done.
    Done,
    /// It will not be done.
    Failed,
    /// It will not be done because another one will not.
    Skipped,
    /// It need not be done because a rival of it is.
    Superseded,
}

/// One agent of the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Its role.
    pub role: RoleId,
    /// Its process.
    pub process: Process,
    /// The attempt that it has.
    pub attempt: Option<AttemptId>,
    /// How many attempts of it have failed in this mission.
    pub failures: u32,
    /// How many refusals of the network are recorded for it.
    pub refusals: u32,
    pub(crate) start_failures: u32,
    pub(crate) inbox: VecDeque<Message>,
    pub(crate) last_read: Option<LastRead>,
    /// Its last attempt and what it was about: a bill may come late.
    pub(crate) past_attempt: Option<(AttemptId, TaskId)>,
    /// The calls of its last attempt: one of them that comes late is not a call of the next.
    pub(crate) past_keys: BTreeSet<String>,
}

/// An agent's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// There is none.
    Cold,
    /// There is none, and none may be started for a while.
    Resting,
    /// It is being started.
    Starting,
    /// It is there.
    Up,
    /// It is being stopped.
    Stopping(StopReason),
}

/// A message that waits for an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Who sent it.
    pub from: AgentId,
    /// The text.
    pub body: String,
}

/// What an agent was given last, kept so that the same call gets the same again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LastRead {
    pub(crate) key: String,
    pub(crate) messages: Vec<Message>,
}

/// One try of one task by one agent, while it lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Which task.
    pub task: TaskId,
    /// Which agent.
    pub agent: AgentId,
    /// The commit that the work begins at.
    pub base: String,
    /// The conversation, once there is one.
    pub session: Option<String>,
    /// How many turns have begun.
    pub turns: u32,
    /// Where it stands.
    pub state: AttemptState,
    /// The claim of the current turn, if the agent made one.
    pub claim: Option<String>,
    /// Until when the provider takes no calls for it, if it does not.
    pub limited: Option<At>,
    /// How many paths its last turn left different.
    pub(crate) paths: u32,
    pub(crate) question: Option<Question>,
    /// What it has asked to be allowed and waits for.
    pub(crate) permissions: BTreeMap<InterruptId, String>,
    /// What was answered while nobody waited, by what was asked.
    pub(crate) carried: BTreeMap<String, Answer>,
    pub(crate) brief: Brief,
    /// Why its last change came back, if one did.
    pub(crate) returned: Option<Return>,
    pub(crate) resumed: bool,
    /// Whether the turn's result was claimed before the turn was begun anew: it needs no more than to be taken.
    pub(crate) claimed: bool,
    pub(crate) returns: u32,
    pub(crate) nudges: u32,
    pub(crate) losses: u32,
    pub(crate) lease: Lease,
    pub(crate) keys: BTreeSet<String>,
}

/// Where an attempt stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptState {
    /// It needs a turn: a new one, or the last one again.
    Owed {
        /// Whether the last one was begun and lost.
        resumed: bool,
    },
    /// A turn is on.
    Working {
        /// Its effect.
        effect: EffectId,
        /// Why it was asked to end, if it was.
        cancelled: Option<StopReason>,
    },
    /// A turn has ended; what follows is decided in the same decision.
    Ended,
    /// Its change waits in the merge queue.
    Queued(ChangeId),
    /// It waits for an answer.
    Parked(InterruptId),
}

/// A question that an agent asked in its current turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) interrupt: InterruptId,
    pub(crate) text: String,
    pub(crate) answer: Option<String>,
}

/// One change in the merge queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The attempt that made it.
    pub attempt: AttemptId,
    /// Its task.
    pub task: TaskId,
    /// Who made it.
    pub agent: AgentId,
    /// The commit that holds it.
    pub commit: String,
    /// Where it stands.
    pub state: ChangeState,
}

/// Where a change stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeState {
    /// It waits for its turn.
    Waiting,
    /// It is tried on this head.
    Verifying {
        /// The head.
        onto: String,
        /// The time of the merge commit.
        at: At,
    },
    /// It passed and the branch is moving.
    Merging {
        /// Where the branch stands.
        from: String,
        /// Where it goes.
        to: String,
    },
}

/// Something that a person must answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interrupt {
    /// What it is about.
    pub about: About,
    /// What is asked.
    pub question: String,
    /// When the default is taken.
    pub deadline: At,
    /// The default.
    pub default: Answer,
}

/// Tasks by how they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Not yet decided.
    pub open: u32,
    /// Done.
    pub done: u32,
    /// Failed.
    pub failed: u32,
    /// Skipped.
    pub skipped: u32,
    /// Put aside because a rival is done.
    pub superseded: u32,
}

/// An effect that was asked for and not settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InFlight {
    pub(crate) wanted: Wanted,
    pub(crate) tries: u32,
}

/// What an effect is about; the rest is rendered from the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wanted {
    Prepare,
    Start(AgentId),
    Turn(AttemptId),
    Cancel(AttemptId, EffectId),
    Stop(AgentId),
    Verify(ChangeId),
    Merge(ChangeId),
    Publish,
}

/// The counters behind the ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) attempt: u32,
    pub(crate) change: u32,
    pub(crate) message: u32,
    pub(crate) interrupt: u32,
    pub(crate) effect: u64,
    pub(crate) ready: u64,
}

impl Mission {
    /// Puts one agent where it belongs on the agenda, after it or its attempt changed.
    pub(crate) fn refresh(&mut self, id: AgentId) {
        let Some(agent) = self.agents.get(id.index()) else { return };
        let (role, process, failures) = (agent.role, agent.process, agent.failures);
        let attempt = agent.attempt.and_then(|attempt| Some((attempt, self.attempts.get(&attempt)?)));
        let owing = attempt.filter(|(_, attempt)| matches!(attempt.state, AttemptState::Owed { .. }));
        // What is claimed is taken without another call.
        let claimed = |attempt: &Attempt| {
            let again = attempt.brief == Brief::Continue || attempt.state == AttemptState::Owed { resumed: true };
            again && attempt.claim.is_some() && self.stopped_role(id).is_none()
        };
        let may_go_on = |attempt: &Attempt| claimed(attempt) || self.may_go_on(id, attempt.task);
        let due = owing.filter(|(_, attempt)| attempt.limited.is_none() && may_go_on(attempt));
        let owed = due.map(|(attempt, _)| attempt);
        let held = attempt.map(|(attempt, on)| (attempt, on.task, owing.is_some() && !claimed(on)));
        let usable = matches!(process, Process::Cold | Process::Up | Process::Starting);
        let free = agent.attempt.is_none() && usable && self.may_work(id);
        let warm = matches!(process, Process::Up | Process::Starting);
        set(&mut self.starts_due, id, owed.is_some() && process == Process::Cold);
        set(&mut self.alive, id, !matches!(process, Process::Cold | Process::Resting));
        set(&mut self.stoppable, id, matches!(process, Process::Starting | Process::Up));
        if let Some((attempt, task, owing)) = held {
            set(&mut self.turns_due, attempt, owed.is_some() && process == Process::Up);
            self.refresh_denied(id, attempt, task, owing);
        }
        if let Some(idle) = self.idle.get_mut(role.index()) {
            // An agent has one place: any other of the few keys that it may have had is dropped first.
            idle.remove(&(failures, false, id));
            idle.remove(&(failures, true, id));
            if let Some(before) = failures.checked_sub(1) {
                idle.remove(&(before, false, id));
                idle.remove(&(before, true, id));
            }
            if free {
                idle.insert((failures, !warm, id));
            }
        }
        self.refresh_role(role);
    }
}

fn set<T: Ord>(members: &mut BTreeSet<T>, member: T, belongs: bool) {
    if belongs {
        members.insert(member);
    } else {
        members.remove(&member);
    }
}
