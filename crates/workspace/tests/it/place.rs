//! A user's repository and a mission's directory to play in.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, LazyLock},
};
use tokio::io::AsyncReadExt;
use workspace::{AgentName, BranchName, CommitId, Exit, Launcher, Process, Program, Repository, Workspace};

/// One launcher process for all tests of this program.
pub static LAUNCHER: LazyLock<Arc<Launcher>> = LazyLock::new(|| {
    Arc::new(Launcher::new(vec![env!("CARGO_BIN_EXE_workspace-launch").into()]).expect("the launcher starts"))
});

/// The time given to commits.
pub const AT_MS: u64 = 1_700_000_000_000;

/// A directory with a user's repository of one commit in it.
pub struct Place {
    pub temp: tempfile::TempDir,
    pub user: PathBuf,
    pub dir: PathBuf,
}

impl Place {
    pub fn new() -> Self {
        Self::with(&["init", "-q", "-b", "main"])
    }

    pub fn with(init: &[&str]) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let (user, dir) = (temp.path().join("user"), temp.path().join("mission"));
        fs::create_dir(&user).unwrap();
        let place = Self { temp, user, dir };
        place.git(init);
        place.git(&["config", "user.name", "u"]);
        place.git(&["config", "user.email", "u@localhost"]);
        place
    }

    /// With files `a.txt` (nine lines), `b.txt`, `src/c.txt` and a `.gitignore` for `*.log`.
    pub fn filled() -> Self {
        let place = Self::new();
        place.fill();
        place
    }

    pub fn fill(&self) {
        self.write("a.txt", "1\n2\n3\n4\n5\n6\n7\n8\n9\n");
        self.write("b.txt", "b\n");
        self.write("src/c.txt", "c\n");
        self.write(".gitignore", "*.log\n");
        self.commit("start");
    }

    pub fn write(&self, path: &str, text: &str) {
        write(&self.user.join(path), text);
    }

    pub fn commit(&self, message: &str) -> CommitId {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", message]);
        self.head()
    }

    pub fn head(&self) -> CommitId {
        self.git(&["rev-parse", "HEAD"]).parse().unwrap()
    }

    pub fn git(&self, args: &[&str]) -> String {
        git(&self.user, args)
    }

    pub async fn prepare(&self) -> Repository {
        Repository::prepare(&self.dir, &self.user, &self.head(), LAUNCHER.clone()).await.unwrap()
    }

    /// The agent's tree on the host.
    pub fn work(&self, agent: &str) -> PathBuf {
        self.dir.join("agents").join(agent).join("work")
    }

    /// The user's files, git's own included, except objects and refs: path to content or link target, and mode.
    pub fn fingerprint(&self) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
        let mut found = BTreeMap::new();
        collect(&self.user, &self.user, &mut found);
        found
    }
}

fn collect(root: &Path, dir: &Path, found: &mut BTreeMap<PathBuf, (u32, Vec<u8>)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_owned();
        if name == Path::new(".git/objects") {
            continue;
        }
        let about = fs::symlink_metadata(&path).unwrap();
        if about.is_dir() {
            found.insert(name, (about.mode(), Vec::new()));
            collect(root, &path, found);
        } else if about.is_symlink() {
            found.insert(name, (about.mode(), fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()));
        } else {
            found.insert(name, (about.mode(), fs::read(&path).unwrap()));
        }
    }
}

pub fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// git as a user runs it, without the configuration of the machine that the tests run on.
pub fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

pub fn agent(name: &str) -> AgentName {
    AgentName::new(name).unwrap()
}

pub fn branch(name: &str) -> BranchName {
    BranchName::new(name).unwrap()
}

/// Runs a script as an agent would.
pub async fn as_agent(workspace: &Workspace, script: &str) -> String {
    let program = Program { path: "sh".into(), args: vec!["-c".into(), script.into()], ..Program::default() };
    let Process { stdin, mut stdout, mut stderr, control, .. } = workspace.spawn(program).await.unwrap();
    drop(stdin);
    let (mut out, mut err) = (String::new(), String::new());
    let (a, b) = tokio::join!(stdout.read_to_string(&mut out), stderr.read_to_string(&mut err));
    a.and(b).unwrap();
    assert_eq!(control.wait().await, Exit::Code(0), "{err}");
    out
}
