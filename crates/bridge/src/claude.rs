//! Runtime `claude`: Anthropic's Claude Code by its stream of JSON, both ways, with the control protocol on the same pipes.
//!
//! ```text
//! control initialize ▶ (user ▶ assistant, tool results, can_use_tool … ▶ result)*
//! ```
//!
//! One process is one session; its name is ours to choose. What it asks (`can_use_tool`) is passed on and answered by the role's policy: the sandbox is the
//! boundary, not its good manners. Sub-agents may print further results after the turn's own; they belong to no turn and are passed over.

use crate::{
    kind::Launch,
    settings::Settings,
    talk::{End, Opening, Out, Talk, Usage, line},
    update,
};
use api::acp_meta::Stop;
use decode::{Block, Message, TurnResult};
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::Path};

pub mod decode;

const INITIALIZE: &str = "initialize";
/// Most bytes of a repository's rules that are passed on: with those of the role, which may have 64 KiB, they stay below what one argument of a program may
/// have (128 KiB on Linux).
const RULES_BYTES_MAX: usize = 32 * 1024;
const INTERRUPT: &str = "interrupt";

pub(crate) fn launch(settings: &Settings, opening: &Opening) -> Launch {
    let session = if opening.resumed { "--resume" } else { "--session-id" };
    let servers: serde_json::Map<String, Value> = opening
        .servers
        .iter()
        .map(|server| {
            let headers: serde_json::Map<String, Value> =
                server.headers.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
            (server.name.clone(), json!({"type": "http", "url": server.url, "headers": headers}))
        })
        .collect();
    let tools = [("web", "WebFetch WebSearch"), ("edit", "Edit Write NotebookEdit"), ("shell", "Bash")];
    let off: Vec<&str> = tools.iter().filter(|(what, _)| settings.is_off(what)).map(|(_, tools)| *tools).collect();
    let rules = rules(settings, Path::new(&opening.cwd));
    let rules = (!rules.is_empty()).then(|| ["--append-system-prompt".to_owned(), rules]);
    let off_tools = (!off.is_empty()).then(|| ["--disallowedTools".to_owned(), off.join(" ")]);
    let words = [
        "-p",
        "--input-format",
        "stream-json",
        "--output-format",
        "stream-json",
        "--verbose",
        "--permission-prompt-tool",
        "stdio",
        "--model",
        &settings.model,
        session,
        &opening.session,
        "--strict-mcp-config",
        "--mcp-config",
        &json!({"mcpServers": servers}).to_string(),
    ];
    let off = [
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
        "DISABLE_AUTOUPDATER",
        "DISABLE_TELEMETRY",
        "DISABLE_ERROR_REPORTING",
        "IS_SANDBOX",
    ];
    // The agent tools are few and always wanted: they need not be searched for.
    let limits = [
        ("CLAUDE_CODE_MAX_RETRIES", "1"),
        ("CLAUDE_BYTE_STREAM_IDLE_TIMEOUT_MS", "120000"),
        ("ENABLE_TOOL_SEARCH", "false"),
    ];
    let own = [
        ("CLAUDE_CONFIG_DIR".to_owned(), folder(&settings.home).display().to_string()),
        ("ANTHROPIC_SMALL_FAST_MODEL".to_owned(), settings.model.clone()),
        ("ANTHROPIC_DEFAULT_HAIKU_MODEL".to_owned(), settings.model.clone()),
    ];
    let fixed = off.map(|name| (name, "1")).into_iter().chain(limits);
    Launch {
        args: words
            .map(str::to_owned)
            .into_iter()
            .chain(rules.into_iter().flatten())
            .chain(off_tools.into_iter().flatten())
            .collect(),
        env: fixed.map(|(name, value)| (name.to_owned(), value.to_owned())).chain(own).collect(),
        files: Vec::new(),
    }
}

/// The rules of the role and, where the repository has none for Claude Code, those that it has for other agents.
fn rules(settings: &Settings, work: &Path) -> String {
    let there = |name: &str| work.join(name);
    // A plain file only: a link could lead to one that has no end.
    let is_file = || there("AGENTS.md").symlink_metadata().is_ok_and(|about| about.is_file());
    let others =
        || if is_file() { std::fs::read_to_string(there("AGENTS.md")).unwrap_or_default() } else { String::new() };
    let others = if there("CLAUDE.md").exists() { String::new() } else { others() };
    let cut = others.floor_char_boundary(RULES_BYTES_MAX);
    [settings.rules.trim(), others[..cut].trim()]
        .into_iter()
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join("\n\n")
}

fn folder(home: &Path) -> std::path::PathBuf {
    home.join(".claude")
}

/// Whether Claude Code has written this conversation down; it refuses to take up one that it has not only when it is asked something.
pub(crate) fn has_session(home: &Path, session: &str) -> bool {
    let plain = !session.is_empty() && session.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let projects = std::fs::read_dir(folder(home).join("projects")).into_iter().flatten().flatten();
    plain && projects.into_iter().any(|project| project.path().join(format!("{session}.jsonl")).is_file())
}

/// One session of Claude Code.
pub struct Conversation {
    session: String,
    opened: bool,
    turn: Option<Turn>,
    /// What the tools wanted to do that were asked about.
    questions: BTreeMap<String, Value>,
    requests: u64,
}

#[derive(Default)]
struct Turn {
    cancelled: bool,
}

impl Conversation {
    /// The session of this name.
    pub fn new(session: String) -> Self {
        Self { session, opened: false, turn: None, questions: BTreeMap::new(), requests: 0 }
    }

    fn control(&mut self, subtype: &str) -> Out {
        self.requests += 1;
        let id = format!("muster-{subtype}-{}", self.requests);
        Out::Write(line(&json!({"type": "control_request", "request_id": id, "request": {"subtype": subtype}})))
    }

    fn control_reply(&mut self, id: &str, error: Option<String>) -> Vec<Out> {
        let initialize = id.starts_with(&format!("muster-{INITIALIZE}-"));
        match error {
            Some(why) if initialize => vec![Out::Refused(why)],
            None if initialize && !self.opened => {
                self.opened = true;
                vec![Out::Opened(self.session.clone())]
            }
            Some(why) => vec![Out::Note(why)],
            None => Vec::new(),
        }
    }

    fn control_request(&mut self, id: String, subtype: &str, tool: &str, input: Value) -> Vec<Out> {
        if subtype == "can_use_tool" {
            let title = title(tool, &input);
            self.questions.insert(id.clone(), input);
            return vec![Out::Ask { key: id, title }];
        }
        let refused = json!({
            "type": "control_response",
            "response": {"subtype": "error", "request_id": id, "error": format!("{subtype} is not offered here")},
        });
        vec![Out::Write(line(&refused)), Out::Note(format!("Claude Code asked for {subtype}, which is not offered"))]
    }

    fn result(&mut self, result: TurnResult) -> Vec<Out> {
        // Interrupted, and not by us: a signal ends the program, and whoever started it. The turn is lost with it and is taken up again.
        let aborted = result.terminal_reason.starts_with("aborted");
        if aborted && self.turn.as_ref().is_some_and(|turn| !turn.cancelled) {
            return vec![Out::Note("Claude Code was interrupted from outside".to_owned())];
        }
        let Some(turn) = self.turn.take() else { return Vec::new() };
        self.questions.clear();
        let stop = stop(&result, turn.cancelled);
        let usage = Usage {
            input: result.input_tokens,
            cached: result.cached_tokens,
            output: result.output_tokens,
            reasoning: 0,
        };
        let problem = (stop != Stop::Done && !result.text.is_empty()).then_some(result.text);
        vec![Out::Over(End { stop, usage: (usage != Usage::default()).then_some(usage), problem })]
    }
}

fn stop(result: &TurnResult, cancelled: bool) -> Stop {
    let wrong = result.is_error || result.subtype != "success";
    match result.stop_reason.as_str() {
        _ if cancelled && wrong => Stop::Cancelled,
        _ if result.subtype == "error_max_turns" => Stop::MaxSteps,
        "max_tokens" => Stop::MaxTokens,
        "refusal" => Stop::Refusal,
        "model_context_window_exceeded" => Stop::ContextFull,
        _ if wrong && result.text.starts_with("Prompt is too long") => Stop::ContextFull,
        _ if wrong => Stop::ModelError,
        _ => Stop::Done,
    }
}

/// A tool's call in one line.
fn title(tool: &str, input: &Value) -> String {
    let argument = ["command", "file_path", "path", "pattern", "url", "description"]
        .iter()
        .find_map(|key| input.get(key)?.as_str());
    let argument = argument.map(|argument| format!(": {argument}")).unwrap_or_default();
    update::first_line(&format!("{tool}{argument}"))
}

fn kind(tool: &str) -> &'static str {
    match tool {
        "Bash" | "BashOutput" | "KillShell" => "execute",
        "Read" | "NotebookRead" => "read",
        "Edit" | "Write" | "MultiEdit" | "NotebookEdit" => "edit",
        "Glob" | "Grep" | "LS" => "search",
        "WebFetch" | "WebSearch" => "fetch",
        _ => "other",
    }
}

impl Talk for Conversation {
    fn open(&mut self) -> Vec<Out> {
        vec![self.control(INITIALIZE)]
    }

    fn line(&mut self, line: &[u8]) -> Vec<Out> {
        match decode::decode(line) {
            Some(Message::ControlReply { id, error }) => self.control_reply(&id, error),
            Some(Message::Control { id, subtype, tool, input }) => self.control_request(id, &subtype, &tool, input),
            Some(Message::Assistant(blocks)) => blocks
                .into_iter()
                .map(|block| match block {
                    Block::Text(text) => Out::Update(update::text(&text)),
                    Block::Thought(text) => Out::Update(update::thought(&text)),
                    Block::Tool { id, name, input } => {
                        Out::Update(update::tool(&id, &title(&name, &input), kind(&name), &input))
                    }
                })
                .collect(),
            Some(Message::Tools(results)) => results
                .into_iter()
                .map(|result| Out::Update(update::tool_done(&result.id, &result.output, result.failed)))
                .collect(),
            Some(Message::Retry { problem }) => vec![Out::Note(problem)],
            Some(Message::Result(result)) => self.result(result),
            Some(Message::Other(_)) => Vec::new(),
            None => vec![Out::Note(format!(
                "Claude Code wrote a line that is no message: {}",
                update::first_line(&String::from_utf8_lossy(line))
            ))],
        }
    }

    fn prompt(&mut self, text: &str) -> Vec<Out> {
        self.turn = Some(Turn::default());
        let message = json!({"role": "user", "content": [{"type": "text", "text": text}]});
        let told = json!({"type": "user", "message": message, "parent_tool_use_id": null, "session_id": self.session});
        vec![Out::Write(line(&told))]
    }

    fn cancel(&mut self) -> Vec<Out> {
        let Some(turn) = &mut self.turn else { return Vec::new() };
        turn.cancelled = true;
        vec![self.control(INTERRUPT)]
    }

    fn permit(&mut self, key: &str, allow: bool) -> Vec<Out> {
        let Some(input) = self.questions.remove(key) else { return Vec::new() };
        let response = match allow {
            true => json!({"behavior": "allow", "updatedInput": input}),
            false => json!({"behavior": "deny", "message": "The policy of this role does not allow it."}),
        };
        let told = json!({
            "type": "control_response",
            "response": {"subtype": "success", "request_id": key, "response": response},
        });
        vec![Out::Write(line(&told))]
    }

    fn ended(&mut self, _: bool, ended: &str) -> Vec<Out> {
        if self.opened {
            Vec::new()
        } else {
            vec![Out::Refused(format!("Claude Code ended before it was ready: {ended}"))]
        }
    }
}
