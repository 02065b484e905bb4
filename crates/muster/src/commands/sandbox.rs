//! `muster sandbox`: what a policy means on this host, and one program under it.
//!
//! Needs no home: nothing is kept.

use super::{runtime, user_home};
use crate::{
    cli::{ExplainAs, SandboxCommand, SandboxExplain},
    outcome::{Error, Outcome},
    screen::{self, visible},
    trust::{Door, Given},
};
use api::policy::{self, Preset};
use engine::{
    Launcher,
    sandboxed::{self, Around, Meaning, Resolved},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

mod run;
mod terminal;

/// The preset of a policy that names none.
const USUAL: Preset = Preset::Check;

pub(crate) fn run(command: SandboxCommand) -> Result<Outcome, Error> {
    match command {
        SandboxCommand::Explain(args) => explain(args),
        SandboxCommand::Run(args) => Ok(run::run(args)),
    }
}

fn explain(args: SandboxExplain) -> Result<Outcome, Error> {
    let resolved = named(&args.file, None)?;
    if args.r#as == Some(ExplainAs::Seatbelt) {
        let refused = |missing: Vec<String>| {
            Error::usage(format!(
                "macOS cannot hold this policy, so there is no profile of it:\n  {}",
                missing.join("\n  ")
            ))
        };
        screen::painted(&resolved.seatbelt().map_err(refused)?)?;
        return Ok(Outcome::Done);
    }
    let launcher = launcher()?;
    let report = runtime()?.block_on(async move {
        tokio::task::spawn_blocking(move || engine::host_report(&launcher)).await.map_err(Error::failed)
    })?;
    let meaning = Meaning::of(&resolved, &report);
    match args.json {
        true => screen::json(&meaning)?,
        false => screen::out(&meaning.text())?,
    };
    Ok(Outcome::Done)
}

/// The policy of a file or, when there is none of that name, of a preset, with the current folder to work in.
/// Without a door it is only looked at.
pub(crate) fn named(file: &Path, door: Option<&Door<'_>>) -> Result<Resolved, Error> {
    match Preset::named(&file.to_string_lossy()).filter(|_| !file.exists()) {
        Some(preset) => Ok(sandboxed::of_preset(preset, &current_dir()?)),
        None => read(file, door).map(|(resolved, _)| resolved),
    }
}

/// The policy of a file, for this host.
/// Without a door it is only looked at.
pub(crate) fn read(file: &Path, door: Option<&Door<'_>>) -> Result<(Resolved, Given), Error> {
    let word = file.components().count() == 1 && file.extension().is_none();
    if word && !file.exists() {
        let what = format!("there is no file {0}, and no preset {0}", visible(&file.to_string_lossy()));
        return Err(Error::usage(format!("{what}\n  help: the presets are worker, agent-cli, check and read-only")));
    }
    let work_dir = current_dir()?;
    let given = Given::policy(file, &work_dir).map_err(Error::usage)?;
    let (source, file_dir) = (&given.source, &given.folder);
    let checked = policy::load(source).map_err(Error::usage)?;
    if let Some(door) = door {
        let asks = api::trust::of_policy(source).map_err(Error::usage)?;
        door.pass(vec![(&given, given.needs(asks))])?;
    }
    let around = Around {
        file_dir,
        home: &user_home().unwrap_or_else(|| PathBuf::from("/")),
        work_dir: &work_dir,
        variable: &|name| std::env::var(name).ok(),
    };
    let resolved = sandboxed::resolve(source.name(), &checked, USUAL, around).map_err(Error::usage)?;
    Ok((resolved, given))
}

fn current_dir() -> Result<PathBuf, Error> {
    std::env::current_dir().map_err(|error| Error::usage(format!("the current folder cannot be found: {error}")))
}

fn launcher() -> Result<Arc<Launcher>, Error> {
    let program =
        std::env::current_exe().map_err(|error| Error::failed(format!("this program cannot be found: {error}")))?;
    let launcher = Launcher::new(vec![program.into_os_string(), "__sandbox".into()]).map_err(Error::failed)?;
    // Where muster would keep its state, whether it does or not.
    let state = std::env::var_os("MUSTER_HOME").map(PathBuf::from);
    let folders = super::home(state).ok().into_iter().chain(super::config_folder());
    folders.for_each(|folder| launcher.hide(folder));
    Ok(Arc::new(launcher))
}
