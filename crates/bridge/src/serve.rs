//! The one loop: ACP on our stdin and stdout, the vendor's program on its pipes, and a conversation between them.

use crate::{
    Problem,
    child::{Child, Heard},
    exec,
    settings::Settings,
    talk::{End, Opening, Out, Server as ToolServer, Talk},
};
use api::{
    acp_meta::WHY,
    rpc::{ErrorObject, Id, Incoming, Notification, Request, Response, code},
};
use native::{
    mcp,
    stdio::{Closed, Input, Output},
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};

/// Serves the client until it goes away, or the program does.
pub(crate) async fn serve(settings: Settings, mut input: Input, output: Output) -> Result<(), Problem> {
    let mut bridge = Bridge { settings, output, session: None, questions: BTreeMap::new(), asked: 0 };
    loop {
        let went_well = tokio::select! {
            line = input.next() => match line {
                Some(Ok(line)) => bridge.client(&line).await,
                Some(Err(error)) => {
                    let error = ErrorObject::new(code::INVALID_REQUEST, format!("invalid request: {error}"));
                    bridge.send(Response::error(Id::Null, error).to_line()).await
                }
                None => return Ok(()),
            },
            heard = heard(&mut bridge.session) => bridge.program(heard).await,
        };
        match went_well {
            Ok(()) => {}
            Err(Stopped::ClientGone) => return Ok(()),
            Err(Stopped::Lost(problem)) => return Err(Problem::Program(problem)),
        }
    }
}

/// Why the loop ends.
enum Stopped {
    ClientGone,
    Lost(String),
}

impl From<Closed> for Stopped {
    fn from(_: Closed) -> Self {
        Stopped::ClientGone
    }
}

type Step = Result<(), Stopped>;

struct Bridge {
    settings: Settings,
    output: Output,
    session: Option<Session>,
    /// Questions that the client was asked, by the id of our request: what they are called in the conversation.
    questions: BTreeMap<i64, String>,
    asked: i64,
}

/// The session that has a program.
struct Session {
    opening: Opening,
    talk: Box<dyn Talk>,
    child: Option<Child>,
    /// The request that is answered when it stands.
    begun: Option<Id>,
    /// The request that is answered when its turn is over.
    prompt: Option<Id>,
    turns: u32,
}

async fn heard(session: &mut Option<Session>) -> Heard {
    match session.as_mut().and_then(|session| session.child.as_mut()) {
        Some(child) => child.next().await,
        None => std::future::pending().await,
    }
}

impl Bridge {
    async fn send(&self, line: String) -> Step {
        Ok(self.output.send(line).await?)
    }

    async fn client(&mut self, line: &[u8]) -> Step {
        match Incoming::parse(line) {
            Ok(Incoming::Request(request)) => self.request(request).await,
            Ok(Incoming::Notification(told)) if told.method == "session/cancel" => self.cancel().await,
            Ok(Incoming::Notification(_)) => Ok(()),
            Ok(Incoming::Response(response)) => self.answered(response).await,
            Err(malformed) => match malformed.reply() {
                Some(reply) => self.send(reply.to_line()).await,
                None => Ok(()),
            },
        }
    }

    async fn request(&mut self, Request { id, method, params }: Request) -> Step {
        let params = params.unwrap_or_default();
        let result = match method.as_str() {
            "initialize" => Ok(self.initialized()),
            "authenticate" => Ok(json!({})),
            "session/new" | "session/load" => match self.opening(&method, &params) {
                Ok(opening) => return self.begin(id, opening).await,
                Err(error) => Err(error),
            },
            "session/prompt" => match self.text(&params) {
                Ok(text) => return self.prompt(id, &text).await,
                Err(error) => Err(error),
            },
            other => Err(ErrorObject::method_not_found(other)),
        };
        let response = match result {
            Ok(result) => Response::ok(id, result),
            Err(error) => Response::error(id, error),
        };
        self.send(response.to_line()).await
    }

    fn initialized(&self) -> Value {
        json!({
            "protocolVersion": 1,
            "agentCapabilities": {"loadSession": true, "mcpCapabilities": {"http": true}},
            "agentInfo": {"name": self.settings.kind.name(), "version": env!("CARGO_PKG_VERSION")},
        })
    }

    fn opening(&self, method: &str, params: &Value) -> Result<Opening, ErrorObject> {
        if self.session.as_ref().is_some_and(|session| session.prompt.is_some()) {
            return Err(busy());
        }
        let text = |name: &str| params.get(name).and_then(Value::as_str).map(str::to_owned);
        let cwd = text("cwd").filter(|cwd| cwd.starts_with('/'));
        let cwd = cwd.ok_or_else(|| ErrorObject::invalid_params("cwd must be an absolute path"))?;
        let servers =
            params.get("mcpServers").and_then(Value::as_array).into_iter().flatten().filter_map(tool_server).collect();
        if method == "session/new" {
            let session = uuid::Uuid::new_v4().to_string();
            return Ok(Opening { session, resumed: false, cwd, servers });
        }
        let session = text("sessionId").ok_or_else(|| ErrorObject::invalid_params("there is no sessionId"))?;
        if !self.settings.kind.knows(&self.settings, &session) {
            return Err(ErrorObject::invalid_params(format!("there is no session {session:?}")));
        }
        Ok(Opening { session, resumed: true, cwd, servers })
    }

    /// Ends what there is and starts the program for another session.
    async fn begin(&mut self, id: Id, opening: Opening) -> Step {
        self.session = None;
        self.questions.clear();
        let kind = self.settings.kind;
        let child = match kind.runs_per_turn() {
            true => None,
            false => {
                let launch = kind.launch(&self.settings, &opening);
                match Child::start(&self.settings.program, &self.settings.args, &launch, &opening.cwd) {
                    Ok(child) => Some(child),
                    Err(error) => return self.send(Response::error(id, error).to_line()).await,
                }
            }
        };
        let mut talk = kind.talk(&self.settings, &opening);
        let outs = talk.open();
        self.session = Some(Session { opening, talk, child, begun: Some(id), prompt: None, turns: 0 });
        self.carry_out(outs).await
    }

    /// The text of a prompt for the session that stands.
    fn text(&self, params: &Value) -> Result<String, ErrorObject> {
        let named = params.get("sessionId").and_then(Value::as_str).unwrap_or_default();
        let Some(session) =
            self.session.as_ref().filter(|session| session.begun.is_none() && session.opening.session == named)
        else {
            let problem = format!("no session {named:?} is open; use session/new or session/load");
            return Err(ErrorObject::invalid_params(problem));
        };
        if session.prompt.is_some() {
            return Err(busy());
        }
        let blocks = params.get("prompt").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let texts: Vec<&str> = blocks.iter().filter_map(|block| block.get("text")?.as_str()).collect();
        if texts.is_empty() {
            return Err(ErrorObject::invalid_params("prompts are text here, and there is none"));
        }
        Ok(texts.join("\n\n"))
    }

    async fn prompt(&mut self, id: Id, text: &str) -> Step {
        let Some(session) = &mut self.session else { return Ok(()) };
        session.turns += 1;
        if self.settings.kind.runs_per_turn() {
            let args = exec::arguments(&self.settings, text);
            let started = Child::start(&self.settings.program, &args, &Default::default(), &session.opening.cwd);
            let mut child = match started {
                Ok(child) => child,
                Err(error) => return self.send(Response::error(id, error).to_line()).await,
            };
            if args == self.settings.args {
                child.write(text.to_owned());
            }
            child.close_input();
            session.child = Some(child);
        }
        session.prompt = Some(id);
        let outs = session.talk.prompt(text);
        self.carry_out(outs).await
    }

    async fn cancel(&mut self) -> Step {
        let Some(session) = self.session.as_mut().filter(|session| session.prompt.is_some()) else { return Ok(()) };
        let outs = session.talk.cancel();
        if self.settings.kind.runs_per_turn()
            && let Some(child) = &mut session.child
        {
            child.kill();
        }
        self.carry_out(outs).await
    }

    /// The client has answered a question.
    async fn answered(&mut self, response: Response) -> Step {
        let Id::Number(id) = response.id else { return Ok(()) };
        let Some(key) = self.questions.remove(&id) else { return Ok(()) };
        let chosen = response
            .outcome
            .as_ref()
            .ok()
            .and_then(|result| result.pointer("/outcome/optionId"))
            .and_then(Value::as_str);
        let allow = chosen == Some(ALLOW);
        let outs = self.session.as_mut().map(|session| session.talk.permit(&key, allow)).unwrap_or_default();
        self.carry_out(outs).await
    }

    async fn program(&mut self, heard: Heard) -> Step {
        let Some(session) = &mut self.session else { return Ok(()) };
        match heard {
            Heard::Line(Ok(line)) => {
                let outs = session.talk.line(&line);
                self.carry_out(outs).await
            }
            Heard::Line(Err(error)) => {
                eprintln!("muster bridge: {error}");
                Ok(())
            }
            Heard::Ended { success, how } => {
                session.child = None;
                let outs = session.talk.ended(success, &how);
                let expected = outs.iter().any(|out| matches!(out, Out::Over(_) | Out::Refused(_)));
                self.carry_out(outs).await?;
                match expected {
                    true => Ok(()),
                    false => Err(Stopped::Lost(format!("{} ended by itself: {how}", self.settings.program))),
                }
            }
        }
    }

    async fn carry_out(&mut self, outs: Vec<Out>) -> Step {
        let mut outs = VecDeque::from(outs);
        while let Some(out) = outs.pop_front() {
            let Some(session) = &mut self.session else { return Ok(()) };
            match out {
                Out::Write(line) => {
                    if let Some(child) = &mut session.child {
                        child.write(line);
                    }
                }
                Out::Opened(name) => {
                    session.opening.session.clone_from(&name);
                    let Some(id) = session.begun.take() else { continue };
                    let result = if session.opening.resumed { json!({}) } else { json!({"sessionId": name}) };
                    self.send(Response::ok(id, result).to_line()).await?;
                }
                Out::Refused(why) => {
                    let Some(id) = session.begun.take() else { continue };
                    let resumed = session.opening.resumed;
                    self.session = None;
                    let error = if resumed { ErrorObject::invalid_params(why) } else { ErrorObject::internal(why) };
                    self.send(Response::error(id, error).to_line()).await?;
                }
                Out::Update(update) => {
                    let params = json!({"sessionId": session.opening.session, "update": update});
                    self.send(Notification::new("session/update", params).to_line()).await?;
                }
                Out::Ask { key, title } => self.ask(key, &title).await?,
                Out::Claim(summary) => self.claim(&summary).await,
                Out::Over(end) => {
                    let Some(id) = session.prompt.take() else { continue };
                    self.questions.clear();
                    self.send(Response::ok(id, result(&end)).to_line()).await?;
                }
                Out::Note(text) => eprintln!("muster bridge: {text}"),
            }
        }
        Ok(())
    }

    async fn ask(&mut self, key: String, title: &str) -> Step {
        let Some(session) = &self.session else { return Ok(()) };
        self.asked += 1;
        let params = json!({
            "sessionId": session.opening.session, "toolCall": {"toolCallId": key, "title": title},
            "options": [
                {"optionId": ALLOW, "kind": "allow_once", "name": "Allow"},
                {"optionId": "reject", "kind": "reject_once", "name": "Do not allow"},
            ],
        });
        self.questions.insert(self.asked, key);
        self.send(Request::new(Id::Number(self.asked), "session/request_permission", params).to_line()).await
    }

    /// Submits a result for a program that cannot do so itself.
    async fn claim(&self, summary: &str) {
        let Some(session) = &self.session else { return };
        for server in &session.opening.servers {
            let call_id = format!("{}/{}", session.opening.session, session.turns);
            let called = async {
                let http = native::http_client()?;
                let server = mcp::Server::new(server.name.clone(), server.url.clone(), &server.headers)?;
                let mut client = mcp::Client::new(http, server);
                client.call("submit_result", &json!({"summary": summary}), &call_id).await.map(drop)
            };
            if let Err(problem) = called.await {
                eprintln!("muster bridge: the result could not be submitted: {problem}");
            }
        }
    }
}

const ALLOW: &str = "allow";

fn tool_server(server: &Value) -> Option<ToolServer> {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let headers = server.get("headers").and_then(Value::as_array).into_iter().flatten();
    let headers = headers.filter_map(|header| Some((text(header, "name")?, text(header, "value")?))).collect();
    Some(ToolServer { name: text(server, "name")?, url: text(server, "url")?, headers })
}

fn result(end: &End) -> Value {
    let mut meta = end.stop.meta();
    if let Some(problem) = &end.problem {
        meta[WHY] = json!(problem);
    }
    let mut result = json!({"stopReason": end.stop.acp_stop_reason(), "_meta": meta});
    if let Some(usage) = end.usage {
        result["usage"] = json!({
            "inputTokens": usage.input, "outputTokens": usage.output, "totalTokens": usage.input + usage.output,
            "cachedReadTokens": usage.cached, "thoughtTokens": usage.reasoning,
        });
    }
    result
}

fn busy() -> ErrorObject {
    ErrorObject::new(code::INVALID_REQUEST, "invalid request: a turn is under way; wait for its end or cancel it")
}
