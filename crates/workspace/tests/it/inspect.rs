//! Repositories as they come: what is a fact, what is a problem, and that the words say what to do.

use crate::place::{LAUNCHER, Place, git, write};
use workspace::{RepoNote, RepoProblem, Repository, inspect};

async fn problem(place: &Place) -> String {
    inspect(&place.user).await.expect_err("a problem").to_string()
}

#[tokio::test]
async fn a_usual_repository_with_changes_is_fine() {
    let place = Place::filled();
    let facts = inspect(&place.user).await.unwrap();
    assert_eq!(facts.head, place.head());
    assert_eq!(facts.branch.as_ref().map(|b| b.as_str()), Some("main"));
    assert_eq!(facts.root, place.user.canonicalize().unwrap());
    assert!(!facts.dirty && !facts.shallow);
    place.write("new.txt", "x");
    assert!(inspect(&place.user).await.unwrap().dirty);
    let below = inspect(&place.user.join("src")).await.unwrap();
    assert_eq!(below.root, facts.root);
    place.git(&["checkout", "-q", "--detach"]);
    assert_eq!(inspect(&place.user).await.unwrap().branch, None);
}

#[tokio::test]
async fn a_linked_worktree_is_fine() {
    let place = Place::filled();
    let other = place.temp.path().join("other");
    place.git(&["worktree", "add", "-q", other.to_str().unwrap(), "-b", "second"]);
    let facts = inspect(&other).await.unwrap();
    assert_eq!(facts.root, other.canonicalize().unwrap());
    assert_eq!(facts.git_dir, place.user.canonicalize().unwrap().join(".git"));
}

#[tokio::test]
async fn what_is_no_repository_is_said_precisely() {
    let temp = tempfile::tempdir().unwrap();
    assert!(matches!(inspect(&temp.path().join("none")).await, Err(RepoProblem::Missing(_))));
    assert!(matches!(inspect(temp.path()).await, Err(RepoProblem::NotARepository(_))));
    let bare = Place::with(&["init", "-q", "--bare"]);
    assert!(matches!(inspect(&bare.user).await, Err(RepoProblem::Bare(_))));
    let empty = Place::new();
    assert!(problem(&empty).await.contains("git commit -m start"));
    let inside = Place::filled();
    assert!(matches!(inspect(&inside.user.join(".git")).await, Err(RepoProblem::NotARepository(_))));
}

#[tokio::test]
async fn an_operation_in_progress_names_the_way_out() {
    let place = Place::filled();
    place.git(&["checkout", "-q", "-b", "other"]);
    place.write("b.txt", "other\n");
    place.commit("other");
    place.git(&["checkout", "-q", "main"]);
    place.write("b.txt", "main\n");
    place.commit("main");
    for (start, words) in [("merge", "git merge --abort"), ("rebase", "git rebase --abort")] {
        let started =
            std::process::Command::new("git").args([start, "other"]).current_dir(&place.user).output().unwrap();
        assert!(!started.status.success());
        assert!(problem(&place).await.contains(words));
        place.git(&[start, "--abort"]);
    }
    inspect(&place.user).await.unwrap();
}

#[tokio::test]
async fn submodules_and_lfs_are_refused() {
    let place = Place::filled();
    let oid = place.head();
    place.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{oid},vendor/lib")]);
    place.git(&["commit", "-q", "-m", "submodule"]);
    assert!(problem(&place).await.contains("vendor/lib"));

    // An attribute alone keeps nothing elsewhere: only what is committed counts.
    let lfs = Place::filled();
    lfs.write("assets/.gitattributes", "# filter=lfs\n*.png filter=lfs diff=lfs merge=lfs -text\n");
    lfs.write("assets/true.png", "no pointer\n");
    lfs.commit("lfs by name only");
    assert_eq!(inspect(&lfs.user).await.unwrap().notes, []);
    lfs.write("assets/big.png", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
    lfs.commit("lfs");
    assert!(matches!(inspect(&lfs.user).await, Err(RepoProblem::Lfs { paths, .. }) if paths == ["assets/big.png"]));
}

/// The advice is followed to its end: then there is a mission's repository.
#[tokio::test]
async fn a_partial_clone_is_judged_by_its_objects() {
    let place = Place::filled();
    place.git(&["config", "uploadpack.allowFilter", "true"]);
    place.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
    let clone = place.temp.path().join("clone");
    let source = format!("file://{}", place.user.display());
    place.git(&["clone", "-q", "--no-checkout", "--filter=blob:none", &source, clone.to_str().unwrap()]);
    let problem = inspect(&clone).await.expect_err("blobs are missing").to_string();
    let advice = "git fetch --refetch --no-filter";
    assert!(problem.contains(advice), "{problem}");
    let words: Vec<&str> = advice.split(' ').skip(1).collect();
    git(&clone, &words);
    git(&clone, &["reset", "-q", "--hard"]);
    let facts = inspect(&clone).await.unwrap();
    assert!(!facts.dirty);
    let repository = Repository::prepare(&place.dir, &clone, &facts.head, LAUNCHER.clone()).await.unwrap();
    assert_eq!(repository.fsck().await.unwrap(), Vec::<String>::new());
    // A setting alone makes no clone partial.
    let place = Place::filled();
    place.git(&["config", "remote.origin.promisor", "true"]);
    inspect(&place.user).await.unwrap();
}

#[tokio::test]
async fn looking_runs_nothing_of_the_repository_and_writes_nothing() {
    let place = Place::filled();
    let marker = place.temp.path().join("marker");
    let plant = format!("touch {}", marker.display());
    place.write(".gitattributes", "*.txt filter=evil\n");
    place.commit("attributes");
    let hook = place.user.join(".git/hooks/post-index-change");
    write(&hook, &format!("#!/bin/sh\n{plant}\n"));
    std::process::Command::new("chmod").arg("+x").arg(&hook).status().unwrap();
    place.git(&["config", "core.fsmonitor", &plant]);
    place.git(&["config", "filter.evil.clean", &format!("{plant}; cat")]);
    place.git(&["config", "filter.evil.process", &plant]);
    // Newer than the index, so that git has to look at the content.
    place.write("a.txt", "1\n2\n3\n4\n5\n6\n7\n8\nX\n");
    let before = place.fingerprint();
    let facts = inspect(&place.user).await.unwrap();
    assert!(facts.notes.contains(&RepoNote::NotCompared { files: 1 }), "{:?}", facts.notes);
    assert!(!marker.exists());
    assert_eq!(before, place.fingerprint());
    // The plants do work: git as a user runs it sets them off.
    let _ = std::process::Command::new("git").arg("status").current_dir(&place.user).output();
    assert!(marker.exists());
}

/// git-crypt, nbstripout and their like: a clean checkout is not called changed, and what agents will see is said.
#[tokio::test]
async fn files_behind_a_filter_are_said_and_not_called_changed() {
    let place = Place::filled();
    place.git(&["config", "filter.git-crypt.clean", "tr a-z b-za"]);
    place.git(&["config", "filter.git-crypt.smudge", "tr b-za a-z"]);
    place.git(&["config", "filter.git-crypt.required", "true"]);
    place.write(".gitattributes", "*.key filter=git-crypt diff=git-crypt\n");
    place.write("secrets/one.key", "plain\n");
    place.write("secrets/two.key", "plain\n");
    place.commit("encrypted");
    let seen = RepoNote::Filter { driver: "git-crypt".into(), files: 2, example: "secrets/one.key".into() };
    let facts = inspect(&place.user).await.unwrap();
    assert!(!facts.dirty);
    assert_eq!(facts.notes.first(), Some(&seen));
    // Written again, so that git would compare the content.
    std::fs::remove_file(place.user.join("secrets/one.key")).unwrap();
    place.write("secrets/one.key", "plain\n");
    assert_eq!(place.git(&["status", "--porcelain"]), "");
    place.write("secrets/two.key", "plain text\n");
    let facts = inspect(&place.user).await.unwrap();
    assert!(!facts.dirty);
    assert_eq!(facts.notes[0], seen);
    assert!(matches!(facts.notes[1..], [RepoNote::NotCompared { files: 1 | 2 }]), "{:?}", facts.notes);
    place.write("a.txt", "changed\n");
    assert!(inspect(&place.user).await.unwrap().dirty);
    // Deleted is changed, filter or not; staged too.
    place.git(&["checkout", "-q", "a.txt"]);
    place.git(&["add", "secrets/two.key"]);
    assert!(inspect(&place.user).await.unwrap().dirty);
}

#[tokio::test]
async fn merge_drivers_of_the_user_are_said() {
    let place = Place::filled();
    place.write(".gitattributes", "*.lock merge=ours\na.txt merge=union\nb.txt -merge\n");
    place.write("x.lock", "1\n");
    place.commit("drivers");
    let notes = inspect(&place.user).await.unwrap().notes;
    assert_eq!(notes, [RepoNote::MergeDriver { driver: "ours".into(), files: 1, example: "x.lock".into() }]);
}

/// Settings of the user that decide whether a file is changed.
#[tokio::test]
async fn a_clean_checkout_is_clean_by_its_own_settings() {
    let place = Place::filled();
    place.git(&["config", "core.autocrlf", "true"]);
    std::fs::write(place.user.join("a.txt"), "1\r\n2\r\n3\r\n4\r\n5\r\n6\r\n7\r\n8\r\n9\r\n").unwrap();
    place.git(&["add", "a.txt"]);
    assert_eq!(place.git(&["status", "--porcelain"]), "");
    assert!(!inspect(&place.user).await.unwrap().dirty);
    place.git(&["config", "core.fileMode", "false"]);
    std::process::Command::new("chmod").args(["+x", "b.txt"]).current_dir(&place.user).status().unwrap();
    assert!(!inspect(&place.user).await.unwrap().dirty);
    write(&place.user.join(".git/info/exclude"), "scratch/\n");
    place.write("scratch/x", "1\n");
    assert!(!inspect(&place.user).await.unwrap().dirty);
    // An index in two parts, and a checkout of some of the files.
    place.git(&["config", "core.fileMode", "true"]);
    place.git(&["checkout", "-q", "-f", "HEAD"]);
    place.git(&["update-index", "--split-index"]);
    place.git(&["sparse-checkout", "set", "src"]);
    assert!(!place.user.join("src/../b.txt").exists() || place.git(&["status", "--porcelain"]).is_empty());
    assert!(!inspect(&place.user).await.unwrap().dirty);
}

#[tokio::test]
async fn a_checkout_that_is_elsewhere_is_refused() {
    let place = Place::filled();
    let elsewhere = place.temp.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    place.git(&["config", "core.worktree", elsewhere.to_str().unwrap()]);
    assert!(matches!(inspect(&place.user).await, Err(RepoProblem::Elsewhere { .. })));
}
