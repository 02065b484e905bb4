//! `muster config`: are these files right, and what may they say.

use crate::{
    cli::{ConfigCommand, FileKind},
    outcome::{Error, Outcome},
    project::{CONFIG, Texts, all, found},
    screen,
    trust::{Door, asked},
};
use api::{policy, schema, source::Source};
use std::path::Path;

pub(crate) fn run(home: &Path, command: ConfigCommand) -> Result<Outcome, Error> {
    match command {
        ConfigCommand::Check { file, config, r#as } => screen::out(&check(home, &file, config.as_deref(), r#as)?)?,
        ConfigCommand::Schema { name } => screen::json(&match name.as_str() {
            "plan" => schema::plan(),
            "policy" => schema::policy(),
            _ => schema::config(),
        })?,
    };
    Ok(Outcome::Done)
}

/// One line about a file that is right; every problem of one that is not.
pub(super) fn check(home: &Path, file: &Path, config: Option<&Path>, given: Option<FileKind>) -> Result<String, Error> {
    let source = Source::read(file).map_err(Error::usage)?;
    match given.unwrap_or_else(|| kind(file, source.text())) {
        FileKind::Config => check_config(home, file),
        FileKind::Plan => check_plan(home, file, config),
        FileKind::Policy => check_policy(file, &source),
    }
}

/// With everything that a run would lack on this machine.
fn check_config(home: &Path, file: &Path) -> Result<String, Error> {
    let texts = Texts::read(Some(file), None, folder(file))?;
    complete(&texts, home)?;
    let config = texts.config();
    let parts = [
        several(config.upstreams.len(), "upstream", "upstreams"),
        several(config.roles.len(), "role", "roles"),
        config.budget_micros.map_or("no budget".to_owned(), |micros| format!("budget {}", engine::view::money(micros))),
    ];
    Ok(format!("{}: ok, a configuration: {}{}", file.display(), parts.join(", "), trust_needed(&texts, home)?))
}

/// A plan is judged with the configuration that it would be run under, since roles may come from there.
fn check_plan(home: &Path, file: &Path, config: Option<&Path>) -> Result<String, Error> {
    let beside = file.with_file_name(CONFIG);
    let beside = if beside.exists() { Some(beside) } else { found(folder(file)) };
    let (under, texts) = match config.map(Path::to_owned).or(beside) {
        Some(config) => (config.display().to_string(), Texts::read(Some(&config), Some(file), folder(file))?),
        None => {
            let texts = Texts::alone(file, folder(file))?;
            (texts.configured_name().unwrap_or("no configuration").to_owned(), texts)
        }
    };
    complete(&texts, home)?;
    let plan = texts.plan();
    let agents: u32 = plan.roles.values().map(|role| role.count).sum();
    let checks: usize = plan.tasks.iter().map(|task| task.checks.len()).sum();
    let parts = [
        several(plan.tasks.len(), "task", "tasks"),
        several(checks, "check", "checks"),
        several(plan.roles.len(), "role", "roles"),
        several(agents as usize, "agent", "agents"),
    ];
    let more = trust_needed(&texts, home)?;
    Ok(format!("{}: ok, a plan under {under}: {}{more}", file.display(), parts.join(", ")))
}

/// The folder of a file, from where its repository is looked for.
fn folder(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Nothing is missing on this machine.
fn complete(texts: &Texts, home: &Path) -> Result<(), Error> {
    let problems = texts.lacks(false, None, home);
    if problems.is_empty() { Ok(()) } else { Err(all(problems.into_iter().map(Some))) }
}

/// What has to be trusted before it is run, if anything has.
fn trust_needed(texts: &Texts, home: &Path) -> Result<String, Error> {
    let door = Door { home: Some(home), trust: false };
    let open = texts.needs()?.into_iter().filter(|(given, asks)| !door.is_open(given, asks)).collect::<Vec<_>>();
    if open.is_empty() {
        return Ok(String::new());
    }
    Ok(format!("\n{}\n  before it is run you are asked once; see `muster trust`", asked(&open)))
}

/// With what it needs of this machine.
fn check_policy(file: &Path, source: &Source) -> Result<String, Error> {
    let policy = policy::load(source).map_err(Error::usage)?;
    super::sandbox::read(file, None)?;
    let parts = [
        policy.preset.map_or("no preset".to_owned(), |preset| format!("preset {}", preset.word())),
        several(policy.host_paths().count(), "path", "paths"),
    ];
    Ok(format!("{}: ok, a sandbox policy: {}", source.name(), parts.join(", ")))
}

fn several(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Keys of a configuration that no policy has.
const CONFIG_KEYS: [&str; 5] = ["upstreams", "roles", "budget", "prices", "checks"];

/// Keys of a policy that no configuration has.
const POLICY_KEYS: [&str; 13] = [
    "preset",
    "permissions",
    "work",
    "files",
    "read",
    "network",
    "allowed_syscalls",
    "processes",
    "env",
    "pass",
    "identity",
    "backend",
    "allow_degraded",
];

/// Keys of a policy's limits that no limits of a configuration have.
const LIMIT_KEYS: [&str; 10] =
    ["memory", "tree_memory", "processes", "open_files", "file", "disk", "tmp", "cpu_time", "cpu_percent", "wall"];

/// A plan has `tasks` at its top, a configuration never has. A file that is neither yet is judged by its name.
pub(super) fn kind(file: &Path, text: &str) -> FileKind {
    let block = |key: &str| {
        text.lines().any(|line| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(':')))
    };
    // JSON and YAML's flow form: a key of the outermost braces.
    let flow = text.trim_start().starts_with('{');
    let has = |key: &str| block(key) || block(&format!("\"{key}\"")) || (flow && has_outer_key(text, key));
    if has("tasks") {
        return FileKind::Plan;
    }
    if CONFIG_KEYS.iter().any(|key| has(key)) {
        return FileKind::Config;
    }
    // `limits` stands in a configuration too, with other keys in it.
    let limits = has("limits") && LIMIT_KEYS.iter().any(|key| has_word(text, key));
    if limits || POLICY_KEYS.iter().any(|key| has(key)) {
        return FileKind::Policy;
    }
    let named = |word| file.file_stem().and_then(|stem| stem.to_str()).is_some_and(|stem| stem.contains(word));
    match (named("plan"), named("policy")) {
        (true, _) => FileKind::Plan,
        (false, true) => FileKind::Policy,
        (false, false) => FileKind::Config,
    }
}

/// Whether a key stands anywhere.
fn has_word(text: &str, key: &str) -> bool {
    let odd = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    text.match_indices(key).any(|(at, _)| {
        let after = text[at + key.len()..].trim_start_matches(['"', '\'']);
        after.trim_start().starts_with(':') && text[..at].chars().next_back().is_none_or(odd)
    })
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

    fn is(text: &str) -> FileKind {
        kind(Path::new("x.yaml"), text)
    }

    #[test]
    fn a_file_is_known_by_its_keys() {
        assert_eq!(is("version: 1\ntasks:\n  - id: a\n"), FileKind::Plan);
        assert_eq!(is("upstreams: {}\nroles:\n  tasks: {}\n"), FileKind::Config);
        assert_eq!(is("{\"goal\": \"}, tasks:\", \"tasks\": []}"), FileKind::Plan);
        assert_eq!(is("{upstreams: {tasks: {scripted: a}}}"), FileKind::Config);
        assert_eq!(is("roles: {}"), FileKind::Config);
        assert_eq!(is("preset: check\nlimits: {memory: 1GiB}\n"), FileKind::Policy);
        assert_eq!(is("{\"network\": \"none\"}"), FileKind::Policy);
        assert_eq!(is("roles: {a: {sandbox: {network: gateway}}}"), FileKind::Config);
        for policy in
            ["limits:\n  memory: 1GiB\n", "{limits: {wall: 1m}}", "env: {A: b}", "pass: [TERM]", "backend: kernel"]
        {
            assert_eq!(is(policy), FileKind::Policy, "{policy}");
        }
        assert_eq!(is("netwrok: none\nprocesses: none\n"), FileKind::Policy);
        assert_eq!(is("limits:\n  turn_ms_max: 5\n"), FileKind::Config);
        assert_eq!(kind(Path::new("my-plan.yaml"), ""), FileKind::Plan);
        assert_eq!(kind(Path::new("policy.yaml"), "limits: {memory: 1GiB}"), FileKind::Policy);
    }

    #[test]
    fn what_cannot_run_is_not_ok() {
        let dir = tempfile::tempdir().unwrap();
        let policy = dir.path().join("x.yaml");
        for (text, word) in [
            ("files: {read: [/no/such/folder]}\n", "does not exist on this machine"),
            ("files: {write: [/usr]}\n", "belongs to the system"),
            ("processes: {exec: [no-such-program]}\n", "is not found"),
        ] {
            std::fs::write(&policy, text).unwrap();
            let error = check(dir.path(), &policy, None, None).map_err(|error| format!("{error:?}")).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
        std::fs::write(&policy, "{}\n").unwrap();
        assert!(check(dir.path(), &policy, None, Some(FileKind::Policy)).unwrap().contains("a sandbox policy"));
    }

    #[test]
    fn a_plan_is_checked_under_the_configuration_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let plan = dir.path().join("plan.yaml");
        let task = "{id: a, role: builder, instructions: do it, checks: [{run: 'true'}]}";
        std::fs::write(&plan, format!("tasks: [{task}]\n")).unwrap();
        let error = check(dir.path(), &plan, None, None).map_err(|error| format!("{error:?}")).unwrap_err();
        assert!(error.contains("plan.yaml:1:"), "{error}");

        let config = "upstreams: {main: {scripted: s.yaml}}\nroles: {builder: {runtime: native, model: m}}\n";
        std::fs::write(dir.path().join("muster.yaml"), config).unwrap();
        std::fs::write(dir.path().join("s.yaml"), "version: 1\nreplies: [{when: {}, steps: [{text: done}]}]\n")
            .unwrap();
        let line = check(dir.path(), &plan, None, None).map_err(|error| format!("{error:?}")).unwrap();
        assert!(line.ends_with("1 task, 1 check, 1 role, 1 agent"), "{line}");
        let line = check(dir.path(), &dir.path().join("muster.yaml"), None, None)
            .map_err(|error| format!("{error:?}"))
            .unwrap();
        assert!(line.ends_with("ok, a configuration: 1 upstream, 1 role, no budget"), "{line}");
    }
}
