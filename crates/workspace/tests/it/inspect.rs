//! Repositories as they come: what is a fact, what is a problem, and that the words say what to do.

use crate::place::{Place, write};
use workspace::{RepoProblem, inspect};

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
async fn submodules_lfs_and_partial_clones_are_refused() {
    let place = Place::filled();
    let oid = place.head();
    place.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{oid},vendor/lib")]);
    place.git(&["commit", "-q", "-m", "submodule"]);
    assert!(problem(&place).await.contains("vendor/lib"));

    let lfs = Place::filled();
    lfs.write("assets/.gitattributes", "# filter=lfs\n*.png filter=lfs diff=lfs merge=lfs -text\n");
    lfs.commit("lfs");
    assert!(
        matches!(inspect(&lfs.user).await, Err(RepoProblem::Lfs { attribute_files, .. }) if attribute_files == ["assets/.gitattributes"])
    );
    lfs.write("assets/.gitattributes", "# filter=lfs\n");
    lfs.commit("no lfs");
    inspect(&lfs.user).await.unwrap();

    let partial = Place::filled();
    partial.git(&["config", "remote.origin.promisor", "true"]);
    assert!(matches!(inspect(&partial.user).await, Err(RepoProblem::Partial(_))));
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
    assert!(inspect(&place.user).await.unwrap().dirty);
    assert!(!marker.exists());
    assert_eq!(before, place.fingerprint());
    // The plants do work: git as a user runs it sets them off.
    let _ = std::process::Command::new("git").arg("status").current_dir(&place.user).output();
    assert!(marker.exists());
}
