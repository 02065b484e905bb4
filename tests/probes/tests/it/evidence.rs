//! The table of results: every probe, every preset, both users, and which layers hold it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use sandbox::Preset;

use crate::expected::{ALLOWED, NOT_SHOWN, NOT_WITHOUT, allowed};
use crate::host::{Place, Who};
use crate::judge::Verdict;
use crate::suite::{Results, results};

/// The locks that can be taken away from a launcher.
pub struct Layers;

impl Layers {
    /// One of them alone.
    pub fn one(name: &str) -> &'static [&'static str] {
        if name == "landlock" { &["landlock"] } else { &["seccomp"] }
    }

    const BOTH: &'static [&'static str] = &["landlock", "seccomp"];
}

/// Attacks through an agent's own repository are tried where git is run. Each is a test of this name.
const IN_WORKSPACE: &[(&str, &str)] = &[
    ("git_hooks", "has a hook of its repository run on the host"),
    ("git_fsmonitor", "has a file system monitor run on the host"),
    ("git_filters", "has a filter of its attributes run on the host"),
    ("git_programs", "has a pager, an editor, a signer, an alias, a merge or a diff program run on the host"),
    ("git_alternates", "borrows objects of another repository of the host"),
    ("git_worktree_link", "leads its repository to the user's"),
    ("git_submodules", "has a submodule fetched by a program"),
    ("git_config_include", "includes a file of the host in its configuration"),
    ("git_refs", "moves the user's branches and the mission's"),
    ("git_symlinks", "has files of the host saved through links"),
];
const WORKSPACE_TESTS: &str = include_str!("../../../../crates/workspace/tests/it/hostile.rs");

/// With `MUSTER_EVIDENCE` the table is written there; a relative folder begins at the repository's root.
#[test]
fn the_table_has_every_probe() {
    for (name, _) in IN_WORKSPACE {
        assert!(WORKSPACE_TESTS.contains(&format!("async fn {name}(")), "{name} is not a test of `workspace`");
    }
    let Some(dir) = std::env::var_os("MUSTER_EVIDENCE") else { return };
    assert!(crate::is_root(), "the table needs results as root");
    let text = table();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(dir);
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("probes.md"), text).unwrap();
}

type ByName = BTreeMap<&'static str, Verdict>;

fn by_name(results: &Results) -> ByName {
    results.iter().cloned().collect()
}

/// The columns of presets: in which order, for whom.
const PRESETS: [Preset; 4] = [Preset::Worker, Preset::AgentCli, Preset::Check, Preset::ReadOnly];

fn table() -> String {
    let control = Who::ALL.map(|who| by_name(&results(who, Place::NoSandbox)));
    let inside: Vec<(Preset, ByName)> = PRESETS
        .iter()
        .flat_map(|preset| Who::ALL.map(|who| (*preset, by_name(&results(who, Place::Inside(*preset))))))
        .collect();
    let locks = Locks::measured();
    let columns: Vec<String> =
        PRESETS.iter().flat_map(|preset| ["root", "user"].map(|who| format!("{} {who}", preset.name()))).collect();
    let mut rows = String::new();
    for probe in probes::all() {
        let mut cells = vec![format!("`{}`", probe.name), probe.what.to_owned()];
        cells.extend(control.iter().map(|results| plain(probe.name, &results[probe.name])));
        cells.extend(inside.iter().map(|(preset, results)| cell(probe.name, *preset, &results[probe.name])));
        cells.push(locks.holding(probe.name));
        rows += &format!("| {} |\n", cells.join(" | "));
    }
    let head = format!(
        "| probe | what it tries | no sandbox, root | no sandbox, user | {} | held by |\n|{}\n",
        columns.join(" | "),
        "---|".repeat(columns.len() + 5)
    );
    format!("{}\n{head}{rows}\n{}", summary(&control, &inside), notes())
}

/// Without a sandbox: whether the probe works.
fn plain(name: &str, verdict: &Verdict) -> String {
    let why = |list: &[(&str, &'static str)]| list.iter().find(|(other, _)| *other == name).map(|(_, why)| *why);
    match verdict {
        Verdict::Escaped(_) | Verdict::Partly(_) => "works".to_owned(),
        _ => match why(NOT_WITHOUT) {
            Some(why) => format!("not tried: {why}"),
            None => match (why(NOT_SHOWN), verdict) {
                (Some(why), _) => format!("not shown: {why}"),
                (None, Verdict::Held(how)) => format!("no right: {how}"),
                (None, other) => other.words(),
            },
        },
    }
}

fn cell(name: &str, preset: Preset, verdict: &Verdict) -> String {
    match (verdict, allowed(name, preset)) {
        (Verdict::Escaped(_) | Verdict::Partly(_), Some(_)) => "by design".to_owned(),
        (Verdict::Held(_), _) => "held".to_owned(),
        (Verdict::NotApplicable(_), _) => "n/a".to_owned(),
        (other, _) => other.words(),
    }
}

/// Results with locks away.
struct Locks {
    without_landlock: Vec<ByName>,
    without_seccomp: Vec<ByName>,
    without_both: Vec<ByName>,
}

impl Locks {
    fn measured() -> Self {
        let without = |layers| Who::ALL.map(|who| by_name(&results(who, Place::Without(layers)))).into();
        Self {
            without_landlock: without(Layers::one("landlock")),
            without_seccomp: without(Layers::one("seccomp")),
            without_both: without(Layers::BOTH),
        }
    }

    /// Which layers hold a probe, as root and as an ordinary user alike.
    fn holding(&self, name: &str) -> String {
        if !self.without_landlock[0].contains_key(name) {
            return if name.starts_with("time_") { "its process namespace and the clock" } else { "limits" }.to_owned();
        }
        // What is not there could not be launched: children are kept away by the filter or not at all.
        let held = |all: &[ByName]| all.iter().all(|results| results.get(name).is_some_and(Verdict::is_held));
        let (no_landlock, no_seccomp) = (held(&self.without_landlock), held(&self.without_seccomp));
        match (held(&self.without_both), no_landlock, no_seccomp) {
            (true, _, _) => "namespaces and lost privileges",
            (false, true, true) => "seccomp or Landlock",
            (false, true, false) => "seccomp",
            (false, false, true) => "Landlock",
            (false, false, false) if allowed(name, Preset::Worker).is_some() => "nothing, by design",
            (false, false, false) => "seccomp and Landlock together",
        }
        .to_owned()
    }
}

fn summary(control: &[ByName; 2], inside: &[(Preset, ByName)]) -> String {
    let shown = probes::all().filter(|probe| control.iter().any(|results| results[probe.name].shows_capable())).count();
    let by_user = control[1].values().filter(|verdict| verdict.shows_capable()).count();
    let total = probes::all().count();
    let cells: Vec<String> = inside
        .iter()
        .flat_map(|(preset, results)| results.iter().map(|(name, verdict)| cell(name, *preset, verdict)))
        .collect();
    let count = |word: &str| cells.iter().filter(|cell| *cell == word).count();
    let (held, by_design, not) = (count("held"), count("by design"), count("n/a"));
    let escaped = cells.len() - held - by_design - not;
    let workspace = IN_WORKSPACE.len();
    format!(
        "# Hostile probes\n\nMade with `MUSTER_EVIDENCE=docs/evidence cargo test -p probes --test it`, as root; the ordinary user is one that \
         the tests become.\n\n* {total} probes here, and {workspace} on repositories in the tests of `workspace` (below).\n* Without a sandbox {shown} of \
         {total} work for root or an ordinary user, {by_user} for an ordinary user.\n* Inside, in {} runs (four presets, two users): {held} held, {by_design} \
         work by design, {not} do not apply, **{escaped} escaped**.\n\nA probe is judged on the host first: files of others with \
         their modes, times and attributes, the other processes with their limits, priorities and memory, what services received, \
         processes left over, secrets in what it says. *Held by* is what still holds it, for root and an ordinary user, when locks are taken away: \
         the namespaces (with the empty root, closed files, cleared environment and lost privileges) stay in every run; seccomp and Landlock are \
         taken away one by one and together. Measured in the preset `agent-cli`, or where that \
         allows the attempt in `read-only`, or where that does too in `worker`; a `worker` without seccomp is refused by the launcher.\n",
        cells.len(),
    )
}

fn notes() -> String {
    let mut text = "## What works by design\n\n| probes | presets | why |\n|---|---|---|\n".to_owned();
    for allowed in ALLOWED {
        let probes: Vec<String> = allowed.probes.iter().map(|name| format!("`{name}`")).collect();
        let presets: Vec<&str> = allowed.presets.iter().map(|preset| preset.name()).collect();
        text += &format!("| {} | {} | {} |\n", probes.join(", "), presets.join(", "), allowed.why);
    }
    text += "\n## Attacks through an agent's own repository\n\nEach is a test in \
             [hostile.rs](../../crates/workspace/tests/it/hostile.rs) and passes only if nothing ran or changed on the host.\n\n\
             | probe | what it tries |\n|---|---|\n";
    IN_WORKSPACE.iter().for_each(|(name, what)| text += &format!("| `{name}` | {what} |\n"));
    text
}
