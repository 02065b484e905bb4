//! The hands: effects carried out. Each effect is a task of its own that ends by telling the mission how it went.
//!
//! Hands decide nothing. An effect that is asked for again after a crash finds what its first run left and goes on from there: repositories
//! and workspaces are found, sessions are loaded, merges come out as the same commit, branches that have moved stay.

mod activity;
mod agent;
mod body;
mod broker;
pub(crate) mod left;
mod merge;
mod permit;
mod transcript;
mod trial;
mod turn;

use crate::{
    clock::Clock,
    driver::{Handle, TellError},
    fault::{Faults, Place},
    masking::Masking,
    meter::Meter,
    settings::{RoleSettings, Settings},
    tools::Offered,
};
use agent::{Live, Slot};
#[cfg(feature = "modelled")]
pub use body::modelled::{Modelled, ModelledAgent};
use futures::FutureExt;
use gateway::Gateway;
use mission::{AgentId, AttemptId, Effect, EffectFailure, EffectKind, Fact, Input, Problem};
use permit::Permits;
use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};
use store::{MissionKey, Transcripts};
use tokio::sync::Semaphore;
use workspace::{CommitId, ErrorKind, Launcher, Repository};

/// Agents that are started at one time, for each processor. All at once would only share the processors, each would take as long as all
/// together, and the last would pass its time limit.
const STARTS_PER_CORE: usize = 2;

/// What the hands of one mission are made of.
pub(crate) struct Tools {
    pub(crate) key: MissionKey,
    /// Where the mission's repositories and workspaces are.
    pub(crate) dir: PathBuf,
    /// The user's repository.
    pub(crate) source: PathBuf,
    pub(crate) settings: Settings,
    pub(crate) launcher: Arc<Launcher>,
    /// The program that our own agents are: this very one.
    pub(crate) program: PathBuf,
    pub(crate) gateway: Gateway<Meter>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) transcripts: Transcripts,
    pub(crate) masking: Masking,
    pub(crate) faults: Arc<Faults>,
    pub(crate) clock: Clock,
    pub(crate) extra_tools: Vec<crate::tools::ExtraTool>,
    #[cfg(feature = "modelled")]
    pub(crate) modelled: Option<Modelled>,
}

/// Carries out the effects of one mission.
pub(crate) struct Hands {
    tools: Tools,
    handle: Handle,
    repository: OnceLock<Repository>,
    /// Turns at starting an agent.
    starts: Semaphore,
    /// What agents are offered, once it was asked for: those that run their own commands, and those that do not.
    pub(crate) offered: [OnceLock<Offered>; 2],
    slots: Mutex<BTreeMap<AgentId, Slot>>,
    permits: Permits,
}

/// What came of an effect that has no agent to speak for it.
type Outcome = Result<Input, Failed>;

/// Why an effect could not be carried out.
#[derive(Debug)]
pub(crate) struct Failed {
    failure: EffectFailure,
    error: String,
    problem: Option<Box<Problem>>,
}

impl Hands {
    pub(crate) fn new(tools: Tools, handle: Handle) -> Arc<Self> {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let (repository, offered) = (OnceLock::new(), Default::default());
        let starts = Semaphore::new(STARTS_PER_CORE * cores);
        Arc::new(Self {
            tools,
            handle,
            repository,
            starts,
            offered,
            slots: Mutex::default(),
            permits: Permits::default(),
        })
    }

    /// Hears of a fact that is durable, before whoever told of it does.
    pub(crate) fn heard(&self, fact: &Fact) {
        self.permits.heard(fact);
    }

    /// Attempts that are over still have money set aside, which goes back when their calls are booked.
    pub(crate) fn leases_over(&self, attempts: Vec<AttemptId>) {
        self.tools.meter.over(attempts);
    }

    /// Begins an effect and returns at once.
    pub(crate) fn start(self: &Arc<Self>, effect: Effect) {
        let stoppable = matches!(effect.kind, EffectKind::StartAgent { .. } | EffectKind::RunTurn { .. });
        let (id, agent) = (effect.id, agent_of(&effect.kind).filter(|_| stoppable));
        let work = Arc::clone(self).carry_out(effect);
        let Some(agent) = agent else { return drop(tokio::spawn(work)) };
        // Its place is there before it can look for it.
        let mut slots = self.slots();
        let task = tokio::spawn(work).abort_handle();
        slots.entry(agent).or_default().doing(id, task);
    }

    async fn carry_out(self: Arc<Self>, effect: Effect) {
        let name: &'static str = (&effect.kind).into();
        self.tools.faults.pass(Place::EffectStart, name);
        let id = effect.id;
        // A bug of ours must not leave the mission waiting for ever for an answer.
        let performed = AssertUnwindSafe(self.perform(effect)).catch_unwind().await;
        let outcome = performed.unwrap_or_else(|_| Err(Failed::transient("the engine failed in the middle of it")));
        self.tools.faults.pass(Place::EffectSettle, name);
        match outcome {
            Ok(Some(input)) => self.handle.report(input).await,
            Ok(None) => {}
            Err(Failed { failure, error, problem }) => {
                tracing::warn!(effect = name, ?failure, error, "an effect failed");
                self.handle.report(Input::EffectFailed { effect: id, failure, error, problem }).await;
            }
        }
    }

    async fn perform(self: &Arc<Self>, Effect { id, kind }: Effect) -> Result<Option<Input>, Failed> {
        match kind {
            EffectKind::PrepareRepository { base, .. } => self.prepare(id, &base).await.map(Some),
            EffectKind::StartAgent { agent } => self.start_agent(id, agent).await.map(Some),
            EffectKind::RunTurn { .. } => self.run_turn(turn::Order::of(id, kind)?).await,
            EffectKind::CancelTurn { agent, turn } => {
                self.cancel_turn(agent, turn);
                Ok(None)
            }
            EffectKind::StopAgent { agent } => Ok(Some(self.stop_agent(id, agent).await)),
            EffectKind::VerifyChange { agent, commit, onto, message, at_ms, checks, .. } => {
                let order = merge::Order { agent, commit, onto, message, at_ms, checks };
                self.verify(id, order).await.map(Some)
            }
            EffectKind::MergeChange { from, to, .. } => self.merge(id, &from, &to).await.map(Some),
            EffectKind::Publish { branch, commit } => self.publish(id, &branch, &commit).await.map(Some),
        }
    }

    /// The mission's own repositories, made by the first effect of every mission and opened after a restart.
    pub(crate) fn repository(&self) -> Result<&Repository, Failed> {
        if self.repository.get().is_none() {
            let opened = Repository::open(&self.tools.dir, Arc::clone(&self.tools.launcher))?;
            // Whoever was first has opened the same.
            let _ = self.repository.set(opened);
        }
        self.repository.get().ok_or_else(|| Failed::fatal("the mission has no repository"))
    }

    pub(crate) fn slots(&self) -> MutexGuard<'_, BTreeMap<AgentId, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn live(&self, agent: AgentId) -> Option<Arc<Live>> {
        self.slots().get(&agent).and_then(Slot::live)
    }

    /// Ends everything at once: the processes of all agents, without keeping their work. For the end of the engine.
    pub(crate) fn abandon(&self) {
        self.slots().clear();
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    pub(crate) fn tools(&self) -> &Tools {
        &self.tools
    }

    pub(crate) fn role(&self, name: &str) -> Result<&RoleSettings, Failed> {
        let role = self.tools.settings.roles.get(name);
        role.ok_or_else(|| Failed::fatal(format!("the mission's settings have no role '{name}'")))
    }
}

fn agent_of(kind: &EffectKind) -> Option<AgentId> {
    match kind {
        EffectKind::StartAgent { agent }
        | EffectKind::RunTurn { agent, .. }
        | EffectKind::CancelTurn { agent, .. }
        | EffectKind::StopAgent { agent } => Some(*agent),
        EffectKind::PrepareRepository { .. }
        | EffectKind::VerifyChange { .. }
        | EffectKind::MergeChange { .. }
        | EffectKind::Publish { .. } => None,
    }
}

impl Failed {
    pub(crate) fn fatal(error: impl Into<String>) -> Self {
        Self { failure: EffectFailure::Fatal, error: error.into(), problem: None }
    }

    pub(crate) fn transient(error: impl Into<String>) -> Self {
        Self { failure: EffectFailure::Transient, error: error.into(), problem: None }
    }
}

impl From<workspace::Error> for Failed {
    fn from(error: workspace::Error) -> Self {
        let failure = match error.kind {
            ErrorKind::NoSpace => EffectFailure::NoSpace,
            ErrorKind::TimedOut | ErrorKind::Sandbox | ErrorKind::Damaged | ErrorKind::Other => {
                EffectFailure::Transient
            }
            ErrorKind::Missing
            | ErrorKind::Conflict
            | ErrorKind::Invalid
            | ErrorKind::Rejected
            | ErrorKind::TooLarge => EffectFailure::Fatal,
        };
        Self { failure, error: error.to_string(), problem: None }
    }
}

impl From<TellError> for Failed {
    fn from(error: TellError) -> Self {
        match error {
            TellError::NoSpace => Self { failure: EffectFailure::NoSpace, error: error.to_string(), problem: None },
            TellError::Rejected(_) | TellError::Order(_) | TellError::Gone => Self::transient(error.to_string()),
        }
    }
}

pub(crate) fn commit(text: &str) -> Result<CommitId, Failed> {
    Ok(CommitId::new(text)?)
}
