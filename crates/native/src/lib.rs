//! Our own coding agent: an ACP program that runs inside the sandbox.
//!
//! It asks a model, runs the tools that the model calls, and writes every step down before it takes the next one.
//! It trusts neither the model (every answer is judged, every result bounded, every loop limited) nor its own
//! survival: killed at any instant, it goes on from its log with the very request that it would have sent.
//!
//! It refuses to know about missions, tasks or money. What a role is, comes in the prompt; what may be spent, the
//! gateway decides; what it may touch, the sandbox.
//!
//! The parts, from the outside in: `serve` speaks the protocol; `turn` is the loop; `session` is a `log` and the
//! `conversation` that its `record`s tell; `model` asks, `judge` reads the answer, `context` keeps within the window,
//! `retry` is patient; `toolbox` finds a tool among ours (`tools`) and those of servers (`mcp`).

use std::process::ExitCode;

mod bounds;
mod context;
mod conversation;
mod http;
mod judge;
mod log;
pub mod mcp;
mod model;
mod prompt;
mod record;
mod retry;
mod rules;
mod serve;
mod session;
mod settings;
pub mod stdio;
mod toolbox;
mod tools;
mod turn;
mod updates;

pub use http::client as http_client;
pub use serve::WHY;

/// Exit code for an environment that the agent cannot work with.
const BAD_ENVIRONMENT: u8 = 2;

/// Runs the agent on stdin and stdout until the client closes stdin.
///
/// It is told everything else by its environment: `HOME` (session logs live in `$HOME/.muster/sessions`),
/// `MUSTER_MODEL`, `MUSTER_MODEL_FORMAT` (`openai-chat`, `openai-responses`, `anthropic`), the base URL and key of that
/// format (`OPENAI_BASE_URL`, `OPENAI_API_KEY`, `ANTHROPIC_BASE_URL`, `ANTHROPIC_API_KEY`), `MUSTER_CONTEXT_TOKENS`,
/// `MUSTER_OUTPUT_TOKENS`, `MUSTER_STEPS_MAX`.
///
/// Exit code 0 after the client left, 2 with a sentence on stderr if the environment does not do.
pub fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("muster agent: {problem}");
            ExitCode::from(BAD_ENVIRONMENT)
        }
    }
}

fn start() -> Result<(), String> {
    let settings = settings::Settings::read(|name| std::env::var(name).ok()).map_err(|error| error.to_string())?;
    let http = http::client()?;
    let model = model::Model::new(&settings, http.clone())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(async {
        let input = stdio::Input::stdin().map_err(|error| format!("stdin: {error}"))?;
        let (output, written) = stdio::Output::stdout().map_err(|error| format!("stdout: {error}"))?;
        serve::serve(turn::Agent { settings, model }, http, input, output).await;
        // Everything said before the client left still goes out.
        let _ = written.await;
        Ok(())
    })
}
