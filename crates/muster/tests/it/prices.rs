//! What models cost: shown, and taken from a newer table.

use crate::support::Bench;
use serde_json::{Value, json};

#[test]
fn prices_are_shown_and_refreshed() {
    let bench = Bench::new("", "", "", &[]);
    let show = |model: &str| bench.muster(&["prices", "show", model, "--json"]).expect(0).json();
    let built_in = show("gpt-5");
    assert_eq!(built_in["models"][0]["input_usd"], 1.25);
    assert_eq!(built_in["models"][0]["cache_read_usd"], 0.125);
    assert_eq!(built_in["models"][0]["output_tokens_max"], 128_000);
    assert!(built_in["version"].as_str().unwrap().starts_with("litellm "), "{built_in}");
    let text = bench.muster(&["prices", "show", "gpt-5"]).expect(0).stdout;
    assert!(text.contains("1.25") && text.contains("per million tokens"), "{text}");
    let unknown = bench.muster(&["prices", "show", "no-such-model"]).expect(2);
    assert!(unknown.stderr.contains("prices:"), "{unknown}");

    let entry = json!({"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 2e-6,
        "output_cost_per_token": 8e-6, "max_output_tokens": 1000});
    let table: serde_json::Map<String, Value> =
        (0..12).map(|number| (format!("model-{number}"), entry.clone())).collect();
    bench.write("newer.json", &Value::from(table).to_string());
    bench.muster(&["prices", "refresh", "--from", "newer.json", "--version", "9.9.9"]).expect(0);
    let newer = show("model-3");
    assert_eq!((&newer["version"], &newer["models"][0]["input_usd"]), (&json!("litellm 9.9.9"), &json!(2.0)));
    bench.muster(&["prices", "show", "gpt-5"]).expect(2);
}

#[test]
fn a_file_that_is_no_price_table_is_refused_with_its_place() {
    let bench = Bench::new("", "", "", &[]);
    bench.write("wrong.json", "{\n  \"gpt-5\": }\n");
    let refused = bench.muster(&["prices", "refresh", "--from", "wrong.json"]).expect(2);
    assert!(refused.stderr.contains("wrong.json: line 2, column 12"), "{refused}");
    bench.write("few.json", "{}");
    let refused = bench.muster(&["prices", "refresh", "--from", "few.json"]).expect(2);
    assert!(refused.stderr.contains("few.json: only 0 models"), "{refused}");
    let shown = bench.muster(&["prices", "show", "gpt-5", "--json"]).expect(0).json();
    assert_eq!(shown["models"][0]["input_usd"], 1.25, "what was used before stays");
}
