//! `muster` under the shared benchmark: each workload is one mission, with everything that a real one has.
//!
//! Every agent is our own agent program in its own sandbox with its own network namespace; its model calls pass the gateway, its tool
//! calls pass the engine, and every step is in the durable journal before anything follows from it. Only two things are ours here: the plan
//! is made in code, and the agents are offered the benchmark's tool `calc`. See `bench/README.md`.

mod calc;
#[cfg(feature = "modelled")]
mod modelled;
mod plan;
mod report;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use engine::{Engine, Faults, Request, Running, Setup, Standing};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Instant,
};

/// The goal of every mission here; its name is found again by it.
const GOAL: &str = "bench";

/// The arguments that the harness gives.
#[derive(Debug, Parser)]
struct Args {
    /// Which workload.
    #[arg(long)]
    workload: Workload,
    /// Agents (w1, w4, w5); ignored by w3.
    #[arg(long, default_value_t = 1)]
    n: u32,
    /// The model server, with run, script and latency in its path; or `scripted:FILE`, a script of our own in place of a server.
    #[arg(long)]
    base_url: String,
    /// The tasks of w3.
    #[arg(long)]
    dag: Option<PathBuf>,
    /// Agents of w3.
    #[arg(long, default_value_t = 16)]
    conc: u32,
    /// Where everything of this run is kept.
    #[arg(long)]
    state_dir: PathBuf,
    /// The user's repository; without it an empty one is made in the state directory. Scratch roles never see it.
    #[arg(long)]
    repo: Option<PathBuf>,
    /// Goes on with what an ended process left in the state directory.
    #[arg(long)]
    resume: bool,
    /// Agents are tasks of this process instead of sandboxed programs.
    #[cfg(feature = "modelled")]
    #[arg(long)]
    modelled: bool,
}

/// The workloads that a team of agents can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Workload {
    /// N agents at once, three model turns and two tool calls each.
    W1,
    /// A graph of 200 tasks of one model turn, 16 agents.
    W3,
    /// As w1; every tool call has an effect that must happen exactly once.
    W4,
    /// One agent of w1, from nothing.
    W5,
}

fn main() -> ExitCode {
    match std::env::args_os().nth(1).as_deref().and_then(|word| word.to_str()) {
        Some("__sandbox") => return engine::launcher_main(),
        Some("__native") => return native::main(),
        _ => {}
    }
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-adapter: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let began = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    #[cfg(feature = "modelled")]
    let agents = args.modelled.then(modelled::agents).transpose()?;
    let open = |setup| {
        let engine = Engine::open(setup)?;
        #[cfg(feature = "modelled")]
        if let Some((_, modelled)) = &agents {
            return Ok(engine.modelled(modelled.clone()));
        }
        Ok(engine)
    };
    let turns = runtime.block_on(mission(args, open))?;
    drop(runtime);
    report::result(began.elapsed(), turns);
    Ok(())
}

/// Carries out the workload's mission; answers with the number of model calls that went out.
async fn mission(args: &Args, open: impl FnOnce(Setup) -> Result<Engine>) -> Result<u64> {
    let state = std::path::absolute(&args.state_dir)?;
    let effects = (args.workload == Workload::W4).then(|| state.join("effects.log"));
    let engine = open(Setup { extra_tools: vec![calc::tool(effects.as_deref())?], ..setup(&state)? })?;
    let mut running = match begun(&state, args.resume)? {
        Some(name) => engine.resume(&engine.mission(&name)?).await?,
        None => begin(&engine, args, &state).await?,
    };
    let standing = running.settled().await?;
    let calls = running.calls();
    finished(&engine, &running, standing)?;
    Ok(calls.upstreams.iter().map(|upstream| upstream.started).sum())
}

fn setup(state: &Path) -> Result<Setup> {
    let program = std::env::current_exe().context("this program cannot be found")?;
    Ok(Setup {
        home: state.join("home"),
        hidden: Vec::new(),
        launcher: vec![program.clone().into_os_string(), "__sandbox".into()],
        program,
        secrets: Arc::new(|_| None),
        masking: engine::Masking::default(),
        faults: Faults::none(),
        extra_tools: Vec::new(),
    })
}

/// The mission that an earlier process began, if it came so far.
fn begun(state: &Path, resume: bool) -> Result<Option<String>> {
    let file = state.join("mission");
    if !resume || !file.exists() {
        return Ok(None);
    }
    Ok(Some(std::fs::read_to_string(file)?))
}

async fn begin(engine: &Engine, args: &Args, state: &Path) -> Result<Running> {
    let repo = match &args.repo {
        Some(repo) => repo.clone(),
        None => sample(engine, state).await?,
    };
    let request = Request {
        goal: GOAL.to_owned(),
        repository: engine::inspect(&repo).await?,
        plan: plan::of(args)?,
        settings: plan::settings(&args.base_url),
        limits: mission::Limits::default(),
        budget_micros: None,
    };
    let running = engine.begin(request).await?;
    std::fs::write(state.join("mission"), running.handle.key().as_str())?;
    Ok(running)
}

/// A repository with one file.
async fn sample(engine: &Engine, state: &Path) -> Result<PathBuf> {
    let repo = state.join("repo");
    std::fs::create_dir_all(&repo)?;
    std::fs::write(repo.join("README.md"), "Nothing to see.\n")?;
    engine.make_repository(&repo, "A file").await?;
    Ok(repo)
}

fn finished(engine: &Engine, running: &Running, standing: Standing) -> Result<()> {
    let view = engine::view::Readings::open(engine.home())?.mission(running.handle.key().as_str())?;
    match (standing, view.ending()) {
        (Standing::Closed, engine::view::Ending::Done) => Ok(()),
        _ => bail!("the mission did not come to a good end\n{}", view.summary()),
    }
}
