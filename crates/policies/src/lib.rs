//! From what a configuration says of sandboxes to policies, and back to people: what a mission's settings keep of it, what
//! a policy means on this host, one program run under it, and what to tell a person whose program was stopped by it.
//!
//! ```text
//! api::policy (a file, judged) ─▶ resolve ─▶ Resolved { policy, … } ─▶ Meaning (explain)
//!                                                └─▶ launch ─▶ a process, its exit, the end of what it said ─▶ console
//! ```
//!
//! Needs no home and writes no file.

mod ceiling;
pub mod checks;
mod console;
mod door;
mod extras;
mod hints;
mod lines;
mod meaning;
mod runnable;
mod seatbelt;
mod system;
mod words;

pub use ceiling::{Written, check_within};
pub use console::{Console, Hit, Policies, console, limit_name};
pub use door::Door;
pub use extras::{Extras, Places};
pub use hints::{Hint, hints};
pub use lines::word;
pub use meaning::{Meaning, Section, layer_name};
pub use runnable::unrunnable;
pub use system::is_system;
pub use words::{duration, table};

use api::{
    policy::{self, CheckedPolicy},
    source::{Problem, Problems},
};
use extras::preset;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
};
pub use workspace::{
    Access, Backend, Bind, Control, Exit, Layer, Limit, Network, Policy, Process, Processes, Terminals,
};
use workspace::{GATEWAY, Launch, Launcher, egress::proxy_variables, presets};

/// Where a policy is resolved.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// The folder of the policy file.
    pub file_dir: &'a Path,
    /// The home folder of whoever runs muster.
    pub home: &'a Path,
    /// The folder that work is done in.
    pub work_dir: &'a Path,
    /// A variable of the caller's environment.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}

/// A policy for this host, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The preset that it began with.
    pub preset: &'static str,
    /// The policy.
    pub policy: Policy,
    /// Where the program begins, as seen inside.
    pub cwd: PathBuf,
    /// What the sandbox does not hold of the permissions that were asked for.
    pub remains: Vec<&'static str>,
    /// Where it is written.
    pub written: Written,
}

/// A policy for this host. `name` is what problems call the file; `usual` is the preset where it names none.
///
/// # Errors
/// Paths and programs that do not exist, each with its place in the file.
pub fn resolve(
    name: &str,
    checked: &CheckedPolicy,
    usual: policy::Preset,
    around: Around<'_>,
) -> Result<Resolved, Problems> {
    let checked = &CheckedPolicy { preset: Some(checked.preset.unwrap_or(usual)), ..checked.clone() };
    let places = Places { config_dir: around.file_dir, home: around.home };
    let extras = Extras::of(checked, places).for_sandbox();
    let mut policy = extras.preset.policy();
    extras.apply(&mut policy);
    if let Some(network) = &extras.network {
        policy.network = network.clone();
    }
    if matches!(policy.network, Network::Hosts(_)) {
        // What the file says of these variables holds.
        proxy_variables(GATEWAY).for_each(|(name, value)| _ = policy.env.entry(name).or_insert(value));
    }
    let passed = checked.pass.iter().filter_map(|name| Some((name.clone(), (around.variable)(name)?)));
    policy.env.extend(passed);
    Problems::found(problems(name, checked, &policy, places))?;
    let work = match checked.work {
        Some(policy::Work::Read | policy::Work::Write) => extras.work,
        Some(policy::Work::None) | None => None,
    };
    if work.is_some_and(Access::writes) && system::is_system(around.work_dir) {
        let what = format!("work: {} belongs to the system, which no sandbox may change", around.work_dir.display());
        let fix = "go to the folder of a project, or write `work: read`";
        Problems::found(vec![Problem::whole(name, what, fix)])?;
    }
    // Whatever ran here before may have left links.
    policy.filesystem.distrusted = vec![around.work_dir.to_owned(), around.file_dir.to_owned()];
    let mut resolved = Resolved {
        preset: extras.preset.name(),
        policy,
        cwd: "/tmp".into(),
        remains: checked.remains.clone(),
        written: Written::of(name, checked, places),
    };
    match work {
        Some(access) => resolved.show(around.work_dir, access),
        None if resolved.shows(around.work_dir) => resolved.cwd = around.work_dir.to_owned(),
        None => {}
    }
    Ok(resolved)
}

/// Whether a policy of a configuration fits this host, before anything is begun. `name` is what problems call the file.
///
/// # Errors
/// Paths, programs and system calls that do not exist, each with its place in the file.
pub fn check(name: &str, checked: &CheckedPolicy, places: Places<'_>) -> Result<(), Problems> {
    let extras = Extras::of(checked, places).for_sandbox();
    let mut policy = extras.preset.policy();
    extras.apply(&mut policy);
    Problems::found(problems(name, checked, &policy, places))
}

fn problems(name: &str, checked: &CheckedPolicy, policy: &Policy, places: Places<'_>) -> Vec<Problem> {
    let paths = missing_paths(name, checked, places);
    let hosts = checked.network.as_ref().and_then(|network| extras::network(network).err());
    let hosts = hosts.map(|what| Problem {
        file: name.to_owned(),
        place: checked.place("network"),
        what: format!("network: {what}"),
        fix: "write hosts as HOST:PORT".to_owned(),
    });
    paths
        .chain(system_paths(name, checked, places))
        .chain(unknown_calls(name, checked))
        .chain(missing_programs(name, checked, policy))
        .chain(hosts)
        .collect()
}

/// A preset with a folder to work in: in `agent-cli`, `check` and `worker` to write in, in `read-only` to look at.
pub fn of_preset(word: policy::Preset, work_dir: &Path) -> Resolved {
    let preset = preset(word);
    let policy = preset.policy();
    let written = Written::new(format!("the preset {}", preset.name()));
    let (name, remains) = (preset.name(), Vec::new());
    let mut resolved = Resolved { preset: name, policy, cwd: "/tmp".into(), remains, written };
    resolved.show(work_dir, preset.work_access());
    resolved
}

impl Resolved {
    /// Shows a folder at its own place and begins there.
    pub fn show(&mut self, dir: &Path, access: Access) {
        self.bind(dir, access);
        self.cwd = dir.to_owned();
    }

    /// Shows a folder that the caller asks for beside the policy.
    ///
    /// # Errors
    /// It belongs to the system and is to be written in.
    pub fn add(&mut self, path: &Path, access: Access) -> Result<(), String> {
        if access.writes() && system::is_system(path) {
            let path = path.display();
            return Err(format!(
                "{path} belongs to the system, which no sandbox may change\n  help: {}",
                system::INSTEAD
            ));
        }
        self.bind(path, access);
        Ok(())
    }

    /// Shows a path at its own place.
    fn bind(&mut self, path: &Path, access: Access) {
        self.policy.filesystem.binds.retain(|bind| bind.inside != path);
        self.policy.filesystem.binds.push(Bind { access, ..Bind::read(path, path) });
    }

    fn shows(&self, path: &Path) -> bool {
        self.policy.filesystem.binds.iter().any(|bind| path.starts_with(&bind.inside))
    }

    /// What macOS's `sandbox-exec` would be told.
    ///
    /// # Errors
    /// Everything that it cannot hold, by its key.
    pub fn seatbelt(&self) -> Result<String, Vec<String>> {
        seatbelt::profile(&self.policy, None)
    }

    /// Runs a program. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// The host cannot enforce the policy, or the program cannot be executed; nothing was run then.
    pub async fn launch(
        &self,
        launcher: &Arc<Launcher>,
        program: &Path,
        args: &[OsString],
        terminals: Terminals,
    ) -> Result<Process, workspace::Error> {
        let launch =
            Launch { policy: self.policy.clone(), program: program.into(), args: args.to_vec(), cwd: self.cwd.clone() };
        Process::launch_on(launcher, launch, terminals).await
    }
}

fn missing_paths<'a>(
    name: &'a str,
    checked: &'a CheckedPolicy,
    places: Places<'a>,
) -> impl Iterator<Item = Problem> + 'a {
    checked.host_paths().filter_map(move |shown| {
        let (host, _) = shown.resolve(places.home, places.config_dir);
        let missing = !host.try_exists().unwrap_or(true);
        missing.then(|| Problem {
            file: name.to_owned(),
            place: shown.place,
            what: format!("{} does not exist on this machine", host.display()),
            fix: nearest(&host),
        })
    })
}

/// What only the system itself may write in.
fn system_paths<'a>(
    name: &'a str,
    checked: &'a CheckedPolicy,
    places: Places<'a>,
) -> impl Iterator<Item = Problem> + 'a {
    checked.write.iter().filter_map(move |shown| {
        let (host, _) = shown.resolve(places.home, places.config_dir);
        system::is_system(&host).then(|| Problem {
            file: name.to_owned(),
            place: shown.place,
            what: format!("{} belongs to the system, which no sandbox may change", host.display()),
            fix: format!("remove it: {}", system::INSTEAD),
        })
    })
}

/// What to do about a path that does not exist: how far it does.
fn nearest(path: &Path) -> String {
    let there = path.ancestors().skip(1).find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
    format!("make it, or name one that is there; it exists as far as {}", there.display())
}

/// System calls and groups that there are none of, or that no sandbox allows.
fn unknown_calls<'a>(name: &'a str, checked: &'a CheckedPolicy) -> impl Iterator<Item = Problem> + 'a {
    checked.allowed_syscalls.iter().filter_map(move |call| {
        let alone = Policy { allowed_syscalls: vec![call.value.clone()], ..Policy::default() };
        let what = workspace::allowed_syscalls(&alone).err()?.to_string();
        let what = what.strip_prefix("the sandbox policy is refused: ").unwrap_or(&what).to_owned();
        let fix = "name calls as the kernel does (`openat`), or groups such as `@worker` and `@tool`".to_owned();
        Some(Problem { file: name.to_owned(), place: call.place, what, fix })
    })
}

fn missing_programs(name: &str, checked: &CheckedPolicy, policy: &Policy) -> Vec<Problem> {
    let Processes::Exec(programs) = &policy.processes else { return Vec::new() };
    let missing = programs.iter().filter(|program| program.is_relative() || !exists_inside(policy, program));
    let fix = "install it, name it by its full path inside, or show its folder with `files: {execute: [FOLDER]}`";
    let problem = |program: &PathBuf| Problem {
        file: name.to_owned(),
        place: checked.place("processes"),
        what: format!("processes: the program {} is not found", program.display()),
        fix: fix.to_owned(),
    };
    missing.map(problem).collect()
}

fn exists_inside(policy: &Policy, path: &Path) -> bool {
    let host = |bind: &Bind| Some(bind.host.join(path.strip_prefix(&bind.inside).ok()?));
    policy.filesystem.binds.iter().filter_map(host).any(|host| host.is_file())
}

/// The variables that every sandbox has, whatever its policy.
fn usual_env() -> std::collections::BTreeMap<String, String> {
    presets::tool().env
}
