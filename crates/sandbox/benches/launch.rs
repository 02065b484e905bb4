//! How long a launch takes, next to plain fork and exec of the same program: `/bin/true`, from launch to end.
//!
//! All methods take turns in one run, so that a busy machine slows all of them; compare the ratios.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sandbox::{Bind, Exit, Launch, Launcher, Policy, presets};

const ROUNDS: usize = 200;

fn main() {
    let launcher = Launcher::new(vec![env!("CARGO_BIN_EXE_sandbox-kit").into(), "__sandbox".into()]).unwrap();
    let bare = Policy {
        filesystem: sandbox::Filesystem { terminals: false, ..presets::tool().filesystem },
        ..presets::tool()
    };
    let mut agent = presets::agent_cli();
    let dir = tempfile::tempdir().unwrap();
    agent.filesystem.binds.push(Bind::write_execute(dir.path(), "/work"));
    let methods: [(&str, &dyn Fn()); 3] = [
        ("fork and exec", &plain),
        ("tool (files, loopback, landlock, limits)", &|| sandboxed(&launcher, &bare)),
        ("agent (and terminals, workspace, donated listener)", &|| sandboxed(&launcher, &agent)),
    ];
    let mut times = methods.map(|_| Vec::with_capacity(ROUNDS));
    for _ in 0..ROUNDS {
        for ((_, run), times) in methods.iter().zip(&mut times) {
            let started = Instant::now();
            run();
            times.push(started.elapsed());
        }
    }
    let base = median(&mut times[0]);
    for ((name, _), times) in methods.iter().zip(&mut times) {
        let median = median(times);
        let (p10, p95) = (times[ROUNDS / 10], times[ROUNDS * 95 / 100]);
        println!(
            "{name:52} median {median:>9.2?}  p10 {p10:>9.2?}  p95 {p95:>9.2?}  ratio {:.1}",
            median.as_secs_f64() / base.as_secs_f64()
        );
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn plain() {
    let status =
        Command::new("/bin/true").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(status.success());
}

fn sandboxed(launcher: &Launcher, policy: &Policy) {
    let launch = Launch { policy: policy.clone(), program: "/bin/true".into(), args: vec![], cwd: "/".into() };
    assert_eq!(launcher.launch(&launch).unwrap().tree.wait(), Exit::Code(0));
}
