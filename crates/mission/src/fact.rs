//! What was decided. The journal stores facts and nothing else; state, restart, audit, screens and reports are readings of them.
//! Facts are forever: variants and optional fields may be added, nothing may be renamed or removed.

use crate::{
    dispatch::health::State as HealthState,
    id::{AgentId, AllowanceId, At, AttemptId, ChangeId, EffectId, InterruptId, MessageId, Micros, RoleId, TaskId},
    input::{Answer, CheckRun, Opening, Stop, To, Usage, Work},
    plan::Plan,
    problem::Problem,
    reason::{About, Brief, By, Choice, Failure, Outcome, PauseReason, Return, StopReason},
};
use serde::{Deserialize, Serialize};
mod asks;

/// Something decided. A variant with an `effect` asks the world for it; whom it is about are its fields `agent`, `attempt`,
/// `change`, `task` and `role`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr, strum::VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "what a field that is named for its type is, the type's documentation says once")]
pub enum Fact {
    /// The mission exists. Asks for `PrepareRepository`.
    Opened {
        /// Everything that it begins with.
        opening: Box<Opening>,
        effect: EffectId,
    },
    /// The plan stands; the agents of its roles are in the registry.
    Planned {
        /// The plan.
        plan: Box<Plan>,
    },
    /// The mission's own repositories stand.
    RepositoryReady {
        /// Where the mission branch begins.
        head: String,
        /// The plan's checks as they ran there.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tried: Vec<CheckRun>,
    },
    /// A new driver took over; agents that were up are lost one by one after this.
    EngineRestarted,
    /// An effect of ours failed and is asked for again. Asks for the same again under a new id.
    EffectRetried {
        /// The effect that failed.
        failed: EffectId,
        /// The new one.
        effect: EffectId,
        /// What happened.
        error: String,
    },
    /// An effect of ours failed and rests before it is asked for again.
    EffectDelayed {
        /// The effect that failed.
        failed: EffectId,
        /// When it is asked for again.
        until: At,
        /// What happened.
        error: String,
    },
    /// An agent's process is wanted. Asks for `StartAgent`.
    AgentStarting { agent: AgentId, effect: EffectId },
    /// The agent's process is up.
    AgentUp { agent: AgentId },
    /// The agent's process could not be started; it rests until then.
    AgentStartFailed {
        agent: AgentId,
        /// When it may be tried again.
        until: At,
        /// What happened.
        error: String,
        /// The same as data, where more is known than words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        problem: Option<Box<Problem>>,
    },
    /// The agent's rest is over.
    AgentRested { agent: AgentId },
    /// The agent's process is gone. A turn that it was in is owed again.
    AgentLost {
        agent: AgentId,
        /// What is known of the end.
        reason: String,
        /// Whether it counts against the attempt; not when the engine ended under it.
        blame: bool,
    },
    /// The agent's process is to end. Asks for `StopAgent`.
    AgentStopping {
        agent: AgentId,
        effect: EffectId,
        /// Why.
        reason: StopReason,
    },
    /// The agent's process has ended as asked.
    AgentDown { agent: AgentId },
    /// The agents of a role are otherwise than they were.
    HealthChanged {
        role: RoleId,
        /// How they are.
        state: HealthState,
        /// Why; empty when nothing is wrong.
        reason: String,
        /// Since when.
        since: At,
    },
    /// A task is given to an agent, with the money for it.
    Assigned {
        task: TaskId,
        /// The attempt that begins.
        attempt: AttemptId,
        agent: AgentId,
        /// Why this agent.
        because: Choice,
        /// The money set aside; nothing when the mission has no budget.
        lease: Option<Micros>,
        /// The commit that the work begins at.
        base: String,
    },
    /// The attempt's conversation can be resumed by this name.
    SessionOpened {
        attempt: AttemptId,
        /// The runtime's name for it.
        session: String,
    },
    /// The agent is given a turn. Asks for `RunTurn`.
    TurnStarted {
        attempt: AttemptId,
        /// The turn's number within the attempt.
        turn: u32,
        /// Whether it was begun before and lost.
        resumed: bool,
        effect: EffectId,
        /// When it is cancelled.
        deadline: At,
    },
    /// The turn may last longer: it waited, or waits, for a person.
    TurnExtended {
        attempt: AttemptId,
        /// When it is cancelled now.
        deadline: At,
    },
    /// The turn is to end. Asks for `CancelTurn`.
    TurnCancelling {
        attempt: AttemptId,
        effect: EffectId,
        /// Why.
        reason: StopReason,
        /// When the agent is stopped if the turn has not ended.
        deadline: At,
    },
    /// The turn has ended. What follows from it is the next fact of the attempt.
    TurnEnded {
        attempt: AttemptId,
        /// Why it ended.
        stop: Stop,
        /// What the workspace holds.
        work: Work,
        /// What went wrong, when it ended for that and it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        problem: Option<Box<Problem>>,
    },
    /// The attempt needs another turn.
    TurnOwed {
        attempt: AttemptId,
        /// What it is about.
        brief: Brief,
    },
    /// The attempt waits for an answer to its question.
    AttemptParked {
        attempt: AttemptId,
        /// The question.
        interrupt: InterruptId,
    },
    /// The agent claims to be done.
    ResultClaimed {
        attempt: AttemptId,
        /// The call's idempotency key.
        key: String,
        /// The agent's account.
        summary: String,
    },
    /// Work was kept at the agent's wish.
    CheckpointTaken {
        attempt: AttemptId,
        /// The call's idempotency key.
        key: String,
        /// The commit in the store of checkpoints.
        commit: String,
    },
    /// The attempt is over without success. Its lease goes back.
    AttemptFailed {
        attempt: AttemptId,
        /// Why.
        reason: Failure,
        /// When the task is ready again; nothing when a person is asked, or the mission ends.
        retry: Option<At>,
        /// What lies behind it, where it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        problem: Option<Box<Problem>>,
    },
    /// What an agent of a role met stays until a person has changed something: nothing is given to the role.
    RoleStopped {
        role: RoleId,
        /// What it met.
        problem: Box<Problem>,
    },
    /// A person lets a stopped role go on.
    RoleReleased { role: RoleId },
    /// Nobody mends what stopped a role: what only it can do fails.
    RoleGivenUp { role: RoleId },
    /// A message is on its way.
    MessageSent {
        /// Its id.
        message: MessageId,
        /// Who sends.
        from: AgentId,
        /// The call's idempotency key.
        key: String,
        /// To whom.
        to: To,
        /// The text.
        body: String,
    },
    /// An agent has been given its messages up to this one.
    MessagesRead {
        /// Who reads.
        agent: AgentId,
        /// The call's idempotency key.
        key: String,
        /// The last message given; all of its inbox up to here.
        upto: MessageId,
    },
    /// Something that a person must answer.
    InterruptRaised {
        /// Its id.
        interrupt: InterruptId,
        /// What it is about.
        about: About,
        /// What is asked.
        question: String,
        /// When the default is taken.
        deadline: At,
        /// The default.
        default: Answer,
        /// The idempotency key of the agent's call, when an agent asked.
        #[serde(default)]
        key: Option<String>,
    },
    /// It is answered. What follows from it are the next facts.
    InterruptAnswered {
        /// Which one.
        interrupt: InterruptId,
        /// The answer.
        answer: Answer,
        /// Who answered.
        by: By,
    },
    /// An agent was not let to a host of the network.
    EgressRefused {
        agent: AgentId,
        /// The host as the agent asked for it.
        host: String,
        /// The port; 0 when none could be read.
        port: u16,
        /// Why not.
        reason: String,
        /// The line to add to the hosts of the agent's policy to allow it, if a line could.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        allow: Option<String>,
        /// How many times, since the last such fact about the same.
        times: u64,
        /// Whether this is the last such fact of the agent: further refusals are not recorded.
        #[serde(default)]
        last: bool,
    },
    /// Money set aside for an attempt.
    LeaseGranted {
        attempt: AttemptId,
        /// How much more.
        micros: Micros,
    },
    /// Money set aside for an attempt is free again: no call of it needs it.
    LeaseReturned {
        /// Which attempt; it may be over.
        attempt: AttemptId,
        /// How much.
        micros: Micros,
    },
    /// A call is settled.
    UsageSettled {
        attempt: AttemptId,
        /// What it used.
        usage: Usage,
    },
    /// The provider takes no calls for the attempt: it has no turn before then.
    AttemptLimited {
        attempt: AttemptId,
        /// When the limit is over.
        until: At,
        /// How long that is from now on, in milliseconds.
        lasts_ms: u64,
        /// Whether it is the window of a budget of ours, and no limit of the provider's.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        own: bool,
    },
    /// The provider's limit is over for the attempt.
    AttemptReleased { attempt: AttemptId },
    /// Counting of an allowance begins anew.
    WindowBegan {
        /// Which one.
        allowance: AllowanceId,
        /// The end of the window.
        until: At,
    },
    /// The time that turns took is counted up to now.
    TimeCounted {
        /// For which allowance.
        allowance: AllowanceId,
        /// How long a turn of it was on since it was last counted, in milliseconds.
        ms: u64,
        /// Up to when it is counted.
        at: At,
    },
    /// Much of an allowance is used: told once for each amount, for people.
    AllowanceWarned {
        /// Which one.
        allowance: AllowanceId,
        /// How much of it.
        used: u64,
        /// Of how much.
        most: u64,
    },
    /// What is left of an allowance is not enough. A window is waited for; otherwise a person is asked next.
    AllowanceUsedUp {
        /// Which one.
        allowance: AllowanceId,
        /// The end of its window, when that is waited for.
        until: Option<At>,
    },
    /// More of an allowance may be used.
    AllowanceRaised {
        /// Which one.
        allowance: AllowanceId,
        /// How much more, in its measure.
        by: u64,
    },
    /// No more of an allowance may be used: what it covers fails.
    AllowanceDenied {
        /// Which one.
        allowance: AllowanceId,
    },
    /// Much of the budget is spent: told once for each cap, for people.
    BudgetWarned {
        /// How much of it.
        spent: Micros,
        /// Of how much.
        cap: Micros,
    },
    /// The mission may spend more.
    BudgetRaised {
        /// How much more.
        by: Micros,
    },
    /// A task's pause is over, or all that it waited for is done.
    TaskReady { task: TaskId },
    /// A change waits for its turn on the mission branch.
    ChangeQueued {
        /// Its id.
        change: ChangeId,
        /// The attempt that made it.
        attempt: AttemptId,
        /// The commit that holds it.
        commit: String,
    },
    /// The change is being tried. Asks for `VerifyChange`.
    VerifyStarted {
        change: ChangeId,
        effect: EffectId,
        /// The head that it is merged on.
        onto: String,
        /// The time of the merge commit.
        at: At,
    },
    /// The change passes at exactly this commit. Asks for `MergeChange`.
    ChangeVerified {
        change: ChangeId,
        /// The merge commit.
        commit: String,
        /// The evidence.
        checks: Vec<CheckRun>,
        effect: EffectId,
    },
    /// The change goes back to its agent.
    ChangeReturned {
        change: ChangeId,
        /// Why.
        why: Return,
    },
    /// The mission branch holds the change, or had it already; its task is done.
    Merged {
        change: ChangeId,
        /// The head of the mission branch.
        head: String,
        /// It had nothing to add: the branch stays where it was.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        nothing: bool,
    },
    /// A task whose result is its text is done.
    TaskDone {
        task: TaskId,
        /// The attempt that did it.
        attempt: AttemptId,
        /// The result.
        summary: String,
    },
    /// A task will not be done.
    TaskFailed {
        task: TaskId,
        /// Why.
        why: String,
    },
    /// A task will not be done because one that it needs will not.
    TaskSkipped {
        task: TaskId,
        /// The one that failed.
        because: TaskId,
    },
    /// A task is put aside because a rival of it is done.
    TaskSuperseded {
        task: TaskId,
        /// The one that is done.
        by: TaskId,
    },
    /// A person gave a failed task another round of attempts.
    TaskReopened { task: TaskId },
    /// No new work begins; turns are asked to end.
    Paused {
        /// Why.
        why: PauseReason,
    },
    /// Work goes on.
    Resumed,
    /// Nothing new begins; what is there is put away.
    Closing {
        /// How it ends.
        outcome: Outcome,
        /// What went wrong, when it ends because something of ours failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// The result is put into the user's repository. Asks for `Publish`.
    PublishStarted {
        /// The commit.
        commit: String,
        effect: EffectId,
    },
    /// The result stands in the user's repository.
    Published {
        /// The branch.
        branch: String,
        /// The commit.
        commit: String,
    },
    /// The result could not be put there and a person let it be.
    PublishAbandoned,
    /// The mission is over.
    Closed {
        /// How it ended.
        outcome: Outcome,
    },
}
