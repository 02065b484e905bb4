//! One file for each command, and what they share: where the state is, how the engine is opened, how a runtime is made.

pub(crate) mod act;
pub(crate) mod agents;
pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod diff;
pub(crate) mod doctor;
mod follow;
pub(crate) mod prices;
pub(crate) mod read;
pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod sandbox;
pub(crate) mod tail;
pub(crate) mod trust;

use crate::outcome::Error;
use engine::{Engine, Faults, Setup};
use std::{
    path::{Component, Path, PathBuf},
    sync::Arc,
};

/// Arms a crash point of the engine, for tests that kill it: see `engine::Faults`.
const FAULT_VARIABLE: &str = "MUSTER_FAULT";

/// `$MUSTER_HOME`, or its default.
pub(crate) fn home(given: Option<PathBuf>) -> Result<PathBuf, Error> {
    if let Some(home) = given.filter(|home| !home.as_os_str().is_empty()) {
        return std::path::absolute(&home).map_err(|error| Error::usage(format!("{}: {error}", home.display())));
    }
    let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let data = data.or_else(|| user_home().map(|home| home.join(".local/share")));
    data.map(|data| data.join("muster"))
        .ok_or_else(|| Error::usage("there is no home folder; say where to keep state with --home DIR"))
}

/// The folder of a file, from the root and without `.` and `..`: so are the paths that the file names relative to it.
///
/// # Errors
/// There is no current folder.
pub(crate) fn folder_of(file: &Path) -> std::io::Result<PathBuf> {
    let file = std::path::absolute(file)?;
    let mut folder = PathBuf::new();
    for part in file.parent().unwrap_or(Path::new("/")).components() {
        match part {
            Component::ParentDir => _ = folder.pop(),
            Component::CurDir => {}
            part => folder.push(part),
        }
    }
    Ok(folder)
}

/// Where the user's own configuration of muster is, if there is a place for one.
pub(crate) fn config_folder() -> Option<PathBuf> {
    let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    config.or_else(|| user_home().map(|home| home.join(".config"))).map(|config| config.join("muster"))
}

/// The home folder of whoever runs this.
pub(crate) fn user_home() -> Option<PathBuf> {
    std::env::home_dir().filter(|path| path.is_absolute())
}

/// A runtime for everything asynchronous.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::failed)
}

/// The engine of a home. Must be called within a runtime.
pub(crate) fn engine(home: &Path) -> Result<Engine, Error> {
    let program =
        std::env::current_exe().map_err(|error| Error::failed(format!("this program cannot be found: {error}")))?;
    let faults = match std::env::var(FAULT_VARIABLE) {
        Ok(spec) => Faults::armed(&spec).map_err(Error::usage)?,
        Err(_) => Faults::none(),
    };
    let setup = Setup {
        home: home.to_owned(),
        hidden: config_folder().into_iter().collect(),
        launcher: vec![program.clone().into_os_string(), "__sandbox".into()],
        program,
        secrets: Arc::new(|name| std::env::var(name).ok()),
        masking: crate::secrets::masking().clone(),
        faults,
        extra_tools: Vec::new(),
    };
    Ok(Engine::open(setup)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_a_file_has_no_steps_back() {
        let here = std::env::current_dir().unwrap();
        let folder = |file: &str| folder_of(Path::new(file)).unwrap();
        assert_eq!(folder("../policy.yaml"), here.parent().unwrap());
        assert_eq!(folder("policy.yaml"), here);
        assert_eq!(folder("/a/./b/../../c/policy.yaml"), Path::new("/c"));
    }
}
