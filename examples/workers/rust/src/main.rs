//! A minimal worker for muster: the standard library and a JSON parser.
//!
//! An author writes [`Worker`]: what to do at the start, with a task, and at the end. Everything else is the wire: ACP (JSON-RPC 2.0, a message a line on
//! standard input and output) and the agent tools over MCP. docs/workers.md says what each message means.

mod wire;

use std::{io, path::Path};
use wire::Context;

/// What an author writes.
#[derive(Default)]
struct Worker;

impl Worker {
    /// Called once for a session, new or taken up again.
    fn init(&mut self, _ctx: &Context) {}

    /// Does the task; what it returns is the summary of the result, or nothing when it was cancelled.
    fn on_task(&mut self, ctx: &Context, text: &str) -> io::Result<Option<String>> {
        ctx.stream("I have read the task.");
        if text.contains("[conformance hold]") {
            ctx.wait_until_cancelled();
            return Ok(None);
        }
        let file = Path::new(&ctx.cwd).join("worker.txt");
        std::fs::write(file, "done\n")?;
        Ok(Some("It is done.".to_owned()))
    }

    /// Called once at the end.
    fn shutdown(&mut self) {}
}

fn main() {
    wire::serve(Worker);
}
