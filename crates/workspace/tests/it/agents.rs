//! An agent's workspace from its first start to its last checkpoint, with crashes in between.

use crate::place::{AT_MS, LAUNCHER, Place, agent, as_agent, branch, git, write};
use std::fs;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use workspace::{Exit, Process, Program, Repository, Started, WhyLeftOut, Workspace};

async fn started(place: &Place) -> (Repository, Workspace) {
    let repository = place.prepare().await;
    let workspace = repository.clone_for(&agent("coder")).await.unwrap();
    let fresh = workspace.start_task(&branch("muster/t1"), &place.head(), AT_MS).await.unwrap();
    assert_eq!(fresh, Started::Fresh(None));
    (repository, workspace)
}

#[tokio::test]
async fn an_agent_finds_a_clean_checkout_and_can_commit() {
    let place = Place::filled();
    let (_repository, workspace) = started(&place).await;
    let script = "cat b.txt; git status --porcelain; git branch --show-current; echo x >x; git add x; git commit -qm x;
                  git log --format=%an -1; git fetch -q muster; git rev-parse muster/mission; pwd; echo $HOME";
    let expected = format!("b\nmuster/t1\ncoder\n{}\n/workspace\n/home/agent\n", place.head());
    assert_eq!(as_agent(&workspace, script).await, expected);
}

#[tokio::test]
async fn the_hub_cannot_be_written_and_other_stores_do_not_exist() {
    let place = Place::filled();
    let (_repository, workspace) = started(&place).await;
    let script =
        "touch /muster/hub.git/x 2>/dev/null || echo held; rm -f /muster/hub.git/HEAD 2>/dev/null || echo held;
                  git push -q muster HEAD:refs/heads/mine 2>/dev/null || echo held; ls /muster";
    assert_eq!(as_agent(&workspace, script).await, "held\nheld\nheld\nhub.git\n");
}

#[tokio::test]
async fn a_checkpoint_is_tracked_and_untracked_but_not_ignored_work() {
    let place = Place::filled();
    let (repository, workspace) = started(&place).await;
    let script =
        "echo changed >a.txt; rm b.txt; mkdir d; echo n >d/new; echo log >x.log; ln -s a.txt link; chmod +x src/c.txt";
    as_agent(&workspace, script).await;
    let first = workspace.checkpoint("turn 1", AT_MS).await.unwrap();
    assert_eq!((first.number, first.files_changed, &first.base), (1, 5, &place.head()));
    let paths = repository.changed_paths(&first.base, &first.commit).await.unwrap();
    assert_eq!(paths, ["a.txt", "b.txt", "d/new", "link", "src/c.txt"]);
    assert!(matches!(&first.left_out.shown[..], [only] if only.path == "x.log"), "{:?}", first.left_out);
    let vault = place.dir.join("vault.git");
    assert_eq!(git(&vault, &["rev-parse", "refs/muster/checkpoints/coder/1"]), first.commit.as_str());
    assert_eq!(git(&vault, &["log", "-1", "--format=%s %at", first.commit.as_str()]), "turn 1 1700000000");

    assert_eq!(workspace.checkpoint("again", AT_MS).await.unwrap(), first);
    as_agent(&workspace, "git add -A; git commit -qm mine").await;
    assert_eq!(workspace.checkpoint("committed", AT_MS).await.unwrap(), first, "the files are the same");
    as_agent(&workspace, "echo more >>a.txt").await;
    let second = workspace.checkpoint("turn 2", AT_MS).await.unwrap();
    assert_eq!((second.number, &second.base), (2, &first.base));
    assert!(repository.fsck().await.unwrap().is_empty());
}

#[tokio::test]
async fn work_on_a_branch_of_the_agents_own_making_is_saved_too() {
    let place = Place::filled();
    let (repository, workspace) = started(&place).await;
    as_agent(
        &workspace,
        "git checkout -q -b mine; echo 1 >b.txt; git commit -qam 1; git checkout -q --detach; echo 2 >c",
    )
    .await;
    let saved = workspace.checkpoint("x", AT_MS).await.unwrap();
    assert_eq!(repository.changed_paths(&place.head(), &saved.commit).await.unwrap(), ["b.txt", "c"]);
}

#[tokio::test]
async fn starting_the_same_task_again_leaves_the_tree_alone() {
    let place = Place::filled();
    let (repository, workspace) = started(&place).await;
    as_agent(&workspace, "echo unsaved >b.txt").await;
    drop(workspace);
    // After a crash the engine asks for everything again.
    let workspace = repository.clone_for(&agent("coder")).await.unwrap();
    let again = workspace.start_task(&branch("muster/t1"), &place.head(), AT_MS).await.unwrap();
    assert_eq!(again, Started::Already);
    assert_eq!(as_agent(&workspace, "cat b.txt").await, "unsaved\n");
}

#[tokio::test]
async fn the_next_task_saves_and_clears_away_the_last_one() {
    let place = Place::filled();
    let (repository, workspace) = started(&place).await;
    as_agent(&workspace, "echo unsaved >b.txt; echo new >new; echo log >kept.log; git add new; echo 2 >>new").await;
    let next = workspace.start_task(&branch("muster/t2"), &place.head(), AT_MS).await.unwrap();
    let Started::Fresh(Some(saved)) = next else { panic!("{next:?}") };
    assert_eq!(repository.changed_paths(&place.head(), &saved.commit).await.unwrap(), ["b.txt", "new"]);
    assert_eq!(
        as_agent(&workspace, "cat b.txt; ls; git branch --show-current").await,
        "b\na.txt\nb.txt\nkept.log\nsrc\nmuster/t2\n"
    );
    let empty = workspace.checkpoint("nothing yet", AT_MS).await.unwrap();
    assert_eq!((empty.number, empty.files_changed), (2, 0));
}

#[tokio::test]
async fn a_task_begun_and_not_finished_is_begun_again() {
    let place = Place::filled();
    let (repository, workspace) = started(&place).await;
    as_agent(&workspace, "echo unsaved >b.txt").await;
    workspace.start_task(&branch("muster/t2"), &place.head(), AT_MS).await.unwrap();
    drop(workspace);
    // As if the engine had been killed in the middle of the check-out.
    let note = place.dir.join("agents/coder/task.json");
    let text = fs::read_to_string(&note).unwrap().replace("\"ready\":true", "\"ready\":false");
    fs::write(&note, text).unwrap();
    fs::write(place.work("coder").join("b.txt"), "half\n").unwrap();
    fs::write(place.work("coder").join(".git/index.lock"), "").unwrap();
    let workspace = repository.clone_for(&agent("coder")).await.unwrap();
    let started = workspace.start_task(&branch("muster/t2"), &place.head(), AT_MS).await.unwrap();
    assert_eq!(started, Started::Fresh(None));
    assert_eq!(as_agent(&workspace, "cat b.txt; git status --porcelain").await, "b\n");
}

#[tokio::test]
async fn locks_of_killed_git_processes_are_cleared_away() {
    let place = Place::filled();
    let (repository, workspace) = started(&place).await;
    let git = place.work("coder").join(".git");
    let locks = ["index.lock", "HEAD.lock", "AUTO_MERGE.lock", "config.lock", "refs/heads/task.lock"];
    let leave = || locks.iter().for_each(|lock| fs::write(git.join(lock), "").unwrap());
    let left = || locks.iter().filter(|lock| git.join(lock).exists()).count();

    leave();
    drop(workspace);
    let workspace = repository.clone_for(&agent("coder")).await.unwrap();
    assert_eq!(left(), 0, "an agent that is started again can use git");
    leave();
    workspace.start_task(&branch("muster/t2"), &place.head(), AT_MS).await.unwrap();
    assert_eq!(left(), 0, "and so can one that begins another task");
    as_agent(&workspace, "git merge --no-edit HEAD && git commit -q --allow-empty -m x").await;
}

#[tokio::test]
async fn a_first_check_out_cut_short_is_done_again() {
    let place = Place::filled();
    let (repository, workspace) = started(&place).await;
    drop(workspace);
    fs::write(place.dir.join("agents/coder/task.json"), "").unwrap();
    fs::write(place.work("coder").join(".git/index.lock"), "").unwrap();
    fs::remove_file(place.work("coder").join("b.txt")).unwrap();
    let workspace = repository.clone_for(&agent("coder")).await.unwrap();
    workspace.start_task(&branch("muster/t1"), &place.head(), AT_MS).await.unwrap();
    assert_eq!(as_agent(&workspace, "cat b.txt; git status --porcelain").await, "b\n");
}

#[tokio::test]
async fn an_agent_that_merged_the_mission_itself_is_based_on_it() {
    let place = Place::filled();
    let base = place.head();
    let (repository, coder) = started(&place).await;
    let other = repository.clone_for(&agent("other")).await.unwrap();
    other.start_task(&branch("muster/t2"), &base, AT_MS).await.unwrap();
    as_agent(&other, "sed -i s/5/five/ a.txt").await;
    let change = other.checkpoint("t2", AT_MS).await.unwrap();
    let workspace::Merge::Candidate(merged) =
        repository.merge_candidate(&base, &change.commit, "t2", AT_MS).await.unwrap()
    else {
        panic!("no candidate")
    };
    repository.advance(&base, &merged.commit).await.unwrap();

    let script = "sed -i s/5/fünf/ a.txt; git commit -qam mine; git fetch -q muster; git merge -q muster/mission >/dev/null || :;
                  git checkout -q --theirs a.txt; echo both >>a.txt; git add -A; git commit -qm merged";
    as_agent(&coder, script).await;
    let resolved = coder.checkpoint("t1", AT_MS).await.unwrap();
    assert_eq!(resolved.base, merged.commit);
    assert_eq!(repository.changed_paths(&resolved.base, &resolved.commit).await.unwrap(), ["a.txt"]);
    let again = repository.merge_candidate(&merged.commit, &resolved.commit, "t1", AT_MS).await.unwrap();
    assert!(matches!(again, workspace::Merge::Candidate(_)), "{again:?}");
}

#[tokio::test]
async fn a_workspace_that_is_gone_comes_back_from_the_last_checkpoint() {
    let place = Place::filled();
    let (repository, workspace) = started(&place).await;
    as_agent(&workspace, "echo saved >b.txt; rm a.txt; echo new >new").await;
    let saved = workspace.checkpoint("turn", AT_MS).await.unwrap();
    drop(workspace);
    fs::remove_dir_all(place.work("coder")).unwrap();
    fs::remove_dir_all(place.dir.join("agents/coder/home")).unwrap();
    let workspace = repository.clone_for(&agent("coder")).await.unwrap();
    assert_eq!(
        as_agent(&workspace, "cat b.txt new; ls; git branch --show-current").await,
        "saved\nnew\nb.txt\nnew\nsrc\nmuster/t1\n"
    );
    assert_eq!(workspace.checkpoint("turn", AT_MS).await.unwrap(), saved);
}

#[tokio::test]
async fn a_name_cut_short_by_a_power_cut_is_given_again() {
    let place = Place::filled();
    let (repository, workspace) = started(&place).await;
    as_agent(&workspace, "echo 1 >b.txt").await;
    let first = workspace.checkpoint("x", AT_MS).await.unwrap();
    drop(workspace);
    fs::write(place.dir.join("vault.git/refs/muster/checkpoints/coder/2"), "").unwrap();
    let workspace = repository.clone_for(&agent("coder")).await.unwrap();
    assert_eq!(workspace.checkpoint("x", AT_MS).await.unwrap(), first);
    as_agent(&workspace, "echo 2 >b.txt").await;
    assert_eq!(workspace.checkpoint("x", AT_MS).await.unwrap().number, 2);
    assert!(repository.fsck().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_clone_without_its_git_directory_keeps_its_files() {
    let place = Place::filled();
    let (repository, workspace) = started(&place).await;
    for breakage in
        ["rm -rf .git", "rm -rf .git; ln -s /muster/hub.git .git", "rm -rf .git; echo gitdir: /muster/hub.git >.git"]
    {
        as_agent(&workspace, &format!("echo unsaved >b.txt; {breakage}")).await;
        let repaired = repository.clone_for(&agent("coder")).await.unwrap();
        let seen = as_agent(&repaired, "cat b.txt; git status --porcelain; git branch --show-current").await;
        assert_eq!(seen, "unsaved\n M b.txt\nmuster/t1\n", "{breakage}");
    }
}

#[tokio::test]
async fn a_broken_repository_inside_stops_neither_checkpoint_nor_next_task() {
    let place = Place::filled();
    let (repository, workspace) = started(&place).await;
    let breakages = [
        "echo rubbish >.git/config",
        "rm -rf .git/objects; echo x >.git/HEAD",
        "rm -f .git/HEAD; mkfifo .git/HEAD",
        "rm -rf .git; mkfifo .git",
        "chmod 000 .git",
    ];
    for (index, breakage) in breakages.into_iter().enumerate() {
        as_agent(&workspace, &format!("echo {index} >b.txt; {breakage}")).await;
        let saved = workspace.checkpoint("x", AT_MS).await.unwrap();
        assert_eq!(repository.changed_paths(&place.head(), &saved.commit).await.unwrap(), ["b.txt"], "{breakage}");
        workspace.start_task(&branch(&format!("muster/b{index}")), &place.head(), AT_MS).await.unwrap();
        assert_eq!(as_agent(&workspace, "cat b.txt; git status --porcelain").await, "b\n", "{breakage}");
    }
}

#[tokio::test]
async fn a_snapshot_store_damaged_by_a_power_cut_is_made_anew() {
    let place = Place::filled();
    let (repository, workspace) = started(&place).await;
    as_agent(&workspace, "echo 1 >b.txt").await;
    workspace.checkpoint("x", AT_MS).await.unwrap();
    let store = place.dir.join("agents/coder/snapshot.git");
    for rubbish in ["index", "config", "HEAD"] {
        fs::write(store.join(rubbish), "rubbish").unwrap();
        as_agent(&workspace, &format!("echo {rubbish} >b.txt")).await;
        let saved = workspace.checkpoint("x", AT_MS).await.unwrap();
        assert_eq!(repository.changed_paths(&saved.base, &saved.commit).await.unwrap(), ["b.txt"], "{rubbish}");
    }
    // Files of no length where objects should be.
    for dir in fs::read_dir(store.join("objects")).unwrap().map(|entry| entry.unwrap().path()) {
        for file in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if file.file_name().unwrap().len() == 38 {
                fs::remove_file(&file).unwrap();
                fs::write(&file, "").unwrap();
            }
        }
    }
    as_agent(&workspace, "echo again >>a.txt").await;
    let saved = workspace.checkpoint("x", AT_MS).await.unwrap();
    assert_eq!(repository.changed_paths(&saved.base, &saved.commit).await.unwrap(), ["a.txt", "b.txt"]);
}

#[tokio::test]
async fn what_cannot_be_saved_is_named_and_the_rest_is_saved() {
    let place = Place::filled();
    let (repository, workspace) = started(&place).await;
    let script = "echo 1 >b.txt; echo x >closed; chmod 000 closed; git init -q empty; mkfifo pipe;
                  git init -q nested; cd nested; echo n >n; git add n; git commit -qm n";
    as_agent(&workspace, script).await;
    let saved = workspace.checkpoint("x", AT_MS).await.unwrap();
    let told: Vec<(&str, &WhyLeftOut)> =
        saved.left_out.shown.iter().map(|entry| (entry.path.as_str(), &entry.why)).collect();
    let denied = WhyLeftOut::Unreadable("Permission denied".into());
    let expected = [("closed", &denied), ("empty/", &WhyLeftOut::Repository), ("pipe", &WhyLeftOut::Special)];
    assert_eq!(told, expected);
    let paths = repository.changed_paths(&saved.base, &saved.commit).await.unwrap();
    assert_eq!(paths, ["b.txt", "nested"]);
    let refused = repository.merge_candidate(&saved.base, &saved.commit, "x", AT_MS).await.unwrap_err();
    assert_eq!(refused.kind, workspace::ErrorKind::Rejected);
    assert!(refused.to_string().contains("nested"));
}

#[tokio::test]
async fn a_scratch_workspace_has_no_git_at_all() {
    let place = Place::new();
    let workspace = Workspace::scratch(&place.dir, &agent("lead"), LAUNCHER.clone()).unwrap();
    assert_eq!(as_agent(&workspace, "pwd; ls -A; ls /muster 2>/dev/null; echo kept >note").await, "/workspace\n");
    let nothing = workspace.start_task(&branch("t"), &"1".repeat(40).parse().unwrap(), AT_MS).await.unwrap();
    assert_eq!(nothing, Started::Already);
    assert!(workspace.checkpoint("x", AT_MS).await.is_err());
    let again = Workspace::scratch(&place.dir, &agent("lead"), LAUNCHER.clone()).unwrap();
    assert_eq!(as_agent(&again, "cat note").await, "kept\n");
}

#[tokio::test]
async fn a_process_talks_waits_and_is_killed() {
    let place = Place::filled();
    let (_repository, workspace) = started(&place).await;
    let program = Program { path: "cat".into(), gateway: true, ..Program::default() };
    let mut process = workspace.spawn(program.clone()).await.unwrap();
    assert!(process.listener.is_some());
    process.stdin.write_all(b"hello\n").await.unwrap();
    let mut echo = [0; 6];
    process.stdout.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"hello\n");
    let waiting = tokio::spawn({
        let control = process.control.clone();
        async move { control.wait().await }
    });
    process.control.kill();
    assert_eq!(waiting.await.unwrap(), Exit::Killed);
    assert_eq!(process.control.wait().await, Exit::Killed);

    let process = workspace.spawn(program).await.unwrap();
    drop(process.stdin);
    assert_eq!(process.control.wait().await, Exit::Code(0));
    let missing = Program { path: "/nonexistent/agent".into(), ..Program::default() };
    assert_eq!(workspace.spawn(missing).await.unwrap_err().kind, workspace::ErrorKind::Sandbox);
}

#[tokio::test]
async fn extra_files_and_variables_are_shown_and_cannot_be_written() {
    let place = Place::filled();
    let (_repository, workspace) = started(&place).await;
    // Not below /tmp, which is private in every sandbox.
    let data = tempfile::tempdir_in("/var/tmp").unwrap();
    let data = data.path();
    write(&data.join("x"), "shared\n");
    let mut program = Program { path: "sh".into(), ..Program::default() };
    let script = format!("cat {0}/x; echo y 2>/dev/null >{0}/x || echo held; echo $A $B", data.display());
    program.args = vec!["-c".into(), script.into()];
    program.extras.read.push(data.to_owned());
    program.extras.env.insert("A".into(), "extra".into());
    program.env.insert("B".into(), "own".into());
    let Process { stdin, mut stdout, stderr: _stderr, control, .. } = workspace.spawn(program).await.unwrap();
    drop(stdin);
    let mut out = String::new();
    stdout.read_to_string(&mut out).await.unwrap();
    control.wait().await;
    assert_eq!(out, "shared\nheld\nextra own\n");
}
