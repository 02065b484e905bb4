//! What a file of a repository may ask for before a person trusts it.
//!
//! A `muster.yaml`, a plan or a policy that lies in a repository may have come with it, so it is written by nobody in
//! particular. Until a person trusts its exact content it may narrow what is used and never widen it: choose roles, models
//! and upstreams by name, say what is to be done, set smaller limits. Everything else is an [`Ask`]: paths outside the
//! repository, programs, keys, addresses, guarantees given up, more than the person's own limits. A file without an ask
//! needs no trust; a file with one is used as a whole after it is trusted, and not at all before. Nothing of it is left
//! out in silence, because a file that is half believed is one that nobody has read.
//!
//! This is the only place that decides. Every shape of a file is taken apart field by field, so that a new key does not
//! compile before somebody has decided what it needs, and each key stands in [`KEYS`], the table that `docs/trust.md` shows.
//! Whose a file is, what its paths lead to and what a person has trusted is for whoever knows the machine.

use crate::{
    config::{CheckedConfig, ConfigFile},
    plan::PlanFile,
    policy::PolicySpec,
    source::{Place, Problems, Source},
};
use serde::Serialize;
use std::path::PathBuf;

mod config;
mod plan;
mod policy;
mod role;
mod table;

pub use policy::LIMITS_UNASKED;
pub use table::{KEYS, Key, Need};

/// Most agents that the roles of one file may have at work at the same time before it is asked about: as many as a strong
/// machine runs.
pub const AGENTS_UNASKED: u64 = 16;

/// What kind of thing is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Files and folders of this machine.
    Paths,
    /// Programs of its choice.
    Programs,
    /// Where a key is, or whose credential is passed on.
    Keys,
    /// Where something is sent, or taken from.
    Addresses,
    /// Protection that may be missing.
    Guarantees,
    /// Variables, which decide what programs do.
    Environment,
    /// Secrets that leave, and requests that nobody is asked about.
    Secrets,
    /// What things cost, and what may be spent.
    Money,
    /// More of the machine or of time than the usual, or than the person's own configuration allows.
    Limits,
    /// Parts of the person's own configuration that would no longer hold.
    Own,
}

impl Kind {
    /// As a heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Paths => "files of this machine",
            Self::Programs => "programs",
            Self::Keys => "keys",
            Self::Addresses => "addresses",
            Self::Guarantees => "guarantees given up",
            Self::Environment => "variables",
            Self::Secrets => "secrets and permissions",
            Self::Money => "money",
            Self::Limits => "limits raised",
            Self::Own => "your own configuration set aside",
        }
    }
}

/// Something that a file asks for and that is more than harmless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ask {
    /// What kind of thing.
    pub kind: Kind,
    /// The key in [`KEYS`] that asks for it.
    pub key: &'static str,
    /// The file, as problems call it.
    pub file: String,
    /// Where it stands.
    pub place: Place,
    /// What it is, for a person. It holds the file's own words: it is for a terminal only after it was made visible.
    pub what: String,
    /// Harmless after all when this path, from the folder of the file and with every link followed, lies inside the
    /// repository and not in git's own folder.
    pub unless_inside: Option<PathBuf>,
    /// Whether a file of a repository may never ask for it, trusted or not.
    pub never: bool,
}

/// What a configuration asks for. `own` is the person's own configuration, which it may narrow.
///
/// # Errors
/// The text is not a configuration.
pub fn of_config(source: &Source, own: &CheckedConfig) -> Result<Vec<Ask>, Problems> {
    let file: ConfigFile = source.parse()?;
    let mut asker = Asker::new(source);
    config::config(&mut asker, &file, own);
    Ok(asker.asks)
}

/// What a plan asks for. `config` is what it runs under, whose roles it may use and whose limits it may narrow.
///
/// # Errors
/// The text is not a plan.
pub fn of_plan(source: &Source, config: &CheckedConfig) -> Result<Vec<Ask>, Problems> {
    let file: PlanFile = source.parse()?;
    let mut asker = Asker::new(source);
    plan::plan(&mut asker, &file, config);
    Ok(asker.asks)
}

/// What the policy of a sandbox asks for.
///
/// # Errors
/// The text is not a policy.
pub fn of_policy(source: &Source) -> Result<Vec<Ask>, Problems> {
    let file: PolicySpec = source.parse()?;
    let mut asker = Asker::new(source);
    policy::policy(&mut asker, &file, policy::For::Program);
    Ok(asker.asks)
}

/// Most asks that are worked out for one file; one is enough to need trust.
const ASKS_MAX: usize = 1_000;

/// Collects what one file asks for.
struct Asker<'a> {
    source: &'a Source,
    asks: Vec<Ask>,
}

impl<'a> Asker<'a> {
    fn new(source: &'a Source) -> Self {
        Self { source, asks: Vec::new() }
    }

    /// Asks for what a key says; the table knows what kind of thing that is.
    fn ask(&mut self, key: &'static str, place: Place, what: impl Into<String>) {
        self.push(key, place, what.into(), None);
    }

    /// The same for a path that is harmless inside the repository.
    fn ask_outside(&mut self, key: &'static str, place: Place, what: impl Into<String>, path: PathBuf) {
        self.push(key, place, what.into(), Some(path));
    }

    fn push(&mut self, key: &'static str, place: Place, what: String, unless_inside: Option<PathBuf>) {
        if self.asks.len() == ASKS_MAX {
            return;
        }
        let need = KEYS.iter().find(|entry| entry.key == key).map(|entry| entry.need);
        let (kind, never) = match need {
            Some(Need::Never(kind)) => (kind, true),
            Some(Need::Trust(kind) | Need::Beyond(kind, _) | Need::Outside(kind)) => (kind, false),
            // A key that the table calls harmless, or does not know, and that something is asked for: the safe side.
            Some(Need::Nothing) | None => (Kind::Own, true),
        };
        self.asks.push(Ask { kind, key, file: self.source.name().to_owned(), place, what, unless_inside, never });
    }
}
