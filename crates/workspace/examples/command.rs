//! What a command that is run for an agent costs beside one that is started directly: `cargo run --release --example command [ROUNDS]`.
//!
//! Prints the medians over the rounds, which take turns, in milliseconds, and their ratio.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a measurement that fails has no result")]

use std::{
    fs,
    process::{Command, ExitCode},
    sync::Arc,
    time::{Duration, Instant},
};
use workspace::{AgentName, CheckEnd, CommandOrder, Launcher, SandboxExtras, Workspace};

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("__sandbox") {
        return workspace::launcher_main();
    }
    let rounds = std::env::args().nth(1).map_or(60, |text| text.parse().unwrap());
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(measure(rounds));
    ExitCode::SUCCESS
}

async fn measure(rounds: usize) {
    let temp = tempfile::tempdir_in("/var/tmp").unwrap();
    let launcher = Launcher::new(vec![std::env::current_exe().unwrap().into(), "__sandbox".into()]).unwrap();
    let agent = AgentName::new("a").unwrap();
    let workspace = Workspace::scratch(temp.path(), &agent, Arc::new(launcher)).unwrap();
    let order = CommandOrder {
        command: "true".into(),
        cwd: "".into(),
        timeout: Duration::from_secs(60),
        extras: SandboxExtras::default(),
    };
    let (mut plain, mut brokered) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let began = Instant::now();
        let done = Command::new("/bin/sh").args(["-c", "true"]).status().unwrap();
        plain.push(began.elapsed());
        assert!(done.success());
        let began = Instant::now();
        let done = workspace.run_command(&order, std::future::pending(), &mut |_| {}).await.unwrap();
        brokered.push(began.elapsed());
        assert_eq!(done.end, CheckEnd::Exit(0));
    }
    let (plain, brokered) = (median(plain), median(brokered));
    println!("fork and exec  {plain:6.2} ms (median of {rounds})");
    println!("run_command    {brokered:6.2} ms (median of {rounds}), {:.1} times as much", brokered / plain);
    println!("load           {}", fs::read_to_string("/proc/loadavg").unwrap().trim());
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e3
}
