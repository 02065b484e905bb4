//! The result in the user's repository: one new branch, and not one other byte.

use crate::place::{AT_MS, Place, agent, branch, git, write};
use std::{collections::BTreeMap, fs, path::PathBuf};
use workspace::{CommitId, ErrorKind, Merge, Repository, result_branch};

/// A mission with one merged commit.
async fn merged(place: &Place) -> (Repository, CommitId) {
    let repository = place.prepare().await;
    let workspace = repository.clone_for(&agent("coder")).await.unwrap();
    workspace.start_task(&branch("t"), &place.head(), AT_MS).await.unwrap();
    fs::write(place.work("coder").join("result.txt"), "result\n").unwrap();
    let change = workspace.checkpoint("t", AT_MS).await.unwrap();
    let Merge::Candidate(tip) = repository.merge_candidate(&change.base, &change.commit, "t", AT_MS).await.unwrap()
    else {
        panic!("no candidate")
    };
    repository.advance(&change.base, &tip.commit).await.unwrap();
    (repository, tip.commit)
}

#[tokio::test]
async fn only_the_branch_is_new() {
    let place = Place::filled();
    place.write("a.txt", "staged\n");
    place.git(&["add", "a.txt"]);
    place.write("b.txt", "not staged\n");
    place.write("untracked", "x");
    let marker = place.temp.path().join("marker");
    for hook in ["reference-transaction", "post-index-change", "post-update", "update", "pre-receive", "pre-auto-gc"] {
        let path = place.user.join(".git/hooks").join(hook);
        write(&path, &format!("#!/bin/sh\ntouch {}\n", marker.display()));
        std::process::Command::new("chmod").arg("+x").arg(&path).status().unwrap();
    }
    let before = place.fingerprint();
    let (repository, tip) = merged(&place).await;
    let name = branch("muster/fix");
    repository.publish(&place.user, &name, &tip, None).await.unwrap();
    let after = place.fingerprint();
    let new: Vec<&PathBuf> = after.keys().filter(|path| !before.contains_key(*path)).collect();
    let expected = [
        ".git/logs/refs/heads/muster",
        ".git/logs/refs/heads/muster/fix",
        ".git/refs/heads/muster",
        ".git/refs/heads/muster/fix",
    ];
    assert_eq!(new, expected.map(PathBuf::from).iter().collect::<Vec<_>>());
    let old: BTreeMap<_, _> = after.into_iter().filter(|(path, _)| before.contains_key(path)).collect();
    assert_eq!(old, before);
    assert!(!marker.exists());
    assert_eq!(place.git(&["show", "muster/fix:result.txt"]), "result");
    place.git(&["fsck", "--strict"]);
}

#[tokio::test]
async fn publishing_twice_and_moving_on_are_fine() {
    let place = Place::filled();
    let base = place.head();
    let (repository, tip) = merged(&place).await;
    let name = branch("muster/fix");
    repository.publish(&place.user, &name, &base, None).await.unwrap();
    repository.publish(&place.user, &name, &tip, Some(&base)).await.unwrap();
    repository.publish(&place.user, &name, &tip, Some(&base)).await.unwrap();
    repository.publish(&place.user, &name, &tip, None).await.unwrap();
    assert_eq!(place.git(&["rev-parse", "muster/fix"]), tip.as_str());
}

#[tokio::test]
async fn a_branch_of_the_users_is_never_moved() {
    let place = Place::filled();
    let (repository, tip) = merged(&place).await;
    let name = branch("muster/fix");
    place.git(&["branch", "muster/fix"]);
    let taken = repository.publish(&place.user, &name, &tip, None).await.unwrap_err();
    assert_eq!(taken.kind, ErrorKind::Conflict);
    assert!(taken.to_string().contains("exists already") && taken.to_string().contains("git branch -m"));
    let wrong = repository.publish(&place.user, &name, &tip, Some(&tip)).await.unwrap_err();
    assert_eq!(wrong.kind, ErrorKind::Conflict);
    assert_eq!(place.git(&["rev-parse", "muster/fix"]), place.head().as_str());
    let gone = repository.publish(&place.user, &branch("muster/gone"), &tip, Some(&tip)).await.unwrap_err();
    assert!(gone.to_string().contains("was removed"));
    place.git(&["branch", "-D", "muster/fix"]);
    place.git(&["branch", "muster"]);
    assert_eq!(repository.publish(&place.user, &name, &tip, None).await.unwrap_err().kind, ErrorKind::Conflict);
}

#[tokio::test]
async fn a_branch_that_is_checked_out_is_never_moved() {
    let place = Place::filled();
    let base = place.head();
    let (repository, tip) = merged(&place).await;
    let name = branch("muster/fix");
    repository.publish(&place.user, &name, &base, None).await.unwrap();
    let other = place.temp.path().join("other");
    place.git(&["worktree", "add", "-q", other.to_str().unwrap(), "muster/fix"]);
    let held = repository.publish(&place.user, &name, &tip, Some(&base)).await.unwrap_err();
    assert_eq!(held.kind, ErrorKind::Conflict);
    assert!(held.to_string().contains("checked out in"), "{held}");
    assert_eq!(git(&other, &["rev-parse", "HEAD"]), base.as_str());
}

#[tokio::test]
async fn objects_of_an_import_cut_short_are_completed() {
    let place = Place::filled();
    let (repository, tip) = merged(&place).await;
    // The commit alone, without its tree and files, as a killed import of single files leaves it.
    let hub = place.dir.join("hub.git");
    let raw = place.temp.path().join("commit");
    let content = std::process::Command::new("git")
        .args(["cat-file", "commit", tip.as_str()])
        .current_dir(&hub)
        .output()
        .unwrap();
    fs::write(&raw, content.stdout).unwrap();
    place.git(&["hash-object", "-t", "commit", "-w", "--literally", raw.to_str().unwrap()]);
    repository.publish(&place.user, &branch("muster/fix"), &tip, None).await.unwrap();
    place.git(&["fsck", "--strict"]);
    assert_eq!(place.git(&["show", "muster/fix:result.txt"]), "result");
}

#[tokio::test]
async fn a_linked_worktree_and_a_repository_that_moved_on_get_the_branch_too() {
    let place = Place::filled();
    let (repository, tip) = merged(&place).await;
    place.write("later.txt", "later\n");
    place.commit("later");
    let other = place.temp.path().join("other");
    place.git(&["worktree", "add", "-q", other.to_str().unwrap(), "-b", "second"]);
    repository.publish(&other, &branch("muster/fix"), &tip, None).await.unwrap();
    assert_eq!(place.git(&["rev-parse", "muster/fix"]), tip.as_str());
}

/// The base was reset away and collected while the mission ran.
#[tokio::test]
async fn a_result_whose_base_is_gone_comes_with_all_that_is_missing() {
    let place = Place::filled();
    let old = place.head();
    place.write("a.txt", "base\n");
    place.commit("base");
    let (repository, tip) = merged(&place).await;
    place.git(&["reset", "-q", "--hard", old.as_str()]);
    place.git(&["reflog", "expire", "--expire=now", "--all"]);
    place.git(&["gc", "-q", "--prune=now"]);
    repository.publish(&place.user, &branch("muster/x"), &tip, None).await.unwrap();
    assert_eq!(place.git(&["show", "muster/x:a.txt"]), "base");
    place.git(&["fsck", "--strict"]);
    // The same repository cloned anew knows even less.
    let empty = Place::new();
    empty.write("else.txt", "x\n");
    empty.commit("another history");
    repository.publish(&empty.user, &branch("muster/x"), &tip, None).await.unwrap();
    assert_eq!(empty.git(&["rev-list", "--count", "muster/x"]), "3");
    empty.git(&["fsck", "--strict"]);
}

#[tokio::test]
async fn the_name_of_the_result_is_chosen_at_the_beginning() {
    let place = Place::filled();
    let name = async || result_branch(&place.user, "fix").await.unwrap().to_string();
    assert_eq!(name().await, "muster/fix");
    place.git(&["branch", "muster"]);
    assert_eq!(name().await, "muster-fix");
    place.git(&["pack-refs", "--all"]);
    assert_eq!(name().await, "muster-fix");
    place.git(&["branch", "muster-fix"]);
    assert_eq!(name().await, "muster-result/fix");
    place.git(&["branch", "muster-result"]);
    assert!(result_branch(&place.user, "fix").await.unwrap_err().to_string().contains("git branch -m"));
    place.git(&["branch", "-D", "-q", "muster", "muster-fix"]);
    assert_eq!(name().await, "muster/fix");
    place.git(&["branch", "muster/fix/deeper"]);
    assert_eq!(name().await, "muster-fix");
}
