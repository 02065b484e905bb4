//! What the world is asked to do. Every effect has an id; being asked twice under one id must be harmless.

use crate::{
    id::{AgentId, AttemptId, ChangeId, EffectId, TaskId},
    plan::{Check, Writes},
};
use serde::Serialize;

/// Something to be carried out by the driver's hands, after the fact that asked for it is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Effect {
    /// The key: the same id is the same effect.
    pub id: EffectId,
    /// What is to be done.
    pub kind: EffectKind,
}

/// The kinds of effect. Each says what answers it; `EffectFailed` can answer any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, strum::IntoStaticStr, strum::VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum EffectKind {
    /// Make the mission's own repositories from the user's one. Answered by `RepositoryPrepared`.
    PrepareRepository {
        /// The user's repository.
        repository: String,
        /// The commit to begin at.
        base: String,
    },
    /// Give the agent its workspace, start its process in it and shake hands. Answered by `AgentReady`.
    StartAgent {
        /// Which agent.
        agent: AgentId,
    },
    /// Bring the workspace to the task (on the first turn), give the agent its turn brief, wait until it is idle, keep its work.
    /// Answered by `TurnEnded`; `SessionOpened` comes before it when the attempt had no session.
    RunTurn {
        /// Which agent.
        agent: AgentId,
        /// Which attempt.
        attempt: AttemptId,
        /// Which task.
        task: TaskId,
        /// The turn's number within the attempt, from 1; the same number is the same turn.
        turn: u32,
        /// Whether this turn was begun before and lost.
        resumed: bool,
        /// The conversation to go on with.
        session: Option<String>,
        /// The commit that the attempt's work begins at.
        base: String,
        /// What the task may change.
        writes: Writes,
        /// The turn brief.
        prompt: String,
        /// The task's own brief, when the turn brief is another: for a conversation that has to begin anew.
        task_brief: Option<String>,
    },
    /// Ask the agent to end its turn. Answered by the turn's own `TurnEnded`.
    CancelTurn {
        /// Which agent.
        agent: AgentId,
        /// Which turn's effect.
        turn: EffectId,
    },
    /// Keep the agent's work and end its whole process tree. Answered by `AgentStopped`.
    StopAgent {
        /// Which agent.
        agent: AgentId,
    },
    /// Merge a change on top of the mission branch in our own store and run the task's checks in a clean sandbox at exactly that commit.
    /// Answered by `ChangeChecked`.
    VerifyChange {
        /// Which change.
        change: ChangeId,
        /// The agent that made it.
        agent: AgentId,
        /// The commit that holds it.
        commit: String,
        /// The head of the mission branch to merge on.
        onto: String,
        /// The message of the merge commit.
        message: String,
        /// The time of the merge commit, in milliseconds since the Unix epoch, so that the commit is the same every time.
        at_ms: u64,
        /// The checks to run.
        checks: Vec<Check>,
    },
    /// Move the mission branch from one commit to the next. Answered by `ChangeMerged`.
    MergeChange {
        /// Which change.
        change: ChangeId,
        /// Where the branch stands.
        from: String,
        /// Where it goes.
        to: String,
    },
    /// Put the mission branch into the user's repository. Answered by `ResultPublished`.
    Publish {
        /// The branch to make there.
        branch: String,
        /// The commit that it names.
        commit: String,
    },
}
