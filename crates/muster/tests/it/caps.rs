//! Agents that never end, on a budget: what is booked never passes it, a person is asked once, and with their yes it goes on where it was.

use crate::support::{
    Bench, evidence,
    server::{Provider, Step, Tokens},
};
use engine::view::Readings;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const AGENTS: usize = 8;
const CAP_MICROS: u64 = 1_000_000;

/// What each answer of the provider used: at $10 and $50 for a million, $0.0110.
const USED: Tokens = Tokens { input: 1_000, cached: 0, output: 20 };
const CALL_MICROS: u64 = 11_000;

#[test]
fn native_agents_stop_at_the_cap() {
    let runs = evidence::number("MUSTER_CAP_RUNS", 3);
    let spent: Vec<u64> = (0..runs).map(|run| one_run(run)).collect();
    let (least, most) = (spent.iter().min().unwrap(), spent.iter().max().unwrap());
    println!(
        "{runs} runs of {AGENTS} native agents: booked {least} to {most} micro-dollars of {CAP_MICROS}, none repeated"
    );
}

/// A mission up to its cap, a yes, and up to twice the cap; what was booked at the first.
fn one_run(run: u64) -> u64 {
    let provider = Provider::looping(Step::Call("list_files", json!({"path": "."})), |_| USED);
    let bench = Bench::new(&plan(), &config(&provider), "", &[("README.md", "Nothing to see.\n")]);
    let ended = bench.run(&[]).expect(3);
    let first = asked_for_money(&bench, &provider, &ended.json(), CAP_MICROS, run);

    let id = ended.json()["interrupts"][0]["id"].as_str().unwrap().to_owned();
    bench.muster(&["answer", &id, "--approve"]).expect(0);
    let ended = bench.resume().expect(3);
    let second = asked_for_money(&bench, &provider, &ended.json(), 2 * CAP_MICROS, run);
    assert!(second > first, "run {run}: nothing was done with what was allowed");
    first
}

/// The mission waits for a person to allow more; what was booked is what the provider was asked for, once each, and within the cap.
#[track_caller]
fn asked_for_money(bench: &Bench, provider: &Provider, view: &Value, cap: u64, run: u64) -> u64 {
    let open: Vec<&Value> = view["interrupts"].as_array().unwrap().iter().collect();
    assert_eq!((open.len(), &open[0]["kind"]), (1, &"budget".into()), "run {run}: {view}");
    let readings = Readings::open(&bench.home()).unwrap();
    let calls = readings.calls(&readings.find("last").unwrap()).unwrap();
    let booked: u64 = calls.iter().map(|call| call.call.cost_micros.expect("a price is known")).sum();
    let asked = provider.asked();
    let distinct: BTreeSet<String> = asked.iter().map(|asked| asked.body.to_string()).collect();
    assert_eq!(distinct.len(), asked.len(), "run {run}: a call was paid twice");
    assert_eq!((calls.len(), booked), (asked.len(), asked.len() as u64 * CALL_MICROS), "run {run}: {view}");
    assert!(booked <= cap, "run {run}: {booked} micro-dollars were booked of {cap}");
    // What is left is less than the worst case of one more call, for each agent that still has some set aside.
    assert_eq!(view["money"]["spent_micros"], booked, "run {run}");
    booked
}

fn plan() -> String {
    let task = |number| {
        format!(
            "  - {{id: t{number}, role: builder, instructions: Look around {number}., checks: [{{run: 'true'}}]}}\n"
        )
    };
    format!("goal: Look for ever.\ntasks:\n{}", (1..=AGENTS).map(task).collect::<String>())
}

fn config(provider: &Provider) -> String {
    format!(
        "upstreams: {{provider: {{format: openai-chat, base_url: \"http://{}/v1\"}}}}\n\
         roles: {{builder: {{runtime: native, model: test-model, count: {AGENTS}, context_tokens: 32000, output_tokens: 100}}}}\n\
         budget: {{usd: 1.00}}\nprices: {{test-model: {{input: 10.0, output: 50.0}}}}\n",
        provider.address
    )
}
