//! What the preset `check` costs a test run of a second: one that computes (Python), and one that starts many processes as a
//! build does (a C compiler).
//!
//! Each run is a process of its own that starts its own launcher, so that all of the sandbox is in the figures: the launcher,
//! what the kernel does for it, and its end. Plain and sandboxed runs take turns; compare the ratios of the medians.
//! Processor time is what the kernel counts for the whole run. `ROUNDS` runs of each; the variable of that name changes it.
#![allow(clippy::unwrap_used, clippy::panic, unsafe_code)]

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use sandbox::{Bind, Exit, Launch, Launcher, presets};

const ROUNDS: usize = 15;
const SOURCE: &str = "#include <stdio.h>\n#include <stdlib.h>\nint main(void) { puts(getenv(\"A\")); return 0; }\n";
/// Work of about a millisecond in Python, and of one call of a compiler.
const COMPUTE: &str = "import sys\nfor _ in range(int(sys.argv[1])): sum(i * i % 7 for i in range(12000))";
const BUILD: &str = "n=0; while [ $n -lt $1 ]; do cc -c -o $n.o a.c || exit 1; n=$((n+1)); done";

/// Seconds of one run.
#[derive(Clone, Copy)]
struct Used {
    processor: f64,
    wall: f64,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [how, dir, work, amount] = args.as_slice() {
        return run(how, Path::new(dir), &command(work, amount));
    }
    let rounds = std::env::var("ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.c"), SOURCE).unwrap();
    for work in ["compute", "build"] {
        let amount = amount_of_a_second(dir.path(), work);
        let mut used: [Vec<Used>; 2] = Default::default();
        for _ in 0..rounds {
            used[0].push(measured("plain", dir.path(), work, &amount));
            used[1].push(measured("check", dir.path(), work, &amount));
        }
        report(work, &used);
    }
}

fn command(work: &str, amount: &str) -> Vec<OsString> {
    let words = match work {
        "compute" => ["python3", "-c", COMPUTE, amount, ""],
        "build" => ["sh", "-c", BUILD, "sh", amount],
        _ => panic!("unknown: {work}"),
    };
    words.into_iter().filter(|word| !word.is_empty()).map(OsString::from).collect()
}

/// How much of a work takes about a second of processor time.
fn amount_of_a_second(dir: &Path, work: &str) -> String {
    let few = if work == "compute" { 100.0 } else { 5.0 };
    let used = measured("plain", dir, work, &few.to_string());
    (few / used.processor).ceil().to_string()
}

/// One run, in a process of its own.
fn measured(how: &str, dir: &Path, work: &str, amount: &str) -> Used {
    let (before, started) = (of_children(), Instant::now());
    let status =
        Command::new(std::env::current_exe().unwrap()).arg(how).arg(dir).args([work, amount]).status().unwrap();
    assert!(status.success(), "{how} {work}: {status}");
    Used { wall: started.elapsed().as_secs_f64(), processor: of_children() - before }
}

/// Processor time of all that was waited for, in seconds.
fn of_children() -> f64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    let usage = unsafe {
        assert_eq!(libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()), 0);
        usage.assume_init()
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

fn run(how: &str, dir: &Path, command: &[OsString]) {
    if how == "plain" {
        let mut plain = Command::new(&command[0]);
        plain.args(&command[1..]).current_dir(dir).env_clear().envs(presets::check().env);
        return assert!(plain.stdin(Stdio::null()).status().unwrap().success());
    }
    let launcher = [env!("CARGO_BIN_EXE_sandbox-kit"), "__sandbox"].map(OsString::from);
    let launcher = Launcher::new(launcher.to_vec()).unwrap();
    let mut policy = presets::check();
    policy.filesystem.binds.push(Bind::write_execute(dir, "/work"));
    let (program, args) = (command[0].clone().into(), command[1..].to_vec());
    let mut sandboxed = launcher.launch(&Launch { policy, program, args, cwd: "/work".into() }).unwrap();
    assert_eq!(sandboxed.tree.wait(), Exit::Code(0));
}

fn report(work: &str, used: &[Vec<Used>; 2]) {
    let median = |runs: &[Used], of: fn(&Used) -> f64| {
        let mut sorted: Vec<f64> = runs.iter().map(of).collect();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    };
    let [plain, check] = used;
    for (what, of) in [("processor", (|used| used.processor) as fn(&Used) -> f64), ("wall", |used| used.wall)] {
        // Two runs that follow each other met the same machine; the median of their ratios is steadier than that of medians.
        let mut ratios: Vec<f64> = plain.iter().zip(check).map(|(plain, check)| of(check) / of(plain)).collect();
        ratios.sort_by(f64::total_cmp);
        let (plain, check) = (median(plain, of), median(check, of));
        let (ratio, paired) = (check / plain, ratios[ratios.len() / 2]);
        println!(
            "{work:8} {what:9} plain {plain:.3} s  check {check:.3} s  ratio {ratio:.3}  median of pairs {paired:.3}"
        );
    }
}
