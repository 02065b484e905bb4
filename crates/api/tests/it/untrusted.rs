//! What comes out of an untrusted file that asks for nothing: checked on the result, without a look at how it was judged. The fuzz target
//! `trust` runs this on whatever it finds, the usual tests on its corpus.

use api::{
    config::{self, Approval, CheckedConfig, HealthAsk, Key, Outgoing, Recording, Role, Runtime, Upstream},
    plan,
    policy::{Backend, CheckedPolicy, Network},
    source::Source,
    trust::{self, Ask},
};
use std::path::Path;

/// A person's own configuration, with something to widen.
pub fn own() -> CheckedConfig {
    let text = "upstreams: {main: {base_url: 'https://models.example.com/v1', kind: openai, key_env: MODELS_KEY}}\n\
                roles: {reviewer: {runtime: native, model: m, upstream: main}}\nbudget: {usd: 2}\nlimits: {attempts_max: 2}\nprices: {m: {input: 1, output: 1}}\n";
    config::load(&Source::new("config.yaml", text)).unwrap_or_default()
}

/// Reads arbitrary bytes as each kind of file of a repository.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (source, own) = (Source::new("muster.yaml", text), own());
    if let Ok(config) = config::load_over(&source, &own) {
        let asks = trust::of_config(&source, &own).unwrap_or_else(|problems| panic!("read and not judged: {problems}"));
        if free(&asks) {
            check_config(&config, &own, &asks);
        }
    }
    if let Ok(plan) = plan::load(&source, &own) {
        let asks = trust::of_plan(&source, &own).unwrap_or_else(|problems| panic!("read and not judged: {problems}"));
        if free(&asks) {
            for (name, role) in &plan.roles {
                assert!(own.roles.get(name).is_none_or(|own| own == role), "a role of the configuration is replaced");
                check_role(role, &asks);
            }
            assert!(plan.tasks.iter().all(|task| task.attempts_max <= own.limits.attempts_max), "more attempts");
            let checks = plan.tasks.iter().flat_map(|task| &task.checks);
            assert!(checks.into_iter().all(|check| check.timeout_ms <= own.limits.check_ms_max), "longer checks");
        }
    }
    if let Ok(policy) = api::policy::load(&source) {
        let asks = trust::of_policy(&source).unwrap_or_else(|problems| panic!("read and not judged: {problems}"));
        if free(&asks) {
            check_policy(&policy, &asks);
            assert!(policy.env.is_empty(), "variables");
        }
    }
}

/// Whether nothing is asked for but paths that could turn out to lie in the repository.
fn free(asks: &[Ask]) -> bool {
    asks.iter().all(|ask| ask.unless_inside.is_some())
}

fn check_config(config: &CheckedConfig, own: &CheckedConfig, asks: &[Ask]) {
    for (name, upstream) in &config.upstreams {
        match (own.upstreams.get(name), upstream) {
            (Some(own), upstream) => assert_eq!(own, upstream, "an upstream of the person's is replaced"),
            (None, Upstream::Scripted { file, .. } | Upstream::Replay { of: Recording::Folder(file), .. }) => {
                is_asked(file, asks);
            }
            (None, Upstream::Replay { of: Recording::Mission(name), .. }) => panic!("the calls of {name}"),
            (None, Upstream::Url { base_url, key, .. }) => panic!("{base_url}, {}", *key != Key::None),
        }
    }
    for (name, role) in &config.roles {
        if let Some(own) = own.roles.get(name) {
            assert_eq!(own, role, "a role of the person's is replaced");
        }
        check_role(role, asks);
    }
    check_policy(&config.checks, asks);
    assert!(config.prices == own.prices, "prices");
    assert!(config.budget_micros <= own.budget_micros && config.budget_micros.is_some(), "a larger budget");
    assert!(config.limits.attempts_max <= own.limits.attempts_max, "more attempts");
    assert!(config.limits.check_ms_max <= own.limits.check_ms_max, "longer checks");
    assert!(config.secrets.outgoing != Outgoing::Allow, "secrets leave");
}

fn check_role(role: &Role, asks: &[Ask]) {
    if let Runtime::Program { command, .. } = &role.runtime {
        let usual: [&[&str]; 3] = [&["codex"], &["claude"], &["cursor-agent", "acp"]];
        assert!(usual.contains(&command.iter().map(String::as_str).collect::<Vec<_>>().as_slice()), "{command:?}");
    }
    match role.health.as_ref().map(|health| &health.ask) {
        None => {}
        Some(HealthAsk::Command(words)) => assert_eq!(*words, ["cursor-agent", "status"]),
        Some(HealthAsk::Url(url)) => panic!("{url}"),
    }
    let asked = role.sandbox.remains.iter().any(|text| text.starts_with("shell_commands: approved_only"));
    let allows = role.approvals.otherwise == Approval::Allow
        || role.approvals.rules.iter().any(|rule| rule.answer == Approval::Allow);
    assert!(!(asked && allows), "requests are allowed without a person");
    let priced = role.model == "m";
    assert!(!priced || role.context_tokens.is_none() && role.output_tokens.is_none(), "the worst price of a call");
    assert!(role.sandbox.env.is_empty(), "variables");
    check_policy(&role.sandbox, asks);
}

fn check_policy(policy: &CheckedPolicy, asks: &[Ask]) {
    assert!(policy.write.is_empty(), "{:?}", policy.write);
    for shown in policy.host_paths() {
        assert!(shown.inside.is_none(), "{shown:?}");
        assert!(asks.iter().any(|ask| ask.place == shown.place), "{shown:?} is not asked for");
    }
    assert!(matches!(policy.network, None | Some(Network::None | Network::Gateway)), "{:?}", policy.network);
    assert!(matches!(policy.backend, None | Some(Backend::Kernel)), "{:?}", policy.backend);
    assert!(policy.allow_degraded.is_empty() && policy.pass.is_empty() && policy.allowed_syscalls.is_empty());
    let (limits, usual) = (&policy.limits, trust::LIMITS_UNASKED);
    assert!(limits.memory_bytes <= usual.memory_bytes && limits.tree_memory_bytes <= usual.tree_memory_bytes);
    assert!(limits.processes <= usual.processes && limits.open_files <= usual.open_files);
    assert!(limits.file_bytes <= usual.file_bytes && limits.disk_bytes <= usual.disk_bytes);
    assert!(limits.tmp_bytes <= usual.tmp_bytes && limits.wall_ms <= usual.wall_ms);
}

/// A path that is let in when it lies in the repository is among those that are looked at.
fn is_asked(path: &Path, asks: &[Ask]) {
    let mut asked = asks.iter().filter_map(|ask| ask.unless_inside.as_deref());
    // Byte by byte: what is looked at is what will be opened.
    assert!(asked.any(|asked| asked.as_os_str() == path.as_os_str()), "{} is not asked for", path.display());
}
