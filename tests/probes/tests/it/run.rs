//! One probe, run in a scene: plainly, or in a sandbox.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use sandbox::{Exit, Launch, Launcher, Policy, SandboxError, Sandboxed};

use crate::expected::{Control, control};
use crate::scene::Scene;

/// What a run left to be judged.
#[derive(Debug)]
pub struct Ran {
    pub exit: Exit,
    pub out: String,
    pub err: String,
    /// What the host shows.
    pub seen: Vec<String>,
}

/// As a plain child of the scene's user.
pub fn plainly(scene: &mut Scene, name: &str) -> Ran {
    let run = word();
    let around: &[&str] = match control(name) {
        Control::Plain => &[],
        Control::OwnNamespaces => &["own-namespaces"],
        Control::Alone => &["alone"],
        Control::OnATerminal => &["on-a-terminal"],
    };
    let mut command = Command::new(scene.path("bin/probe"));
    command.args(around).arg(name).args(scene.args()).arg(&run).args(own_places(scene)).env_clear();
    command.env("PROBE_KEY", format!("SECRET-{}-variable", scene.token)).current_dir(scene.path("work"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if crate::is_root() {
        command.uid(scene.uid).gid(scene.uid);
    }
    let mut child = command.spawn().unwrap();
    let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let err = std::thread::spawn(move || read(err));
    let out = read(out);
    let status = child.wait().unwrap();
    let exit = status.code().map_or_else(|| Exit::Signal(status.signal().unwrap_or(0)), Exit::Code);
    let err = err.join().unwrap();
    let seen = [survivors(name, &run), scene.damage()].concat();
    Ran { exit, out, err, seen }
}

fn own_places(scene: &Scene) -> Vec<String> {
    let path = |key: &str, name: &str| format!("{key}={}", scene.path(name).display());
    vec![
        path("work", "work"),
        path("tmp", "tmp"),
        path("program", "bin/probe"),
        path("suid", "bin/suid"),
        path("shown_hub", "hub.git"),
        path("checkout", "checkout"),
        "plainly=yes".to_owned(),
    ]
}

/// In a sandbox with this policy.
pub fn inside(scene: &mut Scene, launcher: &Launcher, policy: Policy, name: &str) -> Result<Ran, SandboxError> {
    let run = word();
    let own =
        ["work=/work", "tmp=/tmp", "program=/opt/probe", "suid=/opt/suid", "shown_hub=/hub", "checkout=/checkout"]
            .map(str::to_owned);
    let args = [vec![name.to_owned()], scene.args(), vec![run.clone()], own.to_vec()].concat();
    let args = args.into_iter().map(Into::into).collect();
    let launch = Launch { policy, program: "/opt/probe".into(), args, cwd: "/".into() };
    let Sandboxed { stdin, stdout, stderr, listener, mut tree } = launcher.launch(&launch)?;
    drop(stdin);
    let err = std::thread::spawn(move || read(File::from(stderr)));
    let (exit, out) = if name == "res_log_flood" {
        // Nobody reads until it is over: a flood then stops at what a pipe holds.
        (tree.wait(), read(File::from(stdout)))
    } else {
        let out = read(File::from(stdout));
        (tree.wait(), out)
    };
    drop(listener);
    let err = err.join().unwrap();
    let seen = [survivors(name, &run), scene.damage()].concat();
    Ok(Ran { exit, out, err, seen })
}

/// An argument that no other process on this machine has.
fn word() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("run={}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Processes that are still there after the end of a run of a probe that starts any. They are ended here.
fn survivors(name: &str, word: &str) -> Vec<String> {
    if !["spawn_", "time_", "res_", "sys_clone"].iter().any(|group| name.starts_with(group)) {
        return vec![];
    }
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let of_run = |pid: &i32| {
        let arguments = fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline")).unwrap_or_default();
        arguments.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes())
    };
    let found: Vec<i32> = processes.filter(of_run).collect();
    found.iter().for_each(|pid| unsafe { _ = libc::kill(*pid, libc::SIGKILL) });
    if found.is_empty() { vec![] } else { vec![format!("{} processes were still there", found.len())] }
}

/// All of it, up to more than any pipe holds.
fn read(from: impl Read) -> String {
    let mut bytes = Vec::new();
    from.take(64 << 20).read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}
