//! The one door through which files that a person or a project wrote come in: read once, known by whom, and let in when they
//! ask for nothing or are trusted.
//!
//! What a file may ask for is decided by [`api::trust`]; here is what needs the machine: whose it is ([`whose`]), which of its
//! paths stay inside the repository, what was trusted before ([`store`]), and how a person is asked. The bytes that are shown,
//! hashed and trusted are the bytes that are used: no file is read a second time.

pub(crate) mod own;
pub(crate) mod store;
pub(crate) mod whose;
mod words;

use crate::{
    commands::folder_of,
    outcome::Error,
    screen::{self, visible},
};
use api::{
    source::{Problem, Problems, Source},
    trust::Ask,
};
use std::{
    io::{self, BufRead, IsTerminal, Write},
    path::{Path, PathBuf},
};
use store::{Entry, Store};
use whose::Whose;
pub(crate) use words::asked;

/// Trusts files for one run, for CI: the SHA-256 of their contents, separated by commas, or `1` for whatever there is.
pub(crate) const VARIABLE: &str = "MUSTER_TRUST";

/// A file that was read.
pub(crate) struct Given {
    /// Its text.
    pub(crate) source: Source,
    /// The file as it was named.
    file: PathBuf,
    /// Its folder, as a full path.
    pub(crate) folder: PathBuf,
    /// Whose it is.
    pub(crate) whose: Whose,
}

impl Given {
    /// Reads a file. `named`: whether a person named it; `repo`: the root of the repository that is worked on.
    pub(crate) fn read(file: &Path, named: bool, repo: Option<&Path>) -> Result<Self, Problems> {
        Self::of(file, || Whose::of(file, named, repo))
    }

    /// Reads a policy, under which programs are run in `folder`.
    pub(crate) fn policy(file: &Path, folder: &Path) -> Result<Self, Problems> {
        Self::of(file, || Whose::in_folder(file, true, folder))
    }

    fn of(file: &Path, whose: impl FnOnce() -> io::Result<Whose>) -> Result<Self, Problems> {
        let source = Source::read(file)?;
        let unknown = |error: io::Error| {
            let what = format!("where it lies cannot be found out: {error}");
            Problems::one(Problem::whole(source.name(), what, "name a file that can be read"))
        };
        let (whose, folder) = (whose().map_err(unknown)?, folder_of(file).map_err(unknown)?);
        Ok(Self { source, file: file.to_owned(), folder, whose })
    }

    /// The same when those whom it confines could write it: in one of these folders.
    #[must_use]
    pub(crate) fn within(mut self, writable: &[PathBuf]) -> Self {
        if self.whose == Whose::Person
            && let Ok(real) = self.folder.join(self.file.file_name().unwrap_or_default()).canonicalize()
            && writable.iter().filter_map(|folder| folder.canonicalize().ok()).any(|folder| real.starts_with(folder))
        {
            self.whose = Whose::beside(&real);
        }
        self
    }

    /// What stands in the store for exactly this content; nothing for the person's own file.
    pub(crate) fn entry(&self) -> Option<Entry> {
        let Whose::Project { root, file } = &self.whose else { return None };
        let sha256 = store::sha256(self.source.text().as_bytes());
        Some(Entry { repository: root.clone(), file: file.clone(), sha256 })
    }

    /// What of this needs trust, now that it is known where paths lead.
    pub(crate) fn needs(&self, asks: Vec<Ask>) -> Vec<Ask> {
        let Whose::Project { root, .. } = &self.whose else { return Vec::new() };
        let stays = |ask: &Ask| ask.unless_inside.as_ref().is_some_and(|path| is_inside(&self.folder, path, root));
        asks.into_iter().filter(|ask| !stays(ask)).collect()
    }
}

/// Whether a path that a file of `folder` names stays in the repository, links followed, and out of git's own folders.
fn is_inside(folder: &Path, written: &Path, root: &Path) -> bool {
    let steps = written.components().any(|part| part == std::path::Component::ParentDir);
    if steps || written.to_string_lossy().starts_with('~') {
        return false;
    }
    let path = folder.join(written);
    let real = path.ancestors().find_map(|there| Some(there.canonicalize().ok()?.join(path.strip_prefix(there).ok()?)));
    let Some(below) = real.as_deref().and_then(|real| real.strip_prefix(root).ok()) else { return false };
    let gits = below.components().any(|part| part.as_os_str().eq_ignore_ascii_case(".git"));
    !gits && !whose::is_root(&path)
}

/// A file and what of it needs trust.
pub(crate) type Needs<'a> = (&'a Given, Vec<Ask>);

/// Who may be asked, and what was said before.
pub(crate) struct Door<'a> {
    /// The home that remembers; nothing where there is none.
    pub(crate) home: Option<&'a Path>,
    /// Whether the person said on the command line that the files are trusted.
    pub(crate) trust: bool,
}

/// What becomes of files that need trust.
enum Standing {
    Trusted,
    /// Not yet, with what else there is to say.
    Unknown(Option<String>),
}

impl Door<'_> {
    /// Lets files in, or says why not.
    ///
    /// # Errors
    /// One of them asks for what it may not have yet, and nobody said that it is trusted.
    pub(crate) fn pass(&self, files: Vec<Needs<'_>>) -> Result<(), Error> {
        let files: Vec<_> = files.into_iter().filter(|(_, asks)| !asks.is_empty()).collect();
        if let Some(text) = words::never(&files) {
            return Err(Error::usage(text));
        }
        let mut open = Vec::new();
        let mut notes = Vec::new();
        for (given, asks) in files {
            match self.standing(given) {
                Standing::Trusted => {}
                Standing::Unknown(note) => {
                    notes.extend(note);
                    open.push((given, asks));
                }
            }
        }
        if open.is_empty() {
            return Ok(());
        }
        if self.trust || self.says_yes(&open)? {
            return open.iter().try_for_each(|(given, _)| self.remember(given));
        }
        notes.push(words::what_to_do(&open));
        Err(Error::usage(format!("{}\n{}", asked(&open), notes.join("\n"))))
    }

    /// Whether everything that needs it is trusted; for those who only look and ask nobody.
    pub(crate) fn is_open(&self, given: &Given, asks: &[Ask]) -> bool {
        let open = || matches!(self.standing(given), Standing::Trusted);
        asks.is_empty() || !asks.iter().any(|ask| ask.never) && open()
    }

    fn standing(&self, given: &Given) -> Standing {
        let (Some(entry), Whose::Project { root, .. }) = (given.entry(), &given.whose) else {
            return Standing::Trusted;
        };
        let said = std::env::var(VARIABLE).unwrap_or_default();
        if said.split(',').any(|word| matches!(word.trim(), "1") || word.trim().eq_ignore_ascii_case(&entry.sha256)) {
            return Standing::Trusted;
        }
        let Some(store) = self.home.map(Store::of) else { return Standing::Unknown(None) };
        if store.is_below(root) {
            let note = "what was trusted before is not used: the home lies in the repository itself (MUSTER_HOME)";
            return Standing::Unknown(Some(format!("  note: {note}")));
        }
        match store.has(&entry) {
            Ok(true) => Standing::Trusted,
            Ok(false) => Standing::Unknown(None),
            Err(error) => Standing::Unknown(Some(format!("  note: what was trusted before is not used: {error}"))),
        }
    }

    /// Remembers that a file is trusted.
    pub(crate) fn remember(&self, given: &Given) -> Result<(), Error> {
        let (Some(home), Some(entry)) = (self.home, given.entry()) else { return Ok(()) };
        Store::of(home).add(&entry).map_err(|error| {
            Error::failed(format!("that {} is trusted cannot be remembered: {error}", visible(given.source.name())))
        })
    }

    /// Asks the person, where there is one.
    fn says_yes(&self, open: &[Needs<'_>]) -> Result<bool, Error> {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Ok(false);
        }
        let failed = |error: io::Error| Error::failed(format!("the question cannot be asked: {error}"));
        let text = visible(&asked(open));
        write!(io::stderr(), "{text}\nTrust this exact content? [y/N] ").map_err(failed)?;
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map_err(failed)?;
        Ok(matches!(line.trim(), "y" | "Y" | "yes"))
    }
}

/// Says which configuration was found, where that is not plain.
pub(crate) fn say_found(file: &Path) {
    screen::note(&format!("configuration: {}", visible(&file.display().to_string())));
}
