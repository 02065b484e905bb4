//! `muster config`: are these files right, and what may they say.

use crate::{
    cli::ConfigCommand,
    outcome::{Error, Outcome},
    screen,
};
use api::{config, plan, policy, schema, source::Source};
use std::path::Path;

pub(crate) fn run(command: ConfigCommand) -> Result<Outcome, Error> {
    match command {
        ConfigCommand::Check { file, config } => screen::out(&check(&file, config.as_deref())?)?,
        ConfigCommand::Schema { name } => screen::json(&match name.as_str() {
            "plan" => schema::plan(),
            "policy" => schema::policy(),
            _ => schema::config(),
        })?,
    };
    Ok(Outcome::Done)
}

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Config,
    Plan,
    Policy,
}

/// One line about a file that is right; every problem of one that is not.
fn check(file: &Path, config: Option<&Path>) -> Result<String, Error> {
    let source = Source::read(file).map_err(Error::usage)?;
    match kind(file, source.text()) {
        Kind::Config => check_config(&source),
        Kind::Plan => check_plan(file, &source, config),
        Kind::Policy => check_policy(&source),
    }
}

fn check_config(source: &Source) -> Result<String, Error> {
    let config = config::load(source).map_err(Error::usage)?;
    let parts = [
        several(config.upstreams.len(), "upstream", "upstreams"),
        several(config.roles.len(), "role", "roles"),
        config.budget_micros.map_or("no budget".to_owned(), |micros| format!("budget {}", engine::view::money(micros))),
    ];
    Ok(format!("{}: ok, a configuration: {}", source.name(), parts.join(", ")))
}

/// A plan is judged with the configuration that it would be run under, since roles may come from there.
fn check_plan(file: &Path, source: &Source, config: Option<&Path>) -> Result<String, Error> {
    let beside = file.with_file_name("muster.yaml");
    let config = match config {
        Some(given) => Some(given),
        None => Some(beside.as_path()).filter(|beside| beside.exists()),
    };
    let loaded = match config {
        Some(path) => Source::read(path).and_then(|source| config::load(&source)).map_err(Error::usage)?,
        None => config::CheckedConfig::default(),
    };
    let plan = plan::load(source, &loaded).map_err(Error::usage)?;
    let agents: u32 = plan.roles.values().map(|role| role.count).sum();
    let checks: usize = plan.tasks.iter().map(|task| task.checks.len()).sum();
    let parts = [
        several(plan.tasks.len(), "task", "tasks"),
        several(checks, "check", "checks"),
        several(plan.roles.len(), "role", "roles"),
        several(agents as usize, "agent", "agents"),
    ];
    let under = config.map_or("no configuration".to_owned(), |path| path.display().to_string());
    Ok(format!("{}: ok, a plan under {under}: {}", source.name(), parts.join(", ")))
}

fn check_policy(source: &Source) -> Result<String, Error> {
    let policy = policy::load(source).map_err(Error::usage)?;
    let parts = [
        policy.preset.map_or("no preset".to_owned(), |preset| format!("preset {}", preset.word())),
        several(policy.host_paths().count(), "path", "paths"),
    ];
    Ok(format!("{}: ok, a sandbox policy: {}", source.name(), parts.join(", ")))
}

fn several(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A plan has `tasks` at its top, a configuration never has. A file that is neither yet is judged by its name.
fn kind(file: &Path, text: &str) -> Kind {
    let block = |key: &str| {
        text.lines().any(|line| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(':')))
    };
    // JSON and YAML's flow form: a key of the outermost braces.
    let flow = text.trim_start().starts_with('{');
    let has = |key: &str| block(key) || block(&format!("\"{key}\"")) || (flow && has_outer_key(text, key));
    if has("tasks") {
        return Kind::Plan;
    }
    // `limits` and `version` may stand in both; these in a policy only.
    let of_policies = [
        "preset",
        "permissions",
        "files",
        "network",
        "allowed_syscalls",
        "processes",
        "allow_degraded",
        "identity",
        "work",
    ];
    if !has("upstreams") && !has("roles") && of_policies.iter().any(|key| has(key)) {
        return Kind::Policy;
    }
    if ["upstreams", "roles", "budget", "prices", "checks"].iter().any(|key| has(key)) {
        return Kind::Config;
    }
    let named = |word| file.file_stem().and_then(|stem| stem.to_str()).is_some_and(|stem| stem.contains(word));
    match (named("plan"), named("policy")) {
        (true, _) => Kind::Plan,
        (false, true) => Kind::Policy,
        (false, false) => Kind::Config,
    }
}

/// Whether a key stands directly in the outermost braces. Texts may hold braces, so quotes are followed too.
fn has_outer_key(text: &str, key: &str) -> bool {
    let (mut depth, mut quoted, mut escaped, mut word) = (0u32, false, false, String::new());
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => word.push(c),
            '{' | '[' => (depth, word) = (depth.saturating_add(1), String::new()),
            '}' | ']' => (depth, word) = (depth.saturating_sub(1), String::new()),
            ',' => word.clear(),
            ':' if depth == 1 && word == key => return true,
            ':' => word.clear(),
            c if c.is_whitespace() => {}
            c => word.push(c),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(text: &str) -> Kind {
        kind(Path::new("x.yaml"), text)
    }

    #[test]
    fn a_file_is_known_by_its_keys() {
        assert_eq!(is("version: 1\ntasks:\n  - id: a\n"), Kind::Plan);
        assert_eq!(is("upstreams: {}\nroles:\n  tasks: {}\n"), Kind::Config);
        assert_eq!(is("{\"goal\": \"}, tasks:\", \"tasks\": []}"), Kind::Plan);
        assert_eq!(is("{upstreams: {tasks: {scripted: a}}}"), Kind::Config);
        assert_eq!(is("roles: {}"), Kind::Config);
        assert_eq!(is("preset: check\nlimits: {memory: 1GiB}\n"), Kind::Policy);
        assert_eq!(is("{\"network\": \"none\"}"), Kind::Policy);
        assert_eq!(is("roles: {a: {sandbox: {network: gateway}}}"), Kind::Config);
        assert_eq!(kind(Path::new("my-plan.yaml"), ""), Kind::Plan);
        assert_eq!(kind(Path::new("policy.yaml"), "limits: {memory: 1GiB}"), Kind::Policy);
    }

    #[test]
    fn a_plan_is_checked_under_the_configuration_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let plan = dir.path().join("plan.yaml");
        let task = "{id: a, role: builder, instructions: do it, checks: [{run: 'true'}]}";
        std::fs::write(&plan, format!("tasks: [{task}]\n")).unwrap();
        let error = check(&plan, None).map_err(|error| format!("{error:?}")).unwrap_err();
        assert!(error.contains("plan.yaml:1:"), "{error}");

        let config = "upstreams: {main: {scripted: s.yaml}}\nroles: {builder: {runtime: native, model: m}}\n";
        std::fs::write(dir.path().join("muster.yaml"), config).unwrap();
        let line = check(&plan, None).map_err(|error| format!("{error:?}")).unwrap();
        assert!(line.ends_with("1 task, 1 check, 1 role, 1 agent"), "{line}");
        let line = check(&dir.path().join("muster.yaml"), None).map_err(|error| format!("{error:?}")).unwrap();
        assert!(line.ends_with("ok, a configuration: 1 upstream, 1 role, no budget"), "{line}");
    }
}
