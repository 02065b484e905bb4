//! `muster.yaml`: what is taken, and what a person is told about the rest.

use crate::{config, told};
use api::{
    config::{
        CheckedConfig, Format, Key, Limits, Outgoing, Runtime, Secrets, Speaks, Upstream, UpstreamRules, WorkspaceKind,
    },
    policy::HostPath,
    source::Source,
};
use expect_test::{Expect, expect};
use std::path::{Path, PathBuf};

fn check(text: &str, expected: Expect) {
    expected.assert_eq(&told(config(text)));
}

const WHOLE: &str = r#"
version: 1
upstreams:
  main: {format: anthropic, base_url: "https://models.example.com/v1/", key_env: MODELS_API_KEY}
  local: {format: openai-responses, base_url: http://127.0.0.1:4000/v1}
  script: {scripted: demo/script.yaml}
roles:
  builder:
    runtime: acp
    command: [/opt/agent, --acp]
    model: big-1
    upstream: main
    instructions: |
      Keep changes small.
    count: 3
    workspace: scratch
    context_tokens: 200000
    output_tokens: 8000
    sandbox:
      read: [/opt/agent, ~/.cargo]
      env: {EMPTY: "", LANG: C.UTF-8}
      limits: {memory_mib: 2048, processes: 64}
  reviewer: {runtime: native, model: small-1, upstream: script}
budget: {usd: 12.30}
limits: {attempts_max: 5, check_timeout: 90s, turn_timeout: 20m, answer_timeout: 8h, returns_max: 2}
prices:
  big-1: {input: 3, output: 15.00, cache_read: 0.3}
checks:
  read: [/opt/toolchain]
secrets: {mask: [DATABASE_URL], outgoing: refuse}
"#;

#[test]
fn every_key_arrives() {
    let config = config(WHOLE).unwrap();
    let builder = &config.roles.values().next().unwrap();
    assert_eq!(
        builder.runtime,
        Runtime::Program { speaks: Speaks::Acp, command: vec!["/opt/agent".into(), "--acp".into()] }
    );
    assert_eq!((builder.model.as_str(), builder.count, builder.workspace), ("big-1", 3, WorkspaceKind::Scratch));
    assert_eq!(builder.upstream.as_ref().map(|name| name.as_str()), Some("main"));
    assert_eq!(builder.instructions, "Keep changes small.");
    assert_eq!((builder.context_tokens, builder.output_tokens), (Some(200_000), Some(8_000)));
    assert_eq!(builder.sandbox.env.get("EMPTY").map(String::as_str), Some(""));
    assert_eq!((builder.sandbox.limits.memory_bytes, builder.sandbox.limits.open_files), (Some(2048 << 20), None));
    let read: Vec<PathBuf> =
        builder.sandbox.execute.iter().map(|path| path.resolve(Path::new("/home/me"), Path::new("/")).0).collect();
    assert_eq!(read, [PathBuf::from("/opt/agent"), "/home/me/.cargo".into()]);

    let upstreams: Vec<(&str, &Upstream)> = config.upstreams.iter().map(|(name, at)| (name.as_str(), at)).collect();
    let url = |format, base_url: &str, key_env: Option<&str>| Upstream::Url {
        formats: vec![format],
        base_url: base_url.into(),
        key: key_env.map_or(Key::None, |name| Key::Env(name.into())),
        bearer: false,
        rules: UpstreamRules::default(),
    };
    let main = url(Format::Anthropic, "https://models.example.com/v1", Some("MODELS_API_KEY"));
    let local = url(Format::OpenaiResponses, "http://127.0.0.1:4000/v1", None);
    let script = Upstream::Scripted { file: "demo/script.yaml".into(), rules: UpstreamRules::default() };
    assert_eq!(upstreams, [("local", &local), ("main", &main), ("script", &script)]);
    assert_eq!(config.scripts().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["script"]);

    assert_eq!(config.budget_micros, Some(12_300_000));
    let limits = Limits {
        attempts_max: 5,
        check_ms_max: 90_000,
        silence_ms_max: None,
        turn_ms_max: Some(1_200_000),
        interrupt_ms: Some(28_800_000),
        returns_max: Some(2),
    };
    assert_eq!(config.limits, limits);
    let price = &config.prices["big-1"];
    assert_eq!((price.input_micros_per_mtok, price.output_micros_per_mtok), (3_000_000, 15_000_000));
    assert_eq!((price.cache_read_micros_per_mtok, price.cache_write_micros_per_mtok), (Some(300_000), None));
    assert_eq!(config.checks.execute[0].host, HostPath::Absolute("/opt/toolchain".into()));
    assert_eq!(config.secrets, Secrets { mask: vec!["DATABASE_URL".into()], outgoing: Outgoing::Refuse });
}

#[test]
fn json_means_the_same_as_yaml() {
    let yaml = config("upstreams:\n  a:\n    scripted: s.yaml\nroles:\n  b: {runtime: native, model: m}\n").unwrap();
    let json = "{\n\t\"upstreams\": {\"a\": {\"scripted\": \"s.yaml\"}},\n\t\"roles\": {\"b\": {\"runtime\": \"native\", \"model\": \"m\"}}\n}";
    assert_eq!(config(json).unwrap(), yaml);
}

#[test]
fn a_kind_says_what_is_spoken_and_rules_arrive() {
    let config = config(
        r#"
upstreams:
  lite:
    kind: litellm
    base_url: http://127.0.0.1:4000
    key_file: ~/.keys/lite
    models: [claude-*, gpt-5]
    aliases: {fast: gpt-5-mini}
    fallback: [open, sub]
    retries: 0
    retry_wait: 5s
    concurrency: 8
    requests_per_minute: 600
    timeouts: {connect: 2s, first_byte: 1m, silence: 30s}
  open: {kind: openai, base_url: "https://models.example.com", format: openai-responses}
  sub: {kind: gemini, base_url: "https://models.example.com", key_env: G}
  own: {kind: anthropic, base_url: "https://models.example.com", pass_through: true}
  told: {kind: openai, base_url: "https://models.example.com", key_command: [op, read, "op://a/b"]}
"#,
    )
    .unwrap();
    let formats = |name: &str| {
        let found = config.upstreams.iter().find(|(own, _)| own.as_str() == name).unwrap().1;
        let Upstream::Url { formats, key, bearer, .. } = found else { panic!("{name}") };
        (formats.iter().map(|format| format.as_str()).collect::<Vec<_>>(), key.clone(), *bearer)
    };
    let all = vec!["openai-chat", "openai-responses", "anthropic", "gemini"];
    assert_eq!(formats("lite"), (all, Key::File("~/.keys/lite".into()), true));
    assert_eq!(formats("open"), (vec!["openai-responses"], Key::None, false));
    assert_eq!(formats("sub"), (vec!["gemini"], Key::Env("G".into()), false));
    assert_eq!(formats("own"), (vec!["anthropic"], Key::Agents, false));
    let command = Key::Command(vec!["op".into(), "read".into(), "op://a/b".into()]);
    assert_eq!(formats("told"), (vec!["openai-chat", "openai-responses"], command, false));
    assert_eq!(config.key_commands().count(), 1);
    let rules = config.upstreams.values().next().unwrap().rules().unwrap();
    assert_eq!((rules.models.len(), rules.aliases["fast"].as_str(), rules.fallback.len()), (2, "gpt-5-mini", 2));
    assert_eq!((rules.retries, rules.retry_wait_ms), (Some(0), Some(5_000)));
    assert_eq!((rules.concurrency, rules.requests_per_minute), (Some(8), Some(600)));
    let times = (rules.connect_ms, rules.first_byte_ms, rules.silence_ms);
    assert_eq!(times, (Some(2_000), Some(60_000), Some(30_000)));
}

#[test]
fn what_is_wrong_with_an_upstream() {
    let told = told(config(
        "\
upstreams:
  a: {kind: openai}
  b: {kind: anthropic, base_url: 'http://h', format: gemini}
  c: {kind: openai, base_url: 'http://h', key_env: K, key_file: k, fallback: [c, none, e], retries: 11}
  d: {scripted: s, pass_through: true, aliases: {'a*': b}}
  e: {kind: gemini, base_url: 'http://h', pass_through: true, key_file: k, fallback: [c]}
  f: {kind: openai, base_url: 'http://h', key_env: K, key_command: [op]}
  g: {kind: openai, base_url: 'http://h', key_command: ['']}
roles:
  r: {runtime: native, model: m, upstream: e}
",
    ));
    for wrong in [
        "this upstream does not say where it is",
        "no provider's address is built in",
        "`gemini` is not spoken there",
        "`key_env` and `key_file` exclude each other",
        "`key_env` and `key_command` exclude each other",
        "`key_command` names no program that can be run",
        "this upstream stands in for itself",
        "there is no upstream `none`",
        "an upstream with `pass_through` can stand in for no other",
        "the number of retries is 11",
        "`pass_through` says nothing about a scripted upstream",
        "`a*` is not a name for a model",
        "`pass_through` and a key exclude each other",
        "an upstream with `pass_through` can have no stand-in",
        "our own agent does not speak the format of its upstream",
    ] {
        assert!(told.contains(wrong), "{wrong}\n{told}");
    }
}

#[test]
fn a_role_without_upstream_uses_the_only_one() {
    let one = config("{upstreams: {a: {scripted: s}}, roles: {b: {runtime: native, model: m}}}").unwrap();
    assert_eq!(one.roles.values().next().and_then(|role| role.upstream.as_ref()).map(|name| name.as_str()), Some("a"));
}

#[test]
fn all_problems_are_told_at_once() {
    check(
        "\
upstreams:
  Main: {format: openai-chat, base_url: models.example.com, key_env: my-key}
  both: {base_url: http://a/v1, scripted: s.yaml}
  neither: {}
  mute: {base_url: http://a/v1}
  stray: {scripted: s.yaml, key_env: K}
roles:
  a: {runtime: acp, model: m, upstream: bth}
  b: {runtime: native, command: [x], model: 'two words', upstream: both}
  c: {runtime: native, model: m, count: 0, context_tokens: 2000, output_tokens: 3000}
budget: {usd: -1}
limits: {attempts_max: 0, check_timeout: 5 minutes}
prices: {m: {input: cheap, output: 1}}
checks:
  read: [relative, /, /a/../b]
  env: {MUSTER_HOME: x, 1A: x}
  limits: {memory_mib: 1}
",
        expect![[r#"
            muster.yaml:2:3: `Main` is not a name
              help: write `main`: 1 to 64 of a-z, 0-9 and -, not beginning with -
            muster.yaml:2:41: `models.example.com` is not an http or https address
              help: write an address like `https://models.example.com/v1`
            muster.yaml:2:70: `key_env` is not the name of an environment variable (capitals, digits and _)
              help: write the variable's name, for example `MODELS_API_KEY`; set the key itself in the environment
            muster.yaml:3:43: `base_url` and `scripted` exclude each other
              help: keep `base_url` for a provider, or `scripted` for recorded answers
            muster.yaml:4:12: this upstream does not say where it is
              help: add `format` and `base_url` for a provider, `scripted` for written answers, or `replay` for recorded calls
            muster.yaml:5:9: this upstream does not say what is spoken there
              help: add `format: openai-chat`, `openai-responses`, `anthropic` or `gemini`
            muster.yaml:6:38: `key_env` says nothing about a scripted upstream
              help: remove `key_env`
            muster.yaml:8:16: runtime `acp` needs a `command`
              help: add `command: [PROGRAM, ARGUMENT, …]`, a program that speaks the Agent Client Protocol on stdio
            muster.yaml:8:41: there is no upstream `bth`
              help: did you mean `both`?
            muster.yaml:9:33: runtime `native` is our own agent and takes no `command`
              help: remove `command`, or write `runtime: acp` to run a program of your own
            muster.yaml:9:45: `two words` is not the name of a model
              help: write it as the provider does
            muster.yaml:10:6: this role does not say which upstream it uses
              help: add `upstream: NAME`: use one of: `Main`, `both`, `mute`, `neither`, `stray`
            muster.yaml:10:41: the number of agents is 0
              help: write a number from 1 to 1000
            muster.yaml:10:81: an answer of 3000 tokens does not fit
              help: write at most 2000, the context
            muster.yaml:11:15: `-1` is not an amount of money
              help: write US dollars in decimal with at most six decimals, for example `2.50`
            muster.yaml:12:24: the number of attempts is 0
              help: write a number from 1 to 100
            muster.yaml:12:42: `5 minutes` is not a length of time
              help: write for example `500ms`, `60s`, `5m` or `2h`
            muster.yaml:13:21: `cheap` is not an amount of money
              help: write US dollars in decimal with at most six decimals, for example `2.50`
            muster.yaml:15:10: `relative` is not a full path
              help: write a path that begins with `/` or `~/`
            muster.yaml:15:20: `/` is the whole machine
              help: name the folders that are needed
            and 4 more
        "#]],
    );
}

#[test]
fn a_misspelt_key_finds_its_neighbour() {
    check(
        "upstream:\n  a: {scripted: s}\n",
        expect![[r#"
        muster.yaml:1:1: unknown key `upstream`
          help: did you mean `upstreams`?
    "#]],
    );
    check(
        "roles:\n  a:\n    runtme: native\n",
        expect![[r#"
            muster.yaml:3:5: unknown key `runtme`
              help: did you mean `runtime`?
            muster.yaml:3:5: the key `model` is missing
              help: add `model: …` here
        "#]],
    );
    check(
        "roles: {a: {runtime: gemini, model: m}}\n",
        expect![[r#"
            muster.yaml:1:22: `gemini` is not one of the choices
              help: use one of: `native`, `acp`, `codex`, `claude`, `cursor`, `exec`
        "#]],
    );
}

#[test]
fn a_value_of_the_wrong_kind_is_told_in_plain_words() {
    check(
        "roles: []\n",
        expect![[r#"
        muster.yaml:1:1: this is a list, not a map
          help: write a map of keys and values, or `{}` for an empty one
    "#]],
    );
    check(
        "roles:\n",
        expect![[r#"
        muster.yaml:1:1: this is nothing, not a map
          help: write a map of keys and values, or `{}` for an empty one
    "#]],
    );
    check(
        "roles: {a: {runtime: native, model: 4}}\n",
        expect![[r#"
            muster.yaml:1:30: this is the integer `4`, not a text
              help: write a text; put quotes around one that looks like a number or a word like true
        "#]],
    );
    check(
        "roles: {a: {runtime: native, model: m, count: two}}\n",
        expect![[r#"
        muster.yaml:1:40: this is the text "two", not a whole number
          help: write a whole number without quotes, zero or more
    "#]],
    );
    check(
        "roles: {a: {runtime: native}}\n",
        expect![[r#"
        muster.yaml:1:13: the key `model` is missing
          help: add `model: …` here
    "#]],
    );
    check(
        "roles: {}\nroles: {}\n",
        expect![[r#"
        muster.yaml:2:1: `roles` stands twice in the same map
          help: keep one of them
    "#]],
    );
    check(
        "roles: {a: 'x}\n",
        expect![[r#"
        muster.yaml:1:12: unclosed quote
          help: correct the YAML or JSON here
    "#]],
    );
    check(
        "roles:\n\ta: {}\n",
        expect![[r#"
        muster.yaml:2:2: tabs disallowed within this context (block indentation)
          help: correct the YAML or JSON here
    "#]],
    );
    check(
        "version: 2\n",
        expect![[r#"
        muster.yaml:1:10: the version of this file's format is 2
          help: write 1
    "#]],
    );
    check(
        " \n",
        expect![[r#"
        muster.yaml: the file says nothing
          help: the README shows an example to start from
    "#]],
    );
    check(
        "# nothing yet\n",
        expect![[r#"
        muster.yaml: the file says nothing
          help: the README shows an example to start from
    "#]],
    );
    check(
        "version: 1\n---\nversion: 1\n",
        expect![[r#"
        muster.yaml:3:1: a second document starts here
          help: keep one document in a file: remove the `---`
    "#]],
    );
}

#[test]
fn a_key_in_the_file_is_refused_and_never_repeated() {
    let misplaced = [
        "upstreams: {a: {format: anthropic, base_url: http://a/v1, api_key: hunter2}}",
        "upstreams: {a: {format: anthropic, base_url: http://a/v1, key_env: hunter2-hunter2}}",
        "upstreams: {a: {format: anthropic, base_url: 'http://me:hunter2@a/v1'}}",
    ];
    let told: Vec<String> = misplaced.iter().map(|text| told(config(text))).collect();
    assert!(told.iter().all(|told| !told.contains("hunter2")), "{told:?}");
    assert!(told[0].contains("write `key_env: NAME`"), "{}", told[0]);
}

#[test]
fn several_upstreams_want_a_choice() {
    check(
        "{upstreams: {a: {scripted: s}, b: {scripted: s}}, roles: {r: {runtime: native, model: m}}}",
        expect![[r#"
        muster.yaml:1:62: this role does not say which upstream it uses
          help: add `upstream: NAME`: use one of: `a`, `b`
    "#]],
    );
}

#[test]
fn numbers_of_agents_are_bounded() {
    let roles = |count: usize, agents: usize| {
        let roles = (0..count).map(|n| format!("  r{n}: {{runtime: native, model: m, count: {agents}}}\n"));
        config(&format!("upstreams: {{a: {{scripted: s}}}}\nroles:\n{}", roles.collect::<String>()))
    };
    assert_eq!(roles(64, 1).unwrap().roles.len(), 64);
    assert!(roles(2, 500).is_ok());
    expect![[r#"
        muster.yaml:67:3: this is role number 65
          help: keep 64 roles
    "#]]
    .assert_eq(&told(roles(65, 1)));
    expect![[r#"
        muster.yaml:4:3: with this role there are 1002 agents
          help: keep 1000 in all
    "#]]
    .assert_eq(&told(roles(2, 501)));
}

#[test]
fn without_an_upstream_nothing_runs_and_the_answer_is_an_example() {
    let empty = CheckedConfig::default();
    expect![[r#"
        muster.yaml: no upstream is configured, so no agent can reach a model
          help: write into your own configuration (~/.config/muster/config.yaml), for example
          upstreams:
            main:
              format: openai-chat
              base_url: https://models.example.com/v1
              key_env: MODELS_API_KEY
          roles: {builder: {runtime: native, model: NAME-OF-A-MODEL}}
    "#]]
    .assert_eq(&told(empty.ready_to_run("muster.yaml")));
    assert!(config(api::config::EXAMPLE).unwrap().ready_to_run("muster.yaml").is_ok());
    assert_eq!(api::config::EXAMPLE.lines().count(), 6);
}

#[test]
fn a_file_that_cannot_be_read_is_told_like_any_other_problem() {
    let told = told(Source::read(Path::new("/nonexistent/muster.yaml")));
    assert!(told.starts_with("/nonexistent/muster.yaml: the file cannot be read: "), "{told}");
}

#[test]
fn many_problems_are_counted_after_the_first_ones() {
    let limits: String = (0..30).map(|n| format!("  r{n}: {{runtime: native, model: m, upstream: u}}\n")).collect();
    let told = told(config(&format!("roles:\n{limits}")));
    assert_eq!(told.matches("there is no upstream").count(), api::source::PROBLEMS_SHOWN);
    assert!(told.ends_with("and 10 more\n"), "{told}");
}
