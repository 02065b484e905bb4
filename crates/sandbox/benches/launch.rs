//! How long a launch takes, next to plain fork and exec of the same program: `/bin/true`, from launch to end.
//!
//! All methods take turns in one run, so that a busy machine slows all of them; compare the ratios. Bubblewrap takes part
//! if it is installed, with the same mounts, and Codex's own sandbox if the variable `CODEX` names its native program
//! (in its npm package: `vendor/*/bin/codex`).
#![allow(clippy::unwrap_used)]

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sandbox::{Bind, Exit, Filesystem, Launch, Launcher, Layer, Policy, presets};

const ROUNDS: usize = 200;

type Method<'a> = (&'a str, Box<dyn Fn() + 'a>);

fn main() {
    let launcher = |words: &[&str]| {
        let words = [env!("CARGO_BIN_EXE_sandbox-kit"), "__sandbox"].iter().chain(words);
        Launcher::new(words.map(OsString::from).collect()).unwrap()
    };
    let (full, lesser) = (launcher(&[]), launcher(&["--without", "seccomp"]));
    let bare = Policy { filesystem: Filesystem { terminals: false, ..presets::tool().filesystem }, ..presets::tool() };
    let unfiltered = Policy { allow_degraded: vec![Layer::Seccomp], ..bare.clone() };
    let dir = tempfile::tempdir().unwrap();
    let with_work = |mut policy: Policy| {
        policy.filesystem.binds.push(Bind::write_execute(dir.path(), "/work"));
        policy
    };
    let (agent, check) = (with_work(presets::agent_cli()), with_work(presets::check()));
    let worker = with_work(presets::worker());
    let mut methods: Vec<Method<'_>> = vec![
        ("fork and exec", Box::new(|| run(Command::new("/bin/true")))),
        ("tool (files, loopback, landlock, limits, filter)", Box::new(|| sandboxed(&full, &bare))),
        ("tool, without the filter", Box::new(|| sandboxed(&lesser, &unfiltered))),
        ("worker (and workspace, donated listener, no children)", Box::new(|| sandboxed(&full, &worker))),
        ("check (and terminals, workspace)", Box::new(|| sandboxed(&full, &check))),
        ("agent (and terminals, workspace, donated listener)", Box::new(|| sandboxed(&full, &agent))),
    ];
    if Path::new("/usr/bin/bwrap").exists() {
        let args = bubblewrap(&check);
        methods.push(("bubblewrap, the mounts of check", Box::new(move || run(with("/usr/bin/bwrap".into(), &args)))));
    }
    if let Some(codex) = std::env::var_os("CODEX") {
        let args = ["sandbox", "--", "/bin/true"].map(OsString::from);
        methods.push(("codex sandbox", Box::new(move || run(with(codex.clone(), &args)))));
    }
    report(&methods, &take_turns(&methods));
}

fn take_turns(methods: &[Method<'_>]) -> Vec<Vec<Duration>> {
    let mut times: Vec<Vec<Duration>> = methods.iter().map(|_| Vec::with_capacity(ROUNDS)).collect();
    for _ in 0..ROUNDS {
        for ((_, run), times) in methods.iter().zip(&mut times) {
            let started = Instant::now();
            run();
            times.push(started.elapsed());
        }
    }
    times.iter_mut().for_each(|times| times.sort_unstable());
    times
}

fn report(methods: &[Method<'_>], times: &[Vec<Duration>]) {
    for ((name, _), sorted) in methods.iter().zip(times) {
        let [p10, median, p95] = [10, 50, 95].map(|percent| sorted[ROUNDS * percent / 100]);
        let ratio = median.as_secs_f64() / times[0][ROUNDS / 2].as_secs_f64();
        println!("{name:54} median {median:>9.2?}  p10 {p10:>9.2?}  p95 {p95:>9.2?}  ratio {ratio:.1}");
    }
}

fn run(mut command: Command) {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(status.success());
}

fn with(program: OsString, args: &[OsString]) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    command
}

fn sandboxed(launcher: &Launcher, policy: &Policy) {
    let launch = Launch { policy: policy.clone(), program: "/bin/true".into(), args: vec![], cwd: "/".into() };
    assert_eq!(launcher.launch(&launch).unwrap().tree.wait(), Exit::Code(0));
}

/// The arguments that give bubblewrap the same view of files and the same namespaces (without our few made files).
fn bubblewrap(policy: &Policy) -> Vec<OsString> {
    let mut args: Vec<OsString> =
        ["--unshare-all", "--die-with-parent", "--new-session", "--clearenv"].map(OsString::from).to_vec();
    for bind in &policy.filesystem.binds {
        match bind.host.read_link() {
            Ok(target) if bind.host == bind.inside => {
                args.extend(["--symlink".into(), target.into(), bind.inside.clone().into()])
            }
            _ => {
                let kind = if bind.access.writes() { "--bind" } else { "--ro-bind" };
                args.extend([kind.into(), bind.host.clone().into(), bind.inside.clone().into()]);
            }
        }
    }
    args.extend(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--", "/bin/true"].map(OsString::from));
    args
}
