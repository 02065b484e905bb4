//! What a mission would fail of, found before anything is spent: keys, scripts and recorded calls that are not there, models
//! without a price under a budget, programs that cannot be started, a home that cannot be written.
//!
//! All at once, and nothing is begun for it: no key is printed by its program, no model is asked, nothing is started.

use crate::{
    engine::Secrets,
    settings::{RoleSettings, Settings, UpstreamSettings},
    setup,
};
use std::path::{Path, PathBuf};

/// Something that is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// The part of the configuration that needs it, such as `upstreams.main.key`; empty when none does.
    pub part: String,
    /// What is missing.
    pub what: String,
    /// What to do.
    pub fix: String,
}

/// What a mission with these settings lacks. `budget`: whether dollars are counted for it; `variables`: those of the environment;
/// `home`: where it would be kept.
pub fn lacks(settings: &Settings, budget: bool, variables: &Secrets, home: &Path) -> Vec<Lack> {
    let path = variables("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = path.split(':').map(PathBuf::from).collect();
    let upstreams = settings.upstreams.iter();
    let upstreams = upstreams.filter_map(|(name, upstream)| of_upstream(name, upstream, variables, home, &folders));
    let programs = settings.roles.iter().filter_map(|(name, role)| of_program(name, role, &folders));
    let mut lacks: Vec<Lack> = upstreams.chain(programs).collect();
    if budget {
        lacks.extend(of_prices(settings, home));
    }
    lacks.extend(of_home(home));
    lacks
}

fn of_upstream(
    name: &str,
    upstream: &UpstreamSettings,
    variables: &Secrets,
    home: &Path,
    folders: &[PathBuf],
) -> Option<Lack> {
    let lack = |part: &str, what: String, fix: &str| {
        Some(Lack { part: format!("upstreams.{name}.{part}"), what, fix: fix.to_owned() })
    };
    match upstream {
        UpstreamSettings::Url { key_env: Some(variable), .. } => {
            let set = variables(variable).is_some_and(|key| !key.is_empty());
            let what = || format!("the key of '{name}' is expected in the variable {variable}, which is not set");
            if set { None } else { lack("key", what(), "set it in the environment that muster is run in") }
        }
        UpstreamSettings::Url { key_file: Some(file), .. } => {
            let why = match is_file(file) {
                Ok(()) => setup::file_key(name, file).err()?.to_string(),
                Err(error) => format!("the key of '{name}' is expected in the file {}: {error}", file.display()),
            };
            lack("key", why, "put the key into that file, readable by you alone")
        }
        UpstreamSettings::Url { key_command: Some(words), .. } => {
            let program = words.first()?;
            let there = match program.contains('/') {
                true => Path::new(program).is_file(),
                false => folders.iter().any(|folder| folder.join(program).is_file()),
            };
            let what = || format!("the key of '{name}' is printed by {program}, which is not on this machine");
            if there { None } else { lack("key", what(), "install it, or name the key in another way") }
        }
        UpstreamSettings::Url { .. } => None,
        UpstreamSettings::Scripted { file, .. } => {
            let why = match is_file(file) {
                Ok(()) => gateway::Script::load(file).err()?.to_string(),
                Err(error) => format!("{}: {error}", file.display()),
            };
            lack(
                "file",
                format!("the script of '{name}' cannot be used: {why}"),
                "write the script, or name the one that is there",
            )
        }
        UpstreamSettings::Replay { of, .. } => {
            let error = setup::recorded(of, home, &mut std::collections::BTreeMap::new()).err()?;
            lack("file", error.to_string(), "record a mission with `muster run --record`, or name one that was")
        }
    }
}

/// Before it is opened: whoever opens a pipe waits for its other end.
fn is_file(path: &Path) -> std::io::Result<()> {
    match std::fs::metadata(path)?.is_file() {
        true => Ok(()),
        false => Err(std::io::Error::other("it is not a file")),
    }
}

fn of_program(name: &str, role: &RoleSettings, folders: &[PathBuf]) -> Option<Lack> {
    let program = role.command.as_ref()?.first()?;
    let (what, fix) = policies::unrunnable(&role.extras, program, folders)?;
    Some(Lack { part: format!("roles.{name}.program"), what, fix })
}

/// A budget is kept by knowing what a call can cost at most, so every model needs a price; what costs nothing needs none.
fn of_prices(settings: &Settings, home: &Path) -> Vec<Lack> {
    let table = match crate::prices::of_home(home) {
        Ok(table) => table,
        Err(error) => {
            let fix = "run `muster prices refresh`".to_owned();
            return vec![Lack { part: String::new(), what: error.to_string(), fix }];
        }
    };
    let unpriced = settings.roles.iter().filter(|(_, role)| {
        let upstream = settings.upstreams.get(&role.upstream);
        let asked = matches!(upstream, Some(UpstreamSettings::Url { .. }));
        asked && !is_priced(settings, &table, role)
    });
    unpriced
        .map(|(name, role)| Lack {
            part: format!("roles.{name}.model"),
            what: format!("there is a budget, and what the model '{}' costs is not known", role.model),
            fix: format!(
                "write its price: `prices: {{{}: {{input: USD, output: USD}}}}`, for one million tokens",
                role.model
            ),
        })
        .collect()
}

/// As the upstream calls it, which is what is booked.
fn is_priced(settings: &Settings, table: &gateway::Prices, role: &RoleSettings) -> bool {
    let alias = match settings.upstreams.get(&role.upstream) {
        Some(UpstreamSettings::Url { rules, .. }) => rules.aliases.get(&role.model),
        _ => None,
    };
    let model = alias.unwrap_or(&role.model);
    settings.prices.contains_key(model) || table.of(model).is_some()
}

/// Whether the home, or else the nearest folder above that is there, can be written.
fn of_home(home: &Path) -> Option<Lack> {
    let there = home.ancestors().find(|folder| folder.exists())?;
    let error = tempfile_in(there).err()?;
    let what = format!("the state cannot be kept in {}: {}: {error}", home.display(), there.display());
    Some(Lack {
        part: String::new(),
        what,
        fix: "name a folder that can be written with --home or MUSTER_HOME".to_owned(),
    })
}

fn tempfile_in(folder: &Path) -> std::io::Result<()> {
    if !folder.is_dir() {
        return Err(std::io::Error::other("it is not a folder"));
    }
    let name = folder.join(format!(".muster-{}", uuid::Uuid::now_v7().simple()));
    std::fs::File::create_new(&name)?;
    std::fs::remove_file(name)
}
