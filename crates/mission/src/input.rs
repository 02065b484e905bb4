//! What happened outside. A driver turns everything that it learns into one of these and tells it to the mission.

use crate::{
    dispatch::health::State as HealthState,
    id::{AgentId, AllowanceId, At, AttemptId, EffectId, InterruptId, Micros, RoleId, TaskId},
    left_out::LeftOuts,
    limits::Limits,
    plan::Plan,
    problem::Problem,
};
use serde::{Deserialize, Serialize};

/// Something that happened in the world. Each variant says who tells it and what it can lead to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr, strum::VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Input {
    /// A person asks for a mission. First input of every mission, exactly once. → `Opened`
    Open(Box<Opening>),
    /// A plan file, a template or the lead proposes a plan. Once. → `Planned`
    ProposePlan(Box<Plan>),
    /// A driver took the mission up again: no agent of an earlier driver is alive. → `EngineRestarted`, `AgentLost`
    EngineStarted,
    /// The mission's own repositories stand. Answers `PrepareRepository`. → `RepositoryReady`
    RepositoryPrepared {
        /// The effect that this answers.
        effect: EffectId,
        /// The commit that the mission branch begins at.
        head: String,
        /// The plan's checks as they ran there, before anything was spent; those that were tried.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tried: Vec<CheckRun>,
        /// Why one of them cannot start, however good the work is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        problem: Option<Box<Problem>>,
    },
    /// An agent's process is up and has spoken. Answers `StartAgent`. → `AgentUp`
    AgentReady {
        /// The effect that this answers.
        effect: EffectId,
    },
    /// An agent's process ended without being asked. → `AgentLost`
    AgentLost {
        /// Which agent.
        agent: AgentId,
        /// What is known of the end, for people.
        reason: String,
        /// The same as data, where more is known than words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        problem: Option<Box<Problem>>,
        /// Whether its sandbox was killed from outside: that is no fault of the agent.
        outside: bool,
    },
    /// An agent is stopped and its work kept. Answers `StopAgent`. → `AgentDown`
    AgentStopped {
        /// The effect that this answers.
        effect: EffectId,
    },
    /// The runtime gave the attempt's conversation a name by which it can be resumed. → `SessionOpened`
    SessionOpened {
        /// Whose conversation.
        attempt: AttemptId,
        /// The runtime's name for it.
        session: String,
    },
    /// The agent is idle again and its work is kept in a checkpoint. Answers `RunTurn`. → `TurnEnded` and what follows from it
    TurnEnded {
        /// The effect that this answers.
        effect: EffectId,
        /// Why it ended.
        stop: Stop,
        /// What the workspace holds.
        work: Work,
        /// What the agent said last, if anything. The result of a task whose result is its text, when the agent submits none.
        said: Option<String>,
        /// What went wrong, when it ended for that and it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        problem: Option<Box<Problem>>,
    },
    /// The agent claims that its task is done (agent tool `submit_result`). → `ResultClaimed`
    ResultSubmitted {
        /// Who claims.
        agent: AgentId,
        /// The call's idempotency key.
        key: String,
        /// The agent's account.
        summary: String,
    },
    /// An agent's work was kept at its own wish (agent tool `checkpoint`). → `CheckpointTaken`
    CheckpointTaken {
        /// Whose work.
        agent: AgentId,
        /// The call's idempotency key.
        key: String,
        /// The commit in the store of checkpoints.
        commit: String,
    },
    /// An agent sends a message (agent tool `send_message`). → `MessageSent`
    MessageSent {
        /// Who sends.
        from: AgentId,
        /// The call's idempotency key.
        key: String,
        /// To whom.
        to: To,
        /// The text.
        body: String,
    },
    /// An agent reads what waits for it (agent tool `read_messages`). → `MessagesRead`
    MessagesRead {
        /// Who reads.
        agent: AgentId,
        /// The call's idempotency key: the same key gets the same messages again.
        key: String,
        /// At most so many.
        count: u32,
    },
    /// An agent needs a person (agent tool `raise_interrupt`). → `InterruptRaised`
    InterruptAsked {
        /// Who asks.
        agent: AgentId,
        /// The call's idempotency key.
        key: String,
        /// What is asked.
        question: String,
        /// What is taken when nobody answers in time.
        default: Option<String>,
    },
    /// An agent wants to do something that the rules of its role leave to a person. → `InterruptRaised`
    PermissionAsked {
        /// Who asks.
        agent: AgentId,
        /// The call's idempotency key.
        key: String,
        /// What it wants to do. The same words in the same attempt mean the same.
        request: String,
    },
    /// The proxy of an agent's sandbox refused it a host. Nothing follows from it. → `EgressRefused`
    EgressRefused {
        /// Which agent.
        agent: AgentId,
        /// What was refused.
        refusal: Refusal,
    },
    /// The merge queue has tried a change. Answers `VerifyChange`. → `ChangeVerified` or `ChangeReturned`
    ChangeChecked {
        /// The effect that this answers.
        effect: EffectId,
        /// What was found.
        verdict: Verdict,
    },
    /// The mission branch has moved. Answers `MergeChange`. → `Merged`
    ChangeMerged {
        /// The effect that this answers.
        effect: EffectId,
    },
    /// The result stands in the user's repository. Answers `Publish`. → `Published`
    ResultPublished {
        /// The effect that this answers.
        effect: EffectId,
    },
    /// An effect could not be carried out. Answers any effect. → depends on the effect and the kind of failure
    EffectFailed {
        /// The effect that this answers.
        effect: EffectId,
        /// What kind of failure.
        failure: EffectFailure,
        /// What happened, for people.
        error: String,
        /// The same as data, where more is known than words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        problem: Option<Box<Problem>>,
    },
    /// The gateway needs more money for an attempt before it may make a call. → `LeaseGranted`, or a `budget` interrupt
    LeaseAsked {
        /// For which attempt.
        attempt: AttemptId,
        /// How much is missing.
        micros: Micros,
        /// How much would do: with it the call goes out with a shorter answer. At most `micros`.
        least: Micros,
        /// Whether the call waits for what other calls have set aside: then nobody is asked yet.
        waits: bool,
    },
    /// The gateway gives back what it does not need of an attempt's lease: the attempt is over and its calls are booked, or others are short.
    /// → `LeaseReturned`
    LeaseReturned {
        /// Of which attempt.
        attempt: AttemptId,
        /// How much. More than there is means all of it.
        micros: Micros,
    },
    /// The gateway has a call that does not fit what is left of an allowance, and nothing is set aside that may come back.
    /// → `AllowanceUsedUp` and a `budget` interrupt, or `AttemptLimited` until the window ends
    AllowanceShort {
        /// Whose call.
        attempt: AttemptId,
        /// Which allowance.
        allowance: AllowanceId,
    },
    /// The gateway settled a call. → `UsageSettled`
    UsageSettled {
        /// For which attempt.
        attempt: AttemptId,
        /// What it used.
        usage: Usage,
    },
    /// The provider takes no calls for an attempt until then, longer than a call can wait. → `AttemptLimited`, and its turn is ended
    RateLimited {
        /// Which attempt.
        attempt: AttemptId,
        /// When the provider takes calls again, as it says.
        until: At,
    },
    /// A check of the agents of a role found them otherwise than the last one. → `HealthChanged`
    HealthChecked {
        /// Which role.
        role: RoleId,
        /// How they are.
        state: HealthState,
        /// Why, for people.
        reason: String,
    },
    /// The journal itself found the disk full and has room for a few facts again. → `Paused`
    SpaceExhausted,
    /// A person answers an interrupt. → `InterruptAnswered`
    Answered {
        /// Which one.
        interrupt: InterruptId,
        /// The answer.
        answer: Answer,
    },
    /// A person pauses the mission. → `Paused`
    Pause,
    /// A person lets it go on. → `Resumed`
    Resume,
    /// A person ends it. → `Closing`
    Cancel,
    /// A person gives a failed task another round of attempts. → `TaskReopened`
    Retry {
        /// Which task.
        task: TaskId,
    },
    /// The time that `next_wakeup` named has come. → whatever was due
    Woke,
}

/// Everything that a mission begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// What is wanted, in the person's words.
    pub goal: String,
    /// The user's repository, as the driver finds it again.
    pub repository: String,
    /// The commit that the work begins at.
    pub base: String,
    /// The branch that the result appears as in the user's repository.
    pub branch: String,
    /// The most that may be spent; without it spending is only counted.
    #[serde(default)]
    pub budget: Option<Micros>,
    /// The mission's own limits.
    #[serde(default)]
    pub limits: Limits,
    /// The driver's settings for this mission; never read by the core.
    #[serde(default)]
    pub settings: String,
}

/// Why a turn ended.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Stop {
    /// The agent said all it wanted to say.
    Done,
    /// The gateway refused a call because the money is used up.
    Budget,
    /// The turn was cancelled by us.
    Cancelled,
    /// The model could not be reached or kept failing.
    ModelError,
    /// The model's answers stayed unusable after being fed back.
    BadAnswers,
    /// The model refused.
    Refusal,
    /// The model ran into its output limit.
    MaxTokens,
    /// The agent took more steps than a turn may have.
    MaxSteps,
    /// The conversation no longer fits the model's window.
    ContextFull,
    /// The agent broke its protocol.
    Protocol,
}

/// What a workspace holds at the end of a turn, as seen by us, not as claimed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Nothing differs from where the task began.
    Unchanged {
        /// The commit where the task began.
        commit: String,
        /// What is there all the same, and could not or should not be saved.
        #[serde(default, skip_serializing_if = "LeftOuts::is_empty")]
        left_out: LeftOuts,
    },
    /// Something differs.
    Changed {
        /// The checkpoint that holds it all.
        commit: String,
        /// How many paths differ.
        paths: u32,
        /// Paths outside the task's write-set, the first few.
        outside: Vec<String>,
        /// What is not in the checkpoint, and why.
        #[serde(default, skip_serializing_if = "LeftOuts::is_empty")]
        left_out: LeftOuts,
    },
    /// It cannot be taken over as it is: too large, or not sound.
    Rejected {
        /// What is wrong with it, for the agent.
        why: String,
    },
    /// The role has no repository.
    None,
}

/// What the merge queue found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It merges and every check passes at exactly this commit.
    Passed {
        /// The merge commit.
        commit: String,
        /// Each check with its outcome.
        checks: Vec<CheckRun>,
    },
    /// It merges, but a check fails.
    Failed {
        /// Each check that ran, with its outcome; the last one failed.
        checks: Vec<CheckRun>,
    },
    /// It does not merge.
    Conflict {
        /// The conflicting files and hunks, bounded.
        hunks: String,
    },
    /// It is not something that can be merged.
    Rejected {
        /// What is wrong with it, for the agent.
        why: String,
    },
}

/// One acceptance check as it ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRun {
    /// The command line.
    pub run: String,
    /// Whether it passed.
    pub passed: bool,
    /// How it ended, for people: `exit 1`, `timed out after 60 s`.
    pub ended: String,
    /// The end of its output, bounded; empty when it passed.
    pub output: String,
    /// How long it took, in milliseconds.
    pub ms: u64,
}

/// Whom a message is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum To {
    /// One agent.
    Agent(AgentId),
    /// Every agent of a role but the sender.
    Role(RoleId),
    /// Whoever follows the mission; no agent's inbox.
    Topic(Topic),
}

/// The topics that people and programs follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Topic {
    /// How it goes.
    Status,
    /// What needs eyes.
    Alerts,
    /// What was made.
    Artifacts,
}

/// A host that an agent was not let to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The host as the agent asked for it.
    pub host: String,
    /// The port; 0 when none could be read.
    pub port: u16,
    /// Why not, for people.
    pub reason: String,
    /// The line to add to the hosts of the agent's policy to allow it, if a line could.
    pub allow: Option<String>,
    /// How many times it was refused since it was last told.
    pub times: u64,
}

/// What kind of failure an effect met; decides what happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::VariantArray)]
#[serde(rename_all = "snake_case")]
pub enum EffectFailure {
    /// The disk is full: the mission pauses and asks.
    NoSpace,
    /// It may work another time.
    Transient,
    /// It will not work another time.
    Fatal,
}

/// What one model call used, as the gateway counted it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Input tokens, cached ones included.
    pub input_tokens: u64,
    /// Input tokens that the provider read from its cache.
    #[serde(default)]
    pub cached_tokens: u64,
    /// Output tokens, reasoning included.
    pub output_tokens: u64,
    /// What it cost; nothing when the price is not known, which is not the same as zero.
    pub cost: Option<Micros>,
    /// Whether the provider's bill was not seen: these are the most that the call can have used.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
    /// By how much the provider's bill passes what the request allowed, and was set aside for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beyond: Option<Micros>,
}

/// A person's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Yes; go on.
    Approve,
    /// No.
    Deny,
    /// Words: an answer to a question, or an amount of dollars for a `budget` interrupt.
    Text(String),
}
