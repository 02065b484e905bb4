//! Arguments of what is read: a mission's journal, what it has changed, its report.

use super::MissionArg;
use clap::Args;

/// `muster tail`.
#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    #[command(flatten)]
    pub(crate) mission: MissionArg,
    /// Begin after this fact.
    #[arg(long, default_value_t = 0, value_name = "SEQ")]
    pub(crate) after: u64,
    /// End at the last fact instead of waiting for more.
    #[arg(long)]
    pub(crate) no_follow: bool,
    /// Show what the agents do too: what the models say, the tools that they call, what is run and what it prints.
    #[arg(long)]
    pub(crate) all: bool,
    /// Show only what is about this agent.
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
    /// Show only what is about this task.
    #[arg(long, value_name = "NAME")]
    pub(crate) task: Option<String>,
    /// Print one JSON object a line: the facts as they are stored.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `muster explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The mission's name, the beginning of one, or `last` for the newest.
    pub(crate) mission: String,
    /// A task, an agent or an interrupt; everything without it.
    pub(crate) id: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `muster diff`.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The mission's name, the beginning of one, or `last` for the newest.
    #[arg(default_value = "last")]
    pub(crate) mission: String,
    /// A task: its change as it was merged, or its work as it was last kept.
    pub(crate) task: Option<String>,
    /// List the files with their counts of lines.
    #[arg(long, conflicts_with = "name_only")]
    pub(crate) stat: bool,
    /// List the files.
    #[arg(long)]
    pub(crate) name_only: bool,
    /// Print the list of files as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `muster report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    pub(crate) mission: MissionArg,
    /// The form.
    #[arg(long, value_enum, default_value = "md")]
    pub(crate) format: ReportFormat,
    /// The same as `--format json`.
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,
}

/// The forms of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ReportFormat {
    /// Markdown.
    Md,
    /// JSON.
    Json,
    /// One HTML page.
    Html,
}
