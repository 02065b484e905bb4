//! Vendors' coding agents, spoken to in their own protocols and shown to us as agents of ours: an ACP program that runs inside the sandbox, beside the
//! vendor's program.
//!
//! ```text
//! engine ──ACP on stdio──▶ bridge ──the vendor's protocol──▶ codex app-server | claude -p | any program
//!          (outside)       └──────────────── one sandbox ────────────────┘
//! ```
//!
//! So whatever a vendor's program writes is read inside the sandbox that it runs in, and nothing of it is trusted outside: there the bridge is an agent
//! like any other. One folder per vendor hides its protocol: `decode` says what a line means (pure, tested on recordings of the real programs), and a
//! [`Talk`](talk::Talk) is the conversation as a state machine, without a process and without a clock. `serve` is the one loop that they share: it speaks ACP,
//! starts the program, and carries lines.
//!
//! One session at a time has a process; opening another ends it. A program that ends without being asked to ends the bridge, so that its owner sees
//! the loss with the program's last words.

mod child;
pub mod claude;
pub mod codex;
mod exec;
mod kind;
mod serve;
mod settings;
pub mod talk;
mod update;

use std::process::ExitCode;

/// Exit code for arguments or an environment that the bridge cannot work with.
const BAD_ENVIRONMENT: u8 = 2;

/// Runs the bridge on stdin and stdout until the client closes stdin. `args`: the runtime (`codex`, `claude`, `exec`), then the program and its first
/// arguments.
///
/// The environment tells the rest, as for our own agent: `HOME`, `MUSTER_MODEL`, the base URLs and keys of the gateway, `MUSTER_CONTEXT_TOKENS`.
///
/// Exit code 0 after the client left, 2 with a sentence on stderr if arguments or environment do not do, 1 when the program ended by itself.
pub fn main(args: impl Iterator<Item = String>) -> ExitCode {
    match start(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Problem::Environment(problem)) => {
            eprintln!("muster bridge: {problem}");
            ExitCode::from(BAD_ENVIRONMENT)
        }
        Err(Problem::Program(problem)) => {
            eprintln!("muster bridge: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Why a bridge ends before its client leaves.
pub(crate) enum Problem {
    /// What it was told does not do.
    Environment(String),
    /// The vendor's program is gone.
    Program(String),
}

fn start(args: impl Iterator<Item = String>) -> Result<(), Problem> {
    let settings = settings::Settings::read(args, |name| std::env::var(name).ok()).map_err(Problem::Environment)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Problem::Environment(format!("cannot start: {error}")))?;
    runtime.block_on(async {
        let closed = |what: &str, error: std::io::Error| Problem::Environment(format!("{what}: {error}"));
        let input = native::stdio::Input::stdin().map_err(|error| closed("stdin", error))?;
        let (output, written) = native::stdio::Output::stdout().map_err(|error| closed("stdout", error))?;
        let served = serve::serve(settings, input, output).await;
        // Everything said before the client left still goes out.
        let _ = written.await;
        served
    })
}
