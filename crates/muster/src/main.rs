//! `muster`: turns a goal into merged, verified commits by a team of coding agents.
//!
//! The binary is also what it runs inside its sandboxes: four hidden subcommands, looked for before anything else is done, launch a sandbox,
//! are the first process of a container, are our own agent, and stand between us and a vendor's. Everything else is the command line.

mod cli;
mod commands;
mod compared;
mod outcome;
mod project;
mod screen;
mod secrets;
mod trust;

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args_os().nth(1).as_deref().and_then(|word| word.to_str()) {
        Some("__sandbox") => engine::launcher_main_with(std::env::args_os().skip(2)),
        Some("__sandbox-guest") => engine::guest_main(std::env::args_os().skip(2)),
        Some("__native") => native::main(),
        Some("__bridge") => bridge::main(std::env::args().skip(2)),
        _ => cli::main(),
    }
}
