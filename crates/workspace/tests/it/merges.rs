//! Merging: what goes together, what does not, and what the agent is told then.

use crate::place::{AT_MS, Place, agent, branch, git};
use std::fs;
use workspace::{Checkpoint, CommitId, Conflict, HUNK_BYTES_MAX, Merge, Repository};

/// What `edit` makes of the base, as a checkpoint of the agent `name`.
async fn change(place: &Place, repository: &Repository, name: &str, edit: impl Fn(&std::path::Path)) -> Checkpoint {
    let workspace = repository.clone_for(&agent(name)).await.unwrap();
    workspace.start_task(&branch(name), &place.head(), AT_MS).await.unwrap();
    edit(&place.work(name));
    workspace.checkpoint(name, AT_MS).await.unwrap()
}

async fn merged(repository: &Repository, onto: &CommitId, change: &Checkpoint) -> CommitId {
    match repository.merge_candidate(onto, &change.commit, "message", AT_MS).await.unwrap() {
        Merge::Candidate(candidate) => candidate.commit,
        other => panic!("{other:?}"),
    }
}

async fn conflict(repository: &Repository, onto: &CommitId, change: &Checkpoint) -> Conflict {
    match repository.merge_candidate(onto, &change.commit, "message", AT_MS).await.unwrap() {
        Merge::Conflict(conflict) => conflict,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn changes_to_different_places_go_together_in_a_line() {
    let place = Place::filled();
    let repository = place.prepare().await;
    let first = change(&place, &repository, "one", |work| {
        fs::write(work.join("a.txt"), "ONE\n2\n3\n4\n5\n6\n7\n8\n9\n").unwrap()
    })
    .await;
    let second = change(&place, &repository, "two", |work| {
        fs::write(work.join("a.txt"), "1\n2\n3\n4\n5\n6\n7\n8\nNINE\n").unwrap()
    })
    .await;
    let head = merged(&repository, &place.head(), &first).await;
    assert_eq!(head, merged(&repository, &place.head(), &first).await, "asking twice gives the same commit");
    let tip = merged(&repository, &head, &second).await;
    let hub = place.dir.join("hub.git");
    assert_eq!(git(&hub, &["show", &format!("{tip}:a.txt")]), "ONE\n2\n3\n4\n5\n6\n7\n8\nNINE");
    assert_eq!(git(&hub, &["rev-parse", &format!("{tip}^@")]), head.as_str());
    assert_eq!(git(&hub, &["rev-parse", &format!("refs/candidates/{tip}")]), tip.as_str());
    assert_eq!(git(&hub, &["log", "-1", "--format=%an %cn %s %ct", tip.as_str()]), "muster muster message 1700000000");
    assert!(repository.fsck().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_change_that_is_there_already_is_nothing() {
    let place = Place::filled();
    let repository = place.prepare().await;
    let none = change(&place, &repository, "none", |_| {}).await;
    assert_eq!(repository.merge_candidate(&place.head(), &none.commit, "m", AT_MS).await.unwrap(), Merge::Nothing);
    let one = change(&place, &repository, "one", |work| fs::write(work.join("b.txt"), "same\n").unwrap()).await;
    let two = change(&place, &repository, "two", |work| fs::write(work.join("b.txt"), "same\n").unwrap()).await;
    let head = merged(&repository, &place.head(), &one).await;
    assert_eq!(repository.merge_candidate(&head, &two.commit, "m", AT_MS).await.unwrap(), Merge::Nothing);
}

#[tokio::test]
async fn a_conflict_shows_both_sides_and_little_else() {
    let place = Place::filled();
    let repository = place.prepare().await;
    let one = change(&place, &repository, "one", |work| {
        fs::write(work.join("a.txt"), "1\n2\n3\n4\nfive\n6\n7\n8\n9\n").unwrap()
    })
    .await;
    let two = change(&place, &repository, "two", |work| {
        fs::write(work.join("a.txt"), "1\n2\n3\n4\nfünf\n6\n7\n8\n9\n").unwrap()
    })
    .await;
    let head = merged(&repository, &place.head(), &one).await;
    let found = conflict(&repository, &head, &two).await;
    assert_eq!(found.files, ["a.txt"]);
    let expected = "CONFLICT (content): Merge conflict in a.txt\n\n--- a.txt, line 5\n2\n3\n4\n<<<<<<< mission\nfive\n||||||| before both\n5\n=======\nfünf\n>>>>>>> change\n6\n7\n8\n";
    assert_eq!(found.hunks, expected);
}

#[tokio::test]
async fn binary_files_and_renames_conflict_in_words() {
    let place = Place::filled();
    place.write("image", "\0old");
    place.write("moved.txt", "1\n2\n3\n4\n5\n");
    place.commit("more");
    let repository = place.prepare().await;
    let one = change(&place, &repository, "one", |work| {
        fs::write(work.join("image"), b"\0one").unwrap();
        fs::rename(work.join("moved.txt"), work.join("there.txt")).unwrap();
    });
    let one = one.await;
    let two = change(&place, &repository, "two", |work| {
        fs::write(work.join("image"), b"\0two").unwrap();
        fs::remove_file(work.join("moved.txt")).unwrap();
    });
    let two = two.await;
    let head = merged(&repository, &place.head(), &one).await;
    let found = conflict(&repository, &head, &two).await;
    assert_eq!(found.files, ["image", "there.txt"]);
    assert!(found.hunks.contains("Cannot merge binary files: image"), "{}", found.hunks);
    assert!(found.hunks.contains("CONFLICT (rename/delete)"), "{}", found.hunks);
    assert!(!found.hunks.contains('\0'));
}

#[tokio::test]
async fn a_large_conflict_is_cut() {
    let place = Place::filled();
    let repository = place.prepare().await;
    let lines = |word: &str| (0..20_000).map(|n| format!("{word} {n}\n")).collect::<String>();
    let one = change(&place, &repository, "one", |work| fs::write(work.join("new"), lines("one")).unwrap()).await;
    let two = change(&place, &repository, "two", |work| fs::write(work.join("new"), lines("two")).unwrap()).await;
    let head = merged(&repository, &place.head(), &one).await;
    let found = conflict(&repository, &head, &two).await;
    assert!(found.hunks.len() <= HUNK_BYTES_MAX && found.hunks.ends_with("[more left out]\n"));
}

#[tokio::test]
async fn odd_names_and_messages_are_carried_as_they_are() {
    let place = Place::filled();
    let repository = place.prepare().await;
    let names = ["with space", "-dash", "new\nline", "quote\"", "ümlaut", "$(touch x)", ":(top)"];
    let odd = change(&place, &repository, "odd", |work| {
        names.iter().for_each(|name| fs::write(work.join(name), "x").unwrap())
    })
    .await;
    let mut expected = names.map(str::to_owned);
    expected.sort();
    assert_eq!(repository.changed_paths(&odd.base, &odd.commit).await.unwrap(), expected);
    let message = "-m --amend\n\n$(touch x) \0 end\n\n\n";
    let Merge::Candidate(tip) = repository.merge_candidate(&odd.base, &odd.commit, message, u64::MAX).await.unwrap()
    else {
        panic!("no candidate")
    };
    let text = git(&place.dir.join("hub.git"), &["log", "-1", "--format=%B", tip.commit.as_str()]);
    assert_eq!(text, "-m --amend\n\n$(touch x)   end");
}
