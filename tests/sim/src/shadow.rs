//! A second, much simpler reading of the journal, to compare the core with. It knows only durable facts.

use crate::rules::{Rule, Violation, broken};
use mission::{
    AgentId, AttemptId, Brief, ChangeId, EffectId, Fact, Failure, MessageId, Plan, RoleId, TaskId, To, Work, Writes,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What the durable facts say.
#[derive(Clone, Debug, Default)]
pub struct Shadow {
    plan: Plan,
    agents: Vec<(AgentId, RoleId)>,
    /// The effects asked for.
    pub effects: BTreeSet<EffectId>,
    /// The head of the mission branch.
    pub head: Option<String>,
    /// Changes merged, in order, with the head that each made.
    pub merges: Vec<(ChangeId, String)>,
    verified: BTreeMap<ChangeId, String>,
    changes: BTreeMap<ChangeId, AttemptId>,
    attempts: BTreeMap<AttemptId, TaskId>,
    attempts_of: BTreeMap<AgentId, [Option<AttemptId>; 2]>,
    work: BTreeMap<AttemptId, Work>,
    agent_of: BTreeMap<AttemptId, AgentId>,
    /// Roles that met something lasting, and nobody has answered.
    stopped: BTreeSet<RoleId>,
    /// Tasks done.
    pub done: BTreeSet<TaskId>,
    skipped: BTreeSet<TaskId>,
    /// Attempts whose turn's result is recorded and not judged yet.
    claimed: BTreeSet<AttemptId>,
    keys: BTreeSet<String>,
    /// Agents whose last refusal is recorded.
    enough: BTreeSet<AgentId>,
    /// Micro-dollars of all bills.
    pub settled: u64,
    /// How many bills there were.
    pub calls: u64,
    /// Messages that wait for each agent.
    pub inboxes: BTreeMap<AgentId, VecDeque<MessageId>>,
    /// Messages given, and with which call.
    pub given: BTreeMap<(AgentId, MessageId), String>,
    /// Whether a move of the mission branch was given up when the mission ended.
    pub merge_given_up: bool,
    /// Whether the result was put into the user's repository.
    pub published: bool,
    /// Whether the mission is over.
    pub closed: bool,
}

impl Shadow {
    /// Takes one more durable fact.
    ///
    /// # Errors
    /// The rule that the journal breaks with it.
    pub fn take(&mut self, fact: &Fact) -> Result<(), Violation> {
        if self.closed && !matches!(fact, Fact::UsageSettled { .. }) {
            return Err(broken(Rule::ClosedIsQuiet, format!("{fact:?} after the end")));
        }
        if let Some(effect) = fact.effect() {
            if self.effects.last().is_some_and(|last| *last >= effect) {
                return Err(broken(Rule::SameEffectSameWords, format!("{effect} is used twice")));
            }
            self.effects.insert(effect);
        }
        if let Some(key) = key_of(fact)
            && !self.keys.insert(key.to_owned())
        {
            return Err(broken(Rule::CallsOnce, format!("{fact:?} is not the first with its key")));
        }
        self.is_quiet(fact)?;
        self.claims_hold(fact)?;
        match fact {
            Fact::Planned { plan } => {
                self.agents = plan.agents().map(|(agent, role, _)| (agent, role)).collect();
                self.plan = (**plan).clone();
            }
            Fact::RepositoryReady { head, .. } => self.head = Some(head.clone()),
            Fact::Assigned { task, attempt, agent, because, .. } => {
                self.is_fit(*task, *agent, because.role)?;
                let last = self.attempts_of.entry(*agent).or_default();
                *last = [last[1], Some(*attempt)];
                self.agent_of.insert(*attempt, *agent);
                return self.assigned(*task, *attempt);
            }
            Fact::TurnEnded { attempt, work, .. } => drop(self.work.insert(*attempt, work.clone())),
            Fact::ChangeQueued { change, attempt, .. } => drop(self.changes.insert(*change, *attempt)),
            Fact::ChangeVerified { change, commit, .. } => drop(self.verified.insert(*change, commit.clone())),
            Fact::Merged { change, head, .. } => return self.merged(*change, head),
            Fact::TaskDone { task, attempt, .. } => return self.task_done(*task, *attempt),
            Fact::UsageSettled { usage, .. } => {
                self.settled += usage.cost.map_or(0, |cost| cost.0);
                self.calls += 1;
            }
            Fact::MessageSent { message, from, to, .. } => self.message_sent(*message, *from, to),
            Fact::MessagesRead { agent, key, upto } => self.messages_read(*agent, key, *upto),
            Fact::EgressRefused { agent, last, .. }
                if self.enough.contains(agent) || (*last && !self.enough.insert(*agent)) =>
            {
                return Err(broken(Rule::WithinLimits, format!("{fact:?} after the last")));
            }
            Fact::TaskSkipped { task, .. } if !self.skipped.insert(*task) => {
                return Err(broken(Rule::TallyCounts, format!("{task} is skipped twice")));
            }
            Fact::TaskReopened { .. } => self.skipped.clear(),
            Fact::AttemptFailed { attempt, reason: Failure::Infrastructure(_), .. } => self.gave_up(*attempt),
            Fact::RoleStopped { role, .. } if !self.stopped.insert(*role) => {
                return Err(broken(Rule::StoppedIsQuiet, format!("{role} is stopped twice")));
            }
            Fact::RoleReleased { role } => drop(self.stopped.remove(role)),
            Fact::Published { .. } => self.published = true,
            Fact::Closed { .. } => self.closed = true,
            _ => {}
        }
        Ok(())
    }

    /// Nothing that leads to a call begins for a role that met something lasting.
    fn is_quiet(&self, fact: &Fact) -> Result<(), Violation> {
        let agent = match fact {
            Fact::TurnStarted { attempt, .. } => self.agent_of.get(attempt),
            Fact::Assigned { agent, .. } | Fact::AgentStarting { agent, .. } => Some(agent),
            _ => None,
        };
        let role = agent.and_then(|agent| self.agents.iter().find(|(known, _)| known == agent)).map(|(_, role)| *role);
        match role.filter(|role| self.stopped.contains(role)) {
            Some(role) => Err(broken(Rule::StoppedIsQuiet, format!("{fact:?} while {role} is stopped"))),
            None => Ok(()),
        }
    }

    fn claims_hold(&mut self, fact: &Fact) -> Result<(), Violation> {
        let forgets = |what: &str| Err(broken(Rule::ClaimsHold, format!("{what}: {fact:?}")));
        match fact {
            Fact::ResultClaimed { attempt, .. } => drop(self.claimed.insert(*attempt)),
            Fact::ChangeQueued { attempt, .. } | Fact::TaskDone { attempt, .. } => drop(self.claimed.remove(attempt)),
            Fact::TurnOwed { attempt, brief: Brief::Returned(_) } => drop(self.claimed.remove(attempt)),
            Fact::TurnOwed { attempt, brief: Brief::Nudge } if self.claimed.contains(attempt) => {
                return forgets("reminded to submit after it did");
            }
            Fact::AttemptFailed {
                attempt,
                reason: Failure::TimedOut | Failure::NothingSubmitted | Failure::Stopped(_),
                ..
            } if self.claimed.remove(attempt) => return forgets("its result was recorded"),
            Fact::AttemptFailed { attempt, .. } => drop(self.claimed.remove(attempt)),
            _ => {}
        }
        Ok(())
    }

    /// Whether this is the last attempt of the agent, or the one before it.
    pub fn is_recent(&self, agent: AgentId, attempt: AttemptId) -> bool {
        self.attempts_of.get(&agent).is_some_and(|last| last.contains(&Some(attempt)))
    }

    /// The agent is of the chosen role, and of a role that may do the task and can.
    fn is_fit(&self, task: TaskId, agent: AgentId, chosen: RoleId) -> Result<(), Violation> {
        let wrong = |why: &str| Err(broken(Rule::OnlyTheFit, format!("{task} is given to {agent} of {chosen}, {why}")));
        let spec = self.plan.tasks.get(task.0 as usize);
        let skills = self.plan.roles.get(chosen.0 as usize).map(|role| &role.skills);
        let (Some(spec), Some(skills)) = (spec, skills) else { return wrong("which is not in the plan") };
        if !self.agents.contains(&(agent, chosen)) {
            return wrong("which it is not of");
        }
        if !spec.candidates().any(|role| role == chosen) {
            return wrong("which may not do it");
        }
        let lacks = spec.dispatch.needs.iter().any(|need| !skills.capabilities.contains(need));
        if lacks || skills.unheld.is_some() || (skills.read_only && spec.writes != Writes::Nothing) {
            return wrong("which cannot");
        }
        Ok(())
    }

    fn assigned(&mut self, task: TaskId, attempt: AttemptId) -> Result<(), Violation> {
        let needs = self.plan.tasks.get(task.0 as usize).map(|task| task.depends_on.as_slice()).unwrap_or_default();
        if let Some(missing) = needs.iter().find(|needed| !self.done.contains(needed)) {
            return Err(broken(Rule::NeedsFirst, format!("{task} begins before {missing} is done")));
        }
        if self.done.contains(&self.leader(task)) {
            return Err(broken(Rule::DoneIsMerged, format!("{task} begins again though it is done")));
        }
        match self.attempts.insert(attempt, task) {
            None => Ok(()),
            Some(_) => Err(broken(Rule::OneTaskPerAgent, format!("{attempt} is used twice"))),
        }
    }

    fn gave_up(&mut self, attempt: AttemptId) {
        let verified = self.verified.keys().any(|change| self.changes.get(change) == Some(&attempt));
        self.merge_given_up |= verified;
    }

    fn merged(&mut self, change: ChangeId, head: &str) -> Result<(), Violation> {
        if self.verified.get(&change).map(String::as_str) != Some(head) {
            return Err(broken(Rule::DoneIsMerged, format!("{change} is merged at {head}, which was not verified")));
        }
        self.head = Some(head.to_owned());
        self.merges.push((change, head.to_owned()));
        let task = self.changes.get(&change).and_then(|attempt| self.attempts.get(attempt));
        let task = task.copied();
        task.map_or(Ok(()), |task| self.done(task))
    }

    fn task_done(&mut self, task: TaskId, attempt: AttemptId) -> Result<(), Violation> {
        let report = self.plan.tasks.get(task.0 as usize).is_some_and(|task| task.writes == Writes::Nothing);
        if !report && self.work.get(&attempt) != Some(&Work::None) {
            return Err(broken(Rule::DoneIsMerged, format!("{task} is done without a merge")));
        }
        self.done(task)
    }

    /// Of rivals only one is ever done; whoever waits for them waits for the first.
    fn done(&mut self, task: TaskId) -> Result<(), Violation> {
        let leader = self.leader(task);
        let first = self.done.insert(leader);
        self.done.insert(task);
        if first { Ok(()) } else { Err(broken(Rule::OneOfRivals, format!("{task} is done a second time"))) }
    }

    fn leader(&self, task: TaskId) -> TaskId {
        self.plan.tasks.get(task.0 as usize).and_then(|task| task.dispatch.rival_of).unwrap_or(task)
    }

    fn message_sent(&mut self, message: MessageId, from: AgentId, to: &To) {
        let receives = |&&(agent, role): &&(AgentId, RoleId)| match to {
            To::Agent(one) => agent == *one,
            To::Role(all) => role == *all,
            To::Topic(_) => false,
        };
        for (agent, _) in self.agents.iter().filter(receives).filter(|(agent, _)| *agent != from) {
            self.inboxes.entry(*agent).or_default().push_back(message);
        }
    }

    fn messages_read(&mut self, agent: AgentId, key: &str, upto: MessageId) {
        let inbox = self.inboxes.entry(agent).or_default();
        while let Some(message) = inbox.pop_front_if(|message| *message <= upto) {
            self.given.insert((agent, message), key.to_owned());
        }
    }
}

/// The idempotency key of the agent's call that a fact comes from. The agents here never use one for two calls.
fn key_of(fact: &Fact) -> Option<&str> {
    match fact {
        Fact::MessageSent { key, .. }
        | Fact::MessagesRead { key, .. }
        | Fact::ResultClaimed { key, .. }
        | Fact::CheckpointTaken { key, .. } => Some(key),
        Fact::InterruptRaised { key, .. } => key.as_deref(),
        _ => None,
    }
}
