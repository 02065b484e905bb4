//! How git runs in our own process: only in stores of ours, never in a tree that an agent can write, and in the user's
//! repository only by way of a [window](crate::window).
//!
//! Nothing outside the command line configures it: no system, global or environment configuration, no hooks, no
//! fsmonitor, no attributes or excludes from elsewhere, no network protocol, no prompt. Every run has a wall limit, a
//! limit on memory and processor time (objects that an agent made can be a few hundred bytes that unfold to gigabytes) and
//! a limit on what it may print, and ends when its future is dropped.
//!
//! The one exception are [`Git::asking`]'s two questions, which git answers from names and settings alone: where the
//! repository is, and whether the user may use it.

use crate::{Error, ErrorKind, Result};
use rustix::{
    io::Errno,
    process::{Pid, Resource, Rlimit, prlimit},
};
use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
};

/// Where programs are looked for, on the host and in a sandbox. A constant, so that the caller's environment decides nothing.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Wall limit of one ordinary git process.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Wall limit of a question; a FIFO in the place of a file of git's would hold it up for ever.
const ASKING_TIMEOUT: Duration = Duration::from_secs(20);
/// Most bytes of standard output kept from one ordinary git process.
const OUTPUT_BYTES_MAX: usize = 64 << 20;
/// Most bytes of standard error kept.
const ERROR_BYTES_MAX: usize = 16 << 10;

/// Settings given on every command line; they win over any file.
const SETTINGS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.askPass=",
    "core.sshCommand=false",
    "core.fsync=all",
    "core.fsyncMethod=batch",
    "credential.helper=",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.allow=never",
    "submodule.recurse=false",
];

/// Objects are handed to the disk but not waited for one by one: the name that is given to them afterwards is synced, which
/// flushes them too (git's own `batch` method rests on the same).
pub(crate) const HAND_OVER: &str = "core.fsyncMethod=writeout-only";

/// The environment that git gets, on the host and in a sandbox: no other configuration, no prompts, stable words.
pub(crate) const ENVIRONMENT: &[(&str, &str)] = &[
    ("PATH", PATH),
    ("LC_ALL", "C"),
    ("TZ", "UTC"),
    ("HOME", "/nonexistent"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_ATTR_NOSYSTEM", "1"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    ("GIT_NO_LAZY_FETCH", "1"),
    // What `protocol.allow` forbids, a setting for one protocol could allow again; this list it could not.
    ("GIT_ALLOW_PROTOCOL", "none"),
    ("GIT_ADVICE", "0"),
    ("GIT_AUTHOR_NAME", "muster"),
    ("GIT_AUTHOR_EMAIL", "muster@localhost"),
    ("GIT_COMMITTER_NAME", "muster"),
    ("GIT_COMMITTER_EMAIL", "muster@localhost"),
];

/// What the user's environment may not say when a question is asked: it would be about another repository.
const NOT_INHERITED: &[&str] = &[
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_TRACE",
    "GIT_TRACE_SETUP",
];

/// Memory of its own that one ordinary git process may take. What it reads of packs is not counted.
const MEMORY_BYTES: u64 = 2 << 30;
/// Processor time of one ordinary git process, in seconds, over all its threads.
const CPU_S: u64 = 900;

/// One git process to be: built, then [`run`](Git::run).
pub(crate) struct Git {
    what: String,
    args: Vec<OsString>,
    env: Vec<(&'static str, OsString)>,
    stdin: Vec<u8>,
    accepted: &'static [i32],
    output_max: usize,
    timeout: Duration,
    memory_bytes: u64,
    /// The environment is the user's own.
    inherits: bool,
}

/// What a git process left behind.
#[derive(Debug)]
pub(crate) struct Output {
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Git {
    /// A git process in the store (or repository) whose git directory is `git_dir`.
    pub fn at(git_dir: &Path) -> Self {
        let mut git = Self::bare();
        git.args.push(flag("--git-dir=", git_dir));
        git
    }

    /// A git process that finds its repository from the directory `dir`: for a folder of ours.
    pub fn within(dir: &Path) -> Self {
        let mut git = Self::bare();
        git.args.extend(["-C".into(), dir.into()]);
        git
    }

    /// A git process in the user's repository, as the user's own would be: with the user's environment and configuration, so
    /// that `safe.directory` and `sudo` mean what they mean to git. Only for `rev-parse` about places and `config` that
    /// reads: of all that a repository's configuration can say, neither runs anything.
    pub fn asking(dir: &Path) -> Self {
        let mut git = Self::with_settings(&["core.hooksPath=/dev/null", "core.fsmonitor=false"]);
        git.inherits = true;
        git.timeout = ASKING_TIMEOUT;
        git.args.extend(["-C".into(), dir.into()]);
        git
    }

    fn bare() -> Self {
        Self::with_settings(SETTINGS)
    }

    fn with_settings(settings: &[&str]) -> Self {
        let mut args: Vec<OsString> = vec!["--no-pager".into()];
        args.extend(settings.iter().flat_map(|setting| [OsString::from("-c"), OsString::from(setting)]));
        Self {
            what: "git".into(),
            args,
            env: Vec::new(),
            stdin: Vec::new(),
            accepted: &[0],
            output_max: OUTPUT_BYTES_MAX,
            timeout: TIMEOUT,
            memory_bytes: MEMORY_BYTES,
            inherits: false,
        }
    }

    /// What the process is for, in the words of an error message.
    pub fn to(mut self, what: impl Into<String>) -> Self {
        self.what = what.into();
        self
    }

    pub fn setting(mut self, setting: impl Into<OsString>) -> Self {
        self.args.extend(["-c".into(), setting.into()]);
        self
    }

    pub fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Exit codes that are answers and not failures (0 alone unless said).
    pub fn accept(mut self, codes: &'static [i32]) -> Self {
        self.accepted = codes;
        self
    }

    pub fn output_max(mut self, bytes: usize) -> Self {
        self.output_max = bytes;
        self
    }

    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory_bytes = bytes;
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new("git");
        if self.inherits {
            for name in NOT_INHERITED {
                command.env_remove(name);
            }
            command.envs([("PATH", PATH), ("LC_ALL", "C"), ("GIT_OPTIONAL_LOCKS", "0"), ("GIT_NO_LAZY_FETCH", "1")]);
        } else {
            command.env_clear().envs(ENVIRONMENT.iter().copied());
        }
        command.args(&self.args).envs(self.env.iter().map(|(k, v)| (k, v)));
        command.current_dir("/").kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs to the end. Errors: the kind read from git's words, `TooLarge` past the output limit, `TimedOut`.
    pub async fn run(self) -> Result<Output> {
        let mut child = self.start()?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let talk = async {
            let feed = async {
                if let Some(mut pipe) = stdin {
                    // A process that does not want its input says why itself.
                    let _ = pipe.write_all(&self.stdin).await;
                }
            };
            let ((), out, err) = tokio::join!(feed, read_up_to(stdout, self.output_max), read_and_drop_rest(stderr));
            let status = child.wait().await.map_err(|e| Error::io(&self.what, &e))?;
            Ok::<_, Error>((status, out?, err?))
        };
        let (status, stdout, stderr) =
            tokio::time::timeout(self.timeout, talk).await.map_err(|_| self.timed_out())??;
        let Some(stdout) = stdout else {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("{}: more than {} bytes of output", self.what, self.output_max),
            ));
        };
        let code = status.code().unwrap_or(-1);
        if !self.accepted.contains(&code) {
            return Err(Error::git(&self.what, &stderr));
        }
        Ok(Output { code, stdout, stderr })
    }

    /// Starts the process with all three streams piped; the caller moves the bytes.
    pub fn start(&self) -> Result<Child> {
        let child = self.command().spawn().map_err(|e| {
            let error = Error::io(format!("{}: git could not be started", self.what), &e);
            if error.kind == ErrorKind::Missing { error.hint("Install git 2.41 or newer.") } else { error }
        })?;
        self.bound(&child)?;
        Ok(child)
    }

    /// Sets the limits of a process that has just been started, before it is given anything to read.
    fn bound(&self, child: &Child) -> Result<()> {
        let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) else { return Ok(()) };
        for (resource, most) in [(Resource::Data, self.memory_bytes), (Resource::Cpu, CPU_S), (Resource::Core, 0)] {
            match prlimit(Some(pid), resource, Rlimit { current: Some(most), maximum: Some(most) }) {
                Ok(_) => {}
                // It is over already, or we are bounded more tightly ourselves.
                Err(Errno::SRCH | Errno::PERM | Errno::INVAL) => {}
                Err(error) => return Err(Error::io(format!("{}: git cannot be bounded", self.what), &error.into())),
            }
        }
        Ok(())
    }

    fn timed_out(&self) -> Error {
        Error::new(ErrorKind::TimedOut, format!("{}: not done after {} s", self.what, self.timeout.as_secs()))
    }
}

impl Output {
    /// Standard output as one line of text.
    pub fn line(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end_matches('\n').to_owned()
    }

    /// Standard output as NUL-separated fields.
    pub fn fields(&self) -> impl Iterator<Item = String> + '_ {
        let fields = self.stdout.split(|b| *b == 0).map(|field| String::from_utf8_lossy(field).into_owned());
        let count = self.stdout.iter().filter(|b| **b == 0).count();
        fields.take(count)
    }
}

pub(crate) fn flag(name: &str, value: &Path) -> OsString {
    let mut flag = OsString::from(name);
    flag.push(value);
    flag
}

/// Reads to the end; `None` when there is more than `max` bytes (the rest is not read).
pub(crate) async fn read_up_to(stream: Option<impl AsyncRead + Unpin>, max: usize) -> Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream.take(max as u64 + 1).read_to_end(&mut bytes).await.map_err(|e| Error::io("reading output", &e))?;
    }
    Ok((bytes.len() <= max).then_some(bytes))
}

/// Keeps the beginning of a stream and reads the rest away, so that the writer never blocks.
pub(crate) async fn read_and_drop_rest(stream: Option<impl AsyncRead + Unpin>) -> Result<String> {
    let mut kept = Vec::new();
    if let Some(mut stream) = stream {
        let fail = |e: std::io::Error| Error::io("reading output", &e);
        (&mut stream).take(ERROR_BYTES_MAX as u64).read_to_end(&mut kept).await.map_err(fail)?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.map_err(fail)?;
    }
    Ok(String::from_utf8_lossy(&kept).into_owned())
}

/// The absolute form of a path, without following its last component.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| Error::io(path.display(), &e))
}
