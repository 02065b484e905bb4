//! Names of commits that builds ask git for (`git describe`, `git log main..`): the tags on the history of the base, the
//! branch that is checked out, and the main branch. Every clone and every check has them.

use crate::{
    CommitId, Result,
    layout::{self, MISSION_BRANCH},
    manners,
    window::Window,
};
use std::path::Path;

/// Where the hub keeps them, in the form of git's own file of refs.
const FILE: &str = "info/known-refs";
/// Most tags and branches; the newest of more.
const REFS_MAX: usize = 10_000;
const FILE_BYTES_MAX: u64 = 8 << 20;
/// Branches that are the main one in most repositories.
const MAIN: [&str; 5] = [
    "refs/heads/main",
    "refs/heads/master",
    "refs/remotes/origin/HEAD",
    "refs/remotes/origin/main",
    "refs/remotes/origin/master",
];

/// See the module.
#[derive(Default)]
pub(crate) struct KnownRefs(Vec<(String, String)>);

impl KnownRefs {
    /// Reads them. What cannot be read is left out: no mission fails for a broken tag.
    pub async fn of(window: &Window, base: &CommitId) -> Result<Self> {
        let format = "--format=%(objectname) %(refname)";
        let count = format!("--count={REFS_MAX}");
        let tags = ["for-each-ref", format, &count, "--sort=-creatordate", "--merged", base.as_str(), "refs/tags"];
        let mut found = Self::default();
        found.take(&window.git().to("looking for tags").args(tags).accept(&[0, 1, 128]).run().await?.line());
        let head = window.git().to("reading HEAD").args(["symbolic-ref", "--quiet", "HEAD"]).accept(&[0, 1, 128]);
        let head = head.run().await?.line();
        let mut branches = vec!["for-each-ref", format];
        // A partial clone may lack what the others need.
        branches.extend(window.manners.partial.then_some(["--merged", base.as_str()]).into_iter().flatten());
        branches.extend(MAIN);
        branches.extend(head.starts_with("refs/heads/").then_some(head.as_str()));
        found.take(&window.git().to("looking for branches").args(branches).accept(&[0, 1, 128]).run().await?.line());
        found.only_whole(window).await
    }

    fn take(&mut self, lines: &str) {
        let mission = format!("refs/heads/{MISSION_BRANCH}");
        let entries = lines.lines().filter_map(|line| line.split_once(' '));
        let entries = entries.filter(|(_, name)| *name != mission && !name.contains(['\0', '\n']));
        self.0.extend(entries.map(|(oid, name)| (name.to_owned(), oid.to_owned())));
        self.0.sort();
        self.0.dedup_by(|one, other| one.0 == other.0);
    }

    /// Without those whose objects are not all there.
    async fn only_whole(self, window: &Window) -> Result<Self> {
        let stdin: String = self.tips().map(|oid| format!("{oid}^{{commit}}\n")).collect();
        let git = window.git().to("looking for the commits of tags").stdin(stdin);
        let types = git.args(["cat-file", "--batch-check=%(objecttype)"]).run().await?.line();
        let there = self.0.into_iter().zip(types.lines()).filter(|(_, kind)| *kind == "commit");
        Ok(Self(there.map(|(entry, _)| entry).collect()))
    }

    /// What they stand at.
    pub fn tips(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(_, oid)| oid.as_str())
    }

    /// Keeps them in the hub.
    pub fn write(&self, hub: &Path) -> Result<()> {
        let lines: String = self.0.iter().map(|(name, oid)| format!("{oid} {name}\n")).collect();
        layout::write(&hub.join(FILE), lines.as_bytes())
    }

    /// Copies those of one hub into another.
    pub fn copy(from: &Path, to: &Path) -> Result<()> {
        manners::regular(&from.join(FILE), FILE_BYTES_MAX).map_or(Ok(()), |lines| layout::write(&to.join(FILE), &lines))
    }

    /// Gives those of the hub to a git directory that borrows its objects.
    pub fn hand_on(hub: &Path, git_dir: &Path) -> Result<()> {
        let Some(lines) = manners::regular(&hub.join(FILE), FILE_BYTES_MAX) else { return Ok(()) };
        layout::write(&git_dir.join("packed-refs"), &lines)
    }
}
