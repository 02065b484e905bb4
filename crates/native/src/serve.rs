//! The client's side of the process: one line in, the answers out, one turn at a time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;

use agent_client_protocol_schema::ProtocolVersion;
use agent_client_protocol_schema::v1::{
    AgentCapabilities, CancelNotification, ContentBlock, EmbeddedResourceResource, Implementation, InitializeResponse,
    LoadSessionRequest, McpCapabilities, McpServer, NewSessionRequest, PromptRequest,
};
use api::acp_meta;
use api::rpc::{ErrorObject, Id, Incoming, LineTooLong, Request, Response, code};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::conversation::TurnEnd;
use crate::mcp;
use crate::record::Record;
use crate::rules;
use crate::session::{Session, SessionError, Setting};
use crate::stdio::{Closed, Input, Output};
use crate::turn::{Agent, Turn};
use crate::updates::Updates;

/// In the `_meta` of a prompt's result: what to tell a person about the stop, if there is more to say than its name.
pub const WHY: &str = "muster/why";

/// Serves the client until it goes away.
pub async fn serve(agent: Agent, http: reqwest::Client, mut input: Input, output: Output) {
    let agent = std::rc::Rc::new(agent);
    let mut server = Server { agent, http, output, settings: BTreeMap::new(), current: None };
    let mut running: Option<Running> = None;
    loop {
        let went_well = tokio::select! {
            line = input.next() => match line {
                Some(line) => server.take(line, &mut running).await,
                None => return,
            },
            ended = ended(&mut running) => {
                running = None;
                server.finish(ended).await
            }
        };
        if went_well == Err(Closed) {
            return;
        }
    }
}

/// The turn under way. Dropping it stops everything that it does.
struct Running {
    session: String,
    cancel: CancellationToken,
    turn: Pin<Box<dyn Future<Output = Ended>>>,
}

struct Ended {
    id: Id,
    session: Session,
    outcome: Result<TurnEnd, String>,
}

async fn ended(running: &mut Option<Running>) -> Ended {
    match running {
        Some(running) => (&mut running.turn).await,
        None => std::future::pending().await,
    }
}

struct Server {
    agent: std::rc::Rc<Agent>,
    http: reqwest::Client,
    output: Output,
    /// Sessions that the client has opened in this process.
    settings: BTreeMap<String, Setting>,
    /// The last one used, kept in memory; the others are read from their logs again.
    current: Option<Session>,
}

impl Server {
    async fn take(&mut self, line: Result<Vec<u8>, LineTooLong>, running: &mut Option<Running>) -> Result<(), Closed> {
        let line = match line {
            Ok(line) => line,
            Err(error) => {
                let error = ErrorObject::new(code::INVALID_REQUEST, format!("invalid request: {error}"));
                return self.output.send(Response::error(Id::Null, error).to_line()).await;
            }
        };
        match Incoming::parse(&line) {
            Ok(Incoming::Request(request)) => {
                let id = request.id.clone();
                match self.answer(request, running) {
                    Ok(Some(result)) => self.output.send(Response::ok(id, result).to_line()).await,
                    Ok(None) => Ok(()),
                    Err(error) => self.output.send(Response::error(id, error).to_line()).await,
                }
            }
            Ok(Incoming::Notification(told)) => {
                if told.method == "session/cancel"
                    && let Ok(cancel) = params::<CancelNotification>(told.params)
                    && let Some(running) = running
                    && *running.session == *cancel.session_id.0
                {
                    running.cancel.cancel();
                }
                Ok(())
            }
            // We ask the client nothing.
            Ok(Incoming::Response(_)) => Ok(()),
            Err(malformed) => match malformed.reply() {
                Some(reply) => self.output.send(reply.to_line()).await,
                None => Ok(()),
            },
        }
    }

    /// `None`: the answer comes when the turn ends.
    fn answer(&mut self, request: Request, running: &mut Option<Running>) -> Result<Option<Value>, ErrorObject> {
        match request.method.as_str() {
            "initialize" => Ok(Some(initialized())),
            "authenticate" => Ok(Some(json!({}))),
            "session/new" => self.new_session(params(request.params)?).map(Some),
            "session/load" => self.load_session(params(request.params)?, running.as_ref()).map(Some),
            "session/prompt" => self.prompt(request.id, params(request.params)?, running),
            method => Err(ErrorObject::method_not_found(method)),
        }
    }

    fn new_session(&mut self, request: NewSessionRequest) -> Result<Value, ErrorObject> {
        let setting = self.setting(request.cwd, request.mcp_servers)?;
        let dir = &self.agent.settings.sessions_dir;
        let session = Session::create(dir, &setting, &self.http).map_err(refused)?;
        let id = session.id.clone();
        self.settings.insert(id.clone(), setting);
        self.current = Some(session);
        Ok(json!({ "sessionId": id }))
    }

    fn load_session(&mut self, request: LoadSessionRequest, running: Option<&Running>) -> Result<Value, ErrorObject> {
        let id = request.session_id.to_string();
        if running.is_some_and(|running| running.session == id) {
            return Err(busy());
        }
        let setting = self.setting(request.cwd, request.mcp_servers)?;
        let session = Session::open(&self.agent.settings.sessions_dir, &id, &setting, &self.http).map_err(refused)?;
        self.settings.insert(id, setting);
        self.current = Some(session);
        Ok(json!({}))
    }

    fn prompt(
        &mut self,
        id: Id,
        request: PromptRequest,
        running: &mut Option<Running>,
    ) -> Result<Option<Value>, ErrorObject> {
        if running.is_some() {
            return Err(busy());
        }
        let meta = request.meta.map(Value::Object);
        let text = prompt_text(request.prompt)?;
        let mut session = self.session(&request.session_id.to_string())?;
        let turn = acp_meta::turn(meta.as_ref());
        let is_known = is_known(&session, turn, meta.as_ref());
        if !is_known {
            start(&mut session, text, turn).map_err(ErrorObject::internal)?;
        }
        let cancel = CancellationToken::new();
        let updates = Updates::new(self.output.clone(), &session.id, self.agent.settings.context_tokens);
        let agent = std::rc::Rc::clone(&self.agent);
        let token = cancel.clone();
        let name = session.id.clone();
        let turn = Box::pin(async move {
            let turn = Turn { agent: &agent, session: &mut session, updates, cancel: token };
            let outcome = turn.run(is_known).await;
            Ended { id, session, outcome }
        });
        *running = Some(Running { session: name, cancel, turn });
        Ok(None)
    }

    /// Where a session works. A server that an earlier session has met is the same one here.
    fn setting(&self, cwd: PathBuf, servers: Vec<McpServer>) -> Result<Setting, ErrorObject> {
        let mut setting = setting(cwd, servers)?;
        for server in &mut setting.servers {
            let met = self.settings.values().flat_map(|setting| &setting.servers).find(|met| met.is(server));
            if let Some(met) = met {
                *server = met.clone();
            }
        }
        Ok(setting)
    }

    fn session(&mut self, id: &str) -> Result<Session, ErrorObject> {
        if let Some(session) = self.current.take_if(|session| session.id == id) {
            return Ok(session);
        }
        let setting = self.settings.get(id).ok_or_else(|| {
            ErrorObject::invalid_params(format!("no session {id:?} is open; use session/new or session/load"))
        })?;
        Session::open(&self.agent.settings.sessions_dir, id, setting, &self.http).map_err(refused)
    }

    async fn finish(&mut self, ended: Ended) -> Result<(), Closed> {
        let response = match ended.outcome {
            Ok(end) => Response::ok(ended.id, result(&end)),
            Err(problem) => Response::error(ended.id, ErrorObject::internal(problem)),
        };
        let sent = self.output.send(response.to_line()).await;
        // The client need not wait for the disk: it has its answer first.
        tokio::task::yield_now().await;
        if let Err(error) = ended.session.flush() {
            eprintln!("muster agent: {error}");
        }
        self.current = Some(ended.session);
        sent
    }
}

/// Whether a prompt means the session's last turn: the same number says so, or, where turns have no numbers, the word that resumes.
fn is_known(session: &Session, turn: Option<u32>, meta: Option<&Value>) -> bool {
    match turn {
        Some(turn) => session.talk.is_in(turn),
        None => acp_meta::is_resume(meta) && !session.talk.is_fresh(),
    }
}

/// Starts a turn. One that was left open (the process was killed and nobody resumed it) is closed first.
fn start(session: &mut Session, text: String, turn: Option<u32>) -> Result<(), String> {
    if session.talk.is_open() {
        let stop = api::acp_meta::Stop::Cancelled;
        session.record(Record::Ended { stop, why: "interrupted and not resumed".into() })?;
    }
    let text = if session.talk.is_fresh() { rules::with(&session.root, text) } else { text };
    session.record(Record::Prompt { text, turn })
}

fn initialized() -> Value {
    let capabilities = AgentCapabilities::new().load_session(true).mcp_capabilities(McpCapabilities::new().http(true));
    let info = Implementation::new("muster-native", env!("CARGO_PKG_VERSION"));
    to_value(InitializeResponse::new(ProtocolVersion::V1).agent_capabilities(capabilities).agent_info(info))
}

fn result(end: &TurnEnd) -> Value {
    let mut meta = end.stop.meta();
    if !end.why.is_empty() {
        meta[WHY] = json!(end.why);
    }
    let tokens = end.tokens;
    json!({
        "stopReason": end.stop.acp_stop_reason(),
        "usage": {
            "inputTokens": tokens.input,
            "outputTokens": tokens.output,
            "totalTokens": tokens.input + tokens.output,
            "cachedReadTokens": tokens.cached,
            "thoughtTokens": tokens.thought,
        },
        "_meta": meta,
    })
}

fn setting(cwd: PathBuf, servers: Vec<McpServer>) -> Result<Setting, ErrorObject> {
    if !cwd.is_absolute() {
        return Err(ErrorObject::invalid_params("cwd must be an absolute path"));
    }
    let servers = servers.into_iter().map(|server| match server {
        McpServer::Http(server) => {
            let headers: Vec<_> = server.headers.into_iter().map(|header| (header.name, header.value)).collect();
            let known = mcp::Server::new(server.name, server.url, &headers).map_err(ErrorObject::invalid_params)?;
            let tools = server.meta.as_ref().and_then(|meta| meta.get(acp_meta::TOOLS)?.as_array());
            Ok(tools.map_or(known.clone(), |tools| known.offering(tools)))
        }
        _ => Err(ErrorObject::invalid_params("only tool servers of type \"http\" are supported")),
    });
    Ok(Setting { cwd, servers: servers.collect::<Result<_, _>>()? })
}

fn prompt_text(blocks: Vec<ContentBlock>) -> Result<String, ErrorObject> {
    let texts = blocks.into_iter().map(|block| match block {
        ContentBlock::Text(text) => Ok(text.text),
        ContentBlock::ResourceLink(link) => Ok(format!("[{}]({})", link.name, link.uri)),
        ContentBlock::Resource(embedded) => match embedded.resource {
            EmbeddedResourceResource::TextResourceContents(text) => Ok(format!("{}:\n{}", text.uri, text.text)),
            _ => Err(ErrorObject::invalid_params("only text can be embedded in a prompt")),
        },
        _ => Err(ErrorObject::invalid_params("prompts are text here; images and sound are not supported")),
    });
    Ok(texts.collect::<Result<Vec<_>, _>>()?.join("\n\n"))
}

fn params<T: DeserializeOwned>(params: Option<Value>) -> Result<T, ErrorObject> {
    serde_json::from_value(params.unwrap_or_else(|| json!({}))).map_err(ErrorObject::invalid_params)
}

fn refused(error: SessionError) -> ErrorObject {
    match error {
        SessionError::Cwd(_) | SessionError::Log(crate::log::LogError::Missing(_)) => {
            ErrorObject::invalid_params(error)
        }
        SessionError::Log(_) => ErrorObject::internal(error),
    }
}

fn busy() -> ErrorObject {
    ErrorObject::new(code::INVALID_REQUEST, "invalid request: a turn is under way; wait for its end or cancel it")
}

fn to_value(value: impl Serialize) -> Value {
    match serde_json::to_value(value) {
        Ok(value) => value,
        Err(error) => unreachable!("protocol types always serialise: {error}"),
    }
}
