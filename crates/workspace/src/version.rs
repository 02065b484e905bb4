//! Whether the git of this host is new enough.

use crate::{Error, ErrorKind, Result, git::Git};

/// The oldest git that has all we use: 2.41 brought `--attr-source`, without which no attribute counts in a
/// merge.
const OLDEST: (u32, u32) = (2, 41);

/// The version of the host's git, such as `2.47.3`. Errors: `Missing` when there is none, `Invalid` when it is too old.
pub async fn git_version() -> Result<String> {
    let said = Git::within("/".as_ref()).to("asking for git's version").args(["version"]).run().await?.line();
    let version = said.trim_start_matches("git version ").split(' ').next().unwrap_or_default().to_owned();
    if is_new_enough(&version) {
        return Ok(version);
    }
    let (major, minor) = OLDEST;
    Err(Error::new(ErrorKind::Invalid, format!("git {version} is too old"))
        .hint(format!("Install git {major}.{minor} or newer.")))
}

fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.split('.').map_while(|part| part.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= OLDEST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, expected) in [
            ("2.41.0", true),
            ("2.40.9", false),
            ("2.47.3", true),
            ("3.0.rc1", true),
            ("2.9.5", false),
            ("1.50", false),
            ("", false),
        ] {
            assert_eq!(is_new_enough(version), expected, "{version}");
        }
    }
}
