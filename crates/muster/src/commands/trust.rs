//! `muster trust`: what a project's files ask for, and which exact contents are trusted.

use crate::{
    cli::{FileKind, TrustArgs},
    outcome::{Error, Outcome},
    project::{Configured, found},
    screen::{self, visible},
    trust::{
        Door, Given, Needs, asked,
        store::{Entry, Store},
        whose::{self, Whose},
    },
};
use api::{source::Source, trust as judge};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What a file asks for, as `--json` prints it.
#[derive(Serialize)]
struct Shown<'a> {
    file: &'a str,
    sha256: Option<String>,
    repository: Option<PathBuf>,
    trusted: bool,
    asks: &'a [judge::Ask],
}

pub(crate) fn run(home: &Path, args: &TrustArgs) -> Result<Outcome, Error> {
    match (args.list, args.revoke) {
        (true, _) => list(home, args.json),
        (_, true) => revoke(home, args.file.as_deref()),
        (false, false) => trust(home, args),
    }
}

fn trust(home: &Path, args: &TrustArgs) -> Result<Outcome, Error> {
    let file = file(args.file.as_deref())?;
    let given = read(&file)?;
    let asks = given.needs(asks(&file, &given)?);
    let door = Door { home: Some(home), trust: true };
    if !args.show && !asks.is_empty() {
        door.pass(vec![(&given, asks.clone())])?;
        // `MUSTER_TRUST` may have let it pass without its being remembered.
        door.remember(&given)?;
    }
    let entry = given.entry();
    if args.json {
        let trusted = door.is_open(&given, &asks);
        let (sha256, repository) = entry.map(|entry| (entry.sha256, entry.repository)).unzip();
        screen::json(&Shown { file: given.source.name(), sha256, repository, trusted, asks: &asks })?;
    } else {
        screen::out(&told(&(&given, asks), !args.show))?;
    }
    Ok(Outcome::Done)
}

fn told((given, asks): &Needs<'_>, trusted: bool) -> String {
    let file = visible(given.source.name());
    let Some(Entry { repository, sha256, .. }) = given.entry() else {
        return format!("{file}: this is your own file, outside every repository: it needs no trust");
    };
    if asks.is_empty() {
        return format!("{file}: it asks for nothing that needs trust");
    }
    let ends = match trusted {
        true => format!("trusted, this exact content (SHA-256 {sha256}) in {}", repository.display()),
        false => format!("SHA-256 {sha256}, in {}", repository.display()),
    };
    visible(&format!("{}\n{ends}", asked(&[(given, asks.clone())])))
}

fn list(home: &Path, json: bool) -> Result<Outcome, Error> {
    let entries = Store::of(home).list().map_err(Error::failed)?;
    if json {
        screen::json(&entries)?;
    } else if entries.is_empty() {
        screen::out("nothing is trusted")?;
    } else {
        let line = |entry: &Entry| {
            let path = entry.repository.join(&entry.file);
            visible(&format!("{}  {}", entry.sha256, path.display())).replace('\n', "\u{fffd}")
        };
        screen::out(&entries.iter().map(line).collect::<Vec<_>>().join("\n"))?;
    }
    Ok(Outcome::Done)
}

/// A file that is not there any more can be named too.
fn revoke(home: &Path, named: Option<&Path>) -> Result<Outcome, Error> {
    let store = Store::of(home);
    let meant: Box<dyn Fn(&Entry) -> bool> = match named {
        Some(file) => {
            let path = super::folder_of(file).map_err(Error::usage)?.join(file.file_name().unwrap_or_default());
            let real = file.canonicalize().unwrap_or_else(|_| path.clone());
            Box::new(move |entry| [&path, &real].contains(&&entry.repository.join(&entry.file)))
        }
        None => {
            let here = Path::new(".");
            let root = whose::root_of(here).or_else(|| here.canonicalize().ok());
            Box::new(move |entry| Some(&entry.repository) == root.as_ref())
        }
    };
    let entries = store.list().map_err(Error::failed)?;
    let meant: Vec<_> = entries.iter().filter(|entry| meant(entry)).collect();
    for entry in &meant {
        store.remove(entry).map_err(Error::failed)?;
    }
    screen::out(&match meant.len() {
        0 => "nothing of it was trusted".to_owned(),
        1 => "1 content is trusted no longer".to_owned(),
        more => format!("{more} contents are trusted no longer"),
    })?;
    Ok(Outcome::Done)
}

fn file(named: Option<&Path>) -> Result<PathBuf, Error> {
    let none =
        || Error::usage("there is no muster.yaml here or in a folder above it; say which file: muster trust FILE");
    named.map(Path::to_owned).or_else(|| found(Path::new("."))).ok_or_else(none)
}

/// As whoever uses it will read it: a policy confines programs of its own folder, wherever that is.
fn read(file: &Path) -> Result<Given, Error> {
    let given = Given::read(file, true, None).map_err(Error::usage)?;
    match (kind(file, &given), &given.whose) {
        (FileKind::Policy, Whose::Person) => Given::policy(file, &given.folder).map_err(Error::usage),
        _ => Ok(given),
    }
}

fn kind(file: &Path, given: &Given) -> FileKind {
    super::config::kind(file, given.source.text())
}

fn asks(file: &Path, given: &Given) -> Result<Vec<judge::Ask>, Error> {
    let source: &Source = &given.source;
    let asks = match kind(file, given) {
        FileKind::Policy => judge::of_policy(source),
        FileKind::Config => judge::of_config(source, &Configured::own_alone(&given.folder)?.own.config),
        FileKind::Plan => {
            let configured = match found(&given.folder) {
                Some(_) => Configured::read(None, &given.folder)?,
                None => Configured::own_alone(&given.folder)?,
            };
            judge::of_plan(source, &configured.judged()?.0)
        }
    };
    asks.map_err(Error::usage)
}
