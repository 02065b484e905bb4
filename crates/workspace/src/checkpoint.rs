//! Saves an agent's work from outside, whatever state the agent's own repository is in.
//!
//! A checkpoint is the files: tracked and untracked, not ignored. It is taken in a sandbox with a git directory of ours (the
//! snapshot store), which the agent never sees, so the agent's configuration, hooks, index and filters have no say. What
//! leaves the sandbox is a bundle; it is read here with limits, checked object by object, and kept in the vault under
//! `refs/muster/checkpoints/<agent>/<number>`, where nothing ever removes it.
//!
//! It refuses to keep the agent's history: an agent's commits stay in its clone. It does ask the agent's repository one
//! thing, which is a claim and treated as one: from which of the mission's commits the work comes (an agent that merged
//! newer work of the mission itself).

use crate::{
    AgentName, CommitId, Error, ErrorKind, Result, TreeId,
    bundle::{Bundle, Snapshot, read_answer},
    git::Git,
    layout::{self, INSIDE_SNAPSHOT, ObjectFormat},
    left_out::{LeftOuts, Lists, REPORT},
    merge::{commit_message, git_date},
    repository::Repository,
    tool::Tool,
    workspace::Task,
};
use sandbox::Bind;
use tokio::io::BufReader;

/// Wall limit of the first try. An agent can make git hang; then there is a second, careful one.
const FIRST_TRY_MS: u64 = 120_000;

/// $1 base, $2 branch of the task, $3 tip of the mission, $4 tree and $5 base of the last checkpoint, $6 bundle version.
///
/// Where the agent stands is read from its files, and only its objects are asked: git never runs under the agent's
/// configuration. With $7 `careful`, after a try that did not end, the FIFOs on which git might hang are taken away.
///
/// git gives up altogether on a file that it cannot convert; then all are added in small lots, and those of a lot that fails
/// one by one. Files that are as the check-out of the base makes them are the base's, whatever normalising would make of them.
const BEGIN: &str = r#"
set -e
base=$1 first= name= tip=
[ "$7" = careful ] && find . -name '.git[ai]*' ! -type f ! -type d -delete
[ -f .git/HEAD ] && read -r first name <.git/HEAD || :
case "$first $name" in
*..*) ;;
'ref: refs/'*)
  [ -f ".git/$name" ] && read -r tip <".git/$name" || :
  [ -n "$tip" ] || { [ -f .git/packed-refs ] && tip=$(grep -a -m 1 -F " $name" .git/packed-refs | cut -d ' ' -f 1); } || : ;;
*) tip=$first ;;
esac
case "$tip" in *[!0-9a-f]*) tip= ;; esac
export GIT_DIR=/muster/snapshot.git GIT_WORK_TREE=/workspace GIT_LITERAL_PATHSPECS=1
if [ -n "$tip" ] && [ "$tip" != "$1" ] && [ "$7" != careful ]; then
  found=$(GIT_ALTERNATE_OBJECT_DIRECTORIES=/workspace/.git/objects git merge-base "$3" "$tip" 2>/dev/null) && base=$found || :
fi
indexed=
[ -f $GIT_DIR/indexed ] && read -r indexed <$GIT_DIR/indexed || :
if [ "$indexed" != "$base" ]; then
  if [ -f $GIT_DIR/index ]; then git read-tree -i -m "$base"; else git read-tree "$base"; fi
  echo "$base" >$GIT_DIR/indexed
fi
code=0
git add -A --ignore-errors . >&2 || code=$?
if [ $code -gt 1 ]; then
  git ls-files -z -o -m -d --exclude-standard | xargs -0 -r -n 64 sh -c \
    'git add -A --ignore-errors -- "$@" 2>/dev/null || for path; do git add -A --ignore-errors -- "$path" >&2 || :; done' sh || :
fi
"#;
const END: &str = r#"
rm -rf /tmp/base; mkdir /tmp/base
git diff-index --cached --diff-filter=M --name-only -z "$base" | head -z -n 2000 >/tmp/modified
if [ -s /tmp/modified ]; then
  (
    export GIT_INDEX_FILE=/tmp/base-index
    git read-tree "$base"
    git checkout-index -q -z --stdin --prefix=/tmp/base/ </tmp/modified || :
  ) 2>/dev/null
  xargs -0 -n 500 sh -c 'for path; do
    [ -f "./$path" ] && [ ! -L "./$path" ] && [ ! -L "/tmp/base/$path" ] || continue
    [ -x "./$path" ]; now=$?; [ -x "/tmp/base/$path" ]; [ $now = $? ] || continue
    cmp -s "./$path" "/tmp/base/$path" && printf "%s\0" "$path"
  done; :' sh </tmp/modified >/tmp/same
  if [ -s /tmp/same ]; then
    xargs -0 -n 500 git ls-tree -z -r --full-tree "$base" -- </tmp/same | git update-index -z --index-info
  fi
fi
tree=$(git write-tree)
if [ "$tree" = "$4" ] && [ "$base" = "$5" ]; then echo same; exit 0; fi
commit=$(git commit-tree "$tree" -p "$base")
echo new
echo "$6"
echo "-$base"
echo "$commit refs/muster/checkpoint"
echo
printf '%s\n^%s\n' "$commit" "$base" | git pack-objects --revs --thin --stdout -q --delta-base-offset
"#;

/// A snapshot of a workspace, kept in the vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Counts this agent's checkpoints from 1.
    pub number: u32,
    /// The snapshot's commit; its only parent is `base`.
    pub commit: CommitId,
    /// Its tree: equal trees are equal files.
    pub tree: TreeId,
    /// The mission's commit that the work comes from; what changed is the difference to it.
    pub base: CommitId,
    /// How many paths differ from `base`.
    pub files_changed: usize,
    /// What is in the tree and not in this, and why.
    pub left_out: LeftOuts,
}

impl Repository {
    /// Takes a snapshot of `work`; returns `last` when nothing is different since.
    pub(crate) async fn take_checkpoint(&self, take: Take<'_>) -> Result<Checkpoint> {
        let head = self.head().await?;
        match self.try_checkpoint(&take, &head, "").await {
            Err(error) if error.kind == ErrorKind::TimedOut => self.try_checkpoint(&take, &head, "careful").await,
            Err(error) if matches!(error.kind, ErrorKind::Other | ErrorKind::Missing | ErrorKind::Rejected) => {
                // Nothing in the snapshot store survives a power cut for certain, and nothing in it is needed.
                self.make_snapshot_store(take.agent)?;
                self.try_checkpoint(&take, &head, "").await
            }
            other => other,
        }
    }

    async fn try_checkpoint(&self, take: &Take<'_>, head: &CommitId, how: &str) -> Result<Checkpoint> {
        let agent = self.layout.agent(take.agent);
        // Left behind when a snapshot was killed; the store is ours and only one snapshot runs at a time.
        let _ = std::fs::remove_file(agent.snapshot().join("index.lock"));
        let signature = match ObjectFormat::of(head) {
            ObjectFormat::Sha1 => "# v2 git bundle",
            ObjectFormat::Sha256 => "# v3 git bundle\n@object-format=sha256",
        };
        let (tree, base) = take.last.map_or(("-", "-"), |last| (last.tree.as_str(), last.base.as_str()));
        let date = git_date(take.at_ms);
        let script = [BEGIN, REPORT, END].concat();
        let tool = Tool::new("taking a checkpoint", &script, &self.layout, agent.work())
            .bind(Bind::write_execute(agent.snapshot(), INSIDE_SNAPSHOT).ours())
            .env("GIT_AUTHOR_DATE", &date)
            .env("GIT_COMMITTER_DATE", &date);
        let args = [take.task.base.as_str(), take.task.branch.as_str(), head.as_str(), tree, base, signature, how];
        let tool = args.iter().fold(tool, |tool, arg| tool.arg(arg));
        let tool = if how.is_empty() { tool.wall_ms(FIRST_TRY_MS) } else { tool };
        let message = commit_message(take.label);
        let vault = self.layout.vault();
        let import = async |stdout| {
            let mut stdout = BufReader::new(stdout);
            Ok((Lists::read(&mut stdout).await?, read_answer(&vault, stdout).await?))
        };
        let ((lists, imported), said) = tool.start(self).await?.converse(message.as_bytes(), import).await?;
        refuse_full_disk(&said)?;
        let left_out = lists.understood(&said);
        match (imported, take.last) {
            (None, Some(last)) => Ok(Checkpoint { left_out, ..last.clone() }),
            (None, None) => Err(Error::new(ErrorKind::Rejected, "the snapshot is missing")),
            (Some(bundle), _) => self.keep(take, bundle, head, left_out).await,
        }
    }

    /// Checks that the bundle is what it says, and gives it its ref.
    async fn keep(&self, take: &Take<'_>, bundle: Bundle, head: &CommitId, left_out: LeftOuts) -> Result<Checkpoint> {
        if bundle.base != take.task.base {
            self.refuse_foreign_base(&bundle.base, head).await?;
        }
        let Snapshot { tree, files_changed } = bundle.verify(&self.layout.vault()).await?;
        let number = take.number;
        let name = format!("refs/muster/checkpoints/{}/{number}", take.agent);
        layout::make_ref(&self.layout.vault(), &name, &bundle.tip).await?;
        let Bundle { tip: commit, base } = bundle;
        Ok(Checkpoint { number, commit, tree, base, files_changed, left_out })
    }

    async fn refuse_foreign_base(&self, base: &CommitId, head: &CommitId) -> Result<()> {
        let args = ["merge-base", "--is-ancestor", base.as_str(), head.as_str()];
        let answer = Git::at(&self.layout.hub()).to("checking a base").args(args).accept(&[0, 1, 128]).run().await?;
        if answer.code == 0 {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Rejected, format!("{base} is not a commit of the mission")))
    }

    /// The checkpoint of this agent with the highest number.
    pub(crate) async fn last_checkpoint(&self, agent: &AgentName) -> Result<Option<Checkpoint>> {
        let prefix = format!("refs/muster/checkpoints/{agent}/");
        let args = ["for-each-ref", "--format=%(refname) %(objectname) %(parent)", &prefix];
        let answer = Git::at(&self.layout.vault()).to("listing checkpoints").args(args).run().await?;
        let numbered = |line: &str| {
            let mut words = line.strip_prefix(&prefix)?.split(' ').map(str::to_owned);
            Some((words.next()?.parse::<u32>().ok()?, words.next()?, words.next()?))
        };
        let Some((number, tip, base)) = answer.line().lines().filter_map(numbered).max() else { return Ok(None) };
        let bundle = Bundle { tip: CommitId::new(tip)?, base: CommitId::new(base)? };
        let Snapshot { tree, files_changed } = bundle.verify(&self.layout.vault()).await?;
        let Bundle { tip: commit, base } = bundle;
        Ok(Some(Checkpoint { number, commit, tree, base, files_changed, left_out: LeftOuts::default() }))
    }
}

/// One checkpoint to be taken.
pub(crate) struct Take<'a> {
    pub agent: &'a AgentName,
    pub task: &'a Task,
    pub last: Option<&'a Checkpoint>,
    /// The number that it gets when something is different from `last`.
    pub number: u32,
    pub label: &'a str,
    pub at_ms: u64,
}

/// A full disk is a failure, where files that cannot be taken are a fact.
fn refuse_full_disk(said: &str) -> Result<()> {
    match crate::error::kind_of_words(said) {
        ErrorKind::NoSpace => Err(Error::git("taking a checkpoint", "No space left on device")),
        _ => Ok(()),
    }
}
