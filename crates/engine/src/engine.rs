//! The engine of one home: opens it, begins missions, takes them up again, and lets other processes speak to them.

use crate::{
    clock::Clock,
    driver::{Driver, DriverError, Handle, Parts, Progress, TellError},
    fault::{Faults, Place},
    hands::{Hands, Tools},
    masking::Masking,
    meter::{Meter, Notes, Vault},
    order::Order,
    settings::Settings,
    setup::{self, SetupError},
    tools::ExtraTool,
};
use mission::{
    AgentId, At, Fact, Input, Limits, Micros, Mission, Opening, PauseReason, Plan, Rejected, Standing, Status,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
};
use store::{Home, LockError, MissionKey, MissionRow, OpenError, ReadError, Store, Transcripts, WriteError};
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use workspace::{Launcher, RepoFacts, RepoProblem};

mod known;
mod take_up;

/// Reads a secret by the name of its variable. The engine reads no environment itself.
pub type Secrets = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What an engine is made of.
pub struct Setup {
    /// `$MUSTER_HOME`.
    pub home: PathBuf,
    /// Folders beside the home that no program in a sandbox is shown, whatever a configuration says: the user's own
    /// configuration of muster. They need not be there.
    pub hidden: Vec<PathBuf>,
    /// The command that launches a sandbox: this program with its hidden subcommand.
    pub launcher: Vec<OsString>,
    /// This program, for our own agents.
    pub program: PathBuf,
    /// Where provider keys come from.
    pub secrets: Secrets,
    /// What must not be written: what the program knows already; the engine adds the keys of upstreams.
    pub masking: Masking,
    /// The armed crash point, if any.
    pub faults: Faults,
    /// Tools that agents get beyond those of the mission.
    pub extra_tools: Vec<ExtraTool>,
}

/// The engine of one home. There is one at a time.
pub struct Engine {
    store: Store,
    transcripts: Transcripts,
    launcher: Arc<Launcher>,
    program: PathBuf,
    secrets: Secrets,
    masking: Masking,
    faults: Arc<Faults>,
    clock: Clock,
    extra_tools: Vec<ExtraTool>,
    #[cfg(feature = "modelled")]
    modelled: Option<crate::Modelled>,
}

/// A mission to begin.
pub struct Request {
    /// What is wanted.
    pub goal: String,
    /// The user's repository, as [`inspect`] found it.
    pub repository: RepoFacts,
    /// Who does what.
    pub plan: Plan,
    /// How it is carried out.
    pub settings: Settings,
    /// The mission's limits.
    pub limits: Limits,
    /// The most that may be spent, in millionths of a US dollar.
    pub budget_micros: Option<u64>,
}

/// A mission that is being run. Dropping it ends all its agents at once.
pub struct Running {
    /// Talks to it.
    pub handle: Handle,
    /// How it stands.
    pub progress: watch::Receiver<Progress>,
    /// How many facts there were when this engine took it up: 0 for a new one.
    pub history: u64,
    driver: JoinHandle<Result<(), DriverError>>,
    hands: Arc<Hands>,
    /// Ends when it is dropped.
    _health: JoinSet<()>,
}

/// What cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The home cannot be taken for writing.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The journal cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The journal cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The journal cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Sandboxes cannot be launched.
    #[error("sandboxes cannot be launched: {0}")]
    Launcher(String),
    /// The user's repository cannot be worked on.
    #[error(transparent)]
    Repository(#[from] RepoProblem),
    /// The mission's configuration does not hold.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The configuration holds what must not be written.
    #[error(
        "the mission's configuration holds a secret ({cover}), and it is kept with the mission; name the variable that holds it instead"
    )]
    Secret {
        /// What stands for the secret.
        cover: String,
    },
    /// A sample cannot be written.
    #[error("a sample cannot be written: {0}")]
    Sample(String),
    /// git failed.
    #[error(transparent)]
    Workspace(#[from] workspace::Error),
    /// The actor failed.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The mission refused.
    #[error(transparent)]
    Tell(#[from] TellError),
    /// A mission is to be run again that has not ended.
    #[error("the mission {mission} has not ended; only one that has can be replayed")]
    Unfinished {
        /// Which mission.
        mission: MissionKey,
    },
    /// What the journal keeps of a mission's beginning cannot be read.
    #[error("what mission {mission} was begun with cannot be read: {detail}")]
    Beginning {
        /// Which mission.
        mission: MissionKey,
        /// What is wrong with it.
        detail: String,
    },
}

/// What a mission was begun with; kept beside its facts so that a crash between its first facts loses nothing.
#[derive(Serialize, Deserialize)]
pub(crate) struct Beginning {
    pub(crate) opening: Opening,
    pub(crate) plan: Plan,
}

/// Looks at the user's repository.
///
/// # Errors
/// [`RepoProblem`] says what is wrong with it and what to do.
pub async fn inspect(path: &Path) -> Result<RepoFacts, RepoProblem> {
    workspace::inspect(path).await
}

impl Engine {
    /// Takes the home for writing and opens its journal. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`EngineError::Lock`] names the process that has it.
    pub fn open(setup: Setup) -> Result<Self, EngineError> {
        let lock = Home::lock(&setup.home)?;
        // An agent takes up about ten open files of ours; the usual limit of 1,024 would end a mission of a hundred.
        if let Err(error) = workspace::raise_open_files() {
            tracing::warn!(%error, "the limit on open files cannot be raised; many agents at once may fail");
        }
        let launcher = Launcher::new(setup.launcher).map_err(|error| EngineError::Launcher(error.to_string()))?;
        setup.hidden.into_iter().chain([lock.dir().to_owned()]).for_each(|folder| launcher.hide(folder));
        Ok(Self {
            store: Store::open(&lock)?,
            transcripts: Transcripts::open(&lock, store::TranscriptOptions::default())?,
            launcher: Arc::new(launcher),
            program: setup.program,
            secrets: setup.secrets,
            masking: setup.masking,
            faults: Arc::new(setup.faults),
            clock: Clock,
            extra_tools: setup.extra_tools,
            #[cfg(feature = "modelled")]
            modelled: None,
        })
    }

    /// The same engine, whose agents of roles without a repository are tasks of this process.
    #[cfg(feature = "modelled")]
    pub fn modelled(self, modelled: crate::Modelled) -> Self {
        Self { modelled: Some(modelled), ..self }
    }

    /// The home.
    pub fn home(&self) -> &Path {
        self.store.dir()
    }

    /// Waits until what agents said and printed so far can be read.
    pub async fn transcripts_kept(&self) {
        if let Err(error) = self.transcripts.flush().await {
            tracing::warn!(%error, "transcripts are not kept any more");
        }
    }

    /// Makes a git repository of a folder, with everything in it as the first commit. For samples.
    ///
    /// # Errors
    /// [`EngineError::Workspace`].
    pub async fn make_repository(&self, dir: &Path, message: &str) -> Result<(), EngineError> {
        Ok(workspace::make_repository(dir, message).await?)
    }

    /// Begins a mission. When this returns, its opening and its plan are durable.
    ///
    /// # Errors
    /// Whatever is wrong with the request is found before anything is written.
    pub async fn begin(&self, request: Request) -> Result<Running, EngineError> {
        self.begin_under(setup::fresh_key, request).await
    }

    /// The same under a name that is new.
    pub(crate) async fn begin_as(&self, key: MissionKey, request: Request) -> Result<Running, EngineError> {
        self.begin_under(|_, _| key, request).await
    }

    /// `name` makes the mission's name of its goal and its plan, in which secrets are covered.
    async fn begin_under(
        &self,
        name: impl FnOnce(&str, &Plan) -> MissionKey,
        request: Request,
    ) -> Result<Running, EngineError> {
        let gateway = self.gateway(&request.settings)?;
        let mut plan = request.plan;
        let repository = request.repository.root.to_string_lossy().into_owned();
        self.note_what_is_known(&mut plan, &request.settings, &repository).await?;
        let (goal, plan) = (self.masking.text(request.goal).into_owned(), self.masking.value(plan));
        let key = name(&goal, &plan);
        let branch = workspace::result_branch(&request.repository.root, key.as_str()).await?;
        let opening = Opening {
            goal,
            repository,
            base: request.repository.head.to_string(),
            branch: branch.to_string(),
            budget: request.budget_micros.map(Micros),
            limits: request.limits,
            settings: serde_json::to_string(&request.settings).map_err(|error| self.beginning(&key, &error))?,
        };
        if let Some(cover) = self.masking.masker().find(opening.settings.as_bytes()) {
            return Err(EngineError::Secret { cover: cover.to_owned() });
        }
        check_beginning(&opening, &plan)?;
        let beginning = Beginning { opening, plan };
        let now = self.clock.now().0;
        let row = MissionRow {
            key: key.clone(),
            goal: beginning.opening.goal.clone(),
            repository: beginning.opening.repository.clone(),
            created_at_ms: now,
            updated_at_ms: now,
            status: "beginning".to_owned(),
            setup: serde_json::to_string(&beginning).map_err(|error| self.beginning(&key, &error))?,
        };
        self.store.create_mission(row).await?;
        self.run(key, beginning, gateway).await
    }

    /// The mission of this name.
    ///
    /// # Errors
    /// [`EngineError::Read`] when there is none.
    pub fn mission(&self, name: &str) -> Result<MissionKey, EngineError> {
        Ok(self.store.reader()?.mission(&name.into())?.key)
    }

    /// Takes a mission up again where its journal ends. A mission that is over comes back as it is.
    ///
    /// # Errors
    /// [`EngineError::Read`] when there is no such mission.
    pub async fn resume(&self, key: &MissionKey) -> Result<Running, EngineError> {
        let (beginning, settings) = self.begun_with(key)?;
        let gateway = self.gateway(&settings)?;
        self.run(key.clone(), beginning, gateway).await
    }

    /// What a mission was begun with.
    pub(crate) fn begun_with(&self, key: &MissionKey) -> Result<(Beginning, Settings), EngineError> {
        let row = self.store.reader()?.mission(key)?;
        let beginning: Beginning = serde_json::from_str(&row.setup).map_err(|error| self.beginning(key, &error))?;
        let settings = serde_json::from_str(&beginning.opening.settings);
        let settings = settings.map_err(|error| self.beginning(key, &error))?;
        Ok((beginning, settings))
    }

    pub(crate) fn reader(&self) -> Result<store::Reader, OpenError> {
        self.store.reader()
    }

    /// The `muster` binary.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    pub(crate) fn launcher(&self) -> &Arc<Launcher> {
        &self.launcher
    }

    /// Tells a mission that nobody runs something; what follows from it is carried out when it is taken up again.
    ///
    /// # Errors
    /// [`EngineError::Tell`] when the mission refuses.
    pub async fn note(&self, key: &MissionKey, order: Order) -> Result<Vec<Fact>, EngineError> {
        self.settle_unseen(key).await?;
        let (mut mission, seq) = crate::driver::replay_with(&self.store.reader()?, key)?;
        let now = self.clock.now();
        let input = self.masking.input(order.input(&mission).map_err(TellError::Order)?);
        let facts = mission.decide(now, input).map_err(TellError::Rejected)?;
        if !facts.is_empty() {
            facts.iter().for_each(|fact| self.faults.pass(Place::BeforeAppend, fact.kind()));
            self.store.append(key, seq + 1, now.0, &facts).await?;
            facts.iter().for_each(|fact| self.faults.pass(Place::AfterAppend, fact.kind()));
            let status = view::status_word(mission.status());
            self.store.commit(store::Batch::new().status(key, now.0, status)).await?;
        }
        Ok(facts)
    }

    fn gateway(&self, settings: &Settings) -> Result<(gateway::Gateway<Meter>, Arc<Meter>), SetupError> {
        let notes = Notes { transcripts: self.transcripts.clone(), masking: self.masking.clone() };
        let version = crate::prices::of_home(self.home())?.version();
        let vault = Vault::Store(self.store.clone());
        let meter = Arc::new(Meter::new(vault, self.clock, Arc::clone(&self.faults), version, notes));
        Ok((setup::gateway(settings, &self.secrets, &self.masking, Arc::clone(&meter), self.home())?, meter))
    }

    async fn run(
        &self,
        key: MissionKey,
        beginning: Beginning,
        (gateway, meter): (gateway::Gateway<Meter>, Arc<Meter>),
    ) -> Result<Running, EngineError> {
        let settings: Settings =
            serde_json::from_str(&beginning.opening.settings).map_err(|error| self.beginning(&key, &error))?;
        if settings.record {
            let dir = setup::cassette_dir(self.home(), key.as_str());
            let recorder = gateway::Recorder::open(&dir, (*self.masking.masker()).clone());
            gateway.record(recorder.map_err(SetupError::from)?);
        }
        self.settle_unseen(&key).await?;
        let (store, faults) = (self.store.clone(), Arc::clone(&self.faults));
        let (driver, handle, progress) =
            Driver::new(Parts { key: key.clone(), store, clock: self.clock, faults, masking: self.masking.clone() })?;
        let history = progress.borrow().seq;
        meter.serve(handle.clone());
        let tools = Tools {
            dir: setup::mission_dir(self.home(), key.as_str()),
            source: PathBuf::from(&beginning.opening.repository),
            settings,
            launcher: Arc::clone(&self.launcher),
            program: self.program.clone(),
            gateway,
            meter,
            transcripts: self.transcripts.clone(),
            masking: self.masking.clone(),
            faults: Arc::clone(&self.faults),
            clock: self.clock,
            extra_tools: self.extra_tools.clone(),
            #[cfg(feature = "modelled")]
            modelled: self.modelled.clone(),
            key,
        };
        let hands = Hands::new(tools, handle.clone());
        let driver = tokio::spawn(driver.run(Arc::clone(&hands)));
        let _health = self.look_after(&hands, &beginning.plan);
        let running = Running { handle, progress, history, driver, hands, _health };
        running.take_up(beginning).await?;
        Ok(running)
    }

    fn beginning(&self, mission: &MissionKey, error: &serde_json::Error) -> EngineError {
        EngineError::Beginning { mission: mission.clone(), detail: error.to_string() }
    }
}

/// The core's own judgement of a beginning, before anything is written.
fn check_beginning(opening: &Opening, plan: &Plan) -> Result<(), TellError> {
    let mut mission = Mission::default();
    mission.decide(At(0), Input::Open(Box::new(opening.clone()))).map_err(TellError::Rejected)?;
    mission.decide(At(0), Input::ProposePlan(Box::new(plan.clone()))).map_err(TellError::Rejected)?;
    Ok(())
}

impl Running {
    /// Tells the core what it does not know yet: its beginning, or that a new engine has it.
    async fn take_up(&self, beginning: Beginning) -> Result<(), EngineError> {
        let (standing, opened, planned) = self
            .handle
            .read(|mission| (mission.standing(), mission.opening().is_some(), !mission.plan().tasks.is_empty()))
            .await?;
        if standing == Standing::Closed {
            return Ok(());
        }
        if opened {
            // What the last engine asked for and did not see settled; what is asked for from here on starts by itself.
            let left = self
                .handle
                .read(|mission| mission.in_flight().map(|effect| effect.id).collect::<BTreeSet<_>>())
                .await?;
            self.handle.tell(Input::EngineStarted).await?;
            let still = self.handle.read(|mission| mission.in_flight().collect::<Vec<_>>()).await?;
            still.into_iter().filter(|effect| left.contains(&effect.id)).for_each(|effect| self.hands.start(effect));
        } else {
            self.handle.tell(Input::Open(Box::new(beginning.opening))).await?;
        }
        if !planned {
            match self.handle.tell(Input::ProposePlan(Box::new(beginning.plan))).await {
                Ok(_) | Err(TellError::Rejected(Rejected::Over)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Whether an agent's process is in a conversation.
    pub(crate) fn has_session(&self, agent: AgentId) -> bool {
        self.hands.has_session(agent)
    }

    /// Whether a person paused it.
    pub async fn is_paused_by_person(&self) -> bool {
        let paused = self.handle.read(|mission| mission.status() == Status::Paused(PauseReason::Person));
        paused.await.unwrap_or(false)
    }

    /// Why the actor has ended, once it has.
    pub async fn failure(&mut self) -> EngineError {
        match (&mut self.driver).await {
            Ok(Err(error)) => error.into(),
            Ok(Ok(())) | Err(_) => EngineError::Tell(TellError::Gone),
        }
    }

    /// Waits until the mission stands otherwise than `Working`, or its actor has failed.
    ///
    /// # Errors
    /// [`DriverError`] when the actor has failed.
    pub async fn settled(&mut self) -> Result<Standing, EngineError> {
        tokio::select! {
            progress = self.progress.wait_for(|progress| progress.standing != Standing::Working) => match progress {
                Ok(progress) => Ok(progress.standing),
                Err(_) => Err(EngineError::Tell(TellError::Gone)),
            },
            ended = &mut self.driver => match ended {
                Ok(Ok(())) | Err(_) => Err(EngineError::Tell(TellError::Gone)),
                Ok(Err(error)) => Err(error.into()),
            },
        }
    }

    /// Returns when every model call has ended and is in the books.
    pub async fn calls_settled(&self) {
        self.hands.tools().gateway.idle().await;
    }

    /// The recorded calls that it is answered from, if it is.
    pub(crate) fn cassettes(&self) -> Vec<gateway::Cassette> {
        self.hands.tools().gateway.cassettes()
    }

    /// What the gateway has been asked since the engine took the mission up.
    pub fn calls(&self) -> gateway::Stats {
        self.hands.tools().gateway.stats()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.driver.abort();
        self.hands.abandon();
    }
}
