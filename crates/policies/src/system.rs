//! The folders that the machine itself runs on. No policy lets a program write in them: what is written there, everybody on
//! the machine executes or believes, outside of every sandbox.

use std::path::Path;

/// Each with everything below.
const SYSTEM: &[&str] = &[
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/proc",
    "/sbin",
    "/sys",
    "/usr",
];

/// What lies below a system folder and is not the system's: sources, and shared memory.
const OWN: &[&str] = &["/dev/shm", "/usr/local/src", "/usr/src"];

/// What to do instead of writing there.
pub(super) const INSTEAD: &str = "programs install into a folder of their own, for example with `--prefix`, `pip install --user`, or HOME set to a folder that may be written";

/// Whether a path of this machine, links followed as far as it exists, is the system's.
pub fn is_system(path: &Path) -> bool {
    let real = path.ancestors().find_map(|there| Some((there, there.canonicalize().ok()?)));
    let followed = real.and_then(|(there, real)| Some(real.join(path.strip_prefix(there).ok()?)));
    [Some(path), followed.as_deref()].into_iter().flatten().any(named)
}

fn named(path: &Path) -> bool {
    let own = OWN.iter().any(|own| path.starts_with(own) && path != Path::new(own));
    path == Path::new("/") || !own && SYSTEM.iter().any(|system| path.starts_with(system))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_folders_are_known_through_links_and_below() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/etc", &link).unwrap();
        let system =
            ["/", "/usr", "/usr/local/bin", "/etc", "/etc/ssl/certs", "/lib64", "/boot", "/sys/fs", "/usr/src"];
        assert!(system.iter().all(|path| is_system(Path::new(path))));
        assert!(is_system(&link) && is_system(&link.join("nothing")));
        let own = ["/usr/src/app", "/dev/shm/mine", "/usrlocal", "/home/me/usr", "/srv"];
        assert!(!own.iter().any(|path| is_system(Path::new(path))));
        assert!(!is_system(dir.path()));
    }
}
