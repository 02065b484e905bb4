//! `muster agents`: which agents this machine has, and whether a program can be one.

use super::{engine, runtime, user_home};
use crate::{
    cli::{AgentsCheckArgs, AgentsCommand, AgentsListArgs},
    outcome::{Error, Outcome},
    project::{Configured, found},
    screen,
    trust::Door,
};
use api::{
    config::{self, CheckedConfig},
    source::Source,
    value::Name,
};
use engine::{AgentEntry, Places, RoleSettings, Verdict, view::table};
use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

pub(crate) fn run(home: &Path, command: AgentsCommand) -> Result<Outcome, Error> {
    match command {
        AgentsCommand::List(args) => list(home, &args),
        AgentsCommand::Check(args) => check(home, &args),
    }
}

fn list(home: &Path, args: &AgentsListArgs) -> Result<Outcome, Error> {
    let scratch = Scratch::make()?;
    let program =
        std::env::current_exe().map_err(|error| Error::failed(format!("this program cannot be found: {error}")))?;
    let launcher = vec![program.into_os_string(), "__sandbox".into()];
    let folders: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    let config = config_to_look_at(args.config.as_deref(), &Door { home: Some(home), trust: false })?;
    let home = user_home().unwrap_or_else(|| PathBuf::from("/"));
    let found = runtime()?.block_on(async {
        let version = env!("CARGO_PKG_VERSION");
        let mut entries = engine::registry(launcher.clone(), &scratch.0, &folders, version).await?;
        if let Some((config, config_dir)) = &config {
            let places = Places { config_dir, home: &home };
            entries.extend(engine::configured(&config.roles, places, launcher, &scratch.0, &folders).await?);
        }
        Ok(entries)
    });
    let entries = found.map_err(|error: String| Error::failed(error))?;
    match args.json {
        true => screen::json(&entries)?,
        false => screen::out(&listed(&entries))?,
    };
    Ok(Outcome::Done)
}

/// The configuration that is named, or the one that holds here, as it is on the way in; nothing where there is none.
fn configured_here(file: Option<&Path>) -> Result<Option<Configured>, Error> {
    let here = Path::new(".");
    match file.is_none() && found(here).is_none() {
        true => {
            let configured = Configured::own_alone(here)?;
            Ok(Some(configured).filter(|configured| configured.own.source.is_some()))
        }
        false => Configured::read(file, here).map(Some),
    }
}

/// The configuration and its folder, if its door is open: to look nobody is asked, and nothing of what is not trusted is run.
fn config_to_look_at(file: Option<&Path>, door: &Door<'_>) -> Result<Option<(CheckedConfig, PathBuf)>, Error> {
    let Some(configured) = configured_here(file)? else { return Ok(None) };
    let (config, needs) = configured.judged()?;
    if !needs.iter().all(|(given, asks)| door.is_open(given, asks)) {
        let file = configured.name();
        screen::note(&format!(
            "{file}: its roles are not looked at, since nobody has trusted what it asks for; see: muster trust {file}"
        ));
        return Ok(None);
    }
    Ok(Some((config, configured.folder())))
}

/// The configuration and its folder, with a person asked where that is needed.
fn config_to_use(file: Option<&Path>, door: &Door<'_>) -> Result<Option<(CheckedConfig, PathBuf)>, Error> {
    let Some(configured) = configured_here(file)? else { return Ok(None) };
    let (config, needs) = configured.judged()?;
    door.pass(needs)?;
    Ok(Some((config, configured.folder())))
}

fn listed(entries: &[AgentEntry]) -> String {
    let head = ["agent", "runtime", "state", "version", "role"].map(str::to_owned).to_vec();
    let row = |entry: &AgentEntry| {
        let version = entry.version.clone().unwrap_or_else(|| "-".to_owned());
        vec![entry.name.clone(), entry.runtime.clone(), entry.state.word().to_owned(), version, entry.role.clone()]
    };
    let mut text = table(&std::iter::once(head).chain(entries.iter().map(row)).collect::<Vec<_>>());
    for entry in entries {
        if let Some(reason) = &entry.reason {
            let _ = writeln!(text, "{}: {reason}", entry.name);
        }
    }
    text.push_str("to check that one works as an agent: muster agents check NAME-OF-A-ROLE");
    text
}

fn check(home: &Path, args: &AgentsCheckArgs) -> Result<Outcome, Error> {
    let role = role(args, &Door { home: Some(home), trust: false })?;
    let scratch = Scratch::make()?;
    let verdicts = runtime()?.block_on(async {
        let home = scratch.0.join("home");
        let engine = engine(&home)?;
        engine.check_agent(role, &scratch.0.join("bench")).await.map_err(Error::from)
    })?;
    match args.json {
        true => screen::json(&verdicts)?,
        false => screen::out(&judged(&verdicts))?,
    };
    let holds = verdicts.iter().all(|verdict| verdict.problem.is_none());
    Ok(if holds { Outcome::Done } else { Outcome::Failed })
}

fn judged(verdicts: &[Verdict]) -> String {
    let word = |verdict: &Verdict| if verdict.problem.is_none() { "yes" } else { "NO" };
    let rows: Vec<_> = verdicts
        .iter()
        .map(|verdict| vec![format!("  {}", word(verdict)), verdict.rule.to_owned(), verdict.says.to_owned()])
        .collect();
    let mut text = table(&rows);
    for verdict in verdicts {
        if let Some(problem) = &verdict.problem {
            let _ = writeln!(text, "{}: {problem}", verdict.rule);
        }
    }
    let broken = verdicts.iter().filter(|verdict| verdict.problem.is_some()).count();
    text.push_str(&match broken {
        0 => "every rule holds: it can be an agent".to_owned(),
        1 => "1 rule does not hold; the rules are in docs/workers.md".to_owned(),
        more => format!("{more} rules do not hold; the rules are in docs/workers.md"),
    });
    text
}

/// The role that is checked: the configuration's of this name, or one that the program makes.
fn role(args: &AgentsCheckArgs, door: &Door<'_>) -> Result<RoleSettings, Error> {
    let home = user_home().unwrap_or_else(|| PathBuf::from("/"));
    if let Some((config, config_dir)) = config_of_role(args, door)? {
        let places = Places { config_dir: &config_dir, home: &home };
        if let Some(role) = configured(&config, &args.agent, places) {
            return Ok(role);
        }
    }
    let program = Path::new(&args.agent);
    if !program.is_file() && args.agent.contains('/') {
        return Err(Error::usage(format!(
            "{}: there is no such program, and no role of this name in {}",
            args.agent,
            args.config.as_deref().unwrap_or(Path::new("muster.yaml")).display()
        )));
    }
    let path = if program.is_file() { program.canonicalize().map_err(Error::usage)? } else { program.to_path_buf() };
    let config_dir = std::env::current_dir().map_err(Error::usage)?;
    let places = Places { config_dir: &config_dir, home: &home };
    let shown = args
        .show
        .iter()
        .map(|path| path.canonicalize().map_err(|error| Error::usage(format!("{}: {error}", path.display()))));
    let mut shown: Vec<PathBuf> = shown.collect::<Result<_, _>>()?;
    // The program itself and nothing beside it: what lies there may be anybody's, and a role has to show it too.
    shown.extend(Some(path.clone()).filter(|path| path.is_absolute() && !engine::sandboxed::is_system(path)));
    let words = std::iter::once(path.display().to_string()).chain(args.args.iter().cloned());
    let described = serde_json::json!({
        "upstreams": {"script": {"scripted": "script.yaml"}},
        "roles": {"agent": {
            "runtime": args.runtime, "command": words.collect::<Vec<_>>(), "model": "scripted", "sandbox": {"read": shown},
        }},
    });
    let source = Source::new("the command line", described.to_string());
    let config = config::load(&source).map_err(Error::usage)?;
    configured(&config, "agent", places).ok_or_else(|| Error::usage("there is no agent to check"))
}

/// The configuration for a role of this name. What is plainly a program needs none, so that nobody is asked about one.
fn config_of_role(args: &AgentsCheckArgs, door: &Door<'_>) -> Result<Option<(CheckedConfig, PathBuf)>, Error> {
    let named = args.config.is_some();
    let program = args.agent.contains('/') && !named;
    if program { Ok(None) } else { config_to_use(args.config.as_deref(), door) }
}

fn configured(config: &CheckedConfig, name: &str, places: Places<'_>) -> Option<RoleSettings> {
    let (_, role): (&Name, _) = config.roles.iter().find(|(known, _)| known.as_str() == name)?;
    Some(RoleSettings::of(role, places))
}

/// A folder for the time of a check, with everything in it.
struct Scratch(PathBuf);

impl Scratch {
    fn make() -> Result<Self, Error> {
        let dir = std::env::temp_dir().join(format!("muster-agents-{}", std::process::id()));
        std::fs::create_dir(&dir).map_err(|error| Error::failed(format!("{}: {error}", dir.display())))?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left of it lies in the folder for what may be left.
        let _ = engine::remove_tree(&self.0);
    }
}
