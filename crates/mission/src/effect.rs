//! What the world is asked to do. Every effect has an id; being asked twice under one id must be harmless.

use crate::{
    id::{AgentId, AttemptId, ChangeId, EffectId, TaskId},
    plan::{Check, Writes},
    state::{ChangeState, Mission, Wanted},
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
        /// Whether the agent has claimed its result already: then it is asked nothing, and what its workspace holds is taken.
        claimed: bool,
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

impl Mission {
    /// The effect of this id, while it is in flight, with everything that the hands need.
    pub fn effect(&self, id: EffectId) -> Option<Effect> {
        let kind = self.effect_kind(self.effects.get(&id)?.wanted)?;
        Some(Effect { id, kind })
    }

    fn effect_kind(&self, wanted: Wanted) -> Option<EffectKind> {
        let opening = self.opening.as_deref()?;
        Some(match wanted {
            Wanted::Prepare => {
                EffectKind::PrepareRepository { repository: opening.repository.clone(), base: opening.base.clone() }
            }
            Wanted::Start(agent) => EffectKind::StartAgent { agent },
            Wanted::Turn(attempt) => self.turn_effect(attempt)?,
            Wanted::Cancel(attempt, turn) => EffectKind::CancelTurn { agent: self.attempts.get(&attempt)?.agent, turn },
            Wanted::Stop(agent) => EffectKind::StopAgent { agent },
            Wanted::Verify(change) => self.verify_effect(change)?,
            Wanted::Merge(change) => match &self.changes.get(&change)?.state {
                ChangeState::Merging { from, to } => {
                    EffectKind::MergeChange { change, from: from.clone(), to: to.clone() }
                }
                ChangeState::Waiting | ChangeState::Verifying { .. } => return None,
            },
            Wanted::Publish => EffectKind::Publish { branch: opening.branch.clone(), commit: self.head.clone()? },
        })
    }

    fn turn_effect(&self, id: AttemptId) -> Option<EffectKind> {
        let attempt = self.attempts.get(&id)?;
        Some(EffectKind::RunTurn {
            agent: attempt.agent,
            attempt: id,
            task: attempt.task,
            turn: attempt.turns,
            resumed: attempt.resumed,
            claimed: attempt.claimed,
            session: attempt.session.clone(),
            base: attempt.base.clone(),
            writes: self.plan.tasks.get(attempt.task.index())?.writes.clone(),
            prompt: self.prompt(id)?,
            task_brief: self.task_prompt(id),
        })
    }

    fn verify_effect(&self, id: ChangeId) -> Option<EffectKind> {
        let change = self.changes.get(&id)?;
        let ChangeState::Verifying { onto, at } = &change.state else { return None };
        let task = self.plan.tasks.get(change.task.index())?;
        Some(EffectKind::VerifyChange {
            change: id,
            agent: change.agent,
            commit: change.commit.clone(),
            onto: onto.clone(),
            message: self.merge_message(change.task, change.agent),
            at_ms: at.0,
            checks: task.checks.clone(),
        })
    }
}
