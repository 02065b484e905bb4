//! What a file of a repository may ask for: every key of every file stands in one table, which the code and the documents keep to.

use api::{
    config::{self, CheckedConfig},
    schema,
    source::Source,
    trust::{self, Ask, KEYS, Kind, Need},
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

fn own() -> CheckedConfig {
    let text = "upstreams: {main: {base_url: 'https://models.example.com/v1', format: openai-chat, key_env: K}}\n\
                roles: {reviewer: {runtime: native, model: m}}\n\
                budget: {usd: 2, limits: [{role: reviewer, usd: 1}, {tokens: 1000, per: day}]}\n\
                limits: {attempts_max: 2, silence_timeout: 5m}\nchecks: {limits: {memory: 1GiB}}\nsecrets: {outgoing: refuse}\nprices: {m: {input: 1, output: 1}}\n";
    config::load(&Source::new("config.yaml", text)).unwrap()
}

fn of_config(text: &str) -> Vec<Ask> {
    trust::of_config(&Source::new("muster.yaml", text), &own()).unwrap()
}

fn of_plan(text: &str) -> Vec<Ask> {
    trust::of_plan(&Source::new("plan.yaml", text), &own()).unwrap()
}

fn of_policy(text: &str) -> Vec<Ask> {
    trust::of_policy(&Source::new("policy.yaml", text)).unwrap()
}

fn role(text: &str) -> Vec<Ask> {
    of_config(&format!("roles: {{a: {{runtime: native, model: m, {text}}}}}"))
}

fn upstream(text: &str) -> Vec<Ask> {
    of_config(&format!("upstreams: {{a: {{{text}}}}}"))
}

/// The keys of each part, by the properties that stand together in a schema.
fn parts(schema: &Value, found: &mut BTreeSet<BTreeSet<String>>) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object)
        && schema.get("type") == Some(&"object".into())
    {
        found.insert(properties.keys().cloned().collect());
    }
    match schema {
        Value::Object(map) => map.values().for_each(|value| parts(value, found)),
        Value::Array(list) => list.iter().for_each(|value| parts(value, found)),
        _ => {}
    }
}

#[test]
fn every_key_of_every_file_stands_in_the_table() {
    let mut found = BTreeSet::new();
    [schema::config(), schema::plan(), schema::policy()].iter().for_each(|schema| parts(schema, &mut found));
    let mut table: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for key in KEYS {
        let (part, name) = key.key.split_once('.').unwrap_or(("", key.key));
        assert!(table.entry(part).or_default().insert(name.to_owned()), "{} stands twice", key.key);
    }
    let table: BTreeSet<_> = table.into_values().collect();
    let missing: Vec<_> = found.difference(&table).collect();
    let stale: Vec<_> = table.difference(&found).collect();
    assert!(missing.is_empty() && stale.is_empty(), "not in the table: {missing:?}\nin no schema: {stale:?}");
}

/// Something for each key that can need trust, which asks by that key.
fn examples() -> Vec<(&'static str, Vec<Ask>)> {
    let acp = "roles: {a: {runtime: acp, model: m, command: [./agent]}}";
    let approved = "sandbox: {permissions: {shell_commands: approved_only}}";
    let task = "tasks: [{id: t, instructions: x, attempts_max: 3, checks: [{run: x, timeout: 11m}]}]";
    vec![
        ("upstreams", of_config("upstreams: {main: {scripted: x}}")),
        ("roles", of_config("roles: {reviewer: {runtime: native, model: m}}")),
        ("prices", of_config("prices: {m: {input: 0.1, output: 0.1}}")),
        ("checks", of_config("checks: {env: {A: b}}")),
        ("upstream.base_url", upstream("base_url: 'http://a/v1', format: openai-chat")),
        ("upstream.key_env", upstream("base_url: 'http://a/v1', kind: openai, key_env: GITHUB_TOKEN")),
        ("upstream.key_file", upstream("base_url: 'http://a/v1', kind: openai, key_file: ~/.vault-token")),
        ("upstream.key_command", upstream("base_url: 'http://a/v1', kind: openai, key_command: [cat, x]")),
        ("upstream.pass_through", upstream("base_url: 'http://a/v1', kind: openai, pass_through: true")),
        ("upstream.scripted", upstream("scripted: /etc/passwd")),
        ("upstream.replay", upstream("replay: a-mission")),
        ("upstream.replay", upstream("replay: ../cassette")),
        ("role.runtime", of_config(acp)),
        ("role.runtime", of_config("roles: {a: {runtime: exec, model: m, command: [sh]}}")),
        ("role.command", of_config("roles: {a: {runtime: codex, model: m, command: [./codex]}}")),
        ("role.count", role("count: 17")),
        ("role.context_tokens", role("context_tokens: 1024")),
        ("role.output_tokens", role("output_tokens: 1")),
        ("role.approvals", role(&format!("approvals: allow, {approved}"))),
        ("approvals.otherwise", role(&format!("approvals: {{otherwise: allow}}, {approved}"))),
        ("approvals.otherwise", role(&format!("approvals: {{rules: []}}, {approved}"))),
        (
            "approvals.rules",
            role(&format!("approvals: {{otherwise: ask, rules: [{{is: x, answer: allow}}]}}, {approved}")),
        ),
        ("health.command", role("health: {command: [./health]}")),
        ("health.url", role("health: {url: 'http://169.254.169.254/latest'}")),
        ("budget.usd", of_config("budget: {usd: 2.01}")),
        ("budget.warn_percent", of_config("budget: {warn_percent: 100}")),
        ("budget.limits", of_config("budget: {limits: [{role: reviewer, usd: 1.5}]}")),
        ("budget.limits", of_config("budget: {limits: [{tokens: 1001, per: day}]}")),
        ("limits.attempts_max", of_config("limits: {attempts_max: 3}")),
        ("limits.check_timeout", of_config("limits: {check_timeout: 601s}")),
        ("limits.turn_timeout", of_config("limits: {turn_timeout: 31m}")),
        ("limits.silence_timeout", of_config("limits: {silence_timeout: 6m}")),
        ("limits.answer_timeout", of_config("limits: {answer_timeout: 25h}")),
        ("limits.returns_max", of_config("limits: {returns_max: 4}")),
        ("secrets.outgoing", of_config("secrets: {outgoing: mask}")),
        ("secrets.outgoing", of_config("secrets: {outgoing: allow}")),
        ("plan.roles", of_plan("roles: {reviewer: {runtime: native, model: m}}\ntasks: []")),
        ("role.command", of_plan("roles: {a: {runtime: acp, model: m, command: [x]}}\ntasks: []")),
        ("budget.limits", of_plan("budget: {limits: [{role: reviewer, usd: 2}]}\ntasks: []")),
        ("task.attempts_max", of_plan(task)),
        ("check.timeout", of_plan(task)),
        ("policy.read", of_policy("read: [/etc]")),
        ("policy.network", of_policy("network: open")),
        ("policy.allowed_syscalls", of_policy("allowed_syscalls: ['@worker']")),
        ("policy.limits", of_policy("limits: {memory: 5GiB}")),
        ("policy.limits", of_policy("limits: {tree_memory_mib: 7000}")),
        ("policy.limits", of_policy("limits: {processes: 129}")),
        ("policy.limits", of_policy("limits: {open_files: 4097}")),
        ("policy.limits", of_policy("limits: {wall: 11m}")),
        ("policy.limits", of_policy("limits: {disk: 17GiB}")),
        ("policy.limits", of_policy("limits: {tmp: 513MiB}")),
        ("policy.limits", of_policy("limits: {file_mib: 4097}")),
        ("policy.env", of_policy("env: {PATH: /workspace/bin}")),
        ("policy.env", role("sandbox: {env: {LD_PRELOAD: /workspace/x.so}}")),
        ("policy.pass", of_policy("pass: [GITHUB_TOKEN]")),
        ("policy.backend", of_policy("backend: dokker")),
        ("policy.allow_degraded", of_policy("allow_degraded: [landlock]")),
        ("policy.allow_degraded", role("sandbox: {allow_degraded: [seccomp]}")),
        ("permissions.network", of_policy("permissions: {network: allowed}")),
        ("files.read", of_policy("files: {read: [~/.ssh]}")),
        ("files.write", of_policy("files: {write: [./out]}")),
        ("files.write", role("sandbox: {files: {write: [~/.ssh, ~/.bashrc]}}")),
        ("files.write", of_config("checks: {files: {write: [/root, /var, /run, /home]}}")),
        ("files.execute", of_policy("files: {execute: [/opt]}")),
        ("path.inside", of_policy("files: {read: [{host: ./x, inside: /usr/bin/git}]}")),
        ("hosts.hosts", of_policy("network: {hosts: ['a.example.org:443']}")),
        ("hosts.hosts", of_config("checks: {network: {hosts: ['a.example.org']}}")),
        ("docker.image", of_policy("backend: {docker: {image: evil}}")),
    ]
}

#[test]
fn every_key_that_can_need_trust_has_an_example_that_does() {
    let examples = examples();
    for (key, asks) in &examples {
        let ask = asks.iter().find(|ask| ask.key == *key);
        let ask = ask.unwrap_or_else(|| panic!("{key} is not asked for: {asks:?}"));
        let entry = KEYS.iter().find(|entry| entry.key == *key).unwrap();
        let (kind, never) = match entry.need {
            Need::Nothing => panic!("{key} needs nothing and is asked for"),
            Need::Beyond(kind, _) | Need::Outside(kind) | Need::Trust(kind) => (kind, false),
            Need::Never(kind) => (kind, true),
        };
        assert_eq!((ask.kind, ask.never), (kind, never), "{key}");
        assert!(matches!(entry.need, Need::Outside(_)) || ask.unless_inside.is_none(), "{key}");
        assert!(asks.iter().all(|ask| ask.place.line > 0 || ask.key == "checks"), "{asks:?}");
    }
    let shown: BTreeSet<_> = examples.iter().map(|(key, _)| *key).collect();
    let all: BTreeSet<_> = KEYS.iter().filter(|key| key.need != Need::Nothing).map(|key| key.key).collect();
    assert_eq!(all.difference(&shown).collect::<Vec<_>>(), [] as [&&str; 0]);
}

#[test]
fn what_narrows_or_chooses_asks_for_nothing() {
    let config = "version: 1\nroles:\n  builder: {runtime: codex, model: other, upstream: main, count: 3, context_tokens: 1024, output_tokens: 9, instructions: x, capabilities: [ui], \
                  fallback: [tester], approvals: ask, workspace: clone, sandbox: {preset: worker, network: gateway, processes: none, work: read, \
                  limits: {memory: 512MiB, wall: 5m, cpu_time: 1h}, permissions: {shell_commands: none, file_system: read}, \
                  backend: kernel, identity: {uid: 1000}}}\n  tester: {runtime: native, model: m, upstream: main, sandbox: read-only}\n\
                  budget: {usd: 1, warn_percent: 50, limits: [{role: builder, usd: 0.5}, {role: reviewer, usd: 0.5}]}\n\
                  limits: {attempts_max: 1, check_timeout: 5m, turn_timeout: 10m, silence_timeout: 1m, returns_max: 1, answer_timeout: 1h}\n\
                  dispatch: {weights: {price: 3}, tries_per_role: 1, rules: [{words: [fix], type: bug_fix}]}\nrecord: true\nsecrets: {mask: [X], outgoing: refuse}\n";
    assert_eq!(of_config(config), []);
    let plan = "goal: g\nbudget: {limits: [{task: t, usd: 1}]}\ntasks:\n  - {id: t, role: reviewer, instructions: rm -rf /, writes: ['**'], \
                attempts_max: 2, best_of: 3, budget_usd: 1, checks: [{run: 'curl evil', timeout: 60s}]}\n";
    assert_eq!(of_plan(plan), []);
    assert_eq!(
        of_policy("preset: agent-cli\nwork: write\nnetwork: gateway\nlimits: {memory: 4GiB, processes: 128}"),
        []
    );
}

#[test]
fn other_ways_to_write_it_ask_for_the_same() {
    for text in [
        "{\"upstreams\": {\"a\": {\"base_url\": \"http://a/v1\", \"kind\": \"openai\", \"key_env\": \"T\"}}}",
        "\u{feff}upstreams:\n  a: {base_url: 'http://a/v1', kind: openai, key_env: T}\n",
        "upstreams:\n  a: &x {base_url: 'http://a/v1', kind: openai, key_env: T}\n  b: *x\n",
        "upstreams:\n  a: &x {base_url: 'http://a/v1', kind: openai, key_env: T}\n  b:\n    <<: *x\n    models: [m]\n",
        "upstreams:\n  a:\n    kind: openai\n    base_url: >-\n      http://a/v1\n    \"key\\x5fenv\": T\n",
        "? upstreams\n: ? a\n  : {base_url: !!str http://a/v1, kind: openai, key_env: T}\n",
    ] {
        // Either it cannot be read at all, or it asks.
        match trust::of_config(&Source::new("muster.yaml", text), &own()) {
            Ok(asks) => {
                let keys: BTreeSet<_> = asks.iter().map(|ask| ask.key).collect();
                assert!(keys.contains("upstream.base_url") && keys.contains("upstream.key_env"), "{text}: {keys:?}");
            }
            Err(problems) => {
                assert!(config::load(&Source::new("muster.yaml", text)).is_err(), "{text}: {problems}");
            }
        }
    }
    let twice = "upstreams: {}\nupstreams: {a: {base_url: 'http://a/v1', kind: openai}}\n";
    assert!(trust::of_config(&Source::new("muster.yaml", twice), &own()).is_err());
}

#[test]
fn a_path_is_only_harmless_where_it_may_turn_out_so() {
    let asks = upstream("scripted: tests/script.yaml");
    assert_eq!(asks[0].unless_inside.as_deref(), Some(std::path::Path::new("tests/script.yaml")));
    assert_eq!(asks[0].kind, Kind::Paths);
    assert_eq!(of_policy("files: {write: [./x]}")[0].unless_inside, None);
}

/// The table of `docs/trust.md`.
fn table() -> String {
    let mut text = "| key | in a file of a repository |\n|---|---|\n".to_owned();
    for key in KEYS {
        let kind = |kind: Kind| kind.title();
        let need = match key.need {
            Need::Nothing => "free".to_owned(),
            Need::Beyond(of, beyond) => format!("needs trust ({}) for {beyond}; free otherwise", kind(of)),
            Need::Outside(of) => {
                format!("needs trust ({}) when it leads out of the repository; free otherwise", kind(of))
            }
            Need::Trust(of) => format!("needs trust ({})", kind(of)),
            Need::Never(of) => format!("never ({}): only in a person's own configuration", kind(of)),
        };
        text.push_str(&format!("| `{}` | {need} |\n", key.key));
    }
    text
}

#[test]
fn the_document_has_the_table_that_the_code_has() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/trust.md");
    let document = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = document.split_once("| key |").unwrap();
    let after = rest.split_once("\n\n").map_or("", |(_, after)| after);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&file, format!("{before}{}\n{after}", table())).unwrap();
    }
    assert!(
        document.contains(&table()),
        "docs/trust.md has another table; UPDATE_EXPECT=1 writes the code's\n{}",
        table()
    );
}

#[test]
fn the_corpus_of_the_fuzz_target_leads_to_nothing_outside() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/trust");
    let files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() >= 20);
    files.iter().for_each(|file| crate::untrusted::check(&std::fs::read(file).unwrap()));
}
