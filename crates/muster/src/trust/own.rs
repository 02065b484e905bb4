//! The person's own configuration: `config.yaml` in `$XDG_CONFIG_HOME/muster` (`~/.config/muster`). Upstreams and keys live there,
//! and what no project may go beyond.

use super::store::owned;
use crate::commands::user_home;
use api::{
    config::{self, CheckedConfig},
    source::{Problem, Problems, Source},
};
use std::{
    io,
    path::{Path, PathBuf},
};

/// The person's own configuration.
#[derive(Default)]
pub(crate) struct Own {
    /// What it says, every file of it named from the root; the default where there is none.
    pub(crate) config: CheckedConfig,
    /// The file, if it is there.
    pub(crate) source: Option<Source>,
}

/// Where it is looked for.
pub(crate) fn file() -> Option<PathBuf> {
    let given = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = given.or_else(|| user_home().map(|home| home.join(".config")))?;
    Some(folder.join("muster/config.yaml"))
}

/// Reads it, if it is there. `repo`: the root of the repository that is worked on, in which it cannot lie.
///
/// # Errors
/// Somebody else could have written it, or it is wrong.
pub(crate) fn read(repo: Option<&Path>) -> Result<Own, Problems> {
    let Some(file) = file() else { return Ok(Own::default()) };
    let name = file.display().to_string();
    let refuse = |what: String, fix: &str| Err(Problems::one(Problem::whole(&name, what, fix)));
    match file.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Own::default()),
        Err(error) => return refuse(format!("the file cannot be read: {error}"), "check the path and its permissions"),
        Ok(real) if repo.is_some_and(|repo| real.starts_with(repo)) => {
            let what = "your own configuration lies in the repository that is worked on, so it may have come with it";
            return refuse(what.to_owned(), "set XDG_CONFIG_HOME to a folder elsewhere, or move the file");
        }
        Ok(_) => {}
    }
    let source = Source::read(&file)?;
    // Looked at after it was read: what somebody else can change now was theirs to change before.
    for path in [Some(file.as_path()), file.parent()].into_iter().flatten() {
        if let Err(error) = owned(path) {
            return refuse(error.to_string(), "keys and addresses are taken from it, so only you may write it");
        }
    }
    let config = config::load(&source)?.anchored(file.parent().unwrap_or(Path::new("/")));
    Ok(Own { config, source: Some(source) })
}
