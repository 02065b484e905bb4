//! The stores of one mission: a hub that agents may read, and a vault that only we see.
//!
//! Agents never share a git directory with the user, with each other or with us. The hub holds what is agreed (the base,
//! what is merged, candidates under check); the vault borrows from it and holds what is not (checkpoints, changes,
//! merges being made). Neither is ever collected, so no object that something borrows can go away.

use crate::{
    CommitId, Error, ErrorKind, Result,
    git::{self, Git},
    known_refs::KnownRefs,
    layout::{self, Layout, MISSION_BRANCH, ObjectFormat, Skeleton},
    manners::Manners,
    window::Window,
};
use sandbox::Launcher;
use std::{path::Path, sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// Wall limit for copying the history of the user's repository.
const COPY_TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// Memory for copying that history; some hundred bytes for each of its objects.
const COPY_MEMORY_BYTES: u64 = 16 << 30;
/// Most paths in the answer of [`Repository::changed_paths`].
const CHANGED_PATHS_MAX: usize = 200_000;

/// The stores of one mission, and the launcher for everything that must not run in our own process.
#[derive(Clone)]
pub struct Repository {
    pub(crate) layout: Layout,
    pub(crate) launcher: Arc<Launcher>,
    /// How many short sandboxes of ours (not agents) run at a time.
    pub(crate) tools: Arc<Semaphore>,
}

impl Repository {
    /// Makes the stores under `dir` from the commit `base` of the user's repository at `source`, or opens them when they
    /// are there. What `base` needs is copied, the tags on its history, and the branches that builds ask for (`main`, `master`
    /// and the one that is checked out): no other branch, no stash, no configuration but how lines end and what is ignored.
    ///
    /// Errors: `Missing` when `base` is not in `source`; `Conflict` when the stores were made for another base.
    pub async fn prepare(dir: &Path, source: &Path, base: &CommitId, launcher: Arc<Launcher>) -> Result<Self> {
        let layout = Layout::new(git::absolute(dir)?);
        layout::make_dir(&layout.checks())?;
        if !layout.hub().exists() {
            let fresh = layout.hub().with_extension("git-new");
            layout::remove_tree(&fresh)?;
            copy_history(source, &fresh, base).await?;
            layout::rename(&fresh, &layout.hub())?;
        }
        let repository = Self::open(dir, launcher)?;
        let prepared = repository.base()?;
        if prepared != *base {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("this mission started from {prepared}, not from {base}"),
            ));
        }
        Ok(repository)
    }

    /// Opens the stores that [`prepare`](Self::prepare) made under `dir`. Errors: `Missing`.
    pub fn open(dir: &Path, launcher: Arc<Launcher>) -> Result<Self> {
        let layout = Layout::new(git::absolute(dir)?);
        if !layout.hub().is_dir() {
            return Err(Error::new(ErrorKind::Missing, format!("{} holds no repository of a mission", dir.display())));
        }
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let repository = Self { layout, launcher, tools: Arc::new(Semaphore::new(2 * cores)) };
        repository.ensure_vault()?;
        Ok(repository)
    }

    fn ensure_vault(&self) -> Result<()> {
        let vault = self.layout.vault();
        if vault.is_dir() {
            return Ok(());
        }
        let format = ObjectFormat::of(&self.base()?);
        let fresh = vault.with_extension("git-new");
        layout::remove_tree(&fresh)?;
        let shallow = std::fs::read(self.layout.hub().join("shallow")).ok();
        let alternates = Some("../../hub.git/objects");
        Skeleton { format, branch: "none", alternates, shallow: shallow.as_deref(), config: "" }.write(&fresh, true)?;
        Manners::copy(&self.layout.hub(), &fresh)?;
        layout::rename(&fresh, &vault)
    }

    /// The commit that the mission started from.
    pub fn base(&self) -> Result<CommitId> {
        let path = self.layout.hub().join("refs/muster/base");
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io(format!("reading {}", path.display()), &e))?;
        CommitId::new(text.trim_end())
    }

    /// The newest merged commit: the tip of the mission branch.
    pub async fn head(&self) -> Result<CommitId> {
        let (hub, name) = (self.layout.hub(), format!("refs/heads/{MISSION_BRANCH}"));
        // Nothing packs the refs of the hub, so the file alone answers; git is asked if it does not.
        if let Ok(Ok(id)) = std::fs::read_to_string(hub.join(&name)).map(|text| text.trim_end().parse()) {
            return Ok(id);
        }
        let answer =
            Git::at(&hub).to("reading the mission branch").args(["rev-parse", "--verify", &name]).run().await?;
        CommitId::new(answer.line())
    }

    /// Moves the mission branch from `from` to `to`, or leaves it when it is at `to`. Errors: `Conflict` when it is
    /// elsewhere, `Missing` when `to` is not a candidate that [`merge_candidate`](Self::merge_candidate) made.
    pub async fn advance(&self, from: &CommitId, to: &CommitId) -> Result<()> {
        let name = format!("refs/heads/{MISSION_BRANCH}");
        let args = ["update-ref", &name, to.as_str(), from.as_str()];
        match Git::at(&self.layout.hub()).to("moving the mission branch").args(args).run().await {
            Ok(_) => Ok(()),
            Err(error) => match self.head().await? {
                head if head == *to => Ok(()),
                head if head != *from => {
                    let text = format!("the mission branch is at {head}, not at {from}");
                    Err(Error::new(ErrorKind::Conflict, text))
                }
                _ => Err(error),
            },
        }
    }

    /// The paths that differ between two commits, sorted; a renamed file is two paths. Bytes that are not UTF-8 are
    /// shown as the replacement character. Errors: `Missing` for an unknown commit, `TooLarge`.
    pub async fn changed_paths(&self, base: &CommitId, commit: &CommitId) -> Result<Vec<String>> {
        Ok(self.changes(base, commit).await?.into_iter().map(|change| change.path).collect())
    }

    pub(crate) async fn changes(&self, base: &CommitId, commit: &CommitId) -> Result<Vec<Change>> {
        let args = ["diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-ext-diff", base.as_str(), commit.as_str()];
        let answer = Git::at(&self.layout.vault()).to("comparing two commits").args(args).run().await?;
        let mut fields = answer.fields();
        let mut changes = Vec::new();
        // Each change is ":<old mode> <new mode> <old id> <new id> <status>" and then the path.
        while let (Some(about), Some(path)) = (fields.next(), fields.next()) {
            let nested = about.split(' ').nth(1) == Some("160000");
            changes.push(Change { path, nested });
            if changes.len() > CHANGED_PATHS_MAX {
                return Err(Error::new(ErrorKind::TooLarge, format!("more than {CHANGED_PATHS_MAX} files changed")));
            }
        }
        Ok(changes)
    }

    /// Checks both stores for missing and broken objects; each line of the answer is one finding of git's, none means sound.
    pub async fn fsck(&self) -> Result<Vec<String>> {
        let mut findings = Vec::new();
        for store in [self.layout.hub(), self.layout.vault()] {
            let args = ["fsck", "--full", "--no-dangling", "--no-progress"];
            // git's exit code is a set of bits, one per kind of finding.
            let answer = Git::at(&store)
                .to("checking a store")
                .args(args)
                .accept(FSCK_CODES)
                .timeout(COPY_TIMEOUT)
                .run()
                .await?;
            let (out, err) = (String::from_utf8_lossy(&answer.stdout).into_owned(), answer.stderr);
            findings
                .extend(out.lines().chain(err.lines()).filter(|line| !line.starts_with("notice:")).map(str::to_owned));
        }
        Ok(findings)
    }
}

const FSCK_CODES: &[i32] = &[0, 1, 2, 3, 4, 5, 6, 7, 8, 16];

/// One path that differs between two commits.
pub(crate) struct Change {
    pub path: String,
    /// The new entry is another repository inside this one, whose files git does not keep.
    pub nested: bool,
}

/// Makes the hub at `hub` from what is reachable from `base`. The packing runs in the hub, under our configuration; the
/// user's objects are borrowed only for its duration.
pub(crate) async fn copy_history(source: &Path, hub: &Path, base: &CommitId) -> Result<()> {
    let window = Window::open(source).await?;
    let what = format!("finding {base} in {}", source.display());
    let found = window.git().to(&what).args(["rev-parse", "--verify", "--quiet", &format!("{base}^{{commit}}")]);
    if found.accept(&[0, 1, 128]).run().await?.code != 0 {
        return Err(Error::new(ErrorKind::Missing, format!("{what}: it is not there")));
    }
    let shallow = window.shallow();
    let objects = window.objects();
    let borrowed = objects.to_str().filter(|path| !path.starts_with('"') && !path.contains('\n'));
    let Some(borrowed) = borrowed else {
        return Err(Error::new(ErrorKind::Invalid, format!("the path {} cannot be used", objects.display())));
    };
    let format = ObjectFormat::of(base);
    Skeleton { format, branch: MISSION_BRANCH, alternates: Some(borrowed), shallow: shallow.as_deref(), config: "" }
        .write(hub, true)?;
    window.manners.write(hub)?;
    let known = KnownRefs::of(&window, base).await?;
    let packs = hub.join("objects/pack/pack");
    let wanted: String = known.tips().map(|oid| format!("{oid}\n")).collect();
    Git::at(hub)
        .to("copying the history of the repository")
        .setting(git::HAND_OVER)
        .memory(COPY_MEMORY_BYTES)
        .args(["pack-objects", "--revs", "-q", "--delta-base-offset"])
        .args([packs])
        .stdin(format!("{base}\n{wanted}"))
        .timeout(COPY_TIMEOUT)
        .run()
        .await?;
    known.write(hub)?;
    let alternates = hub.join("objects/info/alternates");
    std::fs::remove_file(&alternates).map_err(|e| Error::io(format!("removing {}", alternates.display()), &e))?;
    layout::make_ref(hub, &format!("refs/heads/{MISSION_BRANCH}"), base).await?;
    layout::make_ref(hub, "refs/muster/base", base).await
}
