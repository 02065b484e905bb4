//! The user's repository: made, looked at, and compared with what it was.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A repository of the user's.
pub struct Repo {
    pub dir: PathBuf,
    user: PathBuf,
}

/// Every byte of a checkout and of its `.git`, but for objects and for the branches that missions make.
pub type Bytes = BTreeMap<PathBuf, Vec<u8>>;

impl Repo {
    pub fn at(dir: &Path, user: &Path) -> Self {
        Self { dir: dir.to_owned(), user: user.to_owned() }
    }

    /// Makes the folder a repository with everything in it as the first commit.
    pub fn init(&self) {
        self.git(&["init", "-q", "-b", "main"]);
        self.git(&["config", "user.name", "U. Ser"]);
        self.git(&["config", "user.email", "user@example.invalid"]);
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "Begin"]);
    }

    /// Runs git there; it has to succeed. Answers with its output without the last line break.
    #[track_caller]
    pub fn git(&self, args: &[&str]) -> String {
        let output = self.try_git(args);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        assert!(output.status.success(), "git {args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    pub fn try_git(&self, args: &[&str]) -> Output {
        let mut command = Command::new("git");
        command.args(args).current_dir(&self.dir).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.env("HOME", &self.user).env("GIT_CONFIG_NOSYSTEM", "1").output().unwrap()
    }

    /// The tree of a commit or branch, if it exists.
    pub fn tree(&self, of: &str) -> Option<String> {
        let output = self.try_git(&["rev-parse", "--verify", "--quiet", &format!("{of}^{{tree}}")]);
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// The only branch that a mission made.
    #[track_caller]
    pub fn branch(&self) -> String {
        let branches = self.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads/muster/"]);
        assert_eq!(branches.lines().count(), 1, "{branches}");
        branches
    }

    #[track_caller]
    pub fn is_sound(&self) {
        let output = self.try_git(&["fsck", "--full", "--strict", "--no-dangling"]);
        assert!(output.status.success(), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
    }

    /// A check-out of a branch in a folder of its own.
    pub fn check_out(&self, branch: &str, to: &Path) {
        let to = to.to_str().unwrap();
        self.git(&["clone", "-q", "--branch", branch, self.dir.to_str().unwrap(), to]);
    }

    pub fn bytes(&self) -> Bytes {
        let mut bytes = Bytes::new();
        gather(&self.dir, &self.dir, &mut bytes);
        let ours = |path: &Path| {
            [".git/objects", ".git/refs/heads/muster", ".git/logs/refs/heads/muster"]
                .iter()
                .any(|own| path.starts_with(own))
        };
        bytes.retain(|path, _| !ours(path));
        bytes
    }
}

fn gather(root: &Path, dir: &Path, bytes: &mut Bytes) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_owned();
        let kind = path.symlink_metadata().unwrap();
        if kind.is_dir() {
            gather(root, &path, bytes);
        } else if kind.is_symlink() {
            bytes.insert(name, fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes());
        } else {
            bytes.insert(name, fs::read(&path).unwrap());
        }
    }
}

/// Runs the tests of a Python project; answers with how many passed. All have to.
#[track_caller]
pub fn python_tests(dir: &Path, args: &[&str]) -> u32 {
    let mut command = Command::new("python3");
    command.args(["-m", "unittest"]).args(args).current_dir(dir).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?} in {}: {text}", dir.display());
    let ran = text.lines().find_map(|line| line.strip_prefix("Ran ")?.split(' ').next()?.parse().ok());
    ran.unwrap_or_else(|| panic!("no count in: {text}"))
}
