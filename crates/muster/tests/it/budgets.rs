//! Budgets beside the mission's cap: what people see of them, and what a provider is asked for when little is left.

use crate::support::{
    Bench,
    server::{Provider, Step},
};
use serde_json::json;

const PLAN: &str = r#"
goal: Write a note.
tasks:
  - id: note
    role: builder
    instructions: Write done into note.txt.
    checks: [{run: "grep -qx done note.txt", timeout: 60s}]
"#;

fn provider() -> Provider {
    Provider::start(vec![
        Step::Call("write_file", json!({"path": "note.txt", "content": "done\n"})),
        Step::Call("submit_result", json!({"summary": "It is written."})),
        Step::Text("Submitted."),
    ])
}

fn bench(provider: &Provider, budget: &str) -> Bench {
    let config = format!(
        "upstreams: {{provider: {{format: openai-chat, base_url: \"http://{}/v1\"}}}}\n\
         roles: {{builder: {{runtime: native, model: test-model, context_tokens: 32000, output_tokens: 20000}}}}\n\
         prices: {{test-model: {{input: 1.0, output: 50.0}}}}\nbudget: {budget}\n",
        provider.address
    );
    Bench::new(PLAN, &config, "", &[])
}

#[test]
fn an_agent_that_has_used_its_calls_waits_for_a_person() {
    let provider = provider();
    let bench = bench(&provider, "{limits: [{agent: builder-1, calls: 1}, {role: builder, time: 2h, per: day}]}");
    let run = bench.run(&[]).expect(3);
    assert!(run.stderr.contains("the budget of 1 calls for agent builder-1 is used up"), "{}", run.stderr);
    assert_eq!(provider.asked().len(), 1);
    let view = bench.show();
    let interrupt = &view["interrupts"][0];
    assert_eq!((interrupt["kind"].as_str(), interrupt["id"].as_str()), (Some("budget"), Some("i0")));
    assert_eq!(
        (&view["money"]["limits"][0]["used"], &view["money"]["limits"][0]["state"]),
        (&json!(1), &json!("asking"))
    );
    let shown = bench.muster(&["show", "last"]).expect(0).stdout;
    assert!(shown.contains("1 calls used of 1 calls for agent builder-1: a person is asked for more"), "{shown}");
    assert!(shown.contains("# so much more may be used"), "{shown}");

    // Words that are no number change nothing.
    let refused = bench.muster(&["answer", "last/i0", "some"]).expect(1);
    assert!(refused.stderr.contains("'some' is not a number of calls, such as 50"), "{}", refused.stderr);
    bench.muster(&["answer", "last/i0", "5"]).expect(0);
    bench.muster(&["resume", "last"]).expect(0);
    assert_eq!(provider.asked().len(), 3, "no call is made twice");
    let journal = bench.journal();
    journal.check();
    assert_eq!(["allowance_raised", "attempt_failed", "merged"].map(|kind| journal.count(kind)), [1, 0, 1]);
}

#[test]
fn a_window_that_is_used_up_is_waited_for() {
    let provider = provider();
    let bench = bench(&provider, "{limits: [{calls: 1, per: 2s}]}");
    let run = bench.run(&[]).expect(0);
    assert!(run.stderr.contains("waits: its budget allows no more calls for "), "{}", run.stderr);
    let journal = bench.journal();
    journal.check();
    let counted = ["attempt_limited", "interrupt_raised", "attempt_failed", "merged"].map(|kind| journal.count(kind));
    assert_eq!(&counted[1..], [0, 0, 1]);
    assert!(counted[0] >= 1, "{counted:?}");
}

#[test]
fn an_answer_is_bounded_by_what_is_left() {
    let provider = provider();
    // The most that one call can cost is 20,000 tokens of output, a dollar; half of it is left.
    let bench = bench(&provider, "{usd: 0.50}");
    bench.run(&[]).expect(0);
    let asked = provider.asked();
    assert_eq!(asked.len(), 3);
    for asked in &asked {
        let most = asked.body["max_completion_tokens"].as_u64().or(asked.body["max_tokens"].as_u64()).unwrap();
        assert!((4_096..10_000).contains(&most), "{most} tokens were allowed");
    }
}

#[test]
fn what_cannot_be_a_limit_is_said_with_its_place() {
    let provider = provider();
    let told = |budget: &str| {
        let bench = bench(&provider, budget);
        bench.run(&[]).expect(2).stderr
    };
    for (budget, words) in [
        ("{limits: [{role: biulder, calls: 5}]}", "there is no role"),
        ("{limits: [{agent: builder-2, calls: 5}]}", "there is no agent"),
        ("{limits: [{task: note, calls: 5}]}", "put this limit under `budget` in the plan"),
        ("{limits: [{role: builder}]}", "this limits nothing"),
        ("{limits: [{calls: 5, tokens: 5}]}", "one entry limits one thing"),
        ("{limits: [{calls: 0}]}", "the limit is 0"),
        ("{limits: [{calls: 5, per: week}]}", "is not a window"),
        ("{limits: [{calls: 5}, {calls: 6}]}", "this limits the same"),
    ] {
        let told = told(budget);
        assert!(told.contains(words) && told.contains("muster.yaml:4:"), "{budget}: {told}");
    }
    assert!(provider.asked().is_empty());
}
