//! The contract between core and driver: [`Mission::decide`], [`Mission::apply`], [`Mission::replay`], [`Mission::in_flight`],
//! [`Mission::next_wakeup`].
//!
//! A decision has two parts. First the input is checked against the state and answered with its direct facts, or refused, with nothing changed.
//! Then the consequences that the new state owes follow one by one (who can be given what), each from the agenda, until none is left.

use crate::{
    effect::Effect,
    fact::Fact,
    id::{AgentId, AllowanceId, At, AttemptId, EffectId, InterruptId, RoleId, TaskId},
    input::Input,
    limits::TIMERS_PER_DECISION,
    plan::PlanError,
    reason::PauseReason,
    state::{InFlight, Mission, Status, Wanted},
    timer::Timer,
};

/// Why an input is refused. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The mission has not been opened.
    #[error("the mission has not been opened")]
    NotOpen,
    /// The mission exists already.
    #[error("the mission is open already")]
    AlreadyOpen,
    /// There is a plan already.
    #[error("the mission has a plan already")]
    AlreadyPlanned,
    /// The plan breaks a rule.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The mission is over, or about to be.
    #[error("the mission is over")]
    Over,
    /// The effect is not in flight: it was answered before, or belongs to an agent that is gone.
    #[error("nothing waits for effect {0}")]
    Stale(EffectId),
    /// No such agent.
    #[error("there is no agent {0}")]
    UnknownAgent(AgentId),
    /// The agent has no attempt to speak for.
    #[error("agent {0} has no task at the moment")]
    NoAttempt(AgentId),
    /// No such attempt, or it is over.
    #[error("attempt {0} is over")]
    UnknownAttempt(AttemptId),
    /// No such interrupt, or it is answered.
    #[error("interrupt {0} is not open; it may have been answered already")]
    UnknownInterrupt(InterruptId),
    /// No such role.
    #[error("there is no role {0}")]
    UnknownRole(RoleId),
    /// No such task.
    #[error("there is no task {0}")]
    UnknownTask(TaskId),
    /// The task is not one that can be tried again.
    #[error("task {0} has not failed")]
    NotFailed(TaskId),
    /// The same call was taken before; it has its effect once.
    #[error("this call was taken before")]
    Duplicate,
    /// One attempt has made more calls than any sane agent makes.
    #[error("this attempt has made too many calls")]
    TooManyCalls,
    /// Enough refusals of the network are recorded for this agent.
    #[error("enough refusals of agent {0} are recorded; further ones are only counted")]
    TooManyRefusals(AgentId),
    /// A text is empty.
    #[error("the text is empty")]
    Empty,
    /// A text is too long.
    #[error("the text has {bytes} bytes, at most {max} are allowed")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        max: usize,
    },
    /// A message to nobody.
    #[error("there is nobody to receive this message")]
    NoRecipient,
    /// The recipient's inbox is full.
    #[error("the inbox of agent {0} is full; it has to read first")]
    InboxFull(AgentId),
    /// There are too many open interrupts.
    #[error("too many questions are open already")]
    TooManyInterrupts,
    /// The agent has asked a question in this turn already.
    #[error("a question of this turn is open already; end the turn and wait for the answer")]
    QuestionOpen,
    /// The same was asked and is not answered yet.
    #[error("interrupt {0} asks the same already")]
    PermissionOpen(InterruptId),
    /// The mission's budget does not cover the call.
    #[error("the budget does not cover this; interrupt {0} asks for more")]
    BudgetExhausted(InterruptId),
    /// Too little is free at the moment; calls that are on will give back what they do not use.
    #[error("what is left of the budget is set aside for calls that are on")]
    BudgetHeld,
    /// The attempt may not spend more.
    #[error("the task's own budget does not cover this")]
    TaskBudgetExhausted,
    /// No such allowance, or it does not bound this attempt.
    #[error("there is no allowance {0} for this")]
    UnknownAllowance(AllowanceId),
    /// A person said that no more may be used.
    #[error("the budget is used up, and more was denied")]
    BudgetDenied,
    /// The answer is not an amount of what is asked for.
    #[error("'{text}' is not {example}")]
    NotThat {
        /// What was answered.
        text: String,
        /// What an answer looks like.
        example: &'static str,
    },
    /// The mission is not in the state that the input is for.
    #[error("the mission is {0}")]
    Standing(&'static str),
}

/// The facts of one decision, in order, or why there are none.
pub(crate) type Decision = Result<Vec<Fact>, Rejected>;

/// What a mission is doing, for drivers and screens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Something is in flight, or a timer of ours runs.
    Working,
    /// Nothing moves until a person answers or resumes.
    WaitingForPerson,
    /// It is over.
    Closed,
}

impl Mission {
    /// Tells the mission what happened at `now`; returns the facts decided, already applied to this value.
    ///
    /// The caller makes them durable before it carries out an effect or shows anything. When it cannot, it drops this value and
    /// [replays](Mission::replay) the journal. The cost depends on what the decision touches, not on the size of the mission.
    ///
    /// # Errors
    /// [`Rejected`], with nothing changed.
    pub fn decide(&mut self, now: At, input: Input) -> Result<Vec<Fact>, Rejected> {
        if matches!(input, Input::Woke) {
            self.admit(&input)?;
            return Ok(self.wake(now));
        }
        let mut facts = self.direct(now, input)?;
        facts.iter().for_each(|fact| self.apply(fact));
        self.follow(now, &mut facts);
        Ok(facts)
    }

    /// One function per input. Refuses, or answers with the direct facts.
    fn direct(&self, now: At, input: Input) -> Decision {
        self.admit(&input)?;
        match input {
            Input::Open(opening) => self.open(*opening),
            Input::ProposePlan(plan) => self.propose_plan(*plan),
            Input::EngineStarted => Ok(self.engine_started()),
            Input::RepositoryPrepared { effect, head, tried, problem } => {
                self.repository_prepared(now, effect, head, tried, problem)
            }
            Input::AgentReady { effect } => self.agent_ready(effect),
            Input::AgentLost { agent, reason, problem, outside } => {
                self.agent_lost(now, agent, reason, problem, outside)
            }
            Input::AgentStopped { effect } => self.agent_stopped(now, effect),
            Input::SessionOpened { attempt, session } => self.session_opened(attempt, session),
            Input::TurnEnded { effect, stop, work, said, problem } => {
                self.turn_ended(now, effect, (stop, work), said, problem.map(|problem| *problem))
            }
            Input::ResultSubmitted { agent, key, summary } => self.result_submitted(agent, key, summary),
            Input::CheckpointTaken { agent, key, commit } => self.checkpoint_taken(agent, key, commit),
            Input::MessageSent { from, key, to, body } => self.message_sent(from, key, to, body),
            Input::MessagesRead { agent, key, count } => self.messages_read(agent, key, count),
            Input::InterruptAsked { agent, key, question, default } => {
                self.interrupt_asked(now, agent, key, question, default)
            }
            Input::PermissionAsked { agent, key, request } => self.permission_asked(now, agent, key, request),
            Input::EgressRefused { agent, refusal } => self.egress_refused(agent, refusal),
            Input::ChangeChecked { effect, verdict } => self.change_checked(now, effect, verdict),
            Input::ChangeMerged { effect } => self.change_merged(effect),
            Input::ResultPublished { effect } => self.result_published(effect),
            Input::EffectFailed { effect, failure, error, problem } => {
                self.effect_failed(now, effect, failure, error, problem)
            }
            Input::LeaseAsked { attempt, micros, least, waits } => self.lease_asked(attempt, micros, least, waits),
            Input::LeaseReturned { attempt, micros } => self.lease_returned(attempt, micros),
            Input::AllowanceShort { attempt, allowance } => self.allowance_short(now, attempt, allowance),
            Input::RateLimited { attempt, until } => self.rate_limited(now, attempt, until),
            Input::HealthChecked { role, state, reason } => self.health_checked(now, role, state, reason),
            Input::UsageSettled { attempt, usage } => Ok(self.usage_settled(now, attempt, usage)),
            Input::SpaceExhausted => Ok(self.pause_for_space().into_iter().collect()),
            Input::Answered { interrupt, answer } => self.answered(now, interrupt, answer),
            Input::Pause => self.pause(),
            Input::Resume => self.resume(),
            Input::Cancel => self.cancel(),
            Input::Retry { task } => self.retry(now, task),
            Input::Woke => Ok(Vec::new()),
        }
    }

    /// What holds for every input: a mission that does not exist can only be opened, one that is over changes no more but for late bills.
    fn admit(&self, input: &Input) -> Result<(), Rejected> {
        match (self.status, input) {
            (Status::Empty, Input::Open(_)) => Ok(()),
            (Status::Empty, _) => Err(Rejected::NotOpen),
            (_, Input::Open(_)) => Err(Rejected::AlreadyOpen),
            (Status::Closed(_), Input::UsageSettled { .. }) => Ok(()),
            (Status::Closed(_), _) => Err(Rejected::Over),
            _ => Ok(()),
        }
    }

    /// Applies what the state owes, one fact at a time, until it owes nothing.
    fn follow(&mut self, now: At, facts: &mut Vec<Fact>) {
        while let Some(fact) = self.consequence(now) {
            self.apply(&fact);
            facts.push(fact);
        }
    }

    /// The next fact that the state owes. Each consequence removes its own cause, so that this ends.
    fn consequence(&self, now: At) -> Option<Fact> {
        match self.status {
            Status::Empty | Status::Closed(_) => None,
            Status::Closing(outcome) => self.closing_consequence(now, outcome),
            Status::Paused(PauseReason::Person) => self.cancel_next_turn(now),
            Status::Paused(PauseReason::Budget) => self.cancel_next_overdue(now).or_else(|| self.budget_question(now)),
            Status::Paused(PauseReason::Checks) => self.cancel_next_overdue(now),
            Status::Paused(PauseReason::Space) => self.cancel_next_overdue(now).or_else(|| self.space_question(now)),
            Status::Running => self.budget_warning().or_else(|| self.running_consequence(now)),
        }
    }

    /// Merging comes first, so that finished work is never behind new work; then turns, processes, assignments.
    fn running_consequence(&self, now: At) -> Option<Fact> {
        if self.tasks.is_empty() {
            return None;
        }
        self.head.as_ref()?;
        self.verify_next(now)
            .or_else(|| self.supersede_next(now))
            .or_else(|| self.skip_next())
            .or_else(|| self.cancel_next_overdue(now))
            .or_else(|| self.fail_next_denied(now))
            .or_else(|| self.ask_about_role(now))
            .or_else(|| self.start_next_turn(now))
            .or_else(|| self.start_next_agent())
            .or_else(|| self.assign_next(now))
            .or_else(|| self.close_when_decided())
    }

    /// Works off what is due at `now`, a bounded number of timers at a time; `next_wakeup` tells when to come again.
    fn wake(&mut self, now: At) -> Vec<Fact> {
        let mut facts = Vec::new();
        for _ in 0..TIMERS_PER_DECISION {
            let Some((at, timer)) = self.timers.first().filter(|(at, _)| *at <= now) else { break };
            let due = self.due(now, timer);
            due.iter().for_each(|fact| self.apply(fact));
            facts.extend(due);
            if self.timers.first() == Some((at, timer)) {
                self.timers.clear(timer);
            }
        }
        self.follow(now, &mut facts);
        facts
    }

    fn due(&self, now: At, timer: Timer) -> Vec<Fact> {
        match timer {
            Timer::Turn(attempt) => self.turn_overdue(now, attempt),
            Timer::Grace(attempt) => self.cancel_overdue(attempt),
            Timer::Task(task) => vec![Fact::TaskReady { task }],
            Timer::Agent(agent) => vec![Fact::AgentRested { agent }],
            Timer::Interrupt(interrupt) => self.interrupt_overdue(now, interrupt),
            Timer::Effect(effect) => self.retry_effect(effect),
            Timer::Limit(attempt) => self.limit_over(attempt),
            Timer::Allowance(allowance) => self.time_due(now, allowance),
        }
    }

    /// Changes the state by one fact. Never fails: a fact that does not fit (it cannot, coming from the journal of this mission) changes nothing.
    // tidy: dispatch
    pub fn apply(&mut self, fact: &Fact) {
        match fact {
            Fact::Opened { opening, effect } => self.apply_opened(opening, *effect),
            Fact::Planned { plan } => self.apply_planned(plan),
            Fact::RepositoryReady { head, .. } => self.apply_repository_ready(head),
            Fact::EngineRestarted => {}
            Fact::EffectRetried { failed, effect, .. } => self.apply_effect_retried(*failed, *effect),
            Fact::EffectDelayed { failed, until, .. } => self.apply_effect_delayed(*failed, *until),
            Fact::AgentStarting { agent, effect } => self.apply_agent_starting(*agent, *effect),
            Fact::AgentUp { agent } => self.apply_agent_up(*agent),
            Fact::AgentStartFailed { agent, until, .. } => self.apply_agent_start_failed(*agent, *until),
            Fact::AgentRested { agent } => self.apply_agent_rested(*agent),
            Fact::AgentLost { agent, blame, .. } => self.apply_agent_gone(*agent, *blame),
            Fact::AgentStopping { agent, effect, reason } => self.apply_agent_stopping(*agent, *effect, *reason),
            Fact::AgentDown { agent } => self.apply_agent_gone(*agent, false),
            Fact::Assigned { task, attempt, agent, lease, base, .. } => {
                self.apply_assigned(*task, *attempt, *agent, *lease, base);
            }
            Fact::SessionOpened { attempt, session } => self.apply_session_opened(*attempt, session),
            Fact::TurnStarted { attempt, turn, resumed, effect, deadline } => {
                self.apply_turn_started(*attempt, *turn, *resumed, *effect, *deadline);
            }
            Fact::TurnExtended { attempt, deadline } => self.apply_turn_extended(*attempt, *deadline),
            Fact::TurnCancelling { attempt, effect, reason, deadline } => {
                self.apply_turn_cancelling(*attempt, *effect, *reason, *deadline);
            }
            Fact::TurnEnded { attempt, work, .. } => self.apply_turn_ended(*attempt, work),
            Fact::TurnOwed { attempt, brief } => self.apply_turn_owed(*attempt, brief),
            Fact::AttemptParked { attempt, interrupt } => self.apply_attempt_parked(*attempt, *interrupt),
            Fact::ResultClaimed { attempt, key, summary } => self.apply_result_claimed(*attempt, key, summary),
            Fact::CheckpointTaken { attempt, key, .. } => self.apply_key(*attempt, key),
            Fact::AttemptFailed { attempt, reason, retry, problem } => {
                self.apply_attempt_failed(*attempt, reason, *retry, problem.as_deref());
            }
            Fact::RoleStopped { role, problem } => self.apply_role_stopped(*role, problem),
            Fact::RoleReleased { role } => self.apply_role_released(*role),
            Fact::RoleGivenUp { role } => self.apply_role_given_up(*role),
            Fact::MessageSent { message, from, key, to, body } => {
                self.apply_message_sent(*message, *from, key, to, body);
            }
            Fact::MessagesRead { agent, key, upto } => self.apply_messages_read(*agent, key, *upto),
            Fact::InterruptRaised { interrupt, about, question, deadline, default, key } => {
                self.apply_interrupt_raised(*interrupt, about, question, *deadline, default, key.as_deref());
            }
            Fact::InterruptAnswered { interrupt, answer, by } => {
                self.apply_interrupt_answered(*interrupt, answer, *by);
            }
            Fact::EgressRefused { agent, .. } => self.apply_egress_refused(*agent),
            Fact::LeaseGranted { attempt, micros } => self.apply_lease_granted(*attempt, *micros),
            Fact::LeaseReturned { attempt, micros } => self.apply_lease_returned(*attempt, *micros),
            Fact::UsageSettled { attempt, usage } => self.apply_usage_settled(*attempt, usage),
            Fact::AttemptLimited { attempt, until, own, .. } => self.apply_attempt_limited(*attempt, *until, *own),
            Fact::AttemptReleased { attempt } => self.apply_attempt_released(*attempt),
            Fact::WindowBegan { allowance, until } => self.apply_window_began(*allowance, *until),
            Fact::TimeCounted { allowance, ms, at } => self.apply_time_counted(*allowance, *ms, *at),
            Fact::AllowanceWarned { allowance, .. } => self.apply_allowance_warned(*allowance),
            Fact::AllowanceUsedUp { allowance, until } => self.apply_allowance_used_up(*allowance, *until),
            Fact::AllowanceRaised { allowance, by } => self.apply_allowance_raised(*allowance, *by),
            Fact::AllowanceDenied { allowance } => self.apply_allowance_denied(*allowance),
            Fact::BudgetWarned { .. } => self.ledger.warned = true,
            Fact::BudgetRaised { by } => self.apply_budget_raised(*by),
            Fact::TaskReady { task } => self.apply_task_ready(*task),
            Fact::ChangeQueued { change, attempt, commit } => self.apply_change_queued(*change, *attempt, commit),
            Fact::VerifyStarted { change, effect, onto, at } => self.apply_verify_started(*change, *effect, onto, *at),
            Fact::ChangeVerified { change, commit, effect, .. } => {
                self.apply_change_verified(*change, commit, *effect);
            }
            Fact::ChangeReturned { change, why } => self.apply_change_returned(*change, why),
            Fact::Merged { change, head, .. } => self.apply_merged(*change, head),
            Fact::TaskDone { task, attempt, .. } => self.apply_task_done(*task, *attempt),
            Fact::TaskFailed { task, .. } => self.apply_task_failed(*task),
            Fact::TaskSkipped { task, .. } => self.apply_task_skipped(*task),
            Fact::TaskSuperseded { task, .. } => self.apply_task_superseded(*task),
            Fact::HealthChanged { role, state, reason, since } => {
                self.apply_health_changed(*role, *state, reason, *since);
            }
            Fact::TaskReopened { task } => self.apply_task_reopened(*task),
            Fact::Paused { why } => self.status = Status::Paused(*why),
            Fact::Resumed => self.status = Status::Running,
            Fact::Closing { outcome, .. } => self.status = Status::Closing(*outcome),
            Fact::PublishStarted { effect, .. } => self.apply_publish_started(*effect),
            Fact::Published { .. } | Fact::PublishAbandoned => self.apply_publish_over(),
            Fact::Closed { outcome } => self.apply_closed(*outcome),
        }
    }

    /// The mission that these facts make.
    pub fn replay<'a>(facts: impl IntoIterator<Item = &'a Fact>) -> Mission {
        let mut mission = Mission::default();
        facts.into_iter().for_each(|fact| mission.apply(fact));
        mission
    }

    /// Every effect that was asked for and not settled, in the order of asking. After a restart, tell [`Input::EngineStarted`] first: it settles
    /// what died with the engine; what is still here then is to be carried out (again).
    pub fn in_flight(&self) -> impl Iterator<Item = Effect> + '_ {
        self.effects.keys().filter_map(|id| self.effect(*id))
    }

    /// When [`Input::Woke`] is to be told next, if nothing else happens; may lie in the past.
    pub fn next_wakeup(&self) -> Option<At> {
        if matches!(self.status, Status::Closed(_)) { None } else { self.timers.first().map(|(at, _)| at) }
    }

    /// What the mission is doing.
    pub fn standing(&self) -> Standing {
        let quiet = self.effects.is_empty() && !self.timers.any_but_interrupts();
        match self.status {
            Status::Closed(_) => Standing::Closed,
            Status::Paused(_) if quiet => Standing::WaitingForPerson,
            _ if quiet && !self.interrupts.is_empty() => Standing::WaitingForPerson,
            _ => Standing::Working,
        }
    }

    /// The id of the next effect asked for.
    pub(crate) fn next_effect(&self) -> EffectId {
        EffectId(self.next.effect)
    }

    /// Remembers that an effect was asked for.
    pub(crate) fn ask(&mut self, effect: EffectId, wanted: Wanted) {
        self.next.effect = self.next.effect.max(effect.0 + 1);
        self.effects.insert(effect, InFlight { wanted, tries: 0 });
        self.effect_of.insert(wanted, effect);
    }

    /// The effect in flight under this id.
    pub(crate) fn wanted(&self, effect: EffectId) -> Result<Wanted, Rejected> {
        self.effects.get(&effect).map(|asked| asked.wanted).ok_or(Rejected::Stale(effect))
    }

    /// Forgets the effect in flight that is this, if there is one.
    pub(crate) fn settle(&mut self, wanted: Wanted) {
        if let Some(effect) = self.effect_of.remove(&wanted) {
            self.effects.remove(&effect);
            self.delayed.remove(&effect);
            self.timers.clear(Timer::Effect(effect));
        }
    }
}
