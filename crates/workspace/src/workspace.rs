//! An agent's own place: a private clone that borrows objects from the hub, a home, and nothing shared with anybody.
//!
//! The clone is made by writing its few files; files of the project appear with the first task. After that, nothing of
//! ours ever opens it again outside a sandbox: the host looks at names (is there a `.git` directory?) and moves directories,
//! and no more. All operations may be repeated after a crash at any point.

use crate::{
    AgentName, BranchName, Checkpoint, CommitId, Error, ErrorKind, Result,
    checkpoint::Take,
    known_refs::KnownRefs,
    layout::{self, AgentLayout, INSIDE_HUB, INSIDE_SNAPSHOT, Layout, ObjectFormat, Skeleton},
    manners::Manners,
    order::COMMANDS_MAX,
    receive,
    repository::Repository,
    tool::Tool,
};
use sandbox::{Bind, Launcher};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::{Mutex, Semaphore};

/// $1 branch, $2 base, $3 `fresh` or `again`. Ends with the agent's tree at the base. The files are written by the snapshot
/// store, which is ours; in the agent's own git directory only files are put in their places ($4 its settings, $5 whose objects
/// it borrows, HEAD, the branch, the index), so that git never runs under the configuration and the attributes that an agent can write there.
const START: &str = r#"
set -e
if [ "$3" = again ]; then
  # A directory that its owner may not write cannot be moved aside either.
  [ -w .git ] && [ -x .git ] || chmod u+rwx .git || :
  for left in rebase-merge rebase-apply MERGE_HEAD CHERRY_PICK_HEAD REVERT_HEAD; do rm -rf ".git/$left"; done
  find .git -name objects -prune -o -name '*.lock' -prune -exec rm -rf {} +
  # git has no links or FIFOs here, and would hang on the latter.
  [ -z "$(find .git ! -type f ! -type d)" ]
fi
[ -d .git/refs/heads ] && [ -d .git/objects ]
export GIT_DIR=/muster/snapshot.git GIT_WORK_TREE=/workspace
rm -f $GIT_DIR/index.lock
git -c core.fsync=none read-tree --reset -u "$2"
if [ "$3" = again ]; then
  find . -path ./.git -prune -o -type d ! -perm -700 -exec chmod u+rwx {} + || :
  git clean -fdq || :
fi
git update-index -q --refresh || :
echo "$2" >$GIT_DIR/indexed
rm -rf .git/index .git/HEAD .git/config ".git/refs/heads/$1"
printf %s "$4" >.git/config
mkdir -p .git/objects/info
echo "$5" >.git/objects/info/alternates
cp -p $GIT_DIR/index .git/index
mkdir -p ".git/refs/heads/$(dirname "$1")"
echo "$2" >".git/refs/heads/$1"
echo "ref: refs/heads/$1" >.git/HEAD
"#;

/// Clears away the locks of git processes that were killed: with them in place the agent's own git refuses to go on.
const UNLOCK: &str = "find .git -name objects -prune -o -name '*.lock' -prune -exec rm -rf {} + || :";
/// $1 base. Gives a new git directory its branch and index, and leaves the files alone.
const RESET: &str = r#"git --git-dir=/muster/new.git --work-tree=/workspace reset -q "$1""#;
/// Where [`RESET`] finds the new git directory.
const INSIDE_NEW_GIT: &str = "/muster/new.git";

/// $1 base, $2 tree; the pack of the tree on standard input. Turns the base's files into the tree's.
const RESTORE: &str = r#"
set -e
export GIT_DIR=/muster/snapshot.git GIT_WORK_TREE=/workspace
git unpack-objects -q
git read-tree -m -u "$1" "$2"
"#;

/// An agent's place on disk and what it works on.
pub struct Workspace {
    pub(crate) agent: AgentName,
    pub(crate) layout: Layout,
    pub(crate) launcher: Arc<Launcher>,
    /// None for a scratch workspace, which has no git at all.
    pub(crate) repository: Option<Repository>,
    /// Turns at running a command.
    pub(crate) commands: Semaphore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    task: Option<Task>,
    last: Option<Checkpoint>,
}

/// What a workspace was last told to work on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Task {
    pub branch: BranchName,
    pub base: CommitId,
    /// The number of the last checkpoint before this task.
    pub since: u32,
    /// The tree was brought to the base; before that its content means nothing.
    pub ready: bool,
}

/// What [`Workspace::start_task`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started {
    /// The tree is at the base of the new task. What the tree held before, if there was a task before, is in the checkpoint, or was moved aside
    /// because it cannot be saved.
    Fresh(Option<Checkpoint>),
    /// The task had been started before, and the tree was left as it is.
    Already,
}

impl Repository {
    /// The agent's clone, made or found. The project's files appear with [`Workspace::start_task`]. A clone that is found
    /// damaged is repaired: a `.git` that is gone is made anew and the files are kept; files that are gone come
    /// from the last checkpoint of the task.
    pub async fn clone_for(&self, agent: &AgentName) -> Result<Workspace> {
        let dirs = self.layout.agent(agent);
        if !dirs.dir.is_dir() {
            let (repository, name) = (self.clone(), agent.clone());
            layout::blocking(move || repository.make_clone(&name)).await?;
            return Ok(self.workspace(agent, State::default()));
        }
        let task = read_task(&dirs)?;
        let last = match &task {
            Some(_) => self.last_checkpoint(agent).await?,
            None => None,
        };
        let workspace = self.workspace(agent, State { task, last });
        workspace.repair().await?;
        Ok(workspace)
    }

    fn workspace(&self, agent: &AgentName, state: State) -> Workspace {
        Workspace {
            agent: agent.clone(),
            layout: self.layout.clone(),
            launcher: Arc::clone(&self.launcher),
            repository: Some(self.clone()),
            commands: Semaphore::new(COMMANDS_MAX),
            state: Mutex::new(state),
        }
    }

    /// Everything is made under another name first: an agent's directory is complete or not there.
    fn make_clone(&self, agent: &AgentName) -> Result<()> {
        let dirs = self.layout.agent(agent);
        let fresh = AgentLayout { dir: dirs.dir.with_file_name(format!(".new-{agent}")) };
        layout::remove_tree(&fresh.dir)?;
        self.write_git(&fresh.work().join(".git"), NO_BRANCH, CLONE_CONFIG)?;
        self.write_git(&fresh.snapshot(), NO_BRANCH, SNAPSHOT_CONFIG)?;
        write_home(&fresh.home(), agent)?;
        fs::rename(&fresh.dir, &dirs.dir).map_err(|e| Error::io(format!("making the workspace of {agent}"), &e))
    }

    /// Makes the agent's snapshot store anew; what it held can be had from the tree again.
    pub(crate) fn make_snapshot_store(&self, agent: &AgentName) -> Result<()> {
        let store = self.layout.agent(agent).snapshot();
        layout::remove_tree(&store)?;
        self.write_git(&store, NO_BRANCH, SNAPSHOT_CONFIG)
    }

    /// The settings of an agent's clone, as we make it.
    fn clone_config(&self) -> Result<String> {
        let config = Manners::core_inside(&self.layout.hub()) + CLONE_CONFIG;
        let format = ObjectFormat::of(&self.base()?);
        let clone = Skeleton { format, branch: NO_BRANCH, alternates: None, shallow: None, config: &config };
        Ok(clone.config_text(false))
    }

    /// A git directory that borrows from the hub as it is seen inside a sandbox.
    pub(crate) fn write_git(&self, git_dir: &Path, branch: &str, config: &str) -> Result<()> {
        let hub = self.layout.hub();
        let shallow = fs::read(hub.join("shallow")).ok();
        let alternates = inside_objects();
        let format = ObjectFormat::of(&self.base()?);
        let config = Manners::hand_on(&hub, git_dir)? + config;
        Skeleton { format, branch, alternates: Some(&alternates), shallow: shallow.as_deref(), config: &config }
            .write(git_dir, false)?;
        KnownRefs::hand_on(&hub, git_dir)
    }
}

/// The objects that every clone borrows, as a sandbox sees them.
fn inside_objects() -> String {
    format!("{INSIDE_HUB}/objects")
}

/// Where HEAD points before the first task.
const NO_BRANCH: &str = "none";
/// The agent sees the hub as the remote `muster`; nothing collects or repacks behind its back.
const CLONE_CONFIG: &str = "[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n\
    [remote \"muster\"]\n\turl = /muster/hub.git\n\tfetch = +refs/heads/*:refs/remotes/muster/*\n";
/// Nothing here needs to survive a power cut: what is kept is kept in the vault.
const SNAPSHOT_CONFIG: &str = "\thooksPath = /dev/null\n\tfsmonitor = false\n\tfsync = none\n\tcheckStat = default\n\
    [gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n[advice]\n\taddEmbeddedRepo = false\n";

/// Makes a home folder in which git knows who commits.
pub(crate) fn write_home(home: &Path, agent: &AgentName) -> Result<()> {
    layout::make_dir(home)?;
    let user = format!("[user]\n\tname = {agent}\n\temail = {agent}@muster.localhost\n");
    layout::write(&home.join(".gitconfig"), format!("{user}[safe]\n\tdirectory = *\n").as_bytes())
}

fn read_task(dirs: &AgentLayout) -> Result<Option<Task>> {
    match fs::read(dirs.task()) {
        Ok(bytes) if bytes.is_empty() => Ok(None),
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| Error::new(ErrorKind::Damaged, format!("{} cannot be read: {e}", dirs.task().display()))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(format!("reading {}", dirs.task().display()), &e)),
    }
}

impl Workspace {
    /// A place without a repository, for a role that does not work on files: an empty directory and a home under the
    /// mission's `dir`. Found when it is there.
    pub fn scratch(dir: &Path, agent: &AgentName, launcher: Arc<Launcher>) -> Result<Self> {
        let layout = Layout::new(crate::git::absolute(dir)?);
        let dirs = layout.agent(agent);
        layout::make_dir(&dirs.work())?;
        layout::make_dir(&dirs.home())?;
        let commands = Semaphore::new(COMMANDS_MAX);
        Ok(Self { agent: agent.clone(), layout, launcher, repository: None, commands, state: Mutex::default() })
    }

    /// Whose workspace it is.
    pub fn agent(&self) -> &AgentName {
        &self.agent
    }

    /// Brings the tree to `base` on `branch`. Work of the task before is checkpointed first, then cleared away (ignored
    /// files, such as build results, stay). Asked again with the same branch and base, it leaves the tree as it is, so
    /// a new attempt needs a branch of its own. In a scratch workspace there is nothing to do.
    ///
    /// A tree that cannot be saved for what is in it is moved aside as it is, in place of one that was moved aside before: it must not stand
    /// in the way of every task to come.
    ///
    /// Errors: `Missing` when `base` is not in the hub, `NoSpace`, and those of [`checkpoint`](Self::checkpoint) that do not blame the files.
    pub async fn start_task(&self, branch: &BranchName, base: &CommitId, at_ms: u64) -> Result<Started> {
        let Some(repository) = &self.repository else { return Ok(Started::Already) };
        let mut state = self.state.lock().await;
        let before = match state.task.clone() {
            Some(task) if task.branch == *branch && task.base == *base && task.ready => return Ok(Started::Already),
            Some(task) if task.ready => {
                match self.save(repository, &mut state, &task, "before the next task", at_ms).await {
                    Ok(saved) => Some(saved),
                    Err(error) if error.blames_the_files() => {
                        self.set_aside(repository).await?;
                        None
                    }
                    Err(error) => return Err(error),
                }
            }
            _ => None,
        };
        let how = if state.task.is_some() { "again" } else { "fresh" };
        let since = state.last.as_ref().map_or(0, |last| last.number);
        let mut task = Task { branch: branch.clone(), base: base.clone(), since, ready: false };
        if how == "again" {
            self.note(&mut state, &task).await?;
        }
        self.bring_to(repository, &task, how).await?;
        task.ready = true;
        self.note(&mut state, &task).await?;
        Ok(Started::Fresh(before))
    }

    /// Moves everything of the tree but `.git` out of it, and forgets what the snapshot store knows of it. Only names are touched.
    async fn set_aside(&self, repository: &Repository) -> Result<()> {
        let (repository, agent) = (repository.clone(), self.agent.clone());
        let dirs = self.layout.agent(&self.agent);
        layout::blocking(move || {
            // What a crash kept from being moved joins what was moved before it.
            let fresh = dirs.aside().with_extension("new");
            layout::make_dir(&fresh)?;
            let failed = |error| Error::io(format!("listing {}", dirs.work().display()), &error);
            sandbox::open_up(&dirs.work()).map_err(failed)?;
            for entry in fs::read_dir(dirs.work()).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                if entry.file_name() != ".git" {
                    let to = fresh.join(entry.file_name());
                    layout::remove_tree(&to)?;
                    let failed = |error| Error::io(format!("moving {} aside", entry.path().display()), &error);
                    sandbox::open_up(&entry.path()).and_then(|()| fs::rename(entry.path(), &to)).map_err(failed)?;
                }
            }
            layout::remove_tree(&dirs.aside())?;
            layout::rename(&fresh, &dirs.aside())?;
            repository.make_snapshot_store(&agent)
        })
        .await
    }

    /// Runs the check-out; a clone whose `.git` is broken gets a new one.
    async fn bring_to(&self, repository: &Repository, task: &Task, how: &str) -> Result<()> {
        let work = self.layout.agent(&self.agent).work();
        let config = repository.clone_config()?;
        let branch = task.branch.as_str();
        let start = || self.start_script(work.clone(), branch, &task.base, how, &config).run(repository, b"");
        match start().await {
            Err(error) if self.blames_the_clone(&error, &task.base) => {
                self.replace_git(&self.new_git(repository, NO_BRANCH)?)?;
                start().await.map(drop)
            }
            other => other.map(drop),
        }
    }

    /// Whether a failed check-out means that the clone is broken: not when the disk or the time ran out, and not when git
    /// names the base, which is then missing in the hub.
    fn blames_the_clone(&self, error: &Error, base: &CommitId) -> bool {
        matches!(error.kind, ErrorKind::Other | ErrorKind::Missing) && !error.message.contains(base.as_str())
    }

    fn start_script(&self, work: PathBuf, branch: &str, base: &CommitId, how: &str, config: &str) -> Tool {
        let snapshot = self.layout.agent(&self.agent).snapshot();
        let tool = Tool::new("preparing the workspace", START, &self.layout, work);
        tool.bind(Bind::write_execute(snapshot, INSIDE_SNAPSHOT).ours())
            .arg(branch)
            .arg(base.as_str())
            .arg(how)
            .arg(config)
            .arg(inside_objects())
    }

    async fn note(&self, state: &mut State, task: &Task) -> Result<()> {
        let text = serde_json::to_vec(task).map_err(|e| Error::new(ErrorKind::Other, e.to_string()))?;
        let path = self.layout.agent(&self.agent).task();
        layout::blocking(move || layout::replace(&path, &text)).await?;
        state.task = Some(task.clone());
        Ok(())
    }

    /// Saves the tree as it is now; see [`Checkpoint`]. Returns the last checkpoint when nothing changed since. `label`
    /// becomes the message of its commit, `at_ms` (milliseconds since 1970) its time.
    ///
    /// Errors: `Missing` before the first task, `Rejected`, `TooLarge`, `TimedOut`, `NoSpace`.
    pub async fn checkpoint(&self, label: &str, at_ms: u64) -> Result<Checkpoint> {
        let mut state = self.state.lock().await;
        match (&self.repository, state.task.clone()) {
            (Some(repository), Some(task)) if task.ready => {
                self.save(repository, &mut state, &task, label, at_ms).await
            }
            _ => Err(Error::new(ErrorKind::Missing, format!("{} has no task to take a checkpoint of", self.agent))),
        }
    }

    async fn save(
        &self,
        repository: &Repository,
        state: &mut State,
        task: &Task,
        label: &str,
        at_ms: u64,
    ) -> Result<Checkpoint> {
        let last = state.last.as_ref().filter(|last| last.number > task.since);
        let number = state.last.as_ref().map_or(0, |last| last.number) + 1;
        let take = Take { agent: &self.agent, task, last, number, label, at_ms };
        let checkpoint = repository.take_checkpoint(take).await?;
        state.last = Some(checkpoint.clone());
        Ok(checkpoint)
    }

    /// Looks at names only, makes good what is gone, and clears away what killed git processes left.
    async fn repair(&self) -> Result<()> {
        let Some(repository) = &self.repository else { return Ok(()) };
        let dirs = self.layout.agent(&self.agent);
        let is_dir = |path: &Path| fs::symlink_metadata(path).is_ok_and(|about| about.is_dir());
        if !is_dir(&dirs.home()) {
            write_home(&dirs.home(), &self.agent)?;
        }
        if !is_dir(&dirs.snapshot()) {
            repository.make_snapshot_store(&self.agent)?;
        }
        let state = self.state.lock().await;
        let last = state.task.as_ref().and_then(|task| state.last.as_ref().filter(|last| last.number > task.since));
        match &state.task {
            // No task was begun, so there is no work: an empty clone is all that is needed.
            None if !is_dir(&dirs.work()) => {
                layout::make_dir(&dirs.work())?;
                self.replace_git(&self.new_git(repository, NO_BRANCH)?)
            }
            Some(task) if !is_dir(&dirs.work()) => self.restore(repository, task, last).await,
            Some(task) if !is_dir(&dirs.work().join(".git")) => self.reset(repository, task, last).await,
            _ => {
                let unlock = Tool::new("clearing the workspace of locks", UNLOCK, &self.layout, dirs.work());
                unlock.run(repository, b"").await.map(drop)
            }
        }
    }

    /// Gives the tree a new `.git` at the commit that its work comes from; the files stay as they are.
    async fn reset(&self, repository: &Repository, task: &Task, last: Option<&Checkpoint>) -> Result<()> {
        let fresh = self.new_git(repository, task.branch.as_str())?;
        let base = last.map_or(&task.base, |last| &last.base);
        let work = self.layout.agent(&self.agent).work();
        let tool = Tool::new("repairing the workspace", RESET, &self.layout, work);
        tool.bind(Bind::write_execute(&fresh, INSIDE_NEW_GIT).ours()).arg(base.as_str()).run(repository, b"").await?;
        self.replace_git(&fresh)
    }

    /// Makes the tree anew under another name, the base first and the last checkpoint's files over it, and then gives it
    /// its name, so that a crash on the way leaves it to be done again.
    async fn restore(&self, repository: &Repository, task: &Task, last: Option<&Checkpoint>) -> Result<()> {
        let dirs = self.layout.agent(&self.agent);
        let fresh = dirs.dir.join("work-new");
        layout::remove_tree(&fresh)?;
        repository.write_git(&fresh.join(".git"), NO_BRANCH, CLONE_CONFIG)?;
        repository.make_snapshot_store(&self.agent)?;
        let base = last.map_or(&task.base, |last| &last.base);
        let config = repository.clone_config()?;
        self.start_script(fresh.clone(), task.branch.as_str(), base, "fresh", &config).run(repository, b"").await?;
        if let Some(last) = last {
            let pack = receive::pack_bytes(&repository.layout.vault(), &last.commit, &last.base).await?;
            let tool = Tool::new("restoring the last checkpoint", RESTORE, &self.layout, fresh.clone())
                .bind(Bind::write_execute(dirs.snapshot(), INSIDE_SNAPSHOT).ours())
                .arg(last.base.as_str())
                .arg(last.tree.as_str());
            tool.run(repository, &pack).await?;
        }
        layout::rename(&fresh, &dirs.work())
    }

    /// A git directory that is not yet in the agent's reach.
    fn new_git(&self, repository: &Repository, branch: &str) -> Result<PathBuf> {
        let fresh = self.layout.agent(&self.agent).dir.join("new.git");
        layout::remove_tree(&fresh)?;
        repository.write_git(&fresh, branch, CLONE_CONFIG)?;
        Ok(fresh)
    }

    /// Moves the agent's `.git`, whatever it is, aside, and puts `fresh` in its place. Only names are touched.
    fn replace_git(&self, fresh: &Path) -> Result<()> {
        let dirs = self.layout.agent(&self.agent);
        let (place, aside) = (dirs.work().join(".git"), dirs.dir.join("broken.git"));
        if fs::symlink_metadata(&place).is_ok() {
            layout::remove_tree(&aside)?;
            let failed = |error| Error::io(format!("moving {} aside", place.display()), &error);
            sandbox::open_up(&place).map_err(failed)?;
            layout::rename(&place, &aside)?;
        }
        layout::rename(fresh, &place)
    }
}
