//! Arguments of what is about sandboxes: one program under a policy, and what a policy means.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `muster sandbox`.
#[derive(Debug, Subcommand)]
pub(crate) enum SandboxCommand {
    /// Run a program under a policy.
    #[command(after_help = "\
Examples:
  muster sandbox run -- make test                        the preset check, in this folder
  muster sandbox run --preset read-only -- rg TODO       a look, without a change
  muster sandbox run --write ../out -- ./build.sh        and one more folder to write in
  muster sandbox run --policy policy.yaml -- npm test    as the file says

Input, output, signals and the exit code are the program's own. What the sandbox has to say (a limit that ended the \
program, what was refused, the line that would allow it) comes at the end, on standard error.

Exit codes: the program's own; 124 when a limit on time ended it, 125 when there is no sandbox, 126 when the program \
cannot be executed, 127 when it is not there, 128 and the signal's number when a signal ended it.")]
    Run(SandboxRun),
    /// Say what a policy means on this host, in plain words.
    #[command(after_help = "\
Examples:
  muster sandbox explain policy.yaml
  muster sandbox explain agent-cli                 a preset, with this folder to work in
  muster sandbox explain policy.yaml --as seatbelt the same for sandbox-exec of macOS")]
    Explain(SandboxExplain),
}

/// `muster sandbox run`.
#[derive(Debug, Args)]
pub(crate) struct SandboxRun {
    /// The policy (`muster config schema policy`).
    #[arg(long, value_name = "FILE", conflicts_with = "preset")]
    pub(crate) policy: Option<PathBuf>,
    /// A ready policy, with this folder to work in.
    #[arg(long, value_name = "NAME", default_value = "check", value_parser = ["worker", "agent-cli", "check", "read-only"])]
    pub(crate) preset: String,
    /// Trust what a policy file of this folder or of a repository asks for, and remember it: see `muster trust`.
    #[arg(long, requires = "policy")]
    pub(crate) trust: bool,
    /// Where what is trusted is remembered.
    #[arg(skip)]
    pub(crate) home: Option<PathBuf>,
    /// A further folder to read, write and execute in, at its own place.
    #[arg(long, value_name = "DIR")]
    pub(crate) write: Vec<PathBuf>,
    /// A further folder or file to read and execute, at its own place.
    #[arg(long, value_name = "DIR")]
    pub(crate) read: Vec<PathBuf>,
    /// A policy file or a preset that this policy may not be wider than.
    #[arg(long, value_name = "FILE", env = "MUSTER_CEILING")]
    pub(crate) ceiling: Option<PathBuf>,
    /// Say at the end, on standard error, how it ended, as one line of JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Say nothing at the end.
    #[arg(long, short, conflicts_with = "json")]
    pub(crate) quiet: bool,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    pub(crate) command: Vec<std::ffi::OsString>,
}

/// `muster sandbox explain`.
#[derive(Debug, Args)]
pub(crate) struct SandboxExplain {
    /// The policy, or the name of a preset.
    pub(crate) file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Print what another system's sandbox would be told.
    #[arg(long, value_name = "FORM", value_enum, conflicts_with = "json")]
    pub(crate) r#as: Option<ExplainAs>,
}

/// What a file that muster reads is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum FileKind {
    /// muster.yaml: upstreams, roles, and what they may cost.
    Config,
    /// Tasks.
    Plan,
    /// What a sandbox allows.
    Policy,
}

/// Other systems' forms of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ExplainAs {
    /// A profile of macOS's sandbox-exec.
    Seatbelt,
}
