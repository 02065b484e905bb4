//! An agent's life: workspace, process, handshake, and the end.

use super::{
    Failed, Hands, Outcome,
    activity::Activity,
    body::{Body, Control},
    broker::Broker,
    transcript::Transcript,
};
use crate::{egress, serve, settings::RoleSettings, tools::AgentTools};
use agents::{
    AgentProgram,
    acp::{Connection, McpServer, PermissionPolicy, SessionId, Settings, Tap, Updates},
};
use api::config::Approvals;
use gateway::{Masker, Session, Tag};
use mission::{AgentId, EffectId, Input, Problem};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
};
use workspace::{AgentName, Preset, Program, SandboxExtras, Workspace};

/// Updates of one agent that may wait for the transcript.
const UPDATES: usize = 1024;
/// How long an agent may take to answer anything but a prompt. Node programs need seconds to start on a busy machine.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// How long an agent may take to end by itself when its input ends, before it is killed.
const EXIT_LIMIT: Duration = Duration::from_millis(500);

/// One agent's place in the hands.
#[derive(Default)]
pub(crate) struct Slot {
    live: Option<Arc<Live>>,
    /// It outlives the process, and so do the answers that it keeps.
    broker: Arc<Broker>,
    doing: Option<(EffectId, AbortHandle)>,
}

impl Slot {
    pub(super) fn live(&self) -> Option<Arc<Live>> {
        self.live.clone()
    }

    pub(super) fn doing(&mut self, effect: EffectId, task: AbortHandle) {
        self.doing = Some((effect, task));
    }

    fn is_for(&self, effect: EffectId) -> bool {
        self.doing.as_ref().is_some_and(|(doing, _)| *doing == effect)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some((_, task)) = &self.doing {
            task.abort();
        }
        self.broker.stop();
        if let Some(live) = &self.live {
            live.end();
        }
    }
}

/// An agent whose process is up.
pub(crate) struct Live {
    pub(crate) id: AgentId,
    pub(crate) name: AgentName,
    pub(crate) workspace: Workspace,
    pub(crate) scratch: bool,
    /// The name of its role.
    pub(crate) role: String,
    pub(crate) connection: Connection,
    pub(crate) gateway: Session,
    /// What its role adds to its sandbox, and to those of its commands.
    pub(crate) extras: SandboxExtras,
    /// The commands that are run for it.
    pub(crate) broker: Arc<Broker>,
    /// What becomes of its requests for permission.
    pub(crate) approvals: Approvals,
    /// Where the agent reaches us: an address and a port, as it sees them.
    door: String,
    /// Whether it does anything.
    pub(crate) activity: Arc<Activity>,
    /// Sessions that this process knows.
    pub(crate) loaded: Mutex<BTreeSet<SessionId>>,
    /// What our own agents are told of the tools, so that they need not ask.
    told: Option<Arc<Value>>,
    /// The turn that is to end, wherever it has got to.
    cancelled: watch::Sender<Option<EffectId>>,
    control: Control,
    /// Tells the transcript that nothing more comes of what the turn said.
    pub(super) turn_ended: Arc<Notify>,
    /// Whether its end is wanted, or told: the mission hears of it once.
    ending: AtomicBool,
    tasks: Tasks,
}

/// What runs around an agent; it ends with the agent.
#[derive(Default)]
struct Tasks(Mutex<Vec<AbortHandle>>);

impl Tasks {
    fn add(&self, task: AbortHandle) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }

    fn end(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..).for_each(|task| task.abort());
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.end();
    }
}

impl Live {
    /// Kills the process tree and everything of ours around it.
    fn end(&self) {
        self.ending.store(true, Ordering::SeqCst);
        self.control.kill();
        self.tasks.end();
    }

    /// Does something for a turn; nothing comes of it when the turn is to end first.
    pub(crate) async fn unless_cancelled<T>(&self, turn: EffectId, work: impl Future<Output = T>) -> Option<T> {
        let mut cancelled = self.cancelled.subscribe();
        tokio::select! {
            biased;
            _ = cancelled.wait_for(|cancelled| *cancelled == Some(turn)) => None,
            done = work => Some(done),
        }
    }

    /// Waits for the agent's answer to a prompt; asks the agent to end the turn as soon as that is wanted. It may have been wanted before the
    /// agent was told of the turn: then it is asked right after.
    pub(crate) async fn answer<T>(&self, turn: EffectId, session: &SessionId, prompt: impl Future<Output = T>) -> T {
        let mut cancelled = self.cancelled.subscribe();
        let mut prompt = std::pin::pin!(prompt);
        tokio::select! {
            // The prompt is on its way before it is taken back.
            biased;
            answer = &mut prompt => return answer,
            _ = cancelled.wait_for(|cancelled| *cancelled == Some(turn)) => {}
        }
        self.connection.cancel(session);
        prompt.await
    }

    /// The tools that a session is offered.
    pub(crate) fn servers(&self) -> Vec<McpServer> {
        if !self.connection.facts().mcp_http {
            return Vec::new();
        }
        let authorization = format!("Bearer {}", self.gateway.key().expose_secret());
        let url = format!("http://{}{}", self.door, serve::MCP_PATH);
        let headers = vec![("Authorization".into(), authorization)];
        vec![McpServer { name: "muster".into(), url, headers, tools: self.told.clone() }]
    }
}

impl Hands {
    pub(super) async fn start_agent(self: &Arc<Self>, effect: EffectId, agent: AgentId) -> Outcome {
        let look = move |mission: &mission::Mission| {
            let role = mission.agent(agent).and_then(|agent| mission.plan().roles.get(agent.role.0 as usize));
            (mission.agent_name(agent).to_owned(), role.map(|role| role.name.clone()).unwrap_or_default())
        };
        let (name, role) = self.handle.read(look).await?;
        let _turn = self.starts.acquire().await;
        let name = AgentName::new(name)?;
        let (role_name, role) = (role.clone(), self.role(&role)?);
        let workspace = match role.scratch {
            true => Workspace::scratch(&self.tools.dir, &name, Arc::clone(&self.tools.launcher))?,
            false => self.repository()?.clone_for(&name).await?,
        };
        // A stop at this very moment leaves no place; whoever ends here is ended below.
        let broker = self.slots().get(&agent).map(|slot| Arc::clone(&slot.broker)).unwrap_or_default();
        let live = self.launch(agent, name, (role_name, role), workspace, broker).await?;
        self.watch(&live);
        match self.slots().get_mut(&agent).filter(|slot| slot.is_for(effect)) {
            Some(slot) => slot.live = Some(live),
            // It was stopped at this very moment, and nobody would ever end it.
            None => live.end(),
        }
        Ok(Input::AgentReady { effect })
    }

    async fn launch(
        self: &Arc<Self>,
        id: AgentId,
        name: AgentName,
        (role_name, role): (String, &RoleSettings),
        workspace: Workspace,
        broker: Arc<Broker>,
    ) -> Result<Arc<Live>, Failed> {
        let tag = Tag { mission: self.tools.key.to_string(), agent: name.to_string() };
        let gateway = self.tools.gateway.open_session(tag).map_err(|error| Failed::transient(error.to_string()))?;
        gateway.pin(Some(&role.upstream));
        let program = match &role.command {
            None => AgentProgram::native(&self.tools.program),
            Some(words) => AgentProgram::command(words, role.speaks, &self.tools.program)
                .map_err(|error| Failed::fatal(error.to_string()))?,
        };
        let extras = role.extras.for_sandbox();
        let brokered = extras.preset == Preset::Worker;
        let auth_method = program.auth_method.clone();
        let (door, body) = self.embody(role, &workspace, program, &gateway).await?;
        let (tap, updates) = Tap::new(UPDATES);
        let activity = Arc::<Activity>::default();
        let turn_ended = self.transcribe(name.to_string(), gateway.key(), updates, Arc::clone(&activity));
        let tasks = Tasks::default();
        if let Some(listener) = body.listener {
            let tools = AgentTools::new(self, self.handle.clone(), id, brokered);
            let proxy = role.extras.hosts().map(|rules| egress::proxy(self.handle.clone(), id, rules));
            let served = serve::agent(listener, self.tools.gateway.clone(), gateway.clone(), tools.clone(), proxy);
            tasks.add(served.map_err(|error| Failed::transient(error.to_string()))?);
        }
        let permission = self.policy(id, role);
        let settings = Settings { answer_limit: ANSWER_LIMIT, auth_method, permission, ..Settings::default() };
        let connection =
            Connection::start(body.io, tap, settings).await.map_err(|error| Failed::transient(error.to_string()))?;
        Ok(Arc::new(Live {
            id,
            name,
            workspace,
            scratch: role.scratch,
            role: role_name,
            connection,
            gateway,
            extras,
            broker,
            approvals: role.approvals.clone(),
            door,
            activity,
            loaded: Mutex::default(),
            told: role.command.is_none().then(|| self.told(brokered)),
            cancelled: watch::Sender::default(),
            control: body.control,
            turn_ended,
            ending: AtomicBool::new(false),
            tasks,
        }))
    }

    /// How the agent's requests for permission are answered.
    fn policy(self: &Arc<Self>, agent: AgentId, role: &RoleSettings) -> PermissionPolicy {
        if role.approvals.allows_all() {
            return PermissionPolicy::AllowOnce;
        }
        let (hands, rules) = (Arc::downgrade(self), Arc::new(role.approvals.clone()));
        PermissionPolicy::Ask(Arc::new(move |request: String| {
            let (hands, rules) = (hands.clone(), Arc::clone(&rules));
            Box::pin(async move {
                let Some(hands) = hands.upgrade() else { return false };
                hands.permit(agent, &rules, request).await
            })
        }))
    }

    /// Lets the program run, and says where it reaches us.
    async fn embody(
        &self,
        role: &RoleSettings,
        workspace: &Workspace,
        program: AgentProgram,
        gateway: &Session,
    ) -> Result<(String, Body), Failed> {
        #[cfg(feature = "modelled")]
        if let Some(modelled) = self.tools.modelled.as_ref().filter(|_| role.scratch) {
            let (listener, door) = super::body::modelled::door()?;
            let body = modelled.begin(self.environment(role, gateway, &door), listener);
            return Ok((door, body));
        }
        let door = workspace::GATEWAY.to_string();
        let mut env = self.environment(role, gateway, &door);
        env.extend(program.env);
        let args = program.args.into_iter().map(Into::into).collect();
        let extras = role.extras.for_sandbox();
        let body =
            Body::sandboxed(workspace, Program { path: program.program, args, env, extras, gateway: true }).await?;
        Ok((door, body))
    }

    /// What an agent finds in its environment: the gateway under the names that programs look for, and which model it is for.
    fn environment(&self, role: &RoleSettings, gateway: &Session, door: &str) -> BTreeMap<String, String> {
        let key = gateway.key().expose_secret();
        let origin = format!("http://{door}");
        let upstream = self.tools.settings.upstreams.get(&role.upstream);
        let format = upstream.map_or("openai-chat", |upstream| upstream.format());
        let mut env = BTreeMap::from([
            ("OPENAI_BASE_URL".to_owned(), format!("{origin}/v1")),
            ("ANTHROPIC_BASE_URL".to_owned(), origin.clone()),
            ("GOOGLE_GEMINI_BASE_URL".to_owned(), origin),
            ("MUSTER_MODEL".to_owned(), role.model.clone()),
            ("MUSTER_MODEL_FORMAT".to_owned(), format.to_owned()),
        ]);
        if !role.rules.is_empty() {
            env.insert("MUSTER_RULES".to_owned(), role.rules.clone());
        }
        if !role.off.is_empty() {
            env.insert("MUSTER_OFF".to_owned(), role.off.join(","));
        }
        // A program that is logged in itself would take a key of ours for its own.
        if !upstream.is_some_and(|upstream| upstream.passes_credentials()) {
            let names = ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"];
            env.extend(names.map(|name| (name.to_owned(), key.to_owned())));
        }
        let numbers = [("MUSTER_CONTEXT_TOKENS", role.context_tokens), ("MUSTER_OUTPUT_TOKENS", role.output_tokens)];
        env.extend(numbers.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_string()))));
        env
    }

    /// Tells the mission when the process ends without being asked to.
    fn watch(self: &Arc<Self>, live: &Arc<Live>) {
        let (hands, watched) = (Arc::downgrade(self), Arc::downgrade(live));
        let closed = {
            let live = Arc::clone(live);
            async move { live.connection.closed().await }
        };
        let task = tokio::spawn(async move {
            let ended = closed.await;
            let (Some(hands), Some(live)) = (hands.upgrade(), watched.upgrade()) else { return };
            if let Some(lost) = hands.lose(&live, ended.to_string(), None).await {
                hands.handle.report(lost).await;
            }
        });
        live.tasks.add(task.abort_handle());
    }

    /// Clears away an agent that is no use any more, its whole process tree included; what it left in its workspace stays. Answers with what the
    /// mission is to be told: nothing, when it has been told already or asked for this end itself. Told twice, it would take the second time for
    /// the loss of the process that it has started since.
    pub(super) async fn lose(&self, live: &Arc<Live>, reason: String, problem: Option<Problem>) -> Option<Input> {
        let first = !live.ending.swap(true, Ordering::SeqCst);
        // How it ended by itself, before it is made to.
        let by_itself = tokio::time::timeout(EXIT_LIMIT, live.control.wait()).await;
        self.forget(live);
        live.broker.close().await;
        let exit = live.control.wait().await;
        let outside = matches!(by_itself, Ok(workspace::Exit::Killed));
        if first {
            self.scribe(live.name.as_str()).process_ended(exit);
        }
        let reason = if outside { format!("{reason}; its sandbox was killed from outside") } else { reason };
        first.then_some(Input::AgentLost { agent: live.id, reason, problem: problem.map(Box::new), outside })
    }

    /// Kills the agent, closes its gateway session and takes it out of its place.
    fn forget(&self, live: &Arc<Live>) {
        live.control.kill();
        self.tools.gateway.close_session(&live.gateway);
        let mut slots = self.slots();
        if let Some(slot) = slots.get_mut(&live.id)
            && slot.live.as_ref().is_some_and(|known| Arc::ptr_eq(known, live))
        {
            slot.live = None;
        }
    }

    /// Keeps the agent's work, lets it end by itself, then ends its whole process tree. What cannot be kept stays in the workspace and is said.
    pub(super) async fn stop_agent(&self, effect: EffectId, agent: AgentId) -> Input {
        let live = {
            let mut slots = self.slots();
            let Some(slot) = slots.get_mut(&agent) else { return Input::AgentStopped { effect } };
            if let Some((_, task)) = slot.doing.take() {
                task.abort();
            }
            slot.live.clone()
        };
        if let Some(live) = live {
            live.ending.store(true, Ordering::SeqCst);
            live.broker.close().await;
            self.keep(&live).await;
            live.connection.close_input();
            let exit = match tokio::time::timeout(EXIT_LIMIT, live.control.wait()).await {
                Ok(exit) => exit,
                Err(_) => {
                    live.control.kill();
                    live.control.wait().await
                }
            };
            self.scribe(live.name.as_str()).process_ended(exit);
            self.forget(&live);
            live.end();
        }
        self.slots().remove(&agent);
        Input::AgentStopped { effect }
    }

    async fn keep(&self, live: &Live) {
        if live.scratch {
            return;
        }
        let at_ms = self.tools.clock.now().0;
        match live.workspace.checkpoint("before the agent is stopped", at_ms).await {
            Ok(_) => {}
            // An agent that never began a task has nothing to keep.
            Err(error) if error.kind == workspace::ErrorKind::Missing => {}
            Err(error) => {
                tracing::warn!(agent = %live.name, %error, "the work could not be kept in a checkpoint; it stays in the workspace")
            }
        }
    }

    /// Whether an agent's process is in a conversation.
    pub(crate) fn has_session(&self, agent: AgentId) -> bool {
        let live = self.live(agent);
        live.is_some_and(|live| !live.loaded.lock().unwrap_or_else(PoisonError::into_inner).is_empty())
    }

    pub(super) fn cancel_turn(&self, agent: AgentId, turn: EffectId) {
        if let Some(live) = self.live(agent) {
            live.cancelled.send_replace(Some(turn));
            live.broker.stop();
        }
    }

    /// Carries what an agent does into its transcript. Answers with what is to be told when a turn has ended.
    fn transcribe(&self, agent: String, key: &SecretString, updates: Updates, activity: Arc<Activity>) -> Arc<Notify> {
        let turn_ended = Arc::new(Notify::new());
        let transcript = Transcript {
            transcripts: self.tools.transcripts.clone(),
            mission: self.tools.key.clone(),
            agent,
            clock: self.tools.clock,
            masking: self.tools.masking.clone(),
            activity,
            own: Masker::new([("session".to_owned(), key.clone())]),
        };
        tokio::spawn(transcript.run(updates, Arc::clone(&turn_ended)));
        turn_ended
    }
}
