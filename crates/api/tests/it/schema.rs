//! The published schemas and the reader agree on what a file may look like.

use crate::{CONFIG, config, plan};
use serde_json::{Value, json};

/// What a JSON reader makes of the same text.
fn value(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn agree(schema: &Value, text: &str, read: bool) {
    let validator = jsonschema::validator_for(schema).unwrap();
    let told: Vec<String> = validator.iter_errors(&value(text)).map(|error| error.to_string()).collect();
    assert_eq!(
        told.is_empty(),
        read,
        "the reader {}, the schema says {told:?}: {text}",
        if read { "takes it" } else { "refuses it" }
    );
}

#[test]
fn configurations() {
    let schema = api::schema::config();
    let upstream = |text: &str| format!("upstreams: {{a: {{{text}}}}}");
    let role = |text: &str| format!("upstreams: {{a: {{scripted: s}}}}\nroles: {{r: {{{text}}}}}");
    let texts = [
        CONFIG.to_string(),
        api::config::EXAMPLE.into(),
        "version: 1".into(),
        "version: 2".into(),
        "version: '1'".into(),
        "versoin: 1".into(),
        "roles: []".into(),
        "roles:".into(),
        "budget:".into(),
        "budget: {usd: 1.5}".into(),
        "budget: {usd: '1.5'}".into(),
        "budget: {usd: '1,5'}".into(),
        "budget: {usd: -1}".into(),
        "budget: {}".into(),
        "limits: {attempts_max: 0}".into(),
        "limits: {attempts_max: 100, check_timeout: 5m}".into(),
        "limits: {check_timeout: 5}".into(),
        "limits: {check_timeout: 5 m}".into(),
        "prices: {m: {input: 1, output: 2}}".into(),
        "prices: {m: {input: 1}}".into(),
        "secrets: {mask: [DATABASE_URL, a_1], outgoing: refuse}".into(),
        "secrets: {}".into(),
        "secrets: {mask: [not-a-name]}".into(),
        "secrets: {mask: DATABASE_URL}".into(),
        "secrets: {outgoing: hide}".into(),
        "checks: {read: [/a], env: {A: ''}, limits: {tmp_mib: 1}}".into(),
        "checks: {limits: {memory: 512MiB, wall: 30m, cpu_percent: 50}, processes: tree}".into(),
        "checks: {limits: {memory: 512}}".into(),
        "checks: {allow_degraded: [landlock]}".into(),
        "checks: {allow_degraded: [selinux]}".into(),
        role("runtime: native, model: m, sandbox: worker"),
        role("runtime: native, model: m, sandbox: wroker"),
        role("runtime: native, model: m, sandbox: {preset: worker, network: {hosts: ['crates.io:443']}}"),
        role("runtime: native, model: m, sandbox: {files: {read: [/a, {host: /b, inside: /c}]}}"),
        role("runtime: native, model: m, sandbox: {files: {read: [{host: /b}]}}"),
        "checks: {read: /a}".into(),
        "checks: {env: {A: 1}}".into(),
        "checks: {env: {1A: x}}".into(),
        "checks: {limits: {tmp_mib: 0}}".into(),
        "checks: {limits: {tree_memory_mib: 4096, cpu_percent: 150, disk_mib: 8192}}".into(),
        "checks: {limits: {tree_memory_mib: 1}}".into(),
        "checks: {limits: {cpu_percent: 0}}".into(),
        "checks: {limits: {disk_mib: 0}}".into(),
        upstream("scripted: s"),
        upstream("format: anthropic, base_url: 'https://a/v1'"),
        upstream("format: anthropic, base_url: 'https://a/v1', key_env: A_KEY"),
        upstream("format: anthropic, base_url: 'https://a/v1', key_env: a-key"),
        upstream("format: anthropic, base_url: 'ftp://a/v1'"),
        upstream("format: anthropic, base_url: 'https://a/v1?x'"),
        upstream("format: soap, base_url: 'https://a/v1'"),
        upstream("format: gemini, base_url: 'https://a/v1'"),
        upstream("kind: litellm, base_url: 'https://a', format: anthropic, models: [a, 'b-*'], aliases: {c: d}"),
        upstream(
            "kind: openai, base_url: 'https://a', retries: 0, retry_wait: 5s, concurrency: 1, timeouts: {connect: 1s}",
        ),
        upstream("kind: openai, base_url: 'https://a', concurrency: 0"),
        upstream("kind: openai, base_url: 'https://a', requests_per_minute: 100001"),
        upstream("kind: openai, base_url: 'https://a', timeouts: {connect: 1}"),
        upstream("kind: openai, base_url: 'https://a', aliases: {'c*': d}"),
        upstream("kind: openai, base_url: 'https://a', pass_through: true"),
        upstream("kind: openai, base_url: 'https://a', pass_through: false, key_file: k"),
        upstream("kind: openai, base_url: 'https://a', pass_through: true, key_file: k"),
        upstream("kind: openai, base_url: 'https://a', key_env: A_KEY, key_file: k"),
        upstream("kind: openai, base_url: 'https://a', key_command: [op, read]"),
        upstream("kind: openai, base_url: 'https://a', key_command: []"),
        upstream("kind: openai, base_url: 'https://a', key_command: [op], key_file: k"),
        upstream("kind: openai"),
        upstream("kind: other, base_url: 'https://a'"),
        upstream("scripted: s, kind: openai"),
        upstream("scripted: s, models: [a], concurrency: 2"),
        upstream("scripted: s, pass_through: false"),
        upstream("format: anthropic"),
        upstream("base_url: 'https://a/v1'"),
        upstream("scripted: s, base_url: 'https://a/v1'"),
        upstream("scripted: s, key_env: A_KEY"),
        upstream(""),
        role("runtime: native, model: m"),
        role("runtime: native, model: m, count: 1001"),
        role("runtime: native, model: m, count: 1.5"),
        role("runtime: native, model: m, workspace: clone"),
        role("runtime: native, model: m, workspace: cloned"),
        role("runtime: native, model: 5"),
        role("runtime: native"),
        role("model: m"),
        role("runtime: codex, model: m"),
        role("runtime: acp, model: m"),
        role("runtime: acp, model: m, command: []"),
        role("runtime: acp, model: m, command: [a, b]"),
        role("runtime: native, model: m, command: [a]"),
        role("runtime: native, model: m, upstream: A"),
    ];
    for text in &texts {
        agree(&schema, text, config(text).is_ok());
    }
}

#[test]
fn policies() {
    let schema = api::schema::policy();
    let texts = [
        crate::policy::WHOLE,
        "version: 1",
        "version: 2",
        "preset: check",
        "preset: chek",
        "work: none",
        "work: all",
        "network: open",
        "network: everything",
        "network: {hosts: ['a.example:443']}",
        "network: {host: ['a.example:443']}",
        "network: []",
        "processes: none",
        "processes: {exec: [git, /usr/bin/make]}",
        "processes: many",
        "files: {read: [./a, ~/b, /c]}",
        "files: [./a]",
        "files: {read: [1]}",
        "limits: {memory: 64MiB, tree_memory: 1GiB, cpu_time: 10m}",
        "limits: {memory: 64MB}",
        "limits: {cpu_percent: 0}",
        "allowed_syscalls: ['@worker', openat]",
        "allowed_syscalls: ['@Worker']",
        "env: {LANG: C.UTF-8}",
        "pass: [TERM]",
        "pass: ['1TERM']",
        "identity: {uid: 1000, gid: 1000}",
        "identity: {uid: 0}",
        "backend: kernel",
        "backend: {docker: {image: debian}}",
        "backend: {docker: {}}",
        "backend: podman",
        "allow_degraded: [landlock]",
        "allow_degraded: landlock",
        "permissions: {file_system: read, network: restricted, shell_commands: allowed, git_operations: pr_only}",
        "permissions: {file_system: readonly}",
        "permissions: {filesystem: read}",
    ];
    for text in texts {
        agree(&schema, text, crate::policy::policy(text).is_ok());
    }
}

#[test]
fn plans() {
    let schema = api::schema::plan();
    let task = |text: &str| format!("tasks: [{{role: builder, instructions: x, {text}}}]");
    let texts = [
        task("id: a, writes: []"),
        task("id: a, writes: [], title: t, attempts_max: 3, budget_usd: 0.1"),
        task("id: a, checks: [{run: make, timeout: 60s}]"),
        task("id: a, checks: [{run: '  '}]"),
        task("id: a, checks: [{run: make, timeout: soon}]"),
        task("id: a, checks: [{}]"),
        task("id: a, checks: [make]"),
        task("id: A"),
        task("id: 1, writes: []"),
        task("id: a, writes: ['']"),
        task("id: a, writes: src"),
        task("id: a, writes: [], attempts_max: 0"),
        task("id: a, writes: [], budget_usd: -1"),
        task("id: a, writes: [], depends: []"),
        task("id: a"),
        task("id: a, checks: []"),
        task("id: a, checks: [], writes: [src]"),
        task("writes: []"),
        "tasks: []".into(),
        "tasks:".into(),
        "goal: x".into(),
        "{goal: 5, tasks: [{id: a, role: builder, instructions: x, writes: []}]}".into(),
        "{roles: {R: {runtime: native, model: m}}, tasks: [{id: a, role: builder, instructions: x, writes: []}]}"
            .into(),
        "{roles: {r: {runtime: native, model: m}}, tasks: [{id: a, role: r, instructions: x, writes: []}]}".into(),
    ];
    for text in &texts {
        agree(&schema, text, plan(text).is_ok());
    }
}

#[test]
fn a_schema_says_which_standard_it_follows() {
    for schema in [api::schema::config(), api::schema::plan(), api::schema::policy()] {
        assert_eq!(schema["$schema"], json!("https://json-schema.org/draft/2020-12/schema"));
        assert_eq!(schema["additionalProperties"], json!(false));
    }
}
