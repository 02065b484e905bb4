//! Arguments of `muster trust`.

use clap::Args;
use std::path::PathBuf;

/// `muster trust`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster trust                 muster.yaml of this repository
  muster trust plan.yaml       another file of it
  muster trust --show          only show what it asks for
  muster trust --list          everything that is trusted
  muster trust --revoke        trust it no longer

In CI, where nobody can be asked: MUSTER_TRUST=SHA256 (of the file's content, as sha256sum prints it; several with commas).")]
pub(crate) struct TrustArgs {
    /// The file: a configuration, a plan or a policy (default: muster.yaml of this repository).
    pub(crate) file: Option<PathBuf>,
    /// Show what the file asks for, without trusting it.
    #[arg(long)]
    pub(crate) show: bool,
    /// List what is trusted.
    #[arg(long, conflicts_with_all = ["file", "show"])]
    pub(crate) list: bool,
    /// Trust the file no longer, whatever its content; everything of this repository without a file.
    #[arg(long, conflicts_with_all = ["show", "list"])]
    pub(crate) revoke: bool,
    /// Print JSON.
    #[arg(long, conflicts_with = "revoke")]
    pub(crate) json: bool,
}
