//! The agent tools: an MCP server for each agent, whose every call is told to the mission.
//!
//! An agent speaks only for itself: whose call it is follows from the listener that it came in on. A call that changes something counts once:
//! it carries a key (`muster/callId`), and the same key again, after a crash, gets the same answer and has no second effect.

use crate::{
    driver::{Handle, TellError},
    hands::Hands,
};
use api::{
    acp_meta,
    tools::{
        AgentCall, AgentEntry, AgentsListed, Checkpointed, Envelope, InterruptRaised, MESSAGES_MAX, MessageSent,
        MessagesRead, RUN_COMMAND, Recipient, ResultSubmitted, RunCommand, Topic as WireTopic, catalogue,
    },
};
use futures::future::BoxFuture;
use mission::{AgentId, Fact, Input, Mission, Process, Rejected, To, Topic};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, JsonObject,
        ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
    },
    service::RequestContext,
};
use serde::Serialize;
use serde_json::Value;
use std::sync::{Arc, Weak};

/// Carries out a call: the agent's name, the call's key, the arguments; answers with a text, or with what was wrong.
pub type RunTool = Arc<dyn Fn(String, String, Value) -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

/// A tool that an embedder of the engine adds to those of the mission.
#[derive(Clone)]
pub struct ExtraTool {
    /// Its name.
    pub name: &'static str,
    /// What it does, for the model.
    pub description: &'static str,
    /// The JSON Schema of its arguments.
    pub input_schema: Value,
    /// What it does.
    pub run: RunTool,
}

/// What every agent is offered.
pub(crate) struct Offered {
    listed: Vec<Tool>,
    /// The same as JSON.
    told: Arc<Value>,
}

/// The tools of one agent.
#[derive(Clone)]
pub(crate) struct AgentTools {
    hands: Weak<Hands>,
    handle: Handle,
    agent: AgentId,
    /// Whether commands are run for it.
    brokered: bool,
}

/// What a call comes to: an answer, or a sentence that the model can act on.
type Answer = Result<Value, String>;

impl AgentTools {
    pub(crate) fn new(hands: &Arc<Hands>, handle: Handle, agent: AgentId, brokered: bool) -> Self {
        Self { hands: Arc::downgrade(hands), handle, agent, brokered }
    }

    async fn call(&self, name: &str, arguments: Value, key: String) -> Answer {
        if let Some(extra) = self.extra(name) {
            let agent = self.agent;
            let name = self.look(move |mission| mission.agent_name(agent).to_owned()).await?;
            return (extra.run)(name, key, arguments).await.map(Value::String);
        }
        match AgentCall::parse(name, arguments).map_err(|error| error.to_string())? {
            AgentCall::SendMessage(call) => {
                self.send_message(key, call.to, with_reference(call.body, call.reply_to)).await
            }
            AgentCall::ReadMessages(call) => self.read_messages(key, call.limit.unwrap_or(MESSAGES_MAX)).await,
            AgentCall::ListAgents(_) => self.list_agents().await,
            AgentCall::RaiseInterrupt(call) => {
                self.raise_interrupt(key, question(&call.question, &call.options), call.default).await
            }
            AgentCall::Checkpoint(call) => self.checkpoint(key, call.label.unwrap_or_default()).await,
            AgentCall::SubmitResult(call) => self.submit_result(key, with_evidence(call.summary, call.evidence)).await,
            AgentCall::RunCommand(call) => self.run_command(key, call).await,
        }
    }

    fn extra(&self, name: &str) -> Option<ExtraTool> {
        self.hands.upgrade()?.extra_tools().iter().find(|tool| tool.name == name).cloned()
    }

    async fn look<T: Send + 'static>(&self, look: impl FnOnce(&Mission) -> T + Send + 'static) -> Result<T, String> {
        self.handle.read(look).await.map_err(|error| error.to_string())
    }

    /// Tells the mission; a call that was taken before is as good as one that is taken now.
    async fn tell(&self, input: Input) -> Result<Vec<Fact>, String> {
        match self.handle.tell(input).await {
            Ok(facts) => Ok(facts),
            Err(TellError::Rejected(Rejected::Duplicate)) => Ok(Vec::new()),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn send_message(&self, key: String, to: Recipient, body: String) -> Answer {
        let to = self.recipient(to).await?;
        let facts = self.tell(Input::MessageSent { from: self.agent, key, to, body }).await?;
        let message = facts.iter().find_map(|fact| match fact {
            Fact::MessageSent { message, .. } => Some(message.to_string()),
            _ => None,
        });
        json(MessageSent { message: message.unwrap_or_else(|| "sent before".to_owned()) })
    }

    async fn recipient(&self, to: Recipient) -> Result<To, String> {
        match to {
            Recipient::Topic(WireTopic::Status) => Ok(To::Topic(Topic::Status)),
            Recipient::Topic(WireTopic::Alerts) => Ok(To::Topic(Topic::Alerts)),
            Recipient::Topic(WireTopic::Artifacts) => Ok(To::Topic(Topic::Artifacts)),
            Recipient::Name(name) => {
                let wanted = name.clone();
                let found = self.look(move |mission| {
                    let agent = mission.agent_named(&wanted).map(To::Agent);
                    agent.or_else(|| mission.role_named(&wanted).map(To::Role))
                });
                found.await?.ok_or_else(|| {
                    format!("There is no agent and no role named '{name}'; list_agents tells who there is.")
                })
            }
        }
    }

    async fn read_messages(&self, key: String, count: u32) -> Answer {
        let (agent, same) = (self.agent, key.clone());
        self.tell(Input::MessagesRead { agent, key, count }).await?;
        let read = self.look(move |mission| {
            let messages = mission.read_with(agent, &same).iter().map(|message| Envelope {
                id: message.id.to_string(),
                from: mission.agent_name(message.from).to_owned(),
                body: message.body.clone(),
                reply_to: None,
            });
            MessagesRead {
                messages: messages.collect(),
                unread: u32::try_from(mission.unread(agent)).unwrap_or(u32::MAX),
            }
        });
        json(read.await?)
    }

    async fn list_agents(&self) -> Answer {
        let you = self.agent;
        let listed = self.look(move |mission| {
            let agents = mission.agents().map(|(id, agent)| AgentEntry {
                name: mission.agent_name(id).to_owned(),
                role: mission.plan().roles.get(agent.role.0 as usize).map(|role| role.name.clone()).unwrap_or_default(),
                state: state_word(agent).to_owned(),
                task: task_name(mission, agent),
            });
            AgentsListed { you: mission.agent_name(you).to_owned(), agents: agents.collect() }
        });
        json(listed.await?)
    }

    async fn raise_interrupt(&self, key: String, question: String, default: Option<String>) -> Answer {
        let facts = self.tell(Input::InterruptAsked { agent: self.agent, key, question, default }).await?;
        let interrupt = facts.iter().find_map(|fact| match fact {
            Fact::InterruptRaised { interrupt, .. } => Some(interrupt.to_string()),
            _ => None,
        });
        json(InterruptRaised {
            interrupt: interrupt.unwrap_or_else(|| "raised before".to_owned()),
            note: "A person is asked. End your turn now; the answer comes as your next prompt.".to_owned(),
        })
    }

    async fn checkpoint(&self, key: String, label: String) -> Answer {
        let hands = self.hands.upgrade().ok_or("the mission is not being run at the moment")?;
        let taken = hands.checkpoint(self.agent, &label).await?;
        let commit = taken.commit.to_string();
        self.tell(Input::CheckpointTaken { agent: self.agent, key, commit: commit.clone() }).await?;
        let left = crate::hands::left::told(&taken.left_out, None);
        let left_out = left.tell().lines().map(|line| line.trim().to_owned()).collect();
        let files_changed = u32::try_from(taken.files_changed).unwrap_or(u32::MAX);
        json(Checkpointed { commit, files_changed, left_out })
    }

    async fn submit_result(&self, key: String, summary: String) -> Answer {
        self.tell(Input::ResultSubmitted { agent: self.agent, key, summary }).await?;
        json(ResultSubmitted {
            note: "Recorded. End your turn now. Your change is then merged with what others have done and the acceptance checks are run; if \
                   something fails you get the evidence back."
                .to_owned(),
        })
    }

    /// The mission is not told: a command changes nothing but the agent's own work.
    async fn run_command(&self, key: String, call: RunCommand) -> Answer {
        if !self.brokered {
            return Err("run_command is for agents that cannot start processes; yours can: run the command yourself."
                .to_owned());
        }
        let hands = self.hands.upgrade().ok_or("the mission is not being run at the moment")?;
        let live = hands.live(self.agent).ok_or("the agent's process is not known")?;
        hands.run_command(&live, key, call).await.map(Value::String)
    }
}

impl ServerHandler for AgentTools {
    fn get_info(&self) -> ServerConfig {
        let mut info = ServerConfig::default();
        info.capabilities = ServerCapabilities::builder().enable_tools().build();
        info.server_info = Implementation::new("muster", env!("CARGO_PKG_VERSION"));
        info
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = self.hands.upgrade().map(|hands| hands.offered(self.brokered).listed.clone());
        Ok(ListToolsResult::with_all_items(tools.unwrap_or_default()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        // The server moves `_meta` out of the parameters.
        let meta = serde_json::to_value(&context.meta).ok();
        // An agent that gives no key gets one that is never seen again: its calls count every time.
        let key = acp_meta::call_id(meta.as_ref()).map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned);
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        let result = match self.call(&request.name, arguments, key).await {
            Ok(Value::String(text)) => CallToolResult::success(vec![ContentBlock::text(text)]),
            Ok(answer) => CallToolResult::success(vec![ContentBlock::text(answer.to_string())]),
            Err(sentence) => CallToolResult::error(vec![ContentBlock::text(sentence)]),
        };
        Ok(result.into())
    }
}

impl Hands {
    fn extra_tools(&self) -> &[ExtraTool] {
        &self.tools().extra_tools
    }

    /// What an agent is offered: the tools of the mission, `run_command` if commands are run for it, then those of whoever embeds the engine. Made once, because a schema costs more
    /// to make than a whole call.
    fn offered(&self, brokered: bool) -> &Offered {
        self.offered[usize::from(brokered)].get_or_init(|| {
            let ours = catalogue().into_iter().filter(|spec| brokered || spec.name != RUN_COMMAND);
            let ours = ours.map(|spec| Tool::new(spec.name, spec.description, object(spec.input_schema)));
            let extra = self.extra_tools().iter();
            let extra = extra.map(|tool| Tool::new(tool.name, tool.description, object(tool.input_schema.clone())));
            let listed: Vec<Tool> = ours.chain(extra).collect();
            let told = Arc::new(serde_json::to_value(&listed).unwrap_or_default());
            Offered { listed, told }
        })
    }

    /// What every agent is offered, as an agent is told of it.
    pub(crate) fn told(&self, brokered: bool) -> Arc<Value> {
        Arc::clone(&self.offered(brokered).told)
    }

    async fn checkpoint(&self, agent: AgentId, label: &str) -> Result<workspace::Checkpoint, String> {
        let live = self.live(agent).ok_or("the agent's process is not known")?;
        if live.scratch {
            return Err("Your role works without a repository; there is nothing to take a checkpoint of.".to_owned());
        }
        let label = if label.is_empty() { "at the agent's wish" } else { label };
        live.workspace.checkpoint(label, self.tools().clock.now().0).await.map_err(|error| error.to_string())
    }
}

fn json(answer: impl Serialize) -> Answer {
    serde_json::to_value(answer).map_err(|error| error.to_string())
}

fn object(schema: Value) -> JsonObject {
    match schema {
        Value::Object(object) => object,
        _ => JsonObject::new(),
    }
}

fn with_reference(body: String, reply_to: Option<String>) -> String {
    reply_to.map_or(body.clone(), |id| format!("(in reply to {id}) {body}"))
}

fn with_evidence(summary: String, evidence: Option<String>) -> String {
    evidence.map_or(summary.clone(), |evidence| format!("{summary}\n\nEvidence:\n{evidence}"))
}

fn question(question: &str, options: &[String]) -> String {
    if options.is_empty() { question.to_owned() } else { format!("{question}\nOptions: {}", options.join(" | ")) }
}

fn state_word(agent: &mission::Agent) -> &'static str {
    match (agent.process, agent.attempt) {
        (Process::Up, Some(_)) => "working",
        (_, Some(_)) => "waiting",
        (Process::Resting | Process::Stopping(_), None) => "resting",
        (Process::Cold | Process::Starting | Process::Up, None) => "idle",
    }
}

fn task_name(mission: &Mission, agent: &mission::Agent) -> Option<String> {
    let task = mission.attempt(agent.attempt?)?.task;
    mission.plan().tasks.get(task.0 as usize).map(|task| task.name.clone())
}
