//! Runtime `codex`: OpenAI's Codex CLI by `codex app-server`, JSON-RPC on stdio.
//!
//! ```text
//! initialize ▶ initialized ▶ thread/start | thread/resume ▶ (turn/start ▶ … ▶ turn/completed)*
//! ```
//!
//! Codex's own sandbox is off: ours is around it, and in ours its own cannot be built. Its approvals are off with it: without a sandbox
//! of its own it asks nobody (0.169 knows no other policy that would, and refuses `untrusted`). What it asks all the same is passed on. Commits are ours. A turn that is interrupted leaves its command running in Codex, so the thread's background terminals are cleaned as well.

use crate::{
    kind::Launch,
    settings::Settings,
    talk::{End, Opening, Out, Talk, Usage, line},
    update,
};
use api::acp_meta::Stop;
use decode::{Message, News};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub mod decode;

/// The variable that carries the token of the tool server.
const TOKEN: &str = "MUSTER_TOOLS_TOKEN";

pub(crate) fn launch(settings: &Settings, opening: &Opening) -> Launch {
    let folder = settings.home.join(".codex");
    let token = opening.servers.iter().find_map(|server| {
        let (_, value) = server.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"))?;
        Some((TOKEN.to_owned(), value.strip_prefix("Bearer ").unwrap_or(value).to_owned()))
    });
    let home = [("CODEX_HOME".to_owned(), folder.display().to_string())];
    Launch {
        args: vec!["app-server".to_owned()],
        env: token.into_iter().chain(home).collect(),
        files: vec![(folder.join("config.toml"), config(settings))],
    }
}

/// Codex's configuration: our gateway as its only provider, which tries again itself where that helps, and nothing that calls home.
fn config(settings: &Settings) -> String {
    let quoted = |text: &str| Value::from(text).to_string();
    let rules = match settings.rules.as_str() {
        "" => String::new(),
        rules => format!("developer_instructions = {}\n", quoted(rules)),
    };
    // The provider's own search would reach where the sandbox does not let the agent.
    let search = if settings.is_off("web") { "web_search = \"disabled\"\n" } else { "" };
    let credential = if settings.has_key { "env_key = \"OPENAI_API_KEY\"" } else { "requires_openai_auth = true" };
    let window = settings.context_tokens.map(|tokens| format!("model_context_window = {tokens}\n")).unwrap_or_default();
    format!(
        "model = {}\nmodel_provider = \"muster\"\n{window}approval_policy = \"never\"\nsandbox_mode = \"danger-full-access\"\n\
         check_for_update_on_startup = false\nproject_doc_fallback_filenames = [\"CLAUDE.md\"]\n{search}{rules}[model_providers.muster]\nname = \"muster\"\nbase_url = {}\n{credential}\n\
         wire_api = \"responses\"\nrequest_max_retries = 1\nstream_max_retries = 1\n[analytics]\nenabled = false\n\
         [features]\nplugins = false\nunbounded_connection_retries = false\n[agents]\nenabled = false\n",
        quoted(&settings.model),
        quoted(&settings.openai_url),
    )
}

/// What a request of ours is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Initialize,
    Thread,
    Turn,
    Nothing,
}

/// One thread of Codex.
pub struct Conversation {
    opening: Opening,
    model: String,
    asked: BTreeMap<u64, Asked>,
    last_id: u64,
    thread: Option<String>,
    turn: Option<Turn>,
    questions: BTreeMap<String, Value>,
}

#[derive(Default)]
struct Turn {
    id: Option<String>,
    cancelled: bool,
    usage: Usage,
    problem: Option<String>,
}

impl Conversation {
    /// A thread that begins like this.
    pub fn new(opening: Opening, model: String) -> Self {
        let (asked, questions) = Default::default();
        Self { opening, model, asked, last_id: 0, thread: None, turn: None, questions }
    }

    fn ask(&mut self, about: Asked, method: &str, params: &Value) -> Out {
        self.last_id += 1;
        self.asked.insert(self.last_id, about);
        Out::Write(line(&json!({"id": self.last_id, "method": method, "params": params})))
    }

    fn thread_request(&mut self) -> Out {
        let servers: serde_json::Map<String, Value> =
            self.opening.servers.iter().map(|server| (server.name.clone(), tool_server(server))).collect();
        let mut params = json!({
            "cwd": self.opening.cwd, "approvalPolicy": "never", "sandbox": "danger-full-access", "model": self.model,
            "config": {"mcp_servers": servers},
        });
        if self.opening.resumed {
            params["threadId"] = json!(self.opening.session);
            params["excludeTurns"] = json!(true);
            return self.ask(Asked::Thread, "thread/resume", &params);
        }
        self.ask(Asked::Thread, "thread/start", &params)
    }

    fn reply(&mut self, id: u64, result: Result<Value, String>) -> Vec<Out> {
        let Some(asked) = self.asked.remove(&id) else { return Vec::new() };
        match (asked, result) {
            (Asked::Initialize, Ok(_)) => {
                let done = Out::Write(line(&json!({"method": "initialized"})));
                vec![done, self.thread_request()]
            }
            (Asked::Thread, Ok(result)) => match result.pointer("/thread/id").and_then(Value::as_str) {
                Some(thread) => {
                    self.thread = Some(thread.to_owned());
                    vec![Out::Opened(thread.to_owned())]
                }
                None => vec![Out::Refused("Codex began a thread and gave it no id".to_owned())],
            },
            (Asked::Initialize | Asked::Thread, Err(why)) => vec![Out::Refused(why)],
            (Asked::Turn, Ok(result)) => {
                let id = result.pointer("/turn/id").and_then(Value::as_str).map(str::to_owned);
                self.turn_is(id)
            }
            (Asked::Turn, Err(why)) => self.over(Stop::ModelError, Some(why)),
            (Asked::Nothing, Ok(_)) => Vec::new(),
            (Asked::Nothing, Err(why)) => vec![Out::Note(why)],
        }
    }

    /// The turn has an id; one that was to end before is asked to now.
    fn turn_is(&mut self, id: Option<String>) -> Vec<Out> {
        let Some(turn) = self.turn.as_mut().filter(|turn| turn.id.is_none()) else { return Vec::new() };
        turn.id = id;
        if turn.cancelled { self.interrupt() } else { Vec::new() }
    }

    /// The turn is on. Codex does nothing about an interrupt that comes between its answer and this.
    fn started(&mut self, id: String) -> Vec<Out> {
        let Some(turn) = self.turn.as_mut() else { return Vec::new() };
        let mine = turn.id.get_or_insert_with(|| id.clone());
        if *mine == id && turn.cancelled { self.interrupt() } else { Vec::new() }
    }

    fn interrupt(&mut self) -> Vec<Out> {
        let turn = self.turn.as_ref().and_then(|turn| turn.id.clone());
        let (Some(thread), Some(turn)) = (self.thread.clone(), turn) else { return Vec::new() };
        vec![
            self.ask(Asked::Nothing, "turn/interrupt", &json!({"threadId": thread, "turnId": turn})),
            self.ask(Asked::Nothing, "thread/backgroundTerminals/clean", &json!({"threadId": thread})),
        ]
    }

    fn news(&mut self, news: News) -> Vec<Out> {
        match news {
            News::TurnStarted { turn } => self.started(turn),
            News::Text(text) => vec![Out::Update(update::text(&text))],
            News::Thought(text) => vec![Out::Update(update::thought(&text))],
            News::Tool { id, title, kind, input } => vec![Out::Update(update::tool(&id, &title, kind, &input))],
            News::ToolDone { id, output, failed } => vec![Out::Update(update::tool_done(&id, &output, failed))],
            News::Tokens { input, cached, output, reasoning, window } => {
                if let Some(turn) = &mut self.turn {
                    let used = &mut turn.usage;
                    used.input += input;
                    used.cached += cached;
                    used.output += output;
                    used.reasoning += reasoning;
                }
                vec![Out::Update(update::context(input + output, window))]
            }
            News::Error { message, again } => {
                if let Some(turn) = &mut self.turn {
                    turn.problem = Some(message.clone());
                }
                let next = if again { "; Codex tries again" } else { "" };
                vec![Out::Note(format!("{message}{next}"))]
            }
            News::TurnOver { turn, status, error } => self.turn_over(&turn, &status, error),
        }
    }

    fn turn_over(&mut self, turn: &str, status: &str, error: Option<(String, String)>) -> Vec<Out> {
        let mine = self.turn.as_ref().is_some_and(|on| on.id.as_deref().is_none_or(|id| id == turn));
        if !mine {
            return Vec::new();
        }
        let (message, word) = error.unzip();
        let cancelled = self.turn.as_ref().is_some_and(|turn| turn.cancelled);
        let stop = match (status, word.as_deref()) {
            ("completed", _) => Stop::Done,
            ("interrupted", _) => Stop::Cancelled,
            (_, Some("contextWindowExceeded")) => Stop::ContextFull,
            _ if cancelled => Stop::Cancelled,
            _ => Stop::ModelError,
        };
        let problem = message.filter(|_| stop != Stop::Done);
        self.over(stop, problem)
    }

    fn over(&mut self, stop: Stop, problem: Option<String>) -> Vec<Out> {
        let Some(turn) = self.turn.take() else { return Vec::new() };
        self.questions.clear();
        let usage = (turn.usage != Usage::default()).then_some(turn.usage);
        let problem = problem.or(turn.problem.filter(|_| stop != Stop::Done));
        vec![Out::Over(End { stop, usage, problem })]
    }

    fn question(&mut self, id: Value, method: &str, params: &Value) -> Vec<Out> {
        let text = |name: &str| params.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let title = match method {
            "item/commandExecution/requestApproval" => text("command"),
            "item/fileChange/requestApproval" => format!("change files: {}", text("reason")),
            _ => {
                let error = json!({"code": -32601, "message": format!("{method} is not offered here")});
                let refused = Out::Write(line(&json!({"id": id, "error": error})));
                return vec![refused, Out::Note(format!("Codex asked for {method}, which is not offered"))];
            }
        };
        let key = id.to_string();
        self.questions.insert(key.clone(), id);
        vec![Out::Ask { key, title: update::first_line(&title) }]
    }
}

fn tool_server(server: &crate::talk::Server) -> Value {
    let mut told = json!({"url": server.url, "default_tools_approval_mode": "approve", "tool_timeout_sec": 3_600});
    if server.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
        told["bearer_token_env_var"] = json!(TOKEN);
    }
    told
}

impl Talk for Conversation {
    fn open(&mut self) -> Vec<Out> {
        let params = json!({
            "clientInfo": {"name": "muster", "title": "muster", "version": env!("CARGO_PKG_VERSION")},
            "capabilities": {"experimentalApi": true},
        });
        vec![self.ask(Asked::Initialize, "initialize", &params)]
    }

    fn line(&mut self, line: &[u8]) -> Vec<Out> {
        match decode::decode(line) {
            Some(Message::Reply { id, result }) => self.reply(id, result),
            Some(Message::Ask { id, method, params }) => self.question(id, &method, &params),
            Some(Message::News(news)) => self.news(news),
            Some(Message::Other(_)) => Vec::new(),
            None => vec![Out::Note(format!(
                "Codex wrote a line that is no message: {}",
                update::first_line(&String::from_utf8_lossy(line))
            ))],
        }
    }

    fn prompt(&mut self, text: &str) -> Vec<Out> {
        self.turn = Some(Turn::default());
        let params = json!({"threadId": self.thread, "input": [{"type": "text", "text": text}]});
        vec![self.ask(Asked::Turn, "turn/start", &params)]
    }

    fn cancel(&mut self) -> Vec<Out> {
        if let Some(turn) = &mut self.turn {
            turn.cancelled = true;
        }
        self.interrupt()
    }

    fn permit(&mut self, key: &str, allow: bool) -> Vec<Out> {
        let Some(id) = self.questions.remove(key) else { return Vec::new() };
        let decision = if allow { "accept" } else { "decline" };
        vec![Out::Write(line(&json!({"id": id, "result": {"decision": decision}})))]
    }

    fn ended(&mut self, _: bool, ended: &str) -> Vec<Out> {
        if self.thread.is_some() {
            Vec::new()
        } else {
            vec![Out::Refused(format!("Codex ended before it was ready: {ended}"))]
        }
    }
}
