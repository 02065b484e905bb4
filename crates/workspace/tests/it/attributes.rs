//! Attributes and settings of the user's repository mean in a mission what they mean in its own checkout.

use crate::place::{AT_MS, LAUNCHER, Place, agent, as_agent, branch, git, write};
use std::{fs, path::Path, time::Duration};
use workspace::{CheckCommand, Checkpoint, CommitId, Merge, Repository, SandboxExtras, Workspace, inspect};

async fn started(place: &Place, repository: &Repository, name: &str) -> Workspace {
    let workspace = repository.clone_for(&agent(name)).await.unwrap();
    workspace.start_task(&branch(name), &place.head(), AT_MS).await.unwrap();
    workspace
}

async fn change(place: &Place, repository: &Repository, name: &str, edit: impl Fn(&Path)) -> Checkpoint {
    let workspace = started(place, repository, name).await;
    edit(&place.work(name));
    workspace.checkpoint(name, AT_MS).await.unwrap()
}

async fn merge(repository: &Repository, onto: &CommitId, change: &Checkpoint) -> Merge {
    repository.merge_candidate(onto, &change.commit, "m", AT_MS).await.unwrap()
}

fn candidate(merge: Merge) -> CommitId {
    let Merge::Candidate(candidate) = merge else { panic!("{merge:?}") };
    candidate.commit
}

/// Two changes of one file at places that text would merge, and at the same place.
async fn both_change(attributes: &str, file: &str) -> [(Place, Merge); 2] {
    let mut found = Vec::new();
    for line in [9, 1] {
        let place = Place::filled();
        place.write(".gitattributes", attributes);
        place.write(file, "1\n2\n3\n4\n5\n6\n7\n8\n9\n");
        place.commit("attributes");
        let repository = place.prepare().await;
        let edit = |number: u8, word: &'static str| {
            move |work: &Path| {
                let text = fs::read_to_string(work.join(file)).unwrap();
                fs::write(work.join(file), text.replace(&number.to_string(), word)).unwrap();
            }
        };
        let first = change(&place, &repository, "one", edit(1, "ONE")).await;
        let second = change(&place, &repository, "two", edit(line, "TWO")).await;
        let head = candidate(merge(&repository, &place.head(), &first).await);
        found.push((place, merge(&repository, &head, &second).await));
    }
    found.try_into().unwrap_or_else(|_| panic!("two"))
}

#[tokio::test]
async fn files_that_may_not_be_merged_as_text_conflict() {
    for attributes in ["package-lock.json -merge\n", "*.json binary\n", "[attr]lock -merge\n*lock.json lock\n"] {
        for (_place, merge) in both_change(attributes, "package-lock.json").await {
            let Merge::Conflict(conflict) = merge else { panic!("{attributes}: {merge:?}") };
            assert_eq!(conflict.files, ["package-lock.json"], "{attributes}");
        }
    }
}

#[tokio::test]
async fn a_union_goes_together_wherever_its_attribute_stands() {
    let [apart, same] = both_change("docs/CHANGES merge=union\n", "docs/CHANGES").await;
    candidate(apart.1);
    let tip = candidate(same.1);
    let text = git(&same.0.dir.join("hub.git"), &["show", &format!("{tip}:docs/CHANGES")]);
    assert!(text.starts_with("ONE\nTWO\n2\n"), "{text}");
    // In the repository's own file beside the tree.
    let place = Place::filled();
    write(&place.user.join(".git/info/attributes"), "a.txt merge=union\n");
    let repository = place.prepare().await;
    let first = change(&place, &repository, "one", |work| fs::write(work.join("a.txt"), "ONE\n").unwrap()).await;
    let second = change(&place, &repository, "two", |work| fs::write(work.join("a.txt"), "TWO\n").unwrap()).await;
    let head = candidate(merge(&repository, &place.head(), &first).await);
    candidate(merge(&repository, &head, &second).await);
}

/// A driver that is a program of the user's is not run; the files are merged as text.
#[tokio::test]
async fn a_driver_of_the_user_is_not_run() {
    let place = Place::filled();
    let marker = place.temp.path().join("marker");
    place.git(&["config", "merge.mine.driver", &format!("touch {}", marker.display())]);
    place.write(".gitattributes", "a.txt merge=mine\n");
    place.commit("driver");
    let repository = place.prepare().await;
    let edit = |from: &'static str, to: &'static str| {
        move |work: &Path| {
            let text = fs::read_to_string(work.join("a.txt")).unwrap();
            fs::write(work.join("a.txt"), text.replace(from, to)).unwrap();
        }
    };
    let first = change(&place, &repository, "one", edit("1", "ONE")).await;
    let second = change(&place, &repository, "two", edit("9", "NINE")).await;
    let head = candidate(merge(&repository, &place.head(), &first).await);
    candidate(merge(&repository, &head, &second).await);
    assert!(!marker.exists());
}

/// Line ends that are stored against the attributes: what an agent did not touch is not in its change.
#[tokio::test]
async fn normalising_is_not_the_agents_change() {
    let place = Place::filled();
    place.write("dos.txt", "1\r\n2\r\n");
    place.write("mixed.txt", "1\r\n2\n");
    place.write("wide.u16", "not wide\n");
    place.write("id.txt", "$Id: kept$\n");
    place.commit("as they are");
    place.write(".gitattributes", "*.txt text\nmixed.txt text eol=crlf\nid.txt ident\n");
    // As somebody commits who adds the attributes and nothing else.
    place.git(&["add", ".gitattributes"]);
    place.git(&["commit", "-q", "-m", "attributes"]);
    let repository = place.prepare().await;
    let workspace = started(&place, &repository, "one").await;
    as_agent(&workspace, "touch dos.txt mixed.txt id.txt; echo more >>a.txt").await;
    let saved = workspace.checkpoint("x", AT_MS).await.unwrap();
    assert_eq!(repository.changed_paths(&saved.base, &saved.commit).await.unwrap(), ["a.txt"]);
    // What it does touch is normalised, as in the user's checkout.
    as_agent(&workspace, "printf '1\\r\\n3\\r\\n' >dos.txt").await;
    let saved = workspace.checkpoint("x", AT_MS).await.unwrap();
    assert_eq!(repository.changed_paths(&saved.base, &saved.commit).await.unwrap(), ["a.txt", "dos.txt"]);
    assert_eq!(git(&place.dir.join("vault.git"), &["show", &format!("{}:dos.txt", saved.commit)]), "1\n3");
}

/// What one file does to `git add` does not keep the others out, and is said.
#[tokio::test]
async fn a_file_that_cannot_be_converted_is_named_and_the_rest_is_saved() {
    let place = Place::filled();
    place.write(".gitattributes", "*.u16 text working-tree-encoding=UTF-16LE\n");
    place.commit("encoding");
    let repository = place.prepare().await;
    let workspace = started(&place, &repository, "one").await;
    let script = "printf 'a\\000b\\000\\n\\000' >good.u16; printf abc >bad.u16; rm b.txt; echo more >>a.txt; echo n >':(top)odd'";
    as_agent(&workspace, script).await;
    let saved = workspace.checkpoint("x", AT_MS).await.unwrap();
    let paths = repository.changed_paths(&saved.base, &saved.commit).await.unwrap();
    assert_eq!(paths, [":(top)odd", "a.txt", "b.txt", "good.u16"]);
    let told: Vec<String> = saved.left_out.shown.iter().map(|out| format!("{}: {}", out.path, out.why)).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("bad.u16: its content cannot be converted: failed to encode"), "{told:?}");
}

/// Export attributes are for archives; a check sees every file.
#[tokio::test]
async fn a_check_sees_files_that_are_not_exported() {
    let place = Place::filled();
    place.write(".gitattributes", "b.txt export-ignore\n");
    place.commit("export");
    let repository = place.prepare().await;
    let command = CheckCommand { run: "test -f b.txt".into(), timeout: Duration::from_secs(20) };
    let runs = repository.check(&place.head(), &[command], &SandboxExtras::default()).await.unwrap();
    assert!(runs[0].passed(), "{}", runs[0].output_tail);
}

/// Patterns beside the tree: the repository's own, and those that the user's configuration names.
#[tokio::test]
async fn what_the_user_ignores_is_ignored_and_said() {
    let place = Place::filled();
    write(&place.user.join(".git/info/exclude"), "# mine\n__pycache__/\n");
    let repository = place.prepare().await;
    let workspace = started(&place, &repository, "one").await;
    let script = "mkdir -p __pycache__ deep/__pycache__; echo 1 >__pycache__/m.pyc; echo 1 >deep/__pycache__/n.pyc
                  echo 1 >new; git status --porcelain";
    assert_eq!(as_agent(&workspace, script).await, "?? new\n");
    let saved = workspace.checkpoint("x", AT_MS).await.unwrap();
    assert_eq!(repository.changed_paths(&saved.base, &saved.commit).await.unwrap(), ["new"]);
    let told: Vec<String> = saved.left_out.shown.iter().map(|out| format!("{}: {}", out.path, out.why)).collect();
    let rule = "ignored by .git/info/exclude:2 (__pycache__/)";
    assert_eq!(told, [format!("__pycache__/: {rule}"), format!("deep/__pycache__/: {rule}")]);
    assert_eq!(saved.left_out.shown[0].inside.as_deref(), Some("__pycache__/m.pyc"));
}

/// A file of patterns that a hostile repository names is not shown to agents.
#[tokio::test]
async fn patterns_are_not_read_from_where_the_repository_says() {
    let place = Place::filled();
    let secret = place.temp.path().join("secret");
    write(&secret, "token-of-the-user\n");
    place.git(&["config", "core.excludesFile", secret.to_str().unwrap()]);
    place.git(&["config", "core.attributesFile", secret.to_str().unwrap()]);
    fs::remove_file(place.user.join(".git/info/exclude")).unwrap();
    std::os::unix::fs::symlink(&secret, place.user.join(".git/info/exclude")).unwrap();
    let repository = place.prepare().await;
    let workspace = started(&place, &repository, "one").await;
    let found = as_agent(&workspace, "grep -r token-of-the-user .git /muster || echo none").await;
    assert_eq!(found, "none\n");
    drop(repository);
}

/// Builds that ask git for tags, for the main branch, and for what is new.
#[tokio::test]
async fn tags_and_the_main_branch_are_there_for_builds_that_ask() {
    let place = Place::filled();
    place.git(&["tag", "-a", "v1.2.0", "-m", "release"]);
    place.git(&["tag", "light"]);
    place.git(&["checkout", "-q", "-b", "feature"]);
    place.write("b.txt", "feature\n");
    let head = place.commit("feature");
    place.git(&["checkout", "-q", "-b", "private"]);
    place.write("private.txt", "private\n");
    place.commit("private");
    place.git(&["tag", "unreachable"]);
    place.git(&["checkout", "-q", "feature"]);
    let facts = inspect(&place.user).await.unwrap();
    let repository = Repository::prepare(&place.dir, &place.user, &facts.head, LAUNCHER.clone()).await.unwrap();
    let ask = "git describe; git describe --tags --abbrev=0; git tag; git log --format=%s main..; git rev-parse --abbrev-ref HEAD";
    let described = place.git(&["describe"]);
    let said = |branch: &str| format!("{described}\nv1.2.0\nlight\nv1.2.0\nfeature\n{branch}\n");
    let workspace = started(&place, &repository, "one").await;
    assert_eq!(as_agent(&workspace, ask).await, said("one"));
    let run = format!("({ask}) >/tmp/said; printf '%s\\n' '{}' | diff - /tmp/said", said("HEAD").trim_end());
    let command = CheckCommand { run, timeout: Duration::from_secs(20) };
    let runs = repository.check(&head, &[command], &SandboxExtras::default()).await.unwrap();
    assert!(runs[0].passed(), "{}", runs[0].output_tail);
    let objects = as_agent(&workspace, "git cat-file --batch-all-objects --batch-check='%(objectname)'").await;
    assert!(!objects.contains(&place.git(&["rev-parse", "private"])), "other branches stay with the user");
}

/// What is added of line ends by the user's configuration holds in the clone.
#[tokio::test]
async fn line_ends_are_as_the_user_has_set() {
    let place = Place::filled();
    place.git(&["config", "core.autocrlf", "input"]);
    let repository = place.prepare().await;
    let workspace = started(&place, &repository, "one").await;
    as_agent(&workspace, "printf 'x\\r\\n' >new.txt; test \"$(git config core.autocrlf)\" = input").await;
    let saved = workspace.checkpoint("x", AT_MS).await.unwrap();
    assert_eq!(git(&place.dir.join("vault.git"), &["cat-file", "-s", &format!("{}:new.txt", saved.commit)]), "2");
}
