//! Arguments of `muster agents`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// What is wanted of agents.
#[derive(Debug, Subcommand)]
pub(crate) enum AgentsCommand {
    /// List the agents that are known by name and the roles of the configuration, with version, login and state.
    List(AgentsListArgs),
    /// Run the conformance kit against an agent: exit code 0 when every rule holds, 1 when one does not.
    Check(AgentsCheckArgs),
}

/// `muster agents list`.
#[derive(Debug, Args)]
pub(crate) struct AgentsListArgs {
    /// The configuration that has the roles; muster.yaml in this folder, if there is one, when left out.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `muster agents check`.
#[derive(Debug, Args)]
pub(crate) struct AgentsCheckArgs {
    /// A role of the configuration, or a program.
    pub(crate) agent: String,
    /// The program's arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<String>,
    /// What the program speaks.
    #[arg(long, value_parser = ["acp", "codex", "claude", "cursor", "exec"], default_value = "acp")]
    pub(crate) runtime: String,
    /// Files and folders of this machine that it needs, shown in its sandbox at the same places.
    #[arg(long, value_name = "PATH")]
    pub(crate) show: Vec<PathBuf>,
    /// The configuration that has the role; muster.yaml in this folder when left out.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
