//! Agents that start no process: muster runs their commands, shows what they print, and takes them up again after a crash.

use crate::{
    scenario::WORKER,
    support::{Bench, Running},
};
use rustix::process::Signal;
use serde_json::Value;
use std::{fs, path::PathBuf};

/// What is on the consoles of the newest mission, in order.
fn consoles(bench: &Bench) -> Vec<Value> {
    let tail = bench.muster(&["tail", "last", "--all", "--json", "--no-follow"]).expect(0).stdout;
    let lines = tail.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line.get("console").is_some()).collect()
}

fn of<'a>(consoles: &'a [Value], what: &str) -> Vec<&'a Value> {
    consoles.iter().filter(|one| one["console"] == what).collect()
}

/// How many commands were run for agents.
pub fn commands_run(bench: &Bench) -> usize {
    of(&consoles(bench), "begun").iter().filter(|one| one["by"] == "agent").count()
}

/// The folder of the agent on the host.
fn place(bench: &Bench) -> PathBuf {
    let missions = fs::read_dir(bench.home().join("missions")).unwrap();
    let mission = missions.map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap();
    mission.join("agents/builder-1")
}

#[test]
fn a_worker_has_its_commands_run_and_its_change_is_merged() {
    let bench = WORKER.bench();
    let ended = bench.run(&["--all"]).expect(0);
    let outcome = bench.outcome(&ended);
    assert_eq!(outcome.ending, "done");
    assert_eq!(fs::read_to_string(place(&bench).join("command-home/runs")).unwrap(), "twice\n");

    let consoles = consoles(&bench);
    assert!(consoles.iter().all(|one| one["agent"] == "builder-1"), "{consoles:?}");
    let begun: Vec<(&str, &str)> =
        of(&consoles, "begun").iter().map(|one| (one["by"].as_str().unwrap(), one["run"].as_str().unwrap())).collect();
    let [("agent", first), ("agent", _), ("check", "grep -qx done note.txt")] = begun[..] else { panic!("{begun:?}") };
    assert!(first.starts_with("grep -x done"), "{first}");
    let said: Vec<(bool, &str)> =
        of(&consoles, "said").iter().map(|one| (one["stderr"] == true, one["text"].as_str().unwrap())).collect();
    assert!(said.contains(&(false, "done\n")) && said.contains(&(true, "checked\n")), "{said:?}");
    let how: Vec<&str> = of(&consoles, "ended").iter().map(|one| one["how"].as_str().unwrap()).collect();
    assert_eq!(how, ["exit status 1", "exit status 0", "exit status 0"]);
    assert_eq!(of(&consoles, "process").len(), 1, "the end of the agent's own process: {consoles:?}");

    for shown in ["$ grep -x done note.txt", "| done", "!| checked", "exit status 1 after", "check $ grep"] {
        assert!(ended.stderr.contains(shown), "`run --all` does not show {shown}: {ended}");
    }
    let quiet = bench.muster(&["tail", "last", "--no-follow"]).expect(0).stdout;
    assert!(!quiet.contains("| checked"), "only `--all` shows consoles: {quiet}");
}

#[test]
fn a_program_that_prints_cannot_drive_the_terminal() {
    let script = r#"version: 1
model: scripted-1
replies:
  - when: {contains: "[task note]"}
    steps:
      - calls: [{tool: run_command, args: {command: "printf '\\033]0;owned\\007\\033[2J'; echo done > note.txt"}}]
      - calls: [{tool: submit_result, args: {summary: It is written.}}]
      - text: Submitted.
"#;
    let bench = WORKER.bench();
    bench.write("script.yaml", script);
    let ended = bench.run(&["--all"]).expect(0);
    assert!(ended.stderr.contains("]0;owned") && !ended.stderr.contains('\u{1b}'), "{ended}");
    let tail = bench.muster(&["tail", "last", "--all", "--no-follow"]).expect(0).stdout;
    assert!(tail.contains("]0;owned") && !tail.contains('\u{1b}'), "{tail}");
}

/// A command that is under way for ever the first time that it is run.
const HANGS_ONCE: &str = r#"version: 1
model: scripted-1
replies:
  - when: {contains: "[task note]"}
    steps:
      - calls: [{tool: run_command, args: {command: "echo before >> ~/runs"}}]
      - calls:
          - tool: run_command
            args: {command: "echo run >> ~/runs; [ -e ~/again ] || { touch ~/again; (setsid sleep 1000 &); echo up; sleep 1000; }; echo done > note.txt"}
      - calls: [{tool: submit_result, args: {summary: It is written.}}]
      - text: Submitted.
"#;

#[test]
fn a_command_that_died_with_its_engine_is_run_again_and_finished_ones_are_not() {
    let bench = WORKER.bench();
    bench.write("script.yaml", HANGS_ONCE);
    let mut running = bench.start_run(&["--all"]);
    running.wait_for("| up");
    let home = place(&bench).join("command-home");
    running.signal(Signal::KILL);
    assert_eq!(running.end().signal, Some(9));
    bench.wait_until_all_processes_are_gone();
    let resumed = bench.resume().expect(0);
    assert_eq!(bench.outcome(&resumed).ending, "done");
    assert_eq!(fs::read_to_string(home.join("runs")).unwrap(), "before\nrun\nrun\n");
    bench.journal().check();
}

#[test]
fn a_cancelled_mission_ends_its_commands() {
    let bench = WORKER.bench();
    bench.write("script.yaml", HANGS_ONCE);
    let mut running: Running = bench.start_run(&["--all"]);
    running.wait_for("| up");
    bench.muster(&["cancel", "last"]).expect(0);
    running.end().expect(4);
    bench.wait_until_all_processes_are_gone();
    let consoles = consoles(&bench);
    let ended = of(&consoles, "ended");
    assert_eq!(ended.last().unwrap()["how"], "stopped: it was not wanted any more", "{consoles:?}");
}
