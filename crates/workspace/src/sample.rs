//! Making a repository of a folder of ours, for samples and tests.

use crate::{Result, git::Git};
use std::path::Path;

/// Makes `dir`, a folder without a repository, one, with everything in it as the first commit on branch `main`.
///
/// # Errors
/// git's own, with what it said.
pub async fn make_repository(dir: &Path, message: &str) -> Result<()> {
    let steps: [&[&str]; 3] = [
        &["init", "-q", "-b", "main", "."],
        &["add", "-A"],
        &["-c", "user.name=muster", "-c", "user.email=muster@muster.localhost", "commit", "-q", "-m", message],
    ];
    for args in steps {
        Git::within(dir).to("making a sample repository").args(args).run().await?;
    }
    Ok(())
}
