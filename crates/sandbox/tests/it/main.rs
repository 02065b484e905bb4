//! The sandbox, tried from inside and out, as root and as an ordinary user.
#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod calls;
mod children;
mod death;
mod docker;
mod egress;
mod files;
mod limits;
mod model;
mod network;
mod privileges;
mod real;
mod refusal;
mod report;
mod sockets;
mod thousand;
mod trees;
mod work;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use sandbox::{Bind, Exit, Launch, Launcher, Policy, SandboxError, Sandboxed, presets};
use tempfile::TempDir;

const KIT: &str = env!("CARGO_BIN_EXE_sandbox-kit");
/// The ordinary user that tests become when they are run by root.
const ORDINARY: u32 = 65_533;

/// A host to launch on: a launcher, and a directory of its user.
struct Host {
    launcher: Launcher,
    dir: TempDir,
    /// In the command line of the launcher and of every init, for finding them.
    token: String,
    is_root: bool,
}

/// What a program said and how it ended.
#[derive(Debug)]
struct Output {
    exit: Exit,
    out: String,
    err: String,
}

/// Runs a test as whoever runs the tests and, if that is root, also as an ordinary user.
fn each(test: impl Fn(&Host)) {
    if is_root() {
        test(&Host::new(&[], 0));
        test(&Host::new(&["as", &ORDINARY.to_string()], ORDINARY));
    } else {
        test(&Host::new(&[], unsafe { libc::geteuid() }));
    }
}

impl Host {
    /// `prelude` comes before `__sandbox` in the launcher's command line.
    fn new(prelude: &[&str], uid: u32) -> Self {
        Self::with_words(prelude, &[], uid)
    }

    /// `words` come after.
    fn with_words(prelude: &[&str], words: &[&str], uid: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(dir.path().join("work")).unwrap();
        chown(dir.path().join("work"), Some(uid), Some(uid)).unwrap();
        let token = token();
        let args = prelude.iter().copied().chain(["__sandbox", &token]).chain(words.iter().copied());
        let command: Vec<OsString> = [KIT].into_iter().chain(args).map(OsString::from).collect();
        Self { launcher: Launcher::new(command).unwrap(), dir, token, is_root: uid == 0 }
    }

    /// The same user on a host that lacks a layer.
    fn without(&self, layer: &str) -> Self {
        let ordinary = ORDINARY.to_string();
        let prelude: &[&str] = if is_root() && !self.is_root { &["as", &ordinary] } else { &[] };
        let uid = if self.is_root { 0 } else { fs::metadata(self.path("work")).unwrap().uid() };
        Self::with_words(prelude, &["--without", layer], uid)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A tool's policy with `/work` to write, and the kit at `/opt/kit`.
    fn policy(&self) -> Policy {
        self.with_work(presets::tool())
    }

    /// This policy with `/work` to write, and the kit at `/opt/kit`.
    fn with_work(&self, mut policy: Policy) -> Policy {
        let kit = self.path("kit");
        if !kit.exists() {
            fs::copy(KIT, &kit).unwrap();
        }
        policy.filesystem.binds.push(Bind::write_execute(self.path("work"), "/work"));
        policy.filesystem.binds.push(Bind::read_execute(kit, "/opt/kit"));
        policy
    }

    fn launch(&self, policy: Policy, command: &[&str]) -> Result<Sandboxed, SandboxError> {
        let (program, args) = command.split_first().unwrap();
        let args = args.iter().map(OsString::from).collect();
        self.launcher.launch(&Launch { policy, program: program.into(), args, cwd: "/".into() })
    }

    fn run(&self, policy: Policy, command: &[&str]) -> Output {
        output(self.launch(policy, command).unwrap())
    }

    /// What a shell script says that must succeed.
    fn sh(&self, policy: Policy, script: &str) -> String {
        let output = self.run(policy, &["sh", "-c", script]);
        assert_eq!((output.exit, output.err.as_str()), (Exit::Code(0), ""), "{script}");
        output.out
    }

    /// The text of the error of a launch that must fail.
    fn refusal(&self, policy: Policy, command: &[&str]) -> String {
        match self.launch(policy, command) {
            Err(error) => error.to_string(),
            Ok(sandboxed) => panic!("it was launched: {:?}", output(sandboxed)),
        }
    }
}

/// Reads all that a program says, then waits for its end.
fn output(sandboxed: Sandboxed) -> Output {
    let Sandboxed { stdin, stdout, stderr, listener: _, mut tree } = sandboxed;
    drop(stdin);
    let err = std::thread::spawn(move || read(File::from(stderr)));
    let out = read(File::from(stdout));
    Output { exit: tree.wait(), out, err: err.join().unwrap() }
}

fn read(mut from: impl Read) -> String {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn is_root() -> bool {
    unsafe { libc::geteuid() == 0 }
}

/// A word that nothing else on this machine has in its command line.
fn token() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("token-{}-{}-", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
