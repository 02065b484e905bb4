//! The rule `garbage`: what is no message, and what asks for something that nobody knows, is answered or passed over, and the next request is answered.

use crate::{engine::Engine, settings::RoleSettings};
use agents::AgentProgram;
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use workspace::{AgentName, Program, Workspace};

/// How long the program may take to answer.
const LIMIT: Duration = Duration::from_secs(60);
/// Lines that are read at most.
const LINES_MAX: usize = 1_000;

/// What is wrong; nothing when the rule holds.
pub(super) async fn check(engine: &Engine, role: &RoleSettings, dir: &Path) -> Option<String> {
    match tokio::time::timeout(LIMIT, speak(engine, role, dir)).await {
        Ok(spoken) => spoken.err(),
        Err(_) => Some(format!("after such a line it answered no request within {} s", LIMIT.as_secs())),
    }
}

async fn speak(engine: &Engine, role: &RoleSettings, dir: &Path) -> Result<(), String> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let name = AgentName::new("pipes".to_owned()).map_err(|error| told(&error))?;
    let workspace = Workspace::scratch(dir, &name, Arc::clone(engine.launcher())).map_err(|error| told(&error))?;
    let muster = engine.program();
    let program = match &role.command {
        None => AgentProgram::native(muster),
        Some(words) => AgentProgram::command(words, role.speaks, muster).map_err(|error| told(&error))?,
    };
    let url = format!("http://{}", workspace::GATEWAY);
    let mut env = BTreeMap::from([
        ("MUSTER_MODEL".to_owned(), role.model.clone()),
        ("OPENAI_BASE_URL".to_owned(), format!("{url}/v1")),
        ("ANTHROPIC_BASE_URL".to_owned(), url),
    ]);
    env.extend(["OPENAI_API_KEY", "ANTHROPIC_API_KEY"].map(|name| (name.to_owned(), "none".to_owned())));
    let args = program.args.into_iter().map(Into::into).collect();
    let program = Program { path: program.program, args, env, extras: role.extras.for_sandbox(), gateway: false };
    let mut process = workspace.spawn(program).await.map_err(|error| told(&error))?;
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": 1, "clientCapabilities": {}}});
    let unknown = json!({"jsonrpc": "2.0", "id": 7, "method": "no/such/method", "params": {}});
    let lines = format!("this is no message\n{unknown}\n{hello}\n");
    process.stdin.write_all(lines.as_bytes()).await.map_err(|_| "it closed its standard input".to_owned())?;
    let mut output = BufReader::new(process.stdout).lines();
    let (mut refused, mut greeted) = (false, false);
    for _ in 0..LINES_MAX {
        let Ok(Some(line)) = output.next_line().await else {
            return Err("it ended; pass such lines over, or answer them with an error".to_owned());
        };
        let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
        refused |= message["id"] == 7 && message.get("error").is_some();
        greeted |= message["id"] == 1 && message.get("result").is_some();
        if refused && greeted {
            return Ok(());
        }
    }
    Err("it answered with a thousand other lines".to_owned())
}
