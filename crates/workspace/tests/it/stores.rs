//! The mission's stores: what is copied, what is not, and that making them twice is harmless.

use crate::place::{AT_MS, LAUNCHER, Place, agent, branch, git};
use workspace::{CommitId, ErrorKind, Merge, Repository};

#[tokio::test]
async fn only_the_history_of_the_base_is_copied() {
    let place = Place::filled();
    let base = place.head();
    place.git(&["checkout", "-q", "-b", "private"]);
    place.write("secret.txt", "not for agents\n");
    place.commit("private");
    let secret = place.git(&["rev-parse", "HEAD:secret.txt"]);
    place.git(&["checkout", "-q", "main"]);
    let repository = place.prepare().await;
    assert_eq!(repository.head().await.unwrap(), base);
    assert_eq!(repository.base().unwrap(), base);
    let objects = git(&place.dir.join("hub.git"), &["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"]);
    assert!(!objects.contains(&secret));
    assert_eq!(repository.fsck().await.unwrap(), Vec::<String>::new());
    assert!(!place.dir.join("hub.git/objects/info/alternates").exists());
}

#[tokio::test]
async fn preparing_again_finds_what_is_there() {
    let place = Place::filled();
    let base = place.head();
    place.prepare().await;
    // A crash left rubbish under the working name.
    std::fs::create_dir_all(place.dir.join("vault.git-new/objects")).unwrap();
    std::fs::remove_dir_all(place.dir.join("vault.git")).unwrap();
    place.prepare().await;
    Repository::open(&place.dir, LAUNCHER.clone()).unwrap();
    place.write("b.txt", "moved on\n");
    place.commit("moved on");
    let other = Repository::prepare(&place.dir, &place.user, &place.head(), LAUNCHER.clone()).await;
    assert_eq!(other.err().unwrap().kind, ErrorKind::Conflict);
    Repository::prepare(&place.dir, &place.user, &base, LAUNCHER.clone()).await.unwrap();
}

#[tokio::test]
async fn a_half_made_hub_is_made_again() {
    let place = Place::filled();
    let half = place.dir.join("hub.git-new/objects/pack");
    std::fs::create_dir_all(&half).unwrap();
    std::fs::write(half.join("pack-1.pack"), "half").unwrap();
    let repository = place.prepare().await;
    assert!(repository.fsck().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_missing_is_called_missing() {
    let place = Place::filled();
    let unknown = CommitId::new("1".repeat(40)).unwrap();
    let prepared = Repository::prepare(&place.dir, &place.user, &unknown, LAUNCHER.clone()).await;
    assert_eq!(prepared.err().unwrap().kind, ErrorKind::Missing);
    assert_eq!(Repository::open(&place.dir, LAUNCHER.clone()).err().unwrap().kind, ErrorKind::Missing);
    let repository = place.prepare().await;
    assert_eq!(repository.changed_paths(&place.head(), &unknown).await.unwrap_err().kind, ErrorKind::Missing);
}

#[tokio::test]
async fn the_mission_branch_moves_only_from_where_it_is() {
    let place = Place::filled();
    let base = place.head();
    let repository = place.prepare().await;
    let workspace = repository.clone_for(&agent("coder")).await.unwrap();
    workspace.start_task(&branch("muster/t1"), &base, AT_MS).await.unwrap();
    std::fs::write(place.work("coder").join("b.txt"), "better\n").unwrap();
    let change = workspace.checkpoint("t1", AT_MS).await.unwrap();
    let Merge::Candidate(candidate) = repository.merge_candidate(&base, &change.commit, "t1", AT_MS).await.unwrap()
    else {
        panic!("no candidate")
    };
    repository.advance(&base, &candidate.commit).await.unwrap();
    repository.advance(&base, &candidate.commit).await.unwrap();
    assert_eq!(repository.head().await.unwrap(), candidate.commit);
    let elsewhere = CommitId::new("1".repeat(40)).unwrap();
    assert_eq!(repository.advance(&elsewhere, &base).await.unwrap_err().kind, ErrorKind::Conflict);
    assert_eq!(repository.advance(&base, &elsewhere).await.unwrap_err().kind, ErrorKind::Conflict);
    assert!(repository.advance(&candidate.commit, &elsewhere).await.is_err());
    assert_eq!(repository.head().await.unwrap(), candidate.commit);
}

#[tokio::test]
async fn shallow_and_sha256_repositories_work() {
    let shallow = Place::filled();
    for n in 0..3 {
        shallow.write("b.txt", &format!("{n}\n"));
        shallow.commit("more");
    }
    let source = shallow.temp.path().join("shallow");
    let url = format!("file://{}", shallow.user.display());
    git(shallow.temp.path(), &["clone", "-q", "--depth", "2", &url, source.to_str().unwrap()]);
    let repository = Repository::prepare(&shallow.dir, &source, &shallow.head(), LAUNCHER.clone()).await.unwrap();
    round_trip(&shallow, &repository).await;

    let sha256 = Place::with(&["init", "-q", "--object-format=sha256", "-b", "main"]);
    sha256.fill();
    let repository = sha256.prepare().await;
    round_trip(&sha256, &repository).await;
}

async fn round_trip(place: &Place, repository: &Repository) {
    let base = repository.head().await.unwrap();
    let workspace = repository.clone_for(&agent("a")).await.unwrap();
    workspace.start_task(&branch("t"), &base, AT_MS).await.unwrap();
    std::fs::write(place.work("a").join("new.txt"), "new\n").unwrap();
    let change = workspace.checkpoint("t", AT_MS).await.unwrap();
    assert_eq!(repository.changed_paths(&base, &change.commit).await.unwrap(), ["new.txt"]);
    let merged = repository.merge_candidate(&base, &change.commit, "t", AT_MS).await.unwrap();
    assert!(matches!(merged, Merge::Candidate(_)));
    assert!(repository.fsck().await.unwrap().is_empty());
}
