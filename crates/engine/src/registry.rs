//! Which agents this machine has: programs that are known by name, looked for and asked.
//!
//! What is found is asked for its version inside a sandbox, with its own folder shown there, as a mission would run it: a program that does not
//! start there is of no use, whatever it does outside.

use crate::host::{LINE_BYTES_MAX, ask_version};
use serde::Serialize;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
};
use workspace::{Launcher, Program, SandboxExtras};

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
    /// Why it may not work although it is there.
    needs: Option<&'static str>,
}

const KNOWN: &[Known] = &[
    Known {
        name: "Codex CLI",
        runtime: "codex",
        programs: &["codex"],
        role: "{runtime: codex, …}",
        install: "npm install -g @openai/codex",
        needs: None,
    },
    Known {
        name: "Claude Code",
        runtime: "claude",
        programs: &["claude"],
        role: "{runtime: claude, …}",
        install: "npm install -g @anthropic-ai/claude-code",
        needs: None,
    },
    Known {
        name: "Cursor CLI",
        runtime: "cursor",
        programs: &["cursor-agent"],
        role: "{runtime: cursor, …}",
        install: "see cursor.com/cli",
        needs: Some(
            "it speaks to Cursor's own service: give its role the hosts that it may reach, and a login by CURSOR_API_KEY in its `env`",
        ),
    },
    Known {
        name: "opencode",
        runtime: "acp",
        programs: &["opencode"],
        role: "{runtime: acp, command: [opencode, acp], …}",
        install: "npm install -g opencode-ai",
        needs: None,
    },
    Known {
        name: "Gemini CLI",
        runtime: "acp",
        programs: &["gemini"],
        role: "{runtime: acp, command: [gemini, --acp], …}",
        install: "npm install -g @google/gemini-cli",
        needs: None,
    },
];

/// How an agent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// It is there and starts in a sandbox.
    Active,
    /// It is there, and did not say its version in a sandbox.
    Degraded,
    /// It is there, and something has to be done before it can work.
    Blocked,
    /// It is not there.
    Down,
}

impl AgentState {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Degraded => "degraded",
            Self::Blocked => "blocked",
            Self::Down => "down",
        }
    }
}

/// One agent of the registry. Field names are stable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AgentEntry {
    /// What it is called.
    pub name: &'static str,
    /// How it is run.
    pub runtime: &'static str,
    /// How it stands.
    pub state: AgentState,
    /// Why, and what to do; nothing when it is active.
    pub reason: Option<String>,
    /// Where it is.
    pub path: Option<PathBuf>,
    /// What it says of its version.
    pub version: Option<String>,
    /// What to write in a role to use it.
    pub role: &'static str,
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
    let mut entries = vec![AgentEntry {
        name: "muster's own",
        runtime: "native",
        state: AgentState::Active,
        reason: None,
        path: None,
        version: Some(muster.to_owned()),
        role: "{runtime: native, …}",
    }];
    for known in KNOWN {
        entries.push(look(known, &launcher, scratch, folders).await);
    }
    Ok(entries)
}

async fn look(known: &Known, launcher: &Arc<Launcher>, scratch: &Path, folders: &[PathBuf]) -> AgentEntry {
    let entry = |state, reason, path, version| AgentEntry {
        name: known.name,
        runtime: known.runtime,
        state,
        reason,
        path,
        version,
        role: known.role,
    };
    let places = folders.iter().flat_map(|folder| known.programs.iter().map(move |program| folder.join(program)));
    let Some(path) = places.into_iter().find(|place| place.is_file()) else {
        return entry(AgentState::Down, Some(format!("not found; to install it: {}", known.install)), None, None);
    };
    let real = path.canonicalize().unwrap_or_else(|_| path.clone());
    // A launcher of npm's finds the rest of its program from the folder of its packages; any other program is one file.
    let package = real.ancestors().find(|folder| folder.file_name().is_some_and(|name| name == "node_modules"));
    let shown = Some(package.unwrap_or(&real)).filter(|path| !policies::is_system(path)).map(Path::to_path_buf);
    let extras = SandboxExtras { read: shown.into_iter().collect(), ..SandboxExtras::default() };
    let program = Program { path: real, args: vec!["--version".into()], extras, ..Program::default() };
    let label = format!("registry-{}", known.programs.first().copied().unwrap_or_default());
    match (ask_version(launcher, scratch, &label, program, LINE_BYTES_MAX).await, known.needs) {
        (Ok(version), None) => entry(AgentState::Active, None, Some(path), Some(version)),
        (Ok(version), Some(needs)) => entry(AgentState::Blocked, Some(needs.to_owned()), Some(path), Some(version)),
        (Err(problem), _) => {
            let reason = format!("it did not say its version in a sandbox: {problem}");
            entry(AgentState::Degraded, Some(reason), Some(path), None)
        }
    }
}
