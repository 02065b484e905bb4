//! A policy that may not be wider than another: the ceiling that whoever runs muster sets over the files of a project.
//!
//! Compared are two policies for this host, part by part, with links in paths followed. Not compared is what gives no right:
//! values of variables that stand in the file, and identities, of which none is root.

use super::{Access, Network, Policy, Processes, Resolved, layer_name, meaning::bytes};
use crate::{
    extras::{Extras, Places},
    words::duration,
};
use api::{
    policy::CheckedPolicy,
    source::{Place, Problem, Problems},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// Where it is written what a policy says, for problems that are found later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    name: String,
    keys: BTreeMap<&'static str, Place>,
    paths: Vec<(PathBuf, Place)>,
    pass: BTreeSet<String>,
}

impl Written {
    pub(super) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    pub(super) fn of(name: &str, checked: &CheckedPolicy, places: Places<'_>) -> Self {
        let path = |shown: &api::policy::Shown| (shown.resolve(places.home, places.config_dir).0, shown.place);
        Self {
            name: name.to_owned(),
            keys: checked.keys.clone(),
            paths: checked.host_paths().map(path).collect(),
            pass: checked.pass.iter().cloned().collect(),
        }
    }

    fn place(&self, key: &str) -> Place {
        self.keys.get(key).or_else(|| self.keys.get("preset")).copied().unwrap_or_default()
    }

    fn path(&self, path: &Path) -> Place {
        self.paths.iter().find(|(host, _)| host == path).map(|(_, place)| *place).unwrap_or_default()
    }
}

impl Resolved {
    /// Whether it allows nothing that `ceiling` does not.
    ///
    /// # Errors
    /// Everything that it allows beyond, each with its place.
    pub fn within(&self, ceiling: &Self) -> Result<(), Problems> {
        Problems::found(Comparison { asked: &self.policy, written: &self.written, ceiling }.wider())
    }
}

/// Whether a policy of a configuration allows nothing that `ceiling` does not. `name` is what problems call the file.
///
/// # Errors
/// Everything that it allows beyond, each with its place.
pub fn check_within(
    name: &str,
    checked: &CheckedPolicy,
    places: Places<'_>,
    ceiling: &Resolved,
) -> Result<(), Problems> {
    let extras = Extras::of(checked, places).for_sandbox();
    let mut asked = extras.preset.policy();
    extras.apply(&mut asked);
    if let Some(network) = &extras.network {
        asked.network = network.clone();
    }
    let written = &Written::of(name, checked, places);
    Problems::found(Comparison { asked: &asked, written, ceiling }.wider())
}

struct Comparison<'a> {
    asked: &'a Policy,
    written: &'a Written,
    ceiling: &'a Resolved,
}

impl Comparison<'_> {
    fn wider(&self) -> Vec<Problem> {
        let mut wider = self.files();
        wider.extend(self.network());
        wider.extend(self.processes());
        wider.extend(self.calls());
        wider.extend(self.limits());
        wider.extend(self.names());
        wider
    }

    fn problem(&self, place: Place, what: String) -> Problem {
        let ceiling = &self.ceiling.written.name;
        let what = format!("{what}, and that is wider than {ceiling} allows");
        Problem { file: self.written.name.clone(), place, what, fix: format!("ask for less here, or widen {ceiling}") }
    }

    fn key(&self, key: &str, what: String) -> Problem {
        self.problem(self.written.place(key), format!("{key}: {what}"))
    }

    /// What is shown must be shown by the ceiling, itself or a folder above it, and whatever the ceiling shows below it with
    /// fewer rights would be reached through it with more.
    fn files(&self) -> Vec<Problem> {
        let allowed: Vec<(PathBuf, Access)> =
            self.ceiling.policy.filesystem.binds.iter().map(|bind| (real(&bind.host), bind.access)).collect();
        let covered = |host: &Path, access: Access| {
            let above = allowed.iter().filter(|(other, _)| host.starts_with(other));
            let nearest = above.max_by_key(|(other, _)| other.components().count());
            let mut below = allowed.iter().filter(|(other, _)| other.starts_with(host));
            nearest.is_some_and(|(_, most)| at_most(access, *most)) && below.all(|(_, most)| at_most(access, *most))
        };
        let beyond = self.asked.filesystem.binds.iter().filter(|bind| !covered(&real(&bind.host), bind.access));
        beyond
            .map(|bind| {
                let rights = super::meaning::access_words(bind.access);
                self.problem(
                    self.written.path(&bind.host),
                    format!("files: {} is shown to {rights}", bind.host.display()),
                )
            })
            .collect()
    }

    fn network(&self) -> Vec<Problem> {
        let rules = |network: &Network| match network {
            Network::Hosts(rules) => rules.clone(),
            _ => Vec::new(),
        };
        let width = |network: &Network| match network {
            Network::None => 0,
            Network::Gateway => 1,
            Network::Hosts(_) => 2,
            Network::Open => 3,
        };
        let (asked, most) = (&self.asked.network, &self.ceiling.policy.network);
        if *most == Network::Open {
            return Vec::new();
        }
        let known = rules(most);
        let unknown: Vec<String> = rules(asked)
            .iter()
            .filter(|rule| !known.iter().any(|most| most.covers(rule)))
            .map(ToString::to_string)
            .collect();
        let what = match asked {
            Network::Hosts(_) if !unknown.is_empty() => format!("hosts {}", unknown.join(", ")),
            Network::Open => "open".to_owned(),
            Network::Gateway => "gateway".to_owned(),
            _ => "hosts".to_owned(),
        };
        let wider = width(asked) > width(most) || !unknown.is_empty();
        wider.then(|| self.key("network", what)).into_iter().collect()
    }

    fn processes(&self) -> Vec<Problem> {
        let what = match (&self.asked.processes, &self.ceiling.policy.processes) {
            (Processes::None, _) | (_, Processes::Tree) => return Vec::new(),
            (Processes::Tree, _) => "tree".to_owned(),
            (Processes::Exec(programs), Processes::None) => shown(programs.iter()),
            (Processes::Exec(programs), Processes::Exec(most)) => {
                shown(programs.iter().filter(|program| !most.contains(program)))
            }
        };
        if what.is_empty() { Vec::new() } else { vec![self.key("processes", what)] }
    }

    /// Where fewer processes are allowed, fewer calls follow by themselves; that is not what a list of calls asks for.
    fn calls(&self) -> Vec<Problem> {
        let (asked, most) = (self.asked, &self.ceiling.policy);
        if asked.allowed_syscalls.is_empty() && most.allowed_syscalls.is_empty() {
            return Vec::new();
        }
        let allowed = |policy| workspace::allowed_syscalls(policy).unwrap_or_default();
        let most = allowed(most);
        let beyond: Vec<&str> = allowed(asked).into_iter().filter(|call| !most.contains(call)).collect();
        if beyond.is_empty() { Vec::new() } else { vec![self.key("allowed_syscalls", beyond.join(", "))] }
    }

    fn limits(&self) -> Vec<Problem> {
        let (asked, most) = (&self.asked.limits, &self.ceiling.policy.limits);
        let (asked_tmp, most_tmp) = (self.asked.filesystem.tmp_bytes, self.ceiling.policy.filesystem.tmp_bytes);
        let plain = |number: u64| number.to_string();
        let ms = |ms: u64| duration(ms);
        type Row<'a> = (&'a str, Option<u64>, Option<u64>, &'a dyn Fn(u64) -> String);
        let rows: [Row<'_>; 10] = [
            ("memory", Some(asked.memory_bytes), Some(most.memory_bytes), &bytes),
            ("tree_memory", asked.tree_memory_bytes, most.tree_memory_bytes, &bytes),
            ("processes", Some(asked.processes), Some(most.processes), &plain),
            ("open_files", Some(asked.open_files), Some(most.open_files), &plain),
            ("file", Some(asked.file_bytes), Some(most.file_bytes), &bytes),
            ("disk", asked.disk_bytes, most.disk_bytes, &bytes),
            ("tmp", Some(asked_tmp), Some(most_tmp), &bytes),
            ("cpu_time", asked.cpu_s.map(|s| s.saturating_mul(1000)), most.cpu_s.map(|s| s.saturating_mul(1000)), &ms),
            ("cpu_percent", asked.cpu_percent.map(u64::from), most.cpu_percent.map(u64::from), &plain),
            ("wall", asked.wall_ms, most.wall_ms, &ms),
        ];
        let beyond = rows.into_iter().filter_map(|(name, asked, most, words)| {
            let most = most?;
            let asked = match asked {
                Some(asked) if asked <= most => return None,
                Some(asked) => words(asked),
                None => "no limit".to_owned(),
            };
            Some(self.key("limits", format!("{name} {asked} (at most {})", words(most))))
        });
        beyond.collect()
    }

    /// What is given up or handed over by name.
    fn names(&self) -> Vec<Problem> {
        let (asked, most) = (self.asked, &self.ceiling.policy);
        let given_up = asked.allow_degraded.iter().filter(|layer| !most.allow_degraded.contains(layer));
        let given_up: Vec<&str> = given_up.map(|layer| layer_name(*layer)).collect();
        let passed: Vec<&str> = self.written.pass.difference(&self.ceiling.written.pass).map(String::as_str).collect();
        let another = if asked.backend == most.backend { Vec::new() } else { vec!["another one"] };
        [("allow_degraded", given_up), ("pass", passed), ("backend", another)]
            .into_iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(key, names)| self.key(key, names.join(", ")))
            .collect()
    }
}

fn shown<'a>(programs: impl Iterator<Item = &'a PathBuf>) -> String {
    programs.map(|program| program.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn at_most(asked: Access, most: Access) -> bool {
    (!asked.writes() || most.writes()) && (!asked.executes() || most.executes())
}

/// Where a path leads: a link in a folder that is allowed may lead out of it.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
