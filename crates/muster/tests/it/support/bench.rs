//! A home of its own, a repository, a mission's files, and the program run on them.

use super::{
    child::{Ended, Running, ends_within},
    journal::Journal,
    repo::Repo,
};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// The program under test.
pub const MUSTER: &str = env!("CARGO_BIN_EXE_muster");
/// How long sandboxes may take to go away after their engine was killed.
const GONE_LIMIT: Duration = Duration::from_secs(30);

/// Everything of one test, in one temporary folder.
pub struct Bench {
    dir: TempDir,
    pub repo: Repo,
    home: &'static str,
    env: Vec<(String, String)>,
}

/// How a mission stands, in what does not depend on when and by whom it was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub code: i32,
    pub ending: String,
    /// Task and its state, in the order of the plan.
    pub tasks: Vec<(String, String)>,
    /// The tree of the branch in the user's repository.
    pub tree: Option<String>,
}

impl Bench {
    /// A mission from texts; the repository holds the files given.
    pub fn new(plan: &str, config: &str, script: &str, files: &[(&str, &str)]) -> Self {
        let bench = Self::empty();
        bench.write("plan.yaml", plan);
        bench.write("muster.yaml", config);
        bench.write("script.yaml", script);
        for (name, text) in files {
            let path = bench.repo.dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        bench.repo.init();
        bench
    }

    /// One of `tests/exercises`.
    pub fn exercise(name: &str) -> Self {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exercises").join(name);
        let bench = Self::empty();
        copy(&from.join("repo"), &bench.repo.dir);
        for file in ["plan.yaml", "muster.yaml", "script.yaml"] {
            fs::copy(from.join(file), bench.path(file)).unwrap();
        }
        bench.repo.init();
        bench
    }

    fn empty() -> Self {
        let dir = tempfile::Builder::new().prefix("muster-it-").tempdir().unwrap();
        for folder in ["repo", "user"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let repo = Repo::at(&dir.path().join("repo"), &dir.path().join("user"));
        Self { dir, repo, home: "home", env: Vec::new() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn home(&self) -> PathBuf {
        self.path(self.home)
    }

    /// Another place for the home than the usual one.
    pub fn set_home(&mut self, home: &'static str) {
        self.home = home;
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// A variable that every run of the program gets.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// The program with an environment of nothing but what it needs.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(MUSTER);
        command.args(args).current_dir(self.dir.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("LANG", "C.UTF-8");
        command.env("HOME", self.path("user")).env("MUSTER_HOME", self.home()).env("TMPDIR", self.dir.path());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// `muster run` on the bench's mission.
    pub fn run_command(&self, more: &[&str]) -> Command {
        let mut command =
            self.command(&["run", "--plan", "plan.yaml", "--config", "muster.yaml", "--repo", "repo", "--json"]);
        command.args(more);
        command
    }

    pub fn start_run(&self, more: &[&str]) -> Running {
        Running::start(self.run_command(more))
    }

    pub fn run(&self, more: &[&str]) -> Ended {
        self.start_run(more).end()
    }

    pub fn muster(&self, args: &[&str]) -> Ended {
        Running::start(self.command(args)).end()
    }

    pub fn resume(&self) -> Ended {
        self.muster(&["resume", "last", "--json"])
    }

    pub fn show(&self) -> serde_json::Value {
        self.muster(&["show", "last", "--json"]).expect(0).json()
    }

    pub fn journal(&self) -> Journal {
        Journal::parse(&self.muster(&["tail", "last", "--json", "--no-follow"]).expect(0).stdout)
    }

    /// How the newest mission stands after a run that ended so.
    pub fn outcome(&self, ended: &Ended) -> Outcome {
        let view = self.show();
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let tasks = view["tasks"].as_array().unwrap();
        Outcome {
            code: ended.code.unwrap_or(-1),
            ending: text(&view["ending"]),
            tasks: tasks.iter().map(|task| (text(&task["name"]), text(&task["state"]))).collect(),
            tree: self.repo.tree(&format!("refs/heads/{}", text(&view["branch"]))),
        }
    }

    /// Waits until no sandbox of this home has a process any more.
    pub fn wait_until_all_processes_are_gone(&self) {
        let began = Instant::now();
        loop {
            let left = self.processes();
            let Some(pid) = left.first() else { return };
            assert!(began.elapsed() < GONE_LIMIT, "processes of a killed engine live on: {left:?}");
            if let Ok(pidfd) = pidfd_open(*pid, PidfdFlags::empty()) {
                ends_within(&pidfd, GONE_LIMIT);
            }
        }
    }

    /// Processes that have something of this home mounted, are in it, or name it: sandboxes, launchers, tools.
    pub fn processes(&self) -> Vec<Pid> {
        let home = self.home().to_string_lossy().into_owned();
        let missions = format!("{home}/missions");
        let numbers = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let of_home = |pid: &i32| {
            let file = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
            let holds = |bytes: Vec<u8>, text: &str| String::from_utf8_lossy(&bytes).contains(text);
            let cwd = fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(&home));
            *pid != std::process::id() as i32
                && (cwd || holds(file("mountinfo"), &missions) || holds(file("cmdline"), &missions))
        };
        numbers.filter(of_home).filter_map(Pid::from_raw).collect()
    }
}

pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
