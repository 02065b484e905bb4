//! Which agents this machine has: programs that are known by name, looked for and asked.
//!
//! What is found is asked for its version inside a sandbox, with its own folder shown there, as a mission would run it: a program that does not
//! start there is of no use, whatever it does outside.

use crate::{
    health::{Look, look_at_all},
    host::{LINE_BYTES_MAX, ask, ask_version},
    settings::RoleSettings,
};
use api::{
    config::{Role, Runtime},
    value::Name,
};
use policies::Places;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
};
use view::AgentState;
use workspace::{Exit, Launcher, Program, SandboxExtras};

/// An agent that is known by name.
struct Known {
    name: &'static str,
    runtime: &'static str,
    /// Names of its program.
    programs: &'static [&'static str],
    /// What to write in a role.
    role: &'static str,
    /// How to get it.
    install: &'static str,
    /// How it is asked whether it is logged in.
    login: Login,
}

/// How a program is asked whether it is logged in.
enum Login {
    /// Its models are reached through the gateway, with a key of ours.
    NotNeeded,
    /// It says so when it is run with these arguments, with exit code 0 when it is.
    Asked {
        /// The arguments.
        args: &'static [&'static str],
        /// What to do when it is not.
        needs: &'static str,
    },
}

const KNOWN: &[Known] = &[
    Known {
        name: "Codex CLI",
        runtime: "codex",
        programs: &["codex"],
        role: "{runtime: codex, …}",
        install: "npm install -g @openai/codex",
        login: Login::NotNeeded,
    },
    Known {
        name: "Claude Code",
        runtime: "claude",
        programs: &["claude"],
        role: "{runtime: claude, …}",
        install: "npm install -g @anthropic-ai/claude-code",
        login: Login::NotNeeded,
    },
    Known {
        name: "Cursor CLI",
        runtime: "cursor",
        programs: &["cursor-agent"],
        role: "{runtime: cursor, …}",
        install: "see cursor.com/cli",
        login: Login::Asked {
            args: &["status"],
            needs: "it speaks to Cursor's own service: give its role the hosts that it may reach, and a login by CURSOR_API_KEY in its `env`",
        },
    },
    Known {
        name: "opencode",
        runtime: "acp",
        programs: &["opencode"],
        role: "{runtime: acp, command: [opencode, acp], …}",
        install: "npm install -g opencode-ai",
        login: Login::NotNeeded,
    },
    Known {
        name: "Gemini CLI",
        runtime: "acp",
        programs: &["gemini"],
        role: "{runtime: acp, command: [gemini, --acp], …}",
        install: "npm install -g @google/gemini-cli",
        login: Login::NotNeeded,
    },
];

/// One agent of the registry. Field names are stable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AgentEntry {
    /// What it is called: the product, or the role of the configuration.
    pub name: String,
    /// How it is run.
    pub runtime: String,
    /// How it stands.
    pub state: AgentState,
    /// Why, and what to do; nothing when it is active.
    pub reason: Option<String>,
    /// Whether it is logged in where it needs to be, in its own words.
    pub login: Option<String>,
    /// Where it is.
    pub path: Option<PathBuf>,
    /// What it says of its version.
    pub version: Option<String>,
    /// What it can do; only for a role of the configuration.
    pub capabilities: Vec<String>,
    /// What to write in a role to use it; for a role, its name.
    pub role: String,
}

/// Looks for every agent that is known, in these folders. `launcher` is the command that launches a sandbox, `scratch` an empty folder for the time being, `muster`
/// this program's version.
///
/// # Errors
/// In words, when no sandbox can be launched.
pub async fn registry(
    launcher: Vec<OsString>,
    scratch: &Path,
    folders: &[PathBuf],
    muster: &'static str,
) -> Result<Vec<AgentEntry>, String> {
    let launcher = Arc::new(Launcher::new(launcher).map_err(|error| error.to_string())?);
    let own = entry("muster's own", "native", "{runtime: native, …}");
    let mut entries = vec![AgentEntry { version: Some(muster.to_owned()), ..own }];
    for known in KNOWN {
        entries.push(look(known, &launcher, scratch, folders).await);
    }
    Ok(entries)
}

fn entry(name: &str, runtime: &str, role: &str) -> AgentEntry {
    AgentEntry {
        name: name.to_owned(),
        runtime: runtime.to_owned(),
        state: AgentState::Active,
        reason: None,
        login: None,
        path: None,
        version: None,
        capabilities: Vec::new(),
        role: role.to_owned(),
    }
}

/// The roles of a configuration as entries: what a role's check finds, the boundary that its runtime cannot hold, or that its program is in none of these
/// folders. `launcher` and `scratch` as above.
///
/// # Errors
/// In words, when no sandbox can be launched.
pub async fn configured(
    roles: &BTreeMap<Name, Role>,
    places: Places<'_>,
    launcher: Vec<OsString>,
    scratch: &Path,
    folders: &[PathBuf],
) -> Result<Vec<AgentEntry>, String> {
    let launcher = Arc::new(Launcher::new(launcher).map_err(|error| error.to_string())?);
    let settings = roles.iter().map(|(name, role)| (name.to_string(), RoleSettings::of(role, places))).collect();
    let found = look_at_all(&settings, &Look { launcher, scratch: scratch.to_owned() }).await;
    let entries = roles.iter().map(|(name, role)| {
        let runtime = match &role.runtime {
            Runtime::Native => "native",
            Runtime::Program { speaks, .. } => speaks.name(),
        };
        let known =
            AgentEntry { capabilities: role.all_capabilities(), ..entry(name.as_str(), runtime, name.as_str()) };
        let missing = match &role.runtime {
            Runtime::Program { command, .. } => missing(command, places, folders),
            Runtime::Native => None,
        };
        if let Some(reason) = missing {
            return AgentEntry { state: AgentState::NotInstalled, reason: Some(reason), ..known };
        }
        match (role.unheld(), found.get(name.as_str())) {
            (Some(reason), _) => AgentEntry { state: AgentState::Blocked, reason: Some(reason), ..known },
            (None, Some(finding)) => {
                let reason = Some(finding.reason.clone()).filter(|reason| !reason.is_empty());
                AgentEntry { state: finding.state.into(), reason, ..known }
            }
            (None, None) => {
                let reason = Some("its role has no `health`, so nobody looked".to_owned());
                AgentEntry { state: AgentState::NotChecked, reason, ..known }
            }
        }
    });
    Ok(entries.collect())
}

/// Why the program of a command cannot be there; nothing when there is a file of its name.
fn missing(command: &[String], places: Places<'_>, folders: &[PathBuf]) -> Option<String> {
    let program = command.first()?;
    let found = match program.strip_prefix("~/") {
        Some(rest) => places.home.join(rest).is_file(),
        None if program.contains('/') => places.config_dir.join(program).is_file(),
        None => folders.iter().any(|folder| folder.join(program).is_file()),
    };
    let install = KNOWN.iter().find(|known| known.programs.contains(&program.as_str())).map(|known| known.install);
    let install = install.map(|install| format!("; to install it: {install}")).unwrap_or_default();
    (!found).then(|| format!("there is no program {program}{install}"))
}

async fn look(known: &Known, launcher: &Arc<Launcher>, scratch: &Path, folders: &[PathBuf]) -> AgentEntry {
    let base = entry(known.name, known.runtime, known.role);
    let places = folders.iter().flat_map(|folder| known.programs.iter().map(move |program| folder.join(program)));
    let Some(path) = places.into_iter().find(|place| place.is_file()) else {
        let reason = format!("to install it: {}", known.install);
        return AgentEntry { state: AgentState::NotInstalled, reason: Some(reason), ..base };
    };
    let real = path.canonicalize().unwrap_or_else(|_| path.clone());
    // A launcher of npm's finds the rest of its program from the folder of its packages; any other program is one file.
    let package = real.ancestors().find(|folder| folder.file_name().is_some_and(|name| name == "node_modules"));
    let shown = Some(package.unwrap_or(&real)).filter(|path| !policies::is_system(path)).map(Path::to_path_buf);
    let extras = SandboxExtras { read: shown.into_iter().collect(), ..SandboxExtras::default() };
    let label = format!("registry-{}", known.programs.first().copied().unwrap_or_default());
    let program = |words: &[&str]| {
        let args = words.iter().map(OsString::from).collect();
        Program { path: real.clone(), args, extras: extras.clone(), ..Program::default() }
    };
    let base = AgentEntry { path: Some(path.clone()), ..base };
    let version = ask_version(launcher, scratch, &label, program(&["--version"]), LINE_BYTES_MAX).await;
    let version = match version {
        Ok(version) => version,
        Err(problem) => {
            let reason = format!("it did not say its version in a sandbox: {problem}");
            return AgentEntry { state: AgentState::Degraded, reason: Some(reason), ..base };
        }
    };
    let base = AgentEntry { version: Some(version), ..base };
    let Login::Asked { args, needs } = known.login else {
        return AgentEntry { login: Some("not needed: its models are the gateway's".to_owned()), ..base };
    };
    match ask(launcher, scratch, &label, program(args), LINE_BYTES_MAX).await {
        Ok((Exit::Code(0), said)) => AgentEntry { login: Some(view::first_line(&said)), ..base },
        Ok((_, said)) => {
            let said = view::first_line(&said);
            let reason = if said.is_empty() { needs.to_owned() } else { format!("{said}; {needs}") };
            AgentEntry { state: AgentState::Blocked, reason: Some(reason), login: Some(said), ..base }
        }
        Err(problem) => AgentEntry { state: AgentState::Degraded, reason: Some(problem), ..base },
    }
}
