//! Whose repository it is: git's own check holds, with git's own exceptions, as root and as an ordinary user.

use crate::place::{LAUNCHER, Place};
use std::{os::unix::fs::chown, path::Path};
use workspace::{BranchName, RepoProblem, Repository, inspect, result_branch};

/// Gives a tree to somebody else; only root can.
fn give_away(dir: &Path) {
    let done = std::process::Command::new("chown").args(["-R", "12345:12345"]).arg(dir).status().unwrap();
    assert!(done.success());
}

fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0
}

#[tokio::test]
async fn a_repository_of_somebody_else_is_refused_with_gits_own_advice() {
    if !is_root() {
        return;
    }
    let place = Place::filled();
    let (base, branch) = (place.head(), BranchName::new("muster/x").unwrap());
    let repository = place.prepare().await;
    let marker = place.temp.path().join("marker");
    place.git(&["config", "filter.a=b.clean", &format!("touch {}; cat", marker.display())]);
    place.write(".gitattributes", "* filter=a=b\n");
    give_away(&place.user);
    let refused = inspect(&place.user).await.expect_err("it is not ours");
    let RepoProblem::Foreign { advice, .. } = &refused else { panic!("{refused}") };
    assert!(advice.starts_with("git config --global --add safe.directory "), "{advice}");
    assert!(advice.ends_with(&*place.user.canonicalize().unwrap().to_string_lossy()), "{advice}");
    // Everything else that opens the repository refuses it too.
    assert!(matches!(result_branch(&place.user, "x").await, Err(RepoProblem::Foreign { .. })));
    let other = place.temp.path().join("other");
    let prepared = Repository::prepare(&other, &place.user, &base, LAUNCHER.clone()).await;
    assert!(prepared.err().unwrap().message.contains("another user"));
    let published = repository.publish(&place.user, &branch, &base, None).await.unwrap_err();
    assert!(published.message.contains("another user"), "{published}");
    assert!(!marker.exists());
    // The folder alone being ours does not help: git looks at its .git too.
    chown(&place.user, Some(0), Some(0)).unwrap();
    assert!(matches!(inspect(&place.user).await, Err(RepoProblem::Foreign { .. })));
    // It is ours again.
    let done = std::process::Command::new("chown").args(["-R", "0:0"]).arg(&place.user).status().unwrap();
    assert!(done.success());
    assert!(inspect(&place.user).await.is_ok());
    assert!(!marker.exists());
}
