//! What people have trusted: one small file for each content of each file of each repository, in the home.
//!
//! The name of an entry is the SHA-256 of the repository's place, the file's place in it, and the SHA-256 of its content.
//! So a changed file, a moved repository and a copy of it are to be trusted anew, and an entry cannot be made to stand for
//! anything else. Entries are believed only from a folder that nobody else can write in.

use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    ffi::OsStr,
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

/// The folder of all entries, in a home.
const FOLDER: &str = "trust";
/// What every digest begins with, so that none of another program or version is taken for one.
const DOMAIN: &[u8] = b"muster trust 1";

/// A file whose content is or may be trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The root of the repository.
    pub(crate) repository: PathBuf,
    /// The file below it.
    pub(crate) file: PathBuf,
    /// The SHA-256 of its content, in hexadecimal.
    pub(crate) sha256: String,
}

/// SHA-256 in hexadecimal, as `sha256sum` prints it.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Entry {
    fn name(&self) -> String {
        let mut digest = Sha256::new();
        let parts: [&[u8]; 4] =
            [DOMAIN, self.repository.as_os_str().as_bytes(), self.file.as_os_str().as_bytes(), self.sha256.as_bytes()];
        for part in parts {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        hex(&digest.finalize())
    }
}

/// The entries of one home.
pub(crate) struct Store(PathBuf);

impl Store {
    /// The store of a home, which need not be there yet.
    pub(crate) fn of(home: &Path) -> Self {
        Self(home.join(FOLDER))
    }

    /// Whether the home lies below this folder: what stands there then may have come with the repository.
    pub(crate) fn is_below(&self, root: &Path) -> bool {
        let real = self.0.ancestors().find_map(|folder| folder.canonicalize().ok());
        real.is_some_and(|real| real.starts_with(root))
    }

    /// Whether exactly this is trusted.
    ///
    /// # Errors
    /// Somebody else could have written the entries.
    pub(crate) fn has(&self, entry: &Entry) -> io::Result<bool> {
        let file = self.0.join(entry.name());
        match self.checked().and_then(|()| owned(&file)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Trusts exactly this.
    ///
    /// # Errors
    /// The home cannot be written, or somebody else could write in it.
    pub(crate) fn add(&self, entry: &Entry) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        self.checked()?;
        let (path, draft) =
            (self.0.join(entry.name()), self.0.join(format!("{}.new-{}", entry.name(), std::process::id())));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(&serde_json::to_vec(entry).map_err(io::Error::other)?)?;
        file.sync_all()?;
        fs::rename(draft, path)
    }

    /// Everything that is trusted, by repository and file.
    ///
    /// # Errors
    /// The home cannot be read, or somebody else could write in it.
    pub(crate) fn list(&self) -> io::Result<Vec<Entry>> {
        let folder = match self.checked().and_then(|()| fs::read_dir(&self.0)) {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut entries = Vec::new();
        for file in folder {
            let (path, name) = file.map(|file| (file.path(), file.file_name()))?;
            let entry = owned(&path).and_then(|()| fs::read(&path)).ok();
            let entry = entry.and_then(|bytes| serde_json::from_slice::<Entry>(&bytes).ok());
            // What does not stand under its own name is none of ours.
            entries.extend(entry.filter(|entry| OsStr::new(&entry.name()) == name));
        }
        entries.sort_by(|a, b| (&a.repository, &a.file, &a.sha256).cmp(&(&b.repository, &b.file, &b.sha256)));
        Ok(entries)
    }

    /// Trusts this no longer.
    ///
    /// # Errors
    /// The entry cannot be removed.
    pub(crate) fn remove(&self, entry: &Entry) -> io::Result<()> {
        fs::remove_file(self.0.join(entry.name()))
    }

    /// The folder and the home that it lies in are nobody else's to write in.
    fn checked(&self) -> io::Result<()> {
        owned(&self.0)?;
        self.0.parent().map_or(Ok(()), owned)
    }
}

/// A file or folder that belongs to this user or to root, and that nobody else may write in.
pub(crate) fn owned(path: &Path) -> io::Result<()> {
    let about = fs::metadata(path)?;
    let wrong = |why: &str| Err(io::Error::other(format!("{}: {why}", path.display())));
    if about.uid() != geteuid().as_raw() && about.uid() != 0 {
        return wrong("it belongs to somebody else");
    }
    if about.mode() & 0o022 != 0 {
        return wrong("others can write in it; forbid that with `chmod go-w`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn entry(repository: &str, file: &str, content: &str) -> Entry {
        Entry { repository: repository.into(), file: file.into(), sha256: sha256(content.as_bytes()) }
    }

    #[test]
    fn exactly_one_content_at_one_place_is_trusted() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::of(home.path());
        let trusted = entry("/a", "muster.yaml", "x");
        assert!(!store.has(&trusted).unwrap() && store.list().unwrap().is_empty());
        store.add(&trusted).unwrap();
        store.add(&trusted).unwrap();
        assert!(store.has(&trusted).unwrap());
        for other in [
            entry("/a", "muster.yaml", "y"),
            entry("/b", "muster.yaml", "x"),
            entry("/a", "plan.yaml", "x"),
            entry("/a/muster.yaml", "", "x"),
            entry("/am", "uster.yaml", "x"),
        ] {
            assert!(!store.has(&other).unwrap(), "{other:?}");
        }
        assert_eq!(store.list().unwrap(), vec![trusted.clone()]);
        store.remove(&trusted).unwrap();
        assert!(!store.has(&trusted).unwrap());
    }

    #[test]
    fn what_others_could_have_written_is_not_believed() {
        let home = tempfile::tempdir().unwrap();
        let (store, trusted) = (Store::of(home.path()), entry("/a", "muster.yaml", "x"));
        store.add(&trusted).unwrap();
        let folder = home.path().join(FOLDER);
        for (path, mode) in
            [(folder.join(trusted.name()), 0o666), (folder.clone(), 0o770), (home.path().to_owned(), 0o777)]
        {
            let before = fs::metadata(&path).unwrap().permissions();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(store.has(&trusted).unwrap_err().to_string().contains("others can write"), "{}", path.display());
            fs::set_permissions(&path, before).unwrap();
        }
        assert!(store.has(&trusted).unwrap());
        // A name that is not the one of its content.
        fs::rename(folder.join(trusted.name()), folder.join(entry("/b", "m", "x").name())).unwrap();
        assert!(store.list().unwrap().is_empty());
    }

    #[test]
    fn a_home_in_the_repository_is_known_before_it_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        assert!(Store::of(&root.join("new/home")).is_below(&root));
        assert!(!Store::of(Path::new("/nowhere/at/all")).is_below(&root));
    }
}
