//! Missions that wait for a person: what they see, how they answer, and that waiting costs nothing.

use crate::support::{
    Bench, Running, evidence,
    repo::python_tests,
    server::{Provider, Step},
};
use rustix::process::Signal;
use serde_json::json;
use std::time::Duration;

#[test]
fn a_conflict_goes_back_and_is_resolved() {
    let bench = Bench::exercise("conflict");
    bench.run(&[]).expect(0);
    let journal = bench.journal();
    journal.check();
    assert_eq!((journal.merges().len(), journal.count("change_returned")), (2, 1));
    let returned = journal.of("change_returned").next().unwrap();
    assert!(returned["why"]["conflict"]["hunks"].as_str().is_some_and(|hunks| hunks.contains("<<<<<<<")), "{returned}");
    let result = bench.path("result");
    bench.repo.check_out(&bench.repo.branch(), &result);
    assert!(python_tests(&result, &[]) >= 2);
    let explained = bench.muster(&["explain", "last"]).expect(0).stdout;
    assert!(explained.contains("conflict"), "{explained}");
}

#[test]
fn an_answer_while_nobody_runs_the_mission() {
    let bench = Bench::exercise("interrupt");
    let waiting = bench.run(&[]).expect(3);
    assert_eq!(waiting.json()["interrupts"][0]["id"], "i0", "{waiting}");
    let inbox = bench.muster(&["inbox"]).expect(0).stdout;
    assert!(inbox.contains("half even") && inbox.contains("muster answer"), "{inbox}");
    let inbox = bench.muster(&["inbox", "--json"]).expect(0).json();
    assert_eq!((&inbox[0]["id"], &inbox[0]["task"]), (&"i0".into(), &"tax".into()), "{inbox}");
    let journal = bench.journal();
    assert_eq!(journal.merges().len(), 1, "the other task did not wait");

    bench.resume().expect(3);
    bench.muster(&["answer", "i7", "half up"]).expect(2);
    bench.muster(&["answer", "i0"]).expect(2);
    bench.muster(&["answer", "i0", "half up"]).expect(0);
    let twice = bench.muster(&["answer", "i0", "half even"]);
    assert!(twice.code != Some(0), "an interrupt is answered once: {twice}");
    bench.resume().expect(0);
    is_answered(&bench);
}

#[test]
fn an_answer_while_the_mission_runs() {
    let bench = Bench::exercise("interrupt");
    let mut running = bench.start_run(&["--wait"]);
    running.wait_for("i0 (user_input)");
    bench.muster(&["answer", "i0", "half up"]).expect(0);
    running.end().expect(0);
    is_answered(&bench);
}

fn is_answered(bench: &Bench) {
    let journal = bench.journal();
    journal.check();
    let answer = journal.of("interrupt_answered").next().unwrap();
    assert_eq!((&answer["answer"]["text"], &answer["by"]), (&"half up".into(), &"person".into()));
    assert!(journal.of("turn_owed").any(|fact| fact["brief"]["answered"]["answer"] == "half up"), "the agent is told");
    assert_eq!(journal.merges().len(), 2);
    let result = bench.path("result");
    bench.repo.check_out(&bench.repo.branch(), &result);
    assert!(python_tests(&result, &[]) >= 2);
    let prices = std::fs::read_to_string(result.join("prices.py")).unwrap();
    assert!(prices.contains("+ 50) // 100"), "{prices}");
    let report = bench.muster(&["report", "last"]).expect(0).stdout;
    assert!(report.contains("half up"), "{report}");
}

#[test]
fn an_interrupted_run_pauses_and_goes_on() {
    let bench = Bench::exercise("thirty");
    let mut running = bench.start_run(&[]);
    running.wait_for("merged, verified");
    running.signal(Signal::INT);
    let paused = running.end().expect(3);
    assert_eq!(paused.json()["status"], "paused");
    bench.wait_until_all_processes_are_gone();
    let before = bench.journal();
    assert!(before.merges().len() < 30);
    bench.resume().expect(0);
    let journal = bench.journal();
    journal.continues(&before);
    journal.check();
    assert_eq!(journal.merges().len(), 30);
}

#[test]
fn a_pause_before_the_agent_has_heard_of_its_turn() {
    let bench = Bench::exercise("interrupt");
    let mut running = bench.start_run(&["--all"]);
    running.wait_for("turn 1 begins");
    bench.muster(&["pause"]).expect(0);
    running.end().expect(3);
    let journal = bench.journal();
    assert!(journal.count("turn_cancelling") > 0);
    let stopped = journal.of("agent_stopping").filter(|fact| fact["reason"] == "unresponsive").count();
    assert_eq!(stopped, 0, "an agent that was asked to end its turn was taken for deaf");
    bench.resume().expect(3);
    bench.muster(&["answer", "i0", "half up"]).expect(0);
    bench.resume().expect(0);
    bench.journal().check();
}

#[test]
fn a_cancelled_mission_keeps_what_is_merged() {
    let bench = Bench::exercise("thirty");
    let mut running = bench.start_run(&[]);
    running.wait_for("merged, verified");
    bench.muster(&["cancel", "last"]).expect(0);
    let cancelled = running.end().expect(4);
    assert_eq!(cancelled.json()["ending"], "cancelled");
    let journal = bench.journal();
    journal.check();
    let merged = journal.merges().len();
    assert!((1..30).contains(&merged), "{merged}");
    let commits = bench.repo.git(&["rev-list", "--count", "--first-parent", &format!("main..{}", bench.repo.branch())]);
    assert_eq!(commits, merged.to_string(), "what is merged is published");
    bench.repo.is_sound();
    bench.wait_until_all_processes_are_gone();
    bench.muster(&["resume", "last"]).expect(4);
}

#[test]
fn a_mission_that_waits_asks_no_model() {
    let provider = Provider::start(vec![
        Step::Call("raise_interrupt", json!({"kind": "user_input", "question": "What shall I write?"})),
        Step::Text("I wait."),
        Step::Call("write_file", json!({"path": "note.txt", "content": "done\n"})),
        Step::Call("submit_result", json!({"summary": "It is written."})),
        Step::Text("Submitted."),
    ]);
    let config = format!(
        "upstreams:\n  provider: {{format: openai-chat, base_url: \"http://{}/v1\"}}\nroles:\n  builder: {{runtime: native, model: test-model}}\n",
        provider.address
    );
    let plan = "goal: Write a note.\ntasks:\n  - {id: note, role: builder, instructions: Write., checks: [{run: test -e note.txt}]}\n";
    let bench = Bench::new(plan, &config, "", &[]);
    let mut running = bench.start_run(&["--wait", "--all"]);
    running.wait_for("waits for the answer to i0");
    let before = provider.asked().len();
    let seconds = evidence::number("MUSTER_IDLE_S", 3);
    let cpu = cpu_ms(&bench, &running);
    assert!(!running.ends_within(Duration::from_secs(seconds)), "it waits");
    let (after, cpu) = (provider.asked().len(), cpu_ms(&bench, &running) - cpu);
    assert_eq!((before, after), (2, 2), "calls before and after {seconds} seconds of waiting");
    bench.muster(&["answer", "i0", "done"]).expect(0);
    running.end().expect(0);
    assert_eq!(provider.asked().len(), 5);
    let row = [seconds.to_string(), (after - before).to_string(), cpu.to_string()];
    let columns = ["seconds of waiting", "model calls", "processor time of muster and its agent, ms"];
    let said = "A mission that waits for a person under `muster run --wait`, its agent's process up, watched.\n\n\
                Made with `MUSTER_IDLE_S=60 MUSTER_EVIDENCE=docs/evidence cargo test -p muster --test it asks_no_model`.";
    evidence::table("idle", "Waiting costs nothing", said, &columns, &[row.to_vec()]);
}

/// Processor time that the engine and everything in its sandboxes have used.
fn cpu_ms(bench: &Bench, running: &Running) -> u64 {
    let pids = bench.processes().into_iter().map(|pid| pid.as_raw_nonzero().get() as u32);
    let of = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<u64> =
            stat.rsplit(") ").next().unwrap_or("").split(' ').map(|field| field.parse().unwrap_or(0)).collect();
        // user and system time: fields 14 and 15, in ticks of 10 ms
        fields.get(11).copied().unwrap_or(0) + fields.get(12).copied().unwrap_or(0)
    };
    pids.chain([running.id()]).map(of).sum::<u64>() * 10
}
