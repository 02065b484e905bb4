//! What a reading has to remember beyond the mission itself: the mission forgets an attempt, a change and an interrupt when they are over,
//! a reader still wants their names.

use mission::{
    About, AgentId, AllowanceId, AttemptId, ChangeId, Fact, InterruptId, LeftOuts, Mission, RoleId, TaskId, To, Work,
};
use std::collections::BTreeMap;

/// The mission as far as it has been read, and the names of what is over.
#[derive(Default)]
pub(super) struct Trail {
    mission: Mission,
    attempts: BTreeMap<AttemptId, Tried>,
    changes: BTreeMap<ChangeId, AttemptId>,
    interrupts: BTreeMap<InterruptId, About>,
    tries: BTreeMap<TaskId, u32>,
    left_out: BTreeMap<AttemptId, LeftOuts>,
}

/// An attempt that has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tried {
    pub(super) task: TaskId,
    pub(super) agent: AgentId,
    /// Which attempt of its task, from 1.
    pub(super) number: u32,
}

/// Whom and what a fact is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) agent: Option<AgentId>,
    pub(super) task: Option<TaskId>,
    pub(super) interrupt: Option<InterruptId>,
}

impl Trail {
    /// The mission up to the last fact that was [applied](Trail::apply).
    pub(super) fn mission(&self) -> &Mission {
        &self.mission
    }

    /// Learns the names in a fact; the mission is still the one before it.
    pub(super) fn note(&mut self, fact: &Fact) {
        match fact {
            Fact::Assigned { attempt, task, agent, .. } => {
                let number = self.tries.entry(*task).or_default();
                *number += 1;
                self.attempts.insert(*attempt, Tried { task: *task, agent: *agent, number: *number });
            }
            Fact::TurnEnded {
                attempt,
                work: Work::Changed { left_out, .. } | Work::Unchanged { left_out, .. },
                ..
            } => {
                self.left_out.insert(*attempt, left_out.clone());
            }
            Fact::ChangeQueued { change, attempt, .. } => {
                self.changes.insert(*change, *attempt);
            }
            Fact::InterruptRaised { interrupt, about, .. } => {
                self.interrupts.insert(*interrupt, about.clone());
            }
            _ => {}
        }
    }

    /// Brings the mission to the state after the fact.
    pub(super) fn apply(&mut self, fact: &Fact) {
        self.mission.apply(fact);
    }

    pub(super) fn attempt(&self, attempt: AttemptId) -> Option<Tried> {
        self.attempts.get(&attempt).copied()
    }

    pub(super) fn attempt_of(&self, change: ChangeId) -> Option<AttemptId> {
        self.changes.get(&change).copied()
    }

    /// What a change lacks of the workspace that it was taken from, when it lacks anything.
    pub(super) fn left_out(&self, change: ChangeId) -> Option<&LeftOuts> {
        self.attempt_of(change).and_then(|attempt| self.left_out.get(&attempt)).filter(|left| !left.is_empty())
    }

    pub(super) fn about(&self, interrupt: InterruptId) -> Option<&About> {
        self.interrupts.get(&interrupt)
    }

    pub(super) fn task_name(&self, task: TaskId) -> &str {
        self.mission.plan().tasks.get(task.0 as usize).map_or("", |task| task.name.as_str())
    }

    pub(super) fn role_name(&self, role: RoleId) -> &str {
        self.mission.plan().roles.get(role.0 as usize).map_or("", |role| role.name.as_str())
    }

    pub(super) fn agent_name(&self, agent: AgentId) -> &str {
        self.mission.agent_name(agent)
    }

    /// A budget beside the mission's own, in words; `most`: how much of it, if not what it is at the moment.
    pub(super) fn allowance(&self, id: AllowanceId, most: Option<u64>) -> String {
        let standing = self.mission.allowances().find(|(known, ..)| *known == id);
        let most = most.or(standing.map(|(_, _, spent)| spent.most)).unwrap_or_default();
        self.mission.plan().allowance_words(id, most)
    }

    /// An amount of what such a budget counts.
    pub(super) fn amount(&self, id: AllowanceId, amount: u64) -> String {
        let standing = self.mission.allowances().find(|(known, ..)| *known == id);
        standing.map(|(_, allowance, _)| allowance.measure.words(amount)).unwrap_or_default()
    }

    pub(super) fn recipient(&self, to: &To) -> String {
        match to {
            To::Agent(agent) => self.agent_name(*agent).to_owned(),
            To::Role(role) => format!("every {}", self.role_name(*role)),
            To::Topic(topic) => format!("topic {}", super::words::topic_word(*topic)),
        }
    }

    /// Whom and what a fact is about; nothing when it is about the mission.
    // tidy: dispatch
    pub(super) fn subject(&self, fact: &Fact) -> Subject {
        match fact {
            Fact::AgentStarting { agent, .. }
            | Fact::AgentUp { agent }
            | Fact::AgentRested { agent }
            | Fact::AgentStopping { agent, .. }
            | Fact::AgentDown { agent }
            | Fact::MessagesRead { agent, .. }
            | Fact::MessageSent { from: agent, .. } => Subject { agent: Some(*agent), ..Subject::default() },
            Fact::AgentStartFailed { agent, .. }
            | Fact::AgentLost { agent, .. }
            | Fact::EgressRefused { agent, .. } => self.of_agent(*agent),
            Fact::Assigned { attempt, .. }
            | Fact::SessionOpened { attempt, .. }
            | Fact::TurnStarted { attempt, .. }
            | Fact::TurnExtended { attempt, .. }
            | Fact::TurnCancelling { attempt, .. }
            | Fact::TurnEnded { attempt, .. }
            | Fact::TurnOwed { attempt, .. }
            | Fact::ResultClaimed { attempt, .. }
            | Fact::CheckpointTaken { attempt, .. }
            | Fact::AttemptFailed { attempt, .. }
            | Fact::LeaseGranted { attempt, .. }
            | Fact::LeaseReturned { attempt, .. }
            | Fact::AttemptLimited { attempt, .. }
            | Fact::AttemptReleased { attempt }
            | Fact::UsageSettled { attempt, .. }
            | Fact::ChangeQueued { attempt, .. }
            | Fact::TaskDone { attempt, .. } => self.of_attempt(*attempt),
            Fact::AttemptParked { attempt, interrupt } => {
                Subject { interrupt: Some(*interrupt), ..self.of_attempt(*attempt) }
            }
            Fact::InterruptRaised { interrupt, .. } | Fact::InterruptAnswered { interrupt, .. } => {
                self.of_interrupt(*interrupt)
            }
            Fact::VerifyStarted { change, .. }
            | Fact::ChangeVerified { change, .. }
            | Fact::ChangeReturned { change, .. }
            | Fact::Merged { change, .. } => {
                self.attempt_of(*change).map(|attempt| self.of_attempt(attempt)).unwrap_or_default()
            }
            Fact::TaskReady { task }
            | Fact::TaskFailed { task, .. }
            | Fact::TaskSkipped { task, .. }
            | Fact::TaskSuperseded { task, .. }
            | Fact::TaskReopened { task } => Subject { task: Some(*task), ..Subject::default() },
            Fact::Opened { .. }
            | Fact::Planned { .. }
            | Fact::RepositoryReady { .. }
            | Fact::EngineRestarted
            | Fact::HealthChanged { .. }
            | Fact::RoleStopped { .. }
            | Fact::RoleReleased { .. }
            | Fact::RoleGivenUp { .. }
            | Fact::EffectRetried { .. }
            | Fact::EffectDelayed { .. }
            | Fact::WindowBegan { .. }
            | Fact::TimeCounted { .. }
            | Fact::AllowanceWarned { .. }
            | Fact::AllowanceUsedUp { .. }
            | Fact::AllowanceRaised { .. }
            | Fact::AllowanceDenied { .. }
            | Fact::BudgetWarned { .. }
            | Fact::BudgetRaised { .. }
            | Fact::Paused { .. }
            | Fact::Resumed
            | Fact::Closing { .. }
            | Fact::PublishStarted { .. }
            | Fact::Published { .. }
            | Fact::PublishAbandoned
            | Fact::Closed { .. } => Subject::default(),
        }
    }

    /// An agent and the task that it has at the moment.
    fn of_agent(&self, agent: AgentId) -> Subject {
        let attempt = self.mission.agent(agent).and_then(|agent| agent.attempt);
        let task = attempt.and_then(|attempt| self.attempt(attempt)).map(|tried| tried.task);
        Subject { agent: Some(agent), task, interrupt: None }
    }

    fn of_attempt(&self, attempt: AttemptId) -> Subject {
        self.attempt(attempt).map_or_else(Subject::default, |tried| Subject {
            agent: Some(tried.agent),
            task: Some(tried.task),
            interrupt: None,
        })
    }

    pub(super) fn of_interrupt(&self, interrupt: InterruptId) -> Subject {
        let subject = match self.about(interrupt) {
            Some(About::Question(attempt) | About::Permission(attempt)) => self.of_attempt(*attempt),
            Some(About::Task(task)) => Subject { task: Some(*task), ..Subject::default() },
            Some(
                About::Role(_) | About::Budget | About::Allowance(_) | About::Space | About::Publish | About::Checks,
            )
            | None => Subject::default(),
        };
        Subject { interrupt: Some(interrupt), ..subject }
    }
}
