//! What this host has and enforces: what `muster doctor` says.
//!
//! Nothing is believed of settings or of version numbers: sandboxes are launched and looked at from inside, and the programs that agents
//! and checks find are asked there, where they will be used.

use serde::Serialize;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::io::AsyncReadExt;
use workspace::{AgentName, Cgroups, Exit, Launcher, Program, Workspace};

/// Programs that are asked for their version, and what each is for.
const TOOLS: &[(&str, bool, &str)] = &[
    ("git", true, "every workspace and every merge"),
    ("sh", true, "acceptance checks and commands of agents"),
    ("python3", false, "the demo and checks of Python projects"),
];

/// The longest version line that is read, in bytes.
pub(crate) const LINE_BYTES_MAX: u64 = 4096;

/// What this host has and enforces. Field names are stable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostView {
    /// Whether missions can be run here: every guarantee holds and every program that is needed is there.
    pub ready: bool,
    /// What a sandbox guarantees, each tried here.
    pub guarantees: Vec<Guarantee>,
    /// The version of Landlock that the kernel has; nothing when it has none.
    pub landlock_abi: Option<i32>,
    /// Whether it is asked by root; agents then are a user of their own on the host.
    pub root: bool,
    /// The programs that a sandbox shows.
    pub tools: Vec<Tool>,
    /// The kernel's release.
    pub kernel: String,
    /// Where state is kept.
    pub home: PathBuf,
    /// Why state cannot be kept there, found out by opening it; nothing when it can.
    pub home_problem: Option<String>,
    /// Why the host's git is of no use; nothing when it is.
    pub git_problem: Option<String>,
    /// Bytes that are free there; nothing when it cannot be told.
    pub disk_free_bytes: Option<u64>,
    /// Why no control groups can be made here, which limits of a whole tree are exact with; nothing when they can.
    pub cgroups_problem: Option<String>,
    /// The socket of a container engine, for `backend: {docker: …}`.
    pub container_engine: Option<PathBuf>,
    /// What says that this is inside a container itself.
    pub inside_container: Option<String>,
}

/// Where container engines listen.
const ENGINES: &[&str] = &["/var/run/docker.sock", "/run/docker.sock", "/run/podman/podman.sock"];
/// Files that container engines leave in their containers.
const CONTAINER_MARKS: &[&str] = &["/.dockerenv", "/run/.containerenv"];
/// Words in the name of the first process's control group that container engines use.
const CONTAINER_WORDS: &[&str] = &["docker", "kubepods", "libpod", "containerd", "lxc"];

/// One thing that a sandbox guarantees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Guarantee {
    /// What is guaranteed.
    pub name: &'static str,
    /// What enforces it.
    pub by: String,
    /// Why it does not hold here and what to do; nothing when it holds.
    pub problem: Option<String>,
}

/// A program inside a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub used_for: &'static str,
    /// Whether missions need it.
    pub needed: bool,
    /// What it says of its version; nothing when it is not there.
    pub version: Option<String>,
    /// Why it is not there.
    pub problem: Option<String>,
}

impl HostView {
    /// Looks. `launcher` is the command that launches a sandbox, `scratch` an empty folder for the time being, `home` where state is kept.
    /// Takes some hundred milliseconds. Must be called within a tokio runtime.
    pub async fn look(launcher: Vec<OsString>, scratch: &Path, home: &Path) -> Self {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
        let mut view = Self {
            ready: false,
            guarantees: Vec::new(),
            landlock_abi: None,
            root: false,
            tools: Vec::new(),
            kernel,
            home: home.to_owned(),
            home_problem: home_problem(home),
            git_problem: workspace::git_version().await.err().map(|error| error.to_string()),
            disk_free_bytes: free(home),
            cgroups_problem: Cgroups::find().missing(),
            container_engine: first_there(ENGINES).map(PathBuf::from),
            inside_container: inside_container(),
        };
        match Launcher::new(launcher) {
            Ok(launcher) => view.ask(Arc::new(launcher), scratch).await,
            Err(error) => view.guarantees.push(broken(error.to_string())),
        }
        let holds = view.guarantees.iter().all(|guarantee| guarantee.problem.is_none());
        let usable = view.home_problem.is_none() && view.git_problem.is_none();
        view.ready = holds && usable && view.tools.iter().all(|tool| tool.version.is_some() || !tool.needed);
        view
    }

    async fn ask(&mut self, launcher: Arc<Launcher>, scratch: &Path) {
        let reporter = Arc::clone(&launcher);
        match tokio::task::spawn_blocking(move || workspace::host_report(&reporter)).await {
            Ok(report) => {
                self.landlock_abi = report.landlock_abi;
                self.root = report.root;
                self.guarantees = report
                    .checks
                    .into_iter()
                    .map(|check| Guarantee { name: check.name, by: check.by, problem: check.problem })
                    .collect();
            }
            Err(error) => self.guarantees.push(broken(error.to_string())),
        }
        for (name, needed, used_for) in TOOLS {
            let (version, problem) = match version(&launcher, scratch, name).await {
                Ok(version) => (Some(version), None),
                Err(problem) => (None, Some(problem)),
            };
            self.tools.push(Tool { name, used_for, needed: *needed, version, problem });
        }
    }
}

/// Why the state folder is of no use, found out by taking it and opening its journal as a mission would. One that is not there yet is tried beside its
/// place, so that asking leaves nothing behind.
fn home_problem(home: &Path) -> Option<String> {
    match std::fs::symlink_metadata(home) {
        Ok(_) => opened(home).err(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let there = home.ancestors().skip(1).find(|path| path.exists())?;
            let trial = there.join(format!(".muster-doctor-{}", std::process::id()));
            let found = opened(&trial)
                .err()
                .map(|problem| problem.replace(&trial.display().to_string(), &home.display().to_string()));
            // It was made a moment ago and holds nothing of anybody's.
            let _ = std::fs::remove_dir_all(&trial);
            found
        }
        Err(error) => Some(format!("{}: {error}", home.display())),
    }
}

fn opened(home: &Path) -> Result<(), String> {
    let lock = match store::Home::lock(home) {
        Ok(lock) => lock,
        // A mission runs in it, so it can be used.
        Err(store::LockError::Busy { .. }) => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    let trial = lock.dir().join(format!(".doctor-{}", std::process::id()));
    let written = std::fs::write(&trial, b"a file of a few bytes").and_then(|()| std::fs::remove_file(&trial));
    written.map_err(|error| format!("{} cannot be written: {error}", lock.dir().display()))?;
    store::Store::open(&lock).map(drop).map_err(|error| error.to_string())
}

fn broken(problem: String) -> Guarantee {
    let by = "the sandbox launcher".to_owned();
    Guarantee { name: "a sandbox can be launched", by, problem: Some(problem) }
}

/// What a program inside a sandbox says of its version.
async fn version(launcher: &Arc<Launcher>, scratch: &Path, name: &str) -> Result<String, String> {
    // Not every shell knows --version; all can say that they are there.
    let args: &[&str] = if name == "sh" { &["-c", "echo present"] } else { &["--version"] };
    let program = Program { path: name.into(), args: args.iter().map(OsString::from).collect(), ..Program::default() };
    ask_version(launcher, scratch, &format!("doctor-{name}"), program, LINE_BYTES_MAX).await
}

/// How a program ends in a sandbox of its own, and what it prints until then.
pub(crate) async fn ask(
    launcher: &Arc<Launcher>,
    scratch: &Path,
    label: &str,
    program: Program,
    bytes_max: u64,
) -> Result<(Exit, String), String> {
    let agent = AgentName::new(label.to_owned()).map_err(|error| error.to_string())?;
    let workspace = Workspace::scratch(scratch, &agent, Arc::clone(launcher)).map_err(|error| error.to_string())?;
    let process = workspace.spawn(program).await.map_err(|error| error.to_string())?;
    let mut text = Vec::new();
    // A program that closes its output early is judged by how it ends.
    let _ = process.stdout.take(bytes_max).read_to_end(&mut text).await;
    Ok((process.control.wait().await, String::from_utf8_lossy(&text).into_owned()))
}

/// The first line that a program prints in a sandbox of its own, when it ends well.
pub(crate) async fn ask_version(
    launcher: &Arc<Launcher>,
    scratch: &Path,
    label: &str,
    program: Program,
    bytes_max: u64,
) -> Result<String, String> {
    match ask(launcher, scratch, label, program, bytes_max).await? {
        (Exit::Code(0), text) => Ok(view::first_line(&text)),
        (exit, _) => Err(format!("it ended with {exit:?}")),
    }
}

fn first_there(paths: &[&'static str]) -> Option<&'static str> {
    paths.iter().find(|path| Path::new(path).exists()).copied()
}

/// What says that this is inside a container.
fn inside_container() -> Option<String> {
    let mark = first_there(CONTAINER_MARKS).map(|mark| format!("there is {mark}"));
    mark.or_else(|| {
        let groups = std::fs::read_to_string("/proc/1/cgroup").unwrap_or_default();
        let word = CONTAINER_WORDS.iter().find(|word| groups.contains(*word))?;
        Some(format!("its control group is one of {word}"))
    })
}

/// Bytes free for this user where `path` is or will be.
fn free(path: &Path) -> Option<u64> {
    let there = path.ancestors().find(|path| path.exists())?;
    let stat = rustix::fs::statvfs(there).ok()?;
    stat.f_bavail.checked_mul(stat.f_frsize)
}
