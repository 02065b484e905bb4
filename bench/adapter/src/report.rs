//! The lines that the harness reads: what the run took, and what of it was the engine's own.

use serde_json::json;
use std::time::Duration;

/// The unit of processor times in `/proc/<pid>/stat` on every Linux.
const TICKS_PER_S: f64 = 100.0;

/// Prints wall time, model calls that went out, and processor time: of everything, of the engine's process alone, and of all that it has
/// waited for (launcher, sandboxes, agents, git). Also the engine's largest memory. Numbers that `/proc` does not tell are null.
pub(crate) fn result(wall: Duration, model_turns: u64) {
    let times = times();
    let all_s = times.map(|(engine_s, agents_s)| engine_s + agents_s);
    println!("RESULT {}", json!({ "wall_s": wall.as_secs_f64(), "cpu_s": all_s, "model_turns": model_turns }));
    println!(
        "EXTRA {}",
        json!({
            "engine_cpu_s": times.map(|times| times.0),
            "agents_cpu_s": times.map(|times| times.1),
            "engine_rss_peak_kib": rss_peak_kib(),
            "modelled_agents_cpu_s": modelled_s(),
        })
    );
}

/// Processor time of the threads that modelled agents run on, in seconds; part of the engine's process. Null without such agents.
#[cfg(feature = "modelled")]
fn modelled_s() -> Option<f64> {
    let named = |task: &std::fs::DirEntry| {
        std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == crate::modelled::THREAD)
    };
    let threads: Vec<_> = std::fs::read_dir("/proc/self/task").ok()?.flatten().filter(named).collect();
    // The first number of schedstat is the time on a processor, in nanoseconds.
    let spent_ns = |task: &std::fs::DirEntry| {
        std::fs::read_to_string(task.path().join("schedstat")).ok()?.split_whitespace().next()?.parse::<u64>().ok()
    };
    (!threads.is_empty()).then(|| threads.iter().filter_map(spent_ns).sum::<u64>() as f64 / 1e9)
}

#[cfg(not(feature = "modelled"))]
fn modelled_s() -> Option<f64> {
    None
}

/// User and system time of this process and of its ended children, in seconds.
fn times() -> Option<(f64, f64)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // utime, stime, cutime, cstime are fields 14 to 17 of proc(5), counted from 1; the first two are cut off here.
    let seconds = |at: usize| Some(fields.get(at)?.parse::<u32>().ok()?).map(|ticks| f64::from(ticks) / TICKS_PER_S);
    Some((seconds(11)? + seconds(12)?, seconds(13)? + seconds(14)?))
}

fn rss_peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse().ok())
}
