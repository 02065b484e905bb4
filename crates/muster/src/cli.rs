//! The command line: what can be typed, in two steps, syntax here and meaning in `commands`.

use crate::{commands, outcome::Error};
use clap::{Args, CommandFactory, Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode};

mod agents;
mod reading;
mod recorded;
mod sandbox;
mod trust;

pub(crate) use agents::{AgentsCheckArgs, AgentsCommand, AgentsListArgs};
pub(crate) use reading::{DiffArgs, ExplainArgs, ReportArgs, ReportFormat, TailArgs};
pub(crate) use recorded::{PricesCommand, PricesRefresh, PricesShow, ReplayArgs};
pub(crate) use sandbox::{ExplainAs, FileKind, SandboxCommand, SandboxExplain, SandboxRun};
pub(crate) use trust::TrustArgs;

/// Turns a goal into merged, verified commits by a team of coding agents.
#[derive(Debug, Parser)]
#[command(
    name = "muster",
    version,
    max_term_width = 100,
    after_help = "\
Exit codes: 0 done, 1 failed, 2 bad usage or config, 3 waiting for a person, 4 cancelled.

Examples:
  muster demo                                     see it work, without keys and without a network
  muster run \"fix the parser\" --plan plan.yaml    run a plan on the repository of this folder
  muster show last                                how the newest mission stands
  muster answer i0 \"use half up\"                  answer a question, then: muster resume last"
)]
struct Cli {
    /// Where all state is kept (default: ~/.local/share/muster).
    #[arg(long, env = "MUSTER_HOME", global = true, value_name = "DIR")]
    home: Option<PathBuf>,
    /// Say more of what happens inside, on standard error.
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch three agents mend a small project; no keys, no network.
    #[command(after_help = "\
Examples:
  muster demo                     in a new folder under the temporary folder
  muster demo --dir ~/demo --all  in this folder, with everything that happens")]
    Demo(DemoArgs),
    /// Run a plan on a repository.
    Run(RunArgs),
    /// Take a mission up again where it stopped.
    #[command(after_help = "\
Example:
  muster resume last     after an answer, a pause, Ctrl-C or a crash")]
    Resume(ResumeArgs),
    /// Run a finished, recorded mission again, offline and at no cost, and compare the results.
    #[command(after_help = "\
Example:
  muster run --record --plan plan.yaml    keeps every model call of the mission
  muster replay last                      the same calls are answered from what was kept

Exit codes: 0 with the same files at the end, 1 when not; then it says where it first differed.")]
    Replay(ReplayArgs),
    /// List all missions.
    #[command(
        visible_alias = "ls",
        after_help = "\
Examples:
  muster list
  muster list --json | jq -r '.[] | select(.waiting > 0) | .name'"
    )]
    List(JsonArg),
    /// Show how a mission stands.
    #[command(
        visible_alias = "status",
        after_help = "\
Examples:
  muster show            the newest mission
  muster show fix-pa     the mission whose name begins so"
    )]
    Show(MissionJson),
    /// Follow a mission's journal.
    #[command(
        visible_alias = "log",
        after_help = "\
Examples:
  muster tail                            from its first fact on, until it is over
  muster tail last --all                 with what the models said, the tools they called, what ran and what it printed
  muster tail last --all --agent builder-1 --task parser
  muster tail last --json --no-follow    the journal as it is, one fact a line"
    )]
    Tail(TailArgs),
    /// Say why: every choice about a mission, one task, agent or interrupt.
    #[command(after_help = "\
Examples:
  muster explain last              every choice and its reason
  muster explain last parser       those about the task 'parser'
  muster explain last builder-2    those about an agent
  muster explain last i0           those about an interrupt")]
    Explain(ExplainArgs),
    /// Show what a mission or one of its tasks has changed.
    #[command(after_help = "\
Examples:
  muster diff                     what the newest mission has merged so far
  muster diff last parser         the work on the task 'parser', merged or not
  muster diff last --stat         its files with their counts of lines
  muster diff last | git apply    take it without a branch")]
    Diff(DiffArgs),
    /// Write a mission's report.
    #[command(after_help = "\
Examples:
  muster report last > report.md
  muster report last --format html > report.html")]
    Report(ReportArgs),
    /// Begin nothing new; ask the agents to end their turns.
    #[command(after_help = "\
Example:
  muster pause last      to go on: muster resume last")]
    Pause(MissionArg),
    /// End a mission; what is merged and verified is kept.
    #[command(after_help = "\
Example:
  muster cancel last     what is merged so far still becomes the branch muster/<mission>")]
    Cancel(MissionArg),
    /// Give a failed task another round of attempts.
    #[command(after_help = "\
Example:
  muster retry last parser")]
    Retry(RetryArgs),
    /// List what waits for a person.
    #[command(after_help = "\
Example:
  muster inbox")]
    Inbox(JsonArg),
    /// Answer what waits for a person.
    #[command(
        override_usage = "muster answer <ID> <TEXT|--approve|--deny|--amend TEXT>",
        after_help = "\
Examples:
  muster answer i0 \"round half up\"       a question of an agent
  muster answer i1 --approve             yes: another round, as much money again, …
  muster answer fix-a1b2c/i1 2.50        allow 2.50 dollars more"
    )]
    Answer(AnswerArgs),
    /// Check configuration and plan files, print their schemas.
    #[command(
        subcommand,
        after_help = "\
Examples:
  muster config check muster.yaml
  muster config check plan.yaml --config muster.yaml
  muster config schema plan > plan.schema.json"
    )]
    Config(ConfigCommand),
    /// Show what a project's files ask for, and trust their exact content.
    Trust(TrustArgs),
    /// Show what models cost, or take a newer price table.
    #[command(
        subcommand,
        after_help = "\
Examples:
  muster prices show gpt-5
  muster prices show --json | jq '.models | length'
  muster prices refresh --from model_prices_and_context_window.json"
    )]
    Prices(PricesCommand),
    /// Run a program in a sandbox, or say what a policy allows.
    #[command(
        subcommand,
        after_help = "\
Examples:
  muster sandbox run -- cargo test                 build and test here, without a network
  muster sandbox run --policy agent.yaml -- codex  under a policy of your own
  muster sandbox explain agent.yaml                what that policy means on this host"
    )]
    Sandbox(SandboxCommand),
    /// List the agents of this machine, or check that a program can be one.
    #[command(
        subcommand,
        after_help = "\
Examples:
  muster agents list
  muster agents check builder                    the agent of a role of muster.yaml
  muster agents check ./my-worker                a program of your own that speaks ACP
  muster agents check --runtime codex codex"
    )]
    Agents(AgentsCommand),
    /// Say what this host has and enforces.
    #[command(after_help = "\
Example:
  muster doctor          exit code 1 when something that missions need is missing")]
    Doctor(JsonArg),
    /// Print a completion script for a shell.
    #[command(after_help = "\
Example:
  muster completions bash > ~/.local/share/bash-completion/completions/muster")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// A mission by name.
#[derive(Debug, Args)]
pub(crate) struct MissionArg {
    /// The mission's name, the beginning of one, or `last` for the newest.
    #[arg(default_value = "last")]
    pub(crate) mission: String,
}

/// A reading of all.
#[derive(Debug, Args)]
pub(crate) struct JsonArg {
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A reading of one mission.
#[derive(Debug, Args)]
pub(crate) struct MissionJson {
    #[command(flatten)]
    pub(crate) mission: MissionArg,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `muster demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// The folder to make the sample repository in; it must not exist (default: a new one under the temporary folder).
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Keep every model call, masked and compressed, so that `muster replay` can run the mission again.
    #[arg(long)]
    pub(crate) record: bool,
    /// Show everything that happens.
    #[arg(long)]
    pub(crate) all: bool,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `muster run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  muster run \"add pagination\" --plan plan.yaml --repo . --budget 5

The result is the branch muster/<mission> in the repository; your checkout and your branches are not touched.")]
pub(crate) struct RunArgs {
    /// What is wanted, in your words (default: the plan's own goal).
    pub(crate) goal: Option<String>,
    /// The plan: tasks, dependencies, roles, acceptance checks (`muster config schema plan`).
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: PathBuf,
    /// The repository to work on.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) repo: PathBuf,
    /// The configuration (default: muster.yaml in this folder or above it, up to the repository's root).
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Trust what the project's files ask for, and remember it: see `muster trust`.
    #[arg(long)]
    pub(crate) trust: bool,
    /// The most that may be spent, in US dollars; over the configuration's own.
    #[arg(long, value_name = "USD")]
    pub(crate) budget: Option<String>,
    /// Keep every model call, masked and compressed, so that `muster replay` can run the mission again.
    #[arg(long)]
    pub(crate) record: bool,
    /// A sandbox policy or a preset that no role and no check of the configuration may be wider than.
    #[arg(long, value_name = "FILE", env = "MUSTER_CEILING")]
    pub(crate) ceiling: Option<PathBuf>,
    /// Stay when a person is waited for, instead of ending with exit code 3.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Show everything that happens.
    #[arg(long)]
    pub(crate) all: bool,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `muster resume`.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    pub(crate) mission: MissionArg,
    /// Stay when a person is waited for, instead of ending with exit code 3.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Show everything that happens.
    #[arg(long)]
    pub(crate) all: bool,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `muster retry`.
#[derive(Debug, Args)]
pub(crate) struct RetryArgs {
    /// The mission's name, the beginning of one, or `last` for the newest.
    pub(crate) mission: String,
    /// The task's name.
    pub(crate) task: String,
}

/// `muster answer`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("reply").required(true).args(["text", "approve", "deny", "amend"]))]
pub(crate) struct AnswerArgs {
    /// The interrupt as `muster inbox` shows it: `i0`, or `MISSION/i0`.
    pub(crate) id: String,
    /// The answer in words, or an amount of dollars for a budget.
    pub(crate) text: Option<String>,
    /// Yes; go on.
    #[arg(long)]
    pub(crate) approve: bool,
    /// No.
    #[arg(long)]
    pub(crate) deny: bool,
    /// Yes, but so.
    #[arg(long, value_name = "TEXT")]
    pub(crate) amend: Option<String>,
    /// Which mission (default: the newest that waits for this interrupt).
    #[arg(long, value_name = "MISSION")]
    pub(crate) mission: Option<String>,
}

/// `muster config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check a muster.yaml, a plan or a sandbox policy.
    Check {
        /// The file.
        file: PathBuf,
        /// The configuration that a plan is checked against (default: muster.yaml beside it).
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// What the file is, where its keys do not tell.
        #[arg(long, value_name = "KIND")]
        r#as: Option<FileKind>,
    },
    /// Print a JSON Schema.
    Schema {
        /// Of what.
        #[arg(value_parser = ["config", "plan", "policy"], default_value = "config")]
        name: String,
    },
}

/// Parses the command line, runs the command, gives the exit code.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(mut error) => {
            keep_what_is_similar(&mut error);
            // What clap prints goes where it belongs: help to standard output, errors to standard error.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    // As cargo does: whoever types the name alone asks what it can do.
    let Some(command) = cli.command else {
        let _ = Cli::command().print_help();
        return ExitCode::SUCCESS;
    };
    logs(cli.verbose);
    if let Err(error) = engine::keep_from_core_dumps() {
        let what = format!("this process cannot be kept from leaving core dumps, and keys are in it: {error}");
        return Error::failed(what).report();
    }
    match run(cli.home, command) {
        Ok(outcome) => outcome.into(),
        Err(error) => error.report(),
    }
}

/// Of the commands that could be meant only those that look like what was typed: `pause` is nothing like `status`.
fn keep_what_is_similar(error: &mut clap::Error) {
    use clap::error::{ContextKind, ContextValue};
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand).cloned() else { return };
    let close = |known: &String| {
        known.starts_with(&typed) || strsim::damerau_levenshtein(known, &typed) <= (typed.chars().count() / 3).max(1)
    };
    let known = match error.remove(ContextKind::SuggestedSubcommand) {
        Some(ContextValue::Strings(known)) => known,
        Some(ContextValue::String(known)) => vec![known],
        _ => return,
    };
    let known: Vec<String> = known.into_iter().filter(close).collect();
    if !known.is_empty() {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(known));
    }
}

fn run(home: Option<PathBuf>, command: Command) -> Result<crate::outcome::Outcome, Error> {
    // A sandbox keeps nothing, so it needs no home.
    let command = match command {
        Command::Sandbox(SandboxCommand::Run(args)) => {
            return commands::sandbox::run(SandboxCommand::Run(SandboxRun { home, ..args }));
        }
        Command::Sandbox(command) => return commands::sandbox::run(command),
        command => command,
    };
    let home = commands::home(home)?;
    match command {
        Command::Sandbox(command) => commands::sandbox::run(command),
        Command::Demo(args) => commands::demo::run(&home, args),
        Command::Run(args) => commands::run::run(&home, args),
        Command::Resume(args) => commands::run::resume(&home, args),
        Command::Replay(args) => commands::replay::run(&home, args),
        Command::List(args) => commands::read::list(&home, args),
        Command::Show(args) => commands::read::show(&home, args),
        Command::Tail(args) => commands::tail::run(&home, args),
        Command::Explain(args) => commands::read::explain(&home, args),
        Command::Diff(args) => commands::diff::run(&home, &args),
        Command::Report(args) => commands::read::report(&home, args),
        Command::Pause(args) => commands::act::pause(&home, args),
        Command::Cancel(args) => commands::act::cancel(&home, args),
        Command::Retry(args) => commands::act::retry(&home, args),
        Command::Inbox(args) => commands::read::inbox(&home, args),
        Command::Answer(args) => commands::act::answer(&home, args),
        Command::Config(command) => commands::config::run(&home, command),
        Command::Trust(args) => commands::trust::run(&home, &args),
        Command::Prices(command) => commands::prices::run(&home, command),
        Command::Agents(command) => commands::agents::run(&home, command),
        Command::Doctor(args) => commands::doctor::run(&home, args),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "muster", &mut std::io::stdout());
            Ok(crate::outcome::Outcome::Done)
        }
    }
}

/// Logs of the inside go to standard error: warnings, or more with `-v`.
fn logs(verbose: u8) {
    let level = ["warn", "info", "debug", "trace"][usize::from(verbose.min(3))];
    // What rmcp calls an error is an agent that was ended while it waited for an answer: no news to a person.
    let protocol = if verbose == 0 { "off" } else { "warn" };
    let filter = format!("{level},hyper=warn,h2=warn,reqwest=warn,rmcp={protocol}");
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(|| crate::secrets::Log)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none())
        .with_target(false)
        .init();
}
