//! What each operation costs on a tiny repository: `cargo run --release --example cost [ROUNDS [CPUACCT_USAGE_FILE]]`.
//!
//! Prints the median wall time and the mean processor time in milliseconds. The latter is complete only with the file
//! `cpuacct.usage` of a control group that holds this process and nothing else.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a measurement that fails has no result")]

use std::{fs, path::Path, process::Command, process::ExitCode, sync::Arc, time::Duration, time::Instant};
use workspace::{AgentName, BranchName, CheckCommand, CommitId, Launcher, Merge, Program, Repository, SandboxExtras};

const AT_MS: u64 = 1_700_000_000_000;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("__sandbox") {
        return workspace::launcher_main();
    }
    let rounds = std::env::args().nth(1).map_or(30, |text| text.parse().unwrap());
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(measure(rounds));
    ExitCode::SUCCESS
}

async fn measure(rounds: usize) {
    let temp = tempfile::tempdir_in("/var/tmp").unwrap();
    let launcher = Launcher::new(vec![std::env::current_exe().unwrap().into(), "__sandbox".into()]).unwrap();
    let launcher = Arc::new(launcher);
    let user = temp.path().join("user");
    let base = sample(&user);
    let names = [
        "inspect",
        "prepare",
        "clone_for",
        "start_task",
        "spawn",
        "checkpoint",
        "same again",
        "start next",
        "merge",
        "check true",
        "publish",
    ];
    let mut costs: Vec<Vec<Cost>> = names.iter().map(|_| Vec::new()).collect();
    let extras = SandboxExtras::default();
    let check = [CheckCommand { run: "true".into(), timeout: Duration::from_secs(60) }];
    for round in 0..rounds {
        let mut meter = Meter { costs: &mut costs, next: 0, begun: Instant::now(), cpu_ns: cpu_ns() };
        let dir = temp.path().join(round.to_string());
        let agent = AgentName::new(format!("a{round}")).unwrap();
        let branch = |name: &str| BranchName::new(format!("{name}/{round}")).unwrap();
        workspace::inspect(&user).await.unwrap();
        meter.lap();
        let repository = Repository::prepare(&dir, &user, &base, launcher.clone()).await.unwrap();
        meter.lap();
        let place = repository.clone_for(&agent).await.unwrap();
        meter.lap();
        place.start_task(&branch("task"), &base, AT_MS).await.unwrap();
        meter.lap();
        let process = place.spawn(Program { path: "true".into(), gateway: true, ..Program::default() }).await.unwrap();
        process.control.wait().await;
        meter.lap();
        fs::write(dir.join("agents").join(agent.as_str()).join("work/a.txt"), format!("{round}\n")).unwrap();
        meter.restart();
        let change = place.checkpoint("turn", AT_MS).await.unwrap();
        meter.lap();
        place.checkpoint("turn", AT_MS).await.unwrap();
        meter.lap();
        place.start_task(&branch("next"), &base, AT_MS).await.unwrap();
        meter.lap();
        let merged = repository.merge_candidate(&base, &change.commit, "m", AT_MS).await.unwrap();
        let Merge::Candidate(tip) = merged else { panic!("{merged:?}") };
        meter.lap();
        repository.check(&tip.commit, &check, &extras).await.unwrap();
        meter.lap();
        repository.publish(&user, &branch("muster"), &tip.commit, None).await.unwrap();
        meter.lap();
    }
    for (name, costs) in names.iter().zip(&mut costs) {
        costs.sort_by_key(|cost| cost.wall);
        let cpu_ms = costs.iter().map(|cost| cost.cpu_ns).sum::<u64>() as f64 / 1e6 / costs.len() as f64;
        println!(
            "{name:12} {:7.2} ms wall (median) {cpu_ms:7.2} ms CPU (mean)",
            costs[costs.len() / 2].wall.as_secs_f64() * 1e3
        );
    }
}

struct Cost {
    wall: Duration,
    cpu_ns: u64,
}

struct Meter<'a> {
    costs: &'a mut Vec<Vec<Cost>>,
    next: usize,
    begun: Instant,
    cpu_ns: u64,
}

impl Meter<'_> {
    fn lap(&mut self) {
        let (wall, cpu_ns) = (self.begun.elapsed(), cpu_ns() - self.cpu_ns);
        self.costs[self.next].push(Cost { wall, cpu_ns });
        self.next += 1;
        self.restart();
    }

    fn restart(&mut self) {
        self.cpu_ns = cpu_ns();
        self.begun = Instant::now();
    }
}

/// Processor time so far, in nanoseconds: from the file of the control group if there is one, otherwise that of this process
/// and the launcher, and of their children that were waited for (sandboxes are not).
fn cpu_ns() -> u64 {
    if let Some(file) = std::env::args().nth(2) {
        return fs::read_to_string(file).unwrap().trim().parse().unwrap();
    }
    let own = std::process::id();
    let of = |pid: u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<u64> =
            text.rsplit(')').next().unwrap().split_whitespace().skip(11).take(4).flat_map(str::parse).collect();
        fields.iter().sum::<u64>() * 10_000_000
    };
    let children = fs::read_dir(format!("/proc/{own}/task")).unwrap().flatten().flat_map(|task| {
        let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        text.split_whitespace().flat_map(str::parse).collect::<Vec<u32>>()
    });
    of(own) + children.map(of).sum::<u64>()
}

fn sample(user: &Path) -> CommitId {
    fs::create_dir_all(user.join("src")).unwrap();
    for name in ["a.txt", "b.txt", "src/c.txt", "src/d.txt", "README.md"] {
        fs::write(user.join(name), "text\n".repeat(20)).unwrap();
    }
    let git = |args: &[&str]| {
        let done = Command::new("git")
            .args(["-c", "user.name=u", "-c", "user.email=u@localhost"])
            .args(args)
            .current_dir(user)
            .output()
            .unwrap();
        assert!(done.status.success());
        String::from_utf8(done.stdout).unwrap()
    };
    git(&["init", "-q"]);
    git(&["add", "-A"]);
    git(&["commit", "-qm", "start"]);
    git(&["rev-parse", "HEAD"]).trim().parse().unwrap()
}
