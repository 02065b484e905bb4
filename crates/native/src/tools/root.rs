//! The directory that the tools work in, and the paths in it.

use std::path::{Component, Path, PathBuf};

/// The session's working directory.
#[derive(Debug, Clone)]
pub struct Root {
    dir: PathBuf,
}

impl Root {
    /// A root at an existing directory.
    ///
    /// # Errors
    /// The directory cannot be entered.
    pub fn new(dir: &Path) -> Result<Self, String> {
        match dir.canonicalize() {
            Ok(dir) if dir.is_dir() => Ok(Self { dir }),
            Ok(dir) => Err(format!("{} is not a directory", dir.display())),
            Err(error) => Err(format!("{}: {error}", dir.display())),
        }
    }

    /// The directory itself, absolute and without symbolic links.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The absolute path that the model means by `path`, which may be relative to the root or absolute within it.
    ///
    /// # Errors
    /// It leads out of the root, by `..`, as an absolute path, or over a symbolic link.
    pub fn resolve(&self, path: &str) -> Result<PathBuf, String> {
        let outside = || format!("{path} is outside the working directory. Use a path relative to it.");
        if path.contains('\0') {
            return Err("a path cannot contain a NUL character".into());
        }
        let mut resolved = PathBuf::new();
        for part in self.dir.join(path).components() {
            match part {
                Component::ParentDir => {
                    resolved.pop();
                }
                Component::CurDir => {}
                other => resolved.push(other),
            }
        }
        let existing = resolved.ancestors().find_map(|ancestor| ancestor.canonicalize().ok());
        let stays_inside = existing.is_some_and(|real| real.starts_with(&self.dir));
        if resolved.starts_with(&self.dir) && stays_inside { Ok(resolved) } else { Err(outside()) }
    }

    /// How the model sees an absolute path within the root: relative to it, `.` for the root itself.
    pub fn shown<'a>(&self, path: &'a Path) -> std::borrow::Cow<'a, str> {
        let relative = path.strip_prefix(&self.dir).unwrap_or(path);
        if relative.as_os_str().is_empty() { ".".into() } else { relative.to_string_lossy() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path()).unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("link")).unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();

        let inside = root.dir().join("sub/new/file");
        assert_eq!(root.resolve("sub/../sub/./new/file").unwrap(), inside);
        assert_eq!(root.resolve(inside.to_str().unwrap()).unwrap(), inside);
        assert_eq!(root.resolve("").unwrap(), root.resolve(".").unwrap());
        for path in ["..", "../x", "sub/../../x", "/etc/passwd", "/", "link/passwd", "link"] {
            assert!(root.resolve(path).unwrap_err().contains("outside the working directory"), "{path}");
        }
        assert!(root.resolve("a\0b").is_err());
    }

    #[test]
    fn paths_are_shown_relative() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path()).unwrap();
        assert_eq!(root.shown(&root.dir().join("a/b")), "a/b");
        assert_eq!(root.shown(root.dir()), ".");
    }
}
