//! The pure core of `muster`: one mission as a value.
//!
//! The world tells it [`Input`]s; it decides [`Fact`]s; some facts ask for [`Effect`]s; effects, when done, come back as inputs. The journal of
//! facts is the only truth. There is no clock, no randomness, no I/O and no `async` in here: time is an argument, ids are counters.
//!
//! # Calls
//!
//! * into the core: [`Mission::decide`] (an input, at a time; decides and applies), [`Mission::apply`] and [`Mission::replay`] (facts from the journal);
//! * out of it: the facts returned, [`Mission::effect`] for each fact that asks for one, [`Mission::in_flight`] after a restart,
//!   [`Mission::next_wakeup`] for the only timer that a driver needs, [`Mission::standing`] to know when to stop;
//! * readings: everything in the module `view`.
//!
//! The order is always the same: decide; make the facts durable; then carry out the effects that they ask for and show them. A driver that cannot
//! make them durable drops the value and replays.
//!
//! # The transition table
//!
//! `→` are the direct facts of an input, `⇒` what the new state owes then (worked off in the same decision), `✱` asks for an effect.
//!
//! | input | facts |
//! |---|---|
//! | `Open` | → `Opened` ✱`PrepareRepository` |
//! | `ProposePlan` | → `Planned` ⇒ agents start as soon as the repositories stand |
//! | `RepositoryPrepared` | → `RepositoryReady`, or also `Paused`, `InterruptRaised` when a check cannot start ⇒ `Assigned`…, `AgentStarting`… |
//! | `EngineStarted` | → `EngineRestarted`, `AgentLost`… ⇒ `AgentStarting`… |
//! | `AgentReady` | → `AgentUp` ⇒ `TurnStarted` ✱`RunTurn` |
//! | `AgentLost` | up → `AgentLost` (turn owed again) or, too often, `AttemptFailed`; starting → `AgentStartFailed`; stopping: refused, `AgentStopped` comes |
//! | `AgentStopped` | → `AgentDown`, and `AttemptFailed` when its turn took too long |
//! | `SessionOpened` | → `SessionOpened` |
//! | `ResultSubmitted`, `CheckpointTaken` | → `ResultClaimed`, `CheckpointTaken` |
//! | `TurnEnded` however, with claim, or done with last words where the result is a text | → `TurnEnded`, `ChangeQueued` (or `TaskDone`, or `TurnOwed` about outside paths or files that cannot be taken over) ⇒ `VerifyStarted` ✱`VerifyChange` |
//! | `TurnEnded` done, without | → `TurnEnded`, `TurnOwed` (nudge, answer, files that cannot be taken over) or `AttemptParked` or `AttemptFailed` |
//! | `TurnEnded` cancelled or out of money, without claim | → `TurnEnded`, `TurnOwed` (continue, answer), `AttemptParked` (its question is open) or `AttemptFailed` |
//! | `TurnEnded` otherwise, without claim | → `TurnEnded`, `AttemptFailed`, and `InterruptRaised` when the attempts are used up; for a lasting cause `RoleStopped` ⇒ `Assigned` to another role, or `InterruptRaised` |
//! | `ChangeChecked` passed | → `ChangeVerified` ✱`MergeChange` |
//! | `ChangeChecked` failed, conflict, rejected | → `ChangeReturned` (turn owed), or also `AttemptFailed` ⇒ `VerifyStarted` of the next |
//! | `ChangeMerged` | → `Merged` ⇒ for its rivals `TurnCancelling`, `InterruptAnswered`, `TaskSuperseded`…; `VerifyStarted`, `Assigned`…, or `Closing` |
//! | `MessageSent`, `MessagesRead` | → `MessageSent`, `MessagesRead` |
//! | `InterruptAsked` | → `InterruptRaised` |
//! | `PermissionAsked` | → `InterruptRaised` (permission), `TurnExtended`; asked again after an answer: `InterruptRaised`, `InterruptAnswered` |
//! | `EgressRefused` | → `EgressRefused`, of which each agent has so many |
//! | `Answered` | → `InterruptAnswered`, then `RoleReleased`, `RoleGivenUp` ⇒ `TaskFailed`…, `TurnOwed`, `TurnExtended`, `TaskReopened`, `TaskFailed` ⇒ `TaskSkipped`…, `BudgetRaised` + `Resumed`, `AllowanceRaised` ⇒ `TurnStarted`…, `AllowanceDenied` ⇒ `AttemptFailed`…, `TaskFailed`…, `Closing`, `PublishAbandoned` |
//! | `LeaseAsked` | → `LeaseGranted`; refused while other calls may give something back; or `Paused` ⇒ `InterruptRaised` (budget) |
//! | `LeaseReturned` | → `LeaseReturned` |
//! | `AllowanceShort` | → `AllowanceUsedUp`, `InterruptRaised` (budget); in a window `AllowanceUsedUp`, `AttemptLimited`, `TurnCancelling` |
//! | `HealthChecked` | → `HealthChanged` ⇒ `Assigned`… when it lets a task be given out |
//! | `UsageSettled` | → `WindowBegan`…, `UsageSettled`, `AllowanceWarned`… ⇒ `BudgetWarned` |
//! | `RateLimited` | → `AttemptLimited`, and `TurnCancelling` ✱`CancelTurn` while its turn runs; no turn of it starts before the limit is over |
//! | `EffectFailed` | agent → `AgentStartFailed`, for a lasting cause `AttemptFailed`, `RoleStopped`; turn → `AttemptFailed`; repository, change → `EffectDelayed` or giving up (a move of the branch never, unless the mission ends); result → `InterruptRaised`; full disk → also `Paused` ⇒ `InterruptRaised` |
//! | `SpaceExhausted` | → `Paused` ⇒ `InterruptRaised` |
//! | `Pause` | → `Paused` ⇒ `TurnCancelling`… ✱`CancelTurn` |
//! | `Resume` | → `Resumed` ⇒ whatever was held back |
//! | `Cancel` | → `Closing` ⇒ `TurnCancelling`…, `AttemptFailed`…, `InterruptAnswered`…, `PublishStarted` ✱`Publish`, `AgentStopping`… ✱`StopAgent`, `Closed` |
//! | `ResultPublished` | → `Published` ⇒ `Closed` |
//! | `Retry` | → `TaskReopened` ⇒ `Assigned`; while its role is stopped as `Answered` with yes |
//! | `Woke` | what is due: `TurnCancelling`, `AgentStopping`, `TaskReady`, `AgentRested`, `AttemptReleased` ⇒ `TurnStarted`, `InterruptAnswered`, `EffectRetried`, `TimeCounted`, `AllowanceUsedUp`, `InterruptRaised` ⇒ `TurnCancelling`… |
//!
//! A turn that an allowance of time covers has a `TimeCounted` (and `WindowBegan`) before its `TurnStarted` and before its end.

mod agent;
mod allowance;
mod assign;
mod attempt;
mod brief;
mod budget;
mod claim;
mod closing;
mod decide;
mod dispatch;
mod effect;
mod egress;
mod fact;
mod id;
mod input;
mod interrupt;
mod ledger;
mod left_out;
mod limited;
pub mod limits;
mod merge;
mod message;
mod opening;
mod permission;
mod plan;
mod problem;
mod reason;
mod spending;
mod state;
mod stopped;
mod timer;
mod view;

pub use allowance::{ALLOWANCES_MAX, Allowance, Measure, Per, Scope};
pub use budget::dollars;
pub use decide::{Rejected, Standing};
pub use dispatch::{
    Dispatch, Past, Profile, Size, Skills, Weights,
    health::{Health, State as HealthState},
    ranking::{Candidate, Out, Points, Ranking},
};
pub use effect::{Effect, EffectKind};
pub use fact::Fact;
pub use id::{AgentId, AllowanceId, At, AttemptId, ChangeId, EffectId, InterruptId, MessageId, Micros, RoleId, TaskId};
pub use input::{Answer, CheckRun, EffectFailure, Input, Opening, Refusal, Stop, To, Topic, Usage, Verdict, Work};
pub use ledger::{Lease, Ledger};
pub use left_out::{LEFT_OUT_MAX, LeftOut, LeftOuts, WhyLeftOut};
pub use limits::Limits;
pub use plan::{Check, Plan, PlanError, Role, TaskSpec, Writes};
pub use problem::{Cause, Problem};
pub use reason::{About, Brief, By, Choice, Failure, Outcome, PauseReason, Return, StopReason};
pub use spending::{Room, Spent, Stance};
pub use state::{
    Agent, Attempt, AttemptState, Change, ChangeState, Interrupt, Message, Mission, Process, Status, Tally, Task,
    TaskState,
};
