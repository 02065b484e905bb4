//! Roles that nothing is given to: what one of their agents met would meet them all again until a person has changed something.
//!
//! ```text
//! AttemptFailed (lasting) ▶ RoleStopped ──another role may do it──▶ the task is given to that one
//!                                       └─nobody else may: InterruptRaised ──yes──▶ RoleReleased
//!                                                                          └─no───▶ RoleGivenUp ▶ its tasks fail
//! ```
//! So nothing is paid for twice after a cause that a repetition cannot mend, and the question says what to change.

use crate::{
    fact::Fact,
    id::{AgentId, At, InterruptId, RoleId, TaskId},
    input::Answer,
    limits::INTERRUPTS_MAX,
    problem::Problem,
    reason::About,
    state::{AttemptState, Mission},
};

/// What stopped a role, and what a person said to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stopped {
    pub(crate) problem: Problem,
    asked: Option<InterruptId>,
    given_up: bool,
}

impl Mission {
    /// Whether nothing is given to a role for a lasting cause.
    pub fn is_stopped(&self, role: RoleId) -> bool {
        self.stopped.contains_key(&role)
    }

    /// Whether a person gave up a stopped role.
    pub(crate) fn is_given_up(&self, role: RoleId) -> bool {
        self.stopped.get(&role).is_some_and(|stopped| stopped.given_up)
    }

    /// What stopped the role of an agent, if something did.
    pub(crate) fn stopped_role(&self, agent: AgentId) -> Option<&Stopped> {
        if self.stopped.is_empty() {
            return None;
        }
        self.stopped.get(&self.agents.get(agent.index())?.role)
    }

    /// What follows from an attempt that met something lasting: its role is stopped, unless it is already.
    pub(crate) fn stop_role(&self, agent: AgentId, problem: Option<&Problem>) -> Option<Fact> {
        let problem = problem.filter(|problem| problem.lasting)?;
        let role = self.agents.get(agent.index())?.role;
        (!self.is_stopped(role)).then(|| Fact::RoleStopped { role, problem: Box::new(problem.clone()) })
    }

    pub(crate) fn apply_role_stopped(&mut self, role: RoleId, problem: &Problem) {
        self.stopped.insert(role, Stopped { problem: problem.clone(), asked: None, given_up: false });
        self.refresh_agents_of(role);
    }

    pub(crate) fn apply_role_asked(&mut self, role: RoleId, interrupt: InterruptId) {
        if let Some(stopped) = self.stopped.get_mut(&role) {
            stopped.asked = Some(interrupt);
        }
    }

    pub(crate) fn apply_role_released(&mut self, role: RoleId) {
        self.stopped.remove(&role);
        self.refresh_agents_of(role);
    }

    pub(crate) fn apply_role_given_up(&mut self, role: RoleId) {
        if let Some(stopped) = self.stopped.get_mut(&role) {
            stopped.given_up = true;
        }
        self.refresh_agents_of(role);
    }

    fn refresh_agents_of(&mut self, role: RoleId) {
        let of_role = |agent: &AgentId| self.agents.get(agent.index()).is_some_and(|known| known.role == role);
        let agents: Vec<AgentId> = (0..self.agents.len() as u32).map(AgentId).filter(of_role).collect();
        agents.into_iter().for_each(|agent| self.refresh(agent));
        self.refresh_role(role);
    }

    /// The question about a stopped role that somebody waits for and that is not asked yet; without room for a question the role is given up.
    pub(crate) fn ask_about_role(&self, now: At) -> Option<Fact> {
        let unasked = self.stopped.iter().filter(|(_, stopped)| stopped.asked.is_none() && !stopped.given_up);
        let (role, stopped) = unasked.into_iter().find(|(role, _)| self.is_missed(**role))?;
        if self.interrupts.len() >= INTERRUPTS_MAX {
            return Some(Fact::RoleGivenUp { role: *role });
        }
        let name = self.plan.roles.get(role.index()).map_or("", |role| role.name.as_str());
        let hint = match stopped.problem.hint.trim() {
            "" => "Mend that".to_owned(),
            hint => hint.trim_end_matches('.').to_owned(),
        };
        let told = stopped.problem.tell();
        let told = told.trim_end_matches('.');
        let stop = if told.ends_with(['?', '!']) { "" } else { "." };
        let question = format!(
            "Role '{name}' cannot work: {told}{stop} Trying again as it is would end the same. {hint}. Approve when that is done, or deny to give \
             up what only this role can do.",
        );
        self.ask_once(now, About::Role(*role), question, Answer::Deny, self.limits().interrupt_ms)
    }

    /// Whether work waits that only stopped roles may do, this one among them.
    fn is_missed(&self, role: RoleId) -> bool {
        let owing = self.agents.iter().filter(|agent| agent.role == role).filter_map(|agent| agent.attempt);
        let owing = owing.filter_map(|attempt| self.attempts.get(&attempt));
        let owes = owing.into_iter().any(|attempt| matches!(attempt.state, AttemptState::Owed { .. }));
        owes || self.ready_for(role).any(|task| self.only_stopped_may(task))
    }

    fn only_stopped_may(&self, id: TaskId) -> bool {
        let Some(task) = self.plan.tasks.get(id.index()) else { return false };
        let mut fit = task.candidates().filter(|role| self.plan.unfit(task, *role).is_none());
        fit.all(|role| self.is_stopped(role) || self.is_barred(role))
    }

    /// What a person's answer leads to.
    pub(crate) fn role_answered(&self, role: RoleId, answer: &Answer) -> Vec<Fact> {
        match answer {
            _ if !self.is_stopped(role) => Vec::new(),
            Answer::Approve | Answer::Text(_) => vec![Fact::RoleReleased { role }],
            Answer::Deny => vec![Fact::RoleGivenUp { role }],
        }
    }

    /// The open question about a role that a task waits for, if it waits for one.
    pub(crate) fn asked_for(&self, id: TaskId) -> Option<InterruptId> {
        let task = self.plan.tasks.get(id.index())?;
        task.candidates().find_map(|role| self.stopped.get(&role)?.asked)
    }
}
