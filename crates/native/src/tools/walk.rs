//! Walking the working directory the way git sees it.

use std::path::Path;

use ignore::overrides::{Override, OverrideBuilder};
use ignore::{DirEntry, WalkBuilder};

/// What lies below `dir`, in the order of names: hidden files included, `.git` and everything that `.gitignore` files
/// name left out, symbolic links not followed. `glob` keeps files whose name, or path from `root`, matches.
/// Directories are not returned; entries that cannot be read are skipped.
///
/// # Errors
/// The glob is not one.
pub fn walk(root: &Path, dir: &Path, glob: Option<&str>) -> Result<impl Iterator<Item = DirEntry>, String> {
    let only = glob.map(|glob| matcher(root, glob)).transpose()?;
    let mut builder = WalkBuilder::new(dir);
    builder
        .hidden(false)
        .ignore(false)
        .require_git(false)
        .git_global(false)
        .git_exclude(false)
        .sort_by_file_name(std::cmp::Ord::cmp)
        .filter_entry(|entry| entry.file_name() != ".git");
    let is_wanted = move |path: &Path| only.as_ref().is_none_or(|only| only.matched(path, false).is_whitelist());
    let entries = builder.build().filter_map(Result::ok);
    Ok(entries
        .filter(|entry| entry.file_type().is_some_and(|kind| !kind.is_dir()))
        .filter(move |entry| is_wanted(entry.path())))
}

fn matcher(root: &Path, glob: &str) -> Result<Override, String> {
    let mut builder = OverrideBuilder::new(root);
    builder.add(glob).and_then(|builder| builder.build()).map_err(|error| format!("glob {glob:?}: {error}"))
}
