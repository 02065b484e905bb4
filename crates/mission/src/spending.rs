//! The rules of allowances: what is used of them, what happens when one is used up, and what a person may say then.
//!
//! The gateway sets aside within what [`Mission::room`] says and holds what is set aside itself, as long as its calls are on: use is counted here when
//! it is settled. So use and what is set aside never pass an allowance together. An allowance of a window that is used up makes attempts wait for
//! the window's end, as a rate limit does. Any other asks a person, and until the answer nothing of what it covers begins:
//!
//! ```text
//! Open ──AllowanceUsedUp, InterruptRaised──▶ Asking ──AllowanceRaised──▶ Open
//!                                              └─────AllowanceDenied──▶ Denied: what it covers fails, and everything else goes on
//! ```
//!
//! Time counts while a turn is on that the allowance covers, whatever turns there are beside it. The time that an engine was not there is not counted.

use crate::{
    allowance::{Allowance, Measure, Scope},
    attempt::moot_question,
    decide::{Decision, Rejected},
    fact::Fact,
    id::{AgentId, AllowanceId, At, AttemptId, InterruptId, RoleId, TaskId},
    input::{Answer, Stop, Usage},
    limits::INTERRUPTS_MAX,
    permission,
    plan::TaskSpec,
    reason::{About, Failure, Outcome},
    state::{Mission, Status, TaskState},
};
use std::collections::{BTreeMap, BTreeSet};

mod time;

/// Every allowance as it stands, and who it concerns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spending {
    pub(crate) of: Vec<Spent>,
    by_scope: BTreeMap<Scope, Vec<AllowanceId>>,
    /// Roles of which no agent may work any more.
    barred: BTreeSet<RoleId>,
    /// Attempts that owe a turn which was denied.
    denied: BTreeSet<AttemptId>,
    /// Attempts whose turn is to end because its time is used up, and until when they wait then.
    overdue: BTreeMap<AttemptId, Option<At>>,
}

/// One allowance as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// How much may be used: what the plan says and what was allowed since.
    pub most: u64,
    /// How much is used, in the present window if it has one.
    pub used: u64,
    /// The end of the present window.
    pub until: Option<At>,
    /// Whether more may be used.
    pub stance: Stance,
    warned: bool,
    /// Whether people know that the window's amount is used up.
    told: bool,
    /// For time: how many turns are on, and up to when their time is counted.
    running: u32,
    since: At,
}

/// Whether more of an allowance may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stance {
    /// As long as there is some.
    #[default]
    Open,
    /// A person is asked.
    Asking(InterruptId),
    /// A person said no.
    Denied,
}

/// What an attempt may still use of one allowance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Which one.
    pub allowance: AllowanceId,
    /// What it counts.
    pub measure: Measure,
    /// How much is left, what is set aside for calls not taken off.
    pub left: u64,
}

impl Spent {
    fn window_over(&self, now: At) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// What is left at this time.
    pub fn left(&self, now: At) -> u64 {
        let used = if self.window_over(now) { 0 } else { self.used };
        self.most.saturating_sub(used)
    }
}

impl Mission {
    pub(crate) fn apply_allowances(&mut self) {
        for (index, allowance) in self.plan.allowances.iter().enumerate() {
            let id = AllowanceId(index as u32);
            self.spending.of.push(Spent { most: allowance.most, ..Spent::default() });
            self.spending.by_scope.entry(allowance.scope).or_default().push(id);
        }
    }

    /// The allowances that bound work of this agent on this task.
    fn covering(&self, agent: AgentId, task: Option<TaskId>) -> impl Iterator<Item = AllowanceId> + '_ {
        let role = self.agents.get(agent.index()).map(|agent| Scope::Role(agent.role));
        let scopes =
            [Some(Scope::Mission), role, Some(Scope::Agent(agent)), task.map(|task| Scope::Task(self.leader(task)))];
        let empty = self.spending.of.is_empty();
        let scopes = scopes.into_iter().flatten().filter(move |_| !empty);
        scopes.filter_map(|scope| self.spending.by_scope.get(&scope)).flatten().copied()
    }

    fn covering_attempt(&self, id: AttemptId) -> Vec<AllowanceId> {
        let lingering = || self.lingering.get(&id).map(|over| (over.agent, over.task));
        let on = self.attempts.get(&id).map(|attempt| (attempt.agent, attempt.task)).or_else(lingering);
        // A bill may come when its attempt is over; each agent's last one is remembered for it.
        let over = || {
            let agents = self.agents.iter().enumerate();
            let mut known = agents.filter_map(|(index, agent)| Some((AgentId(index as u32), agent.past_attempt?)));
            known.find(|(_, (past, _))| *past == id).map(|(agent, (_, task))| (agent, task))
        };
        if self.spending.of.is_empty() {
            return Vec::new();
        }
        let found = on.or_else(over).map(|(agent, task)| self.covering(agent, Some(task)).collect());
        found.unwrap_or_else(|| self.spending.by_scope.get(&Scope::Mission).cloned().unwrap_or_default())
    }

    fn counted(&self, id: AllowanceId) -> Option<(&Allowance, &Spent)> {
        self.plan.allowances.get(id.index()).zip(self.spending.of.get(id.index()))
    }

    /// What the calls of an attempt may still use of each allowance that bounds them; time is not a matter of calls.
    pub fn room(&self, now: At, attempt: AttemptId) -> Vec<Room> {
        let of = |allowance| {
            let (spec, spent) = self.counted(allowance)?;
            let left = if spent.stance == Stance::Open { spent.left(now) } else { 0 };
            (spec.measure != Measure::Time).then_some(Room { allowance, measure: spec.measure, left })
        };
        self.covering_attempt(attempt).into_iter().filter_map(of).collect()
    }

    /// Each allowance of the plan as it stands.
    pub fn allowances(&self) -> impl Iterator<Item = (AllowanceId, &Allowance, &Spent)> {
        let both = self.plan.allowances.iter().zip(&self.spending.of).enumerate();
        both.map(|(index, (allowance, spent))| (AllowanceId(index as u32), allowance, spent))
    }

    /// Whether an agent may be given something to do.
    pub(crate) fn may_work(&self, agent: AgentId) -> bool {
        self.stopped_role(agent).is_none() && self.covering(agent, None).all(|id| self.stance(id) == Stance::Open)
    }

    /// Whether a turn of the attempt may begin.
    pub(crate) fn may_go_on(&self, agent: AgentId, task: TaskId) -> bool {
        self.stopped_role(agent).is_none() && self.covering(agent, Some(task)).all(|id| self.stance(id) == Stance::Open)
    }

    /// Keeps what a refused agent or attempt is on the agenda for.
    pub(crate) fn refresh_denied(&mut self, agent: AgentId, id: AttemptId, task: TaskId, owed: bool) {
        let given_up = self.agents.get(agent.index()).is_some_and(|agent| self.is_given_up(agent.role));
        let denied = given_up || self.covering(agent, Some(task)).any(|id| self.stance(id) == Stance::Denied);
        let denied = owed && denied;
        if denied {
            self.spending.denied.insert(id);
        } else {
            self.spending.denied.remove(&id);
        }
    }

    fn stance(&self, id: AllowanceId) -> Stance {
        self.spending.of.get(id.index()).map_or(Stance::Open, |spent| spent.stance)
    }

    /// A call does not fit what is left, and nothing is set aside that may come back.
    pub(crate) fn allowance_short(&self, now: At, id: AttemptId, allowance: AllowanceId) -> Decision {
        if !self.attempts.contains_key(&id) {
            return Err(Rejected::UnknownAttempt(id));
        }
        if !self.covering_attempt(id).contains(&allowance) {
            return Err(Rejected::UnknownAllowance(allowance));
        }
        match self.stance(allowance) {
            Stance::Asking(interrupt) => return Err(Rejected::BudgetExhausted(interrupt)),
            Stance::Denied => return Err(Rejected::BudgetDenied),
            Stance::Open => {}
        }
        if matches!(self.status, Status::Closing(_)) {
            return Err(Rejected::Over);
        }
        let used = self.spending.of.get(allowance.index()).map_or(0, |spent| spent.used);
        let Some(until) = self.waits_until(now, allowance) else { return self.ask_for_more(now, allowance, used) };
        let mut facts: Vec<Fact> = self.tell_used_up(allowance, Some(until)).into_iter().collect();
        facts.extend(self.limit_attempt(now, id, until, true).unwrap_or_default());
        Ok(facts)
    }

    /// The end of the window in which nothing is left; nothing when waiting would not help: there is no window, or one call is too much for a whole one.
    fn waits_until(&self, now: At, id: AllowanceId) -> Option<At> {
        let (_, spent) = self.counted(id)?;
        spent.until.filter(|until| *until > now && spent.used > 0)
    }

    fn tell_used_up(&self, allowance: AllowanceId, until: Option<At>) -> Option<Fact> {
        let told = self.spending.of.get(allowance.index()).is_some_and(|spent| spent.told);
        (!told).then_some(Fact::AllowanceUsedUp { allowance, until })
    }

    fn ask_for_more(&self, now: At, allowance: AllowanceId, used: u64) -> Decision {
        if self.interrupts.len() >= INTERRUPTS_MAX {
            return Err(Rejected::TooManyInterrupts);
        }
        let Some((spec, spent)) = self.counted(allowance) else { return Err(Rejected::UnknownAllowance(allowance)) };
        let otherwise = match spec.scope {
            Scope::Mission => "to end the mission with what is merged",
            Scope::Role(_) => "to give up the tasks of this role",
            Scope::Agent(_) => "to go on without this agent",
            Scope::Task(_) => "to give up this task",
        };
        let question = format!(
            "The budget of {} is used up ({} used). Approve to allow as much again, answer with {}, or deny {otherwise}.",
            self.plan.allowance_words(allowance, spent.most),
            spec.measure.words(used),
            spec.measure.example(),
        );
        let asked = self.ask_once(now, About::Allowance(allowance), question, Answer::Deny, self.limits().interrupt_ms);
        Ok(self.tell_used_up(allowance, None).into_iter().chain(asked).collect())
    }

    pub(crate) fn apply_allowance_used_up(&mut self, id: AllowanceId, until: Option<At>) {
        let Some(spent) = self.spending.of.get_mut(id.index()) else { return };
        spent.told = true;
        if self.plan.allowances.get(id.index()).is_some_and(|spec| spec.measure == Measure::Time) {
            let working = |id: &AttemptId| self.uncancelled.contains(id);
            let over: Vec<AttemptId> = self.attempts_in(id).into_iter().filter(working).collect();
            self.spending.overdue.extend(over.into_iter().map(|attempt| (attempt, until)));
        }
        self.set_time_timer(id);
    }

    pub(crate) fn apply_allowance_asked(&mut self, id: AllowanceId, interrupt: InterruptId) {
        self.take_stance(id, Stance::Asking(interrupt));
    }

    fn take_stance(&mut self, id: AllowanceId, stance: Stance) {
        if let Some(spent) = self.spending.of.get_mut(id.index()) {
            spent.stance = stance;
        }
        self.agents_in(id).into_iter().for_each(|agent| self.refresh(agent));
    }

    fn agents_in(&self, id: AllowanceId) -> Vec<AgentId> {
        let all = || (0..self.agents.len() as u32).map(AgentId);
        match self.plan.allowances.get(id.index()).map(|allowance| allowance.scope) {
            Some(Scope::Mission) => all().collect(),
            Some(Scope::Role(role)) => {
                all().filter(|agent| self.agents.get(agent.index()).is_some_and(|agent| agent.role == role)).collect()
            }
            Some(Scope::Agent(agent)) => vec![agent],
            Some(Scope::Task(task)) => self.group(task).into_iter().filter_map(|member| self.holder(member)).collect(),
            None => Vec::new(),
        }
    }

    fn holder(&self, task: TaskId) -> Option<AgentId> {
        match self.tasks.get(task.index())?.state {
            TaskState::Running(attempt) => self.attempts.get(&attempt).map(|attempt| attempt.agent),
            _ => None,
        }
    }

    fn attempts_in(&self, id: AllowanceId) -> Vec<AttemptId> {
        let agents = self.agents_in(id).into_iter();
        agents.filter_map(|agent| self.agents.get(agent.index())?.attempt).collect()
    }

    /// What a person's answer leads to.
    pub(crate) fn allowance_answered(&self, allowance: AllowanceId, answer: &Answer) -> Decision {
        let Some(spec) = self.plan.allowances.get(allowance.index()) else {
            return Err(Rejected::UnknownAllowance(allowance));
        };
        let by = match answer {
            Answer::Approve => spec.most,
            Answer::Text(text) => {
                let refused = || Rejected::NotThat { text: text.clone(), example: spec.measure.example() };
                spec.measure.parse(text).ok_or_else(refused)?
            }
            Answer::Deny if spec.scope == Scope::Mission => {
                return Ok(vec![Fact::Closing { outcome: Outcome::Cancelled, why: None }]);
            }
            Answer::Deny => return Ok(vec![Fact::AllowanceDenied { allowance }]),
        };
        Ok(vec![Fact::AllowanceRaised { allowance, by }])
    }

    pub(crate) fn apply_allowance_raised(&mut self, id: AllowanceId, by: u64) {
        if let Some(spent) = self.spending.of.get_mut(id.index()) {
            spent.most = spent.most.saturating_add(by);
            (spent.warned, spent.told) = (false, false);
        }
        self.take_stance(id, Stance::Open);
        self.set_time_timer(id);
    }

    pub(crate) fn apply_allowance_denied(&mut self, id: AllowanceId) {
        self.take_stance(id, Stance::Denied);
        let roles: BTreeSet<RoleId> =
            self.agents_in(id).iter().filter_map(|agent| Some(self.agents.get(agent.index())?.role)).collect();
        for role in roles {
            let denied = |id: AllowanceId| self.stance(id) == Stance::Denied;
            let mut agents = (0..self.agents.len() as u32).map(AgentId);
            let mine = |agent: &AgentId| self.agents.get(agent.index()).is_some_and(|agent| agent.role == role);
            if agents.all(|agent| !mine(&agent) || self.covering(agent, None).any(denied)) {
                self.spending.barred.insert(role);
            }
            self.refresh_role(role);
        }
    }

    /// Whether nobody of a role may work any more.
    pub(crate) fn is_barred(&self, role: RoleId) -> bool {
        self.spending.barred.contains(&role) || self.is_given_up(role)
    }

    /// Why a task will never be given to anybody, if so.
    pub(crate) fn given_up(&self, task: TaskId) -> Option<Fact> {
        let by_task = self.spending.by_scope.get(&Scope::Task(self.leader(task))).into_iter().flatten();
        let denied = by_task.copied().find(|id| self.stance(*id) == Stance::Denied);
        let why = match denied {
            Some(id) => {
                format!("more than {} was denied", self.plan.allowance_words(id, self.spending.of[id.index()].most))
            }
            None if self.nobody_may(task) => self.why_nobody(task),
            None => return None,
        };
        Some(Fact::TaskFailed { task, why })
    }

    /// Whether of all that can do a task none may work any more.
    fn nobody_may(&self, id: TaskId) -> bool {
        let Some(task) = self.plan.tasks.get(id.index()) else { return false };
        let mut fit = task.candidates().filter(|role| self.plan.unfit(task, *role).is_none());
        let some = !self.spending.barred.is_empty() || !self.stopped.is_empty();
        some && fit.all(|role| self.is_barred(role))
    }

    fn why_nobody(&self, id: TaskId) -> String {
        let roles = self.plan.tasks.get(id.index()).into_iter().flat_map(TaskSpec::candidates);
        let stopped = roles.filter_map(|role| self.stopped.get(&role)).next();
        stopped.map_or_else(
            || "its role may use no more: a budget of it was denied".to_owned(),
            |stopped| format!("its role cannot work: {}", stopped.problem.tell()),
        )
    }

    /// How the allowances of a role stand.
    pub(crate) fn role_stances(&self, role: RoleId) -> impl Iterator<Item = Stance> + '_ {
        self.spending.by_scope.get(&Scope::Role(role)).into_iter().flatten().map(|id| self.stance(*id))
    }

    /// What is left of each allowance of a role, and of how much.
    pub(crate) fn role_rooms(&self, role: RoleId) -> impl Iterator<Item = (u64, u64)> + '_ {
        let ids = self.spending.by_scope.get(&Scope::Role(role)).into_iter().flatten();
        ids.filter_map(|id| self.spending.of.get(id.index()))
            .map(|spent| (spent.most.saturating_sub(spent.used), spent.most))
    }

    /// An attempt that may not go on gives its task back.
    pub(crate) fn fail_next_denied(&self, now: At) -> Option<Fact> {
        let attempt = *self.spending.denied.first()?;
        // What it asked before it was lost is nobody's question any more.
        let open = |attempt| permission::moot(attempt).next().or_else(|| moot_question(attempt));
        if let Some(moot) = self.attempts.get(&attempt).and_then(open) {
            return Some(moot);
        }
        let agent = self.attempts.get(&attempt).map(|attempt| attempt.agent);
        let stopped = agent.and_then(|agent| self.stopped_role(agent));
        let problem = stopped.map(|stopped| Box::new(stopped.problem.clone()));
        let reason = if problem.is_some() { Failure::Unavailable } else { Failure::Stopped(Stop::Budget) };
        Some(Fact::AttemptFailed { attempt, reason, retry: Some(now), problem })
    }

    pub(crate) fn forget_spending(&mut self, id: AttemptId) {
        self.spending.denied.remove(&id);
        self.spending.overdue.remove(&id);
    }

    /// A window that has ended begins anew with its next use.
    fn window_begins(&self, now: At, id: AllowanceId) -> Option<Fact> {
        let (spec, spent) = self.counted(id)?;
        let per = spec.per?;
        let stale = spent.until.is_none_or(|until| until <= now);
        stale.then(|| Fact::WindowBegan { allowance: id, until: per.end(now) })
    }

    pub(crate) fn apply_window_began(&mut self, id: AllowanceId, until: At) {
        if let Some(spent) = self.spending.of.get_mut(id.index()) {
            (spent.used, spent.until) = (0, Some(until));
            (spent.warned, spent.told) = (false, false);
        }
    }

    /// A call is settled: what it used counts for all that cover it.
    pub(crate) fn usage_settled(&self, now: At, attempt: AttemptId, usage: Usage) -> Vec<Fact> {
        let mut facts = Vec::new();
        let mut warnings = Vec::new();
        if !matches!(self.status, Status::Closed(_)) {
            for id in self.covering_attempt(attempt) {
                let Some((spec, spent)) = self.counted(id) else { continue };
                let Some(amount) = amount(spec.measure, &usage) else { continue };
                let began = self.window_begins(now, id);
                let used = if began.is_some() { amount } else { spent.used.saturating_add(amount) };
                let known = spent.warned && began.is_none();
                facts.extend(began);
                let share = u128::from(spent.most) * u128::from(self.limits().budget_warn_percent);
                if !known && used < spent.most && u128::from(used) * 100 >= share {
                    warnings.push(Fact::AllowanceWarned { allowance: id, used, most: spent.most });
                }
            }
        }
        facts.push(Fact::UsageSettled { attempt, usage });
        facts.append(&mut warnings);
        facts
    }

    pub(crate) fn count_usage(&mut self, attempt: AttemptId, usage: &Usage) {
        for id in self.covering_attempt(attempt) {
            let Some(measure) = self.plan.allowances.get(id.index()).map(|spec| spec.measure) else { continue };
            if let (Some(amount), Some(spent)) = (amount(measure, usage), self.spending.of.get_mut(id.index())) {
                spent.used = spent.used.saturating_add(amount);
            }
        }
    }

    pub(crate) fn apply_allowance_warned(&mut self, id: AllowanceId) {
        if let Some(spent) = self.spending.of.get_mut(id.index()) {
            spent.warned = true;
        }
    }
}

/// What a call counts in a measure, if it does.
fn amount(measure: Measure, usage: &Usage) -> Option<u64> {
    match measure {
        Measure::Cost => Some(usage.cost.unwrap_or_default().0),
        Measure::Tokens => Some(usage.input_tokens.saturating_add(usage.output_tokens)),
        Measure::Calls => Some(1),
        Measure::Time => None,
    }
}
