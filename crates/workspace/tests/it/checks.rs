//! Acceptance checks: clean, at the exact commit, without a network, and with an end.

use crate::place::{AT_MS, Place, agent, branch};
use std::{fs, time::Duration};
use workspace::{CheckCommand, CheckEnd, CheckRun, ErrorKind, Repository, SandboxExtras};

fn command(run: &str) -> CheckCommand {
    CheckCommand { run: run.into(), timeout: Duration::from_secs(60) }
}

async fn check(place: &Place, repository: &Repository, runs: &[&str]) -> Vec<CheckRun> {
    let commands: Vec<CheckCommand> = runs.iter().map(|run| command(run)).collect();
    repository.check(&place.head(), &commands, &SandboxExtras::default()).await.unwrap()
}

#[tokio::test]
async fn checks_see_exactly_the_commit() {
    let place = Place::filled();
    let repository = place.prepare().await;
    let workspace = repository.clone_for(&agent("coder")).await.unwrap();
    workspace.start_task(&branch("t"), &place.head(), AT_MS).await.unwrap();
    fs::write(place.work("coder").join("uncommitted"), "x").unwrap();
    let script = "git rev-parse HEAD; git status --porcelain; ls -A; env | grep ^GIT_; ls /muster";
    let runs = check(&place, &repository, &[script]).await;
    let expected = format!("{}\n.git\n.gitignore\na.txt\nb.txt\nsrc\nhub.git\n", place.head());
    assert_eq!((runs[0].output_tail.as_str(), runs[0].end), (expected.as_str(), CheckEnd::Exit(0)));
    assert_eq!(fs::read_dir(place.dir.join("checks")).unwrap().count(), 0, "removed afterwards");
}

#[tokio::test]
async fn every_check_has_its_result_in_order() {
    let place = Place::filled();
    let repository = place.prepare().await;
    let runs = check(&place, &repository, &["echo out; echo err >&2; touch built", "exit 3", "kill -TERM $$"]).await;
    let ends: Vec<CheckEnd> = runs.iter().map(|run| run.end).collect();
    assert_eq!(ends, [CheckEnd::Exit(0), CheckEnd::Exit(3), CheckEnd::Signal(15)]);
    assert_eq!((runs[0].output_tail.as_str(), runs[0].output_bytes), ("out\nerr\n", 8));
    assert!(runs[0].passed() && !runs[1].passed());
}

#[tokio::test]
async fn a_check_cannot_change_what_the_next_one_tests() {
    let place = Place::filled();
    let repository = place.prepare().await;
    let runs =
        check(&place, &repository, &["echo forged >a.txt; touch built; rm b.txt", "git status --porcelain; ls -A"])
            .await;
    assert_eq!(runs[1].output_tail, ".git\n.gitignore\na.txt\nb.txt\nsrc\n");
}

#[tokio::test]
async fn a_check_that_does_not_end_is_ended() {
    let place = Place::filled();
    let repository = place.prepare().await;
    let endless = CheckCommand {
        run: "echo begun; (setsid sleep 1000 &); sleep 1000".into(),
        timeout: Duration::from_millis(300),
    };
    let runs = repository.check(&place.head(), &[endless], &SandboxExtras::default()).await.unwrap();
    assert_eq!((runs[0].end, runs[0].output_tail.as_str()), (CheckEnd::TimedOut, "begun\n"));
    assert!(runs[0].ms >= 300);
}

#[tokio::test]
async fn a_check_that_leaves_something_behind_still_ends() {
    let place = Place::filled();
    let repository = place.prepare().await;
    let runs = check(&place, &repository, &["sleep 1000 & echo done"]).await;
    assert_eq!((runs[0].end, runs[0].output_tail.as_str()), (CheckEnd::Exit(0), "done\n"));
}

#[tokio::test]
async fn endless_output_is_kept_from_its_end() {
    let place = Place::filled();
    let repository = place.prepare().await;
    let runs = check(&place, &repository, &["yes | head -c 3000000; echo the end"]).await;
    assert_eq!(runs[0].output_bytes, 3_000_008);
    assert!(runs[0].output_tail.ends_with("the end\n") && runs[0].output_tail.starts_with("["));
    assert!(runs[0].output_tail.len() <= workspace::CHECK_TAIL_BYTES + 64);
}

#[tokio::test]
async fn checks_have_loopback_and_no_network() {
    let place = Place::filled();
    let repository = place.prepare().await;
    let runs = check(&place, &repository, &["cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' '"]).await;
    assert_eq!(runs[0].output_tail, "lo\n");
}

#[tokio::test]
async fn a_candidate_that_is_not_there_is_missing() {
    let place = Place::filled();
    let repository = place.prepare().await;
    let unknown = "1".repeat(40).parse().unwrap();
    let error = repository.check(&unknown, &[command("true")], &SandboxExtras::default()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Missing, "{error}");
}
