//! Agents that attack whoever looks at their work: nothing of theirs runs on the host, and only what is sound is kept.

use crate::place::{AT_MS, Place, agent, branch, write};
use std::{fs, os::unix::fs::PermissionsExt};
use workspace::{ErrorKind, Merge, Repository, SandboxExtras, Started, Workspace};

async fn started(place: &Place) -> (Repository, Workspace) {
    let repository = place.prepare().await;
    let workspace = repository.clone_for(&agent("evil")).await.unwrap();
    workspace.start_task(&branch("t"), &place.head(), AT_MS).await.unwrap();
    (repository, workspace)
}

/// Everything in a repository that can make git run a program, planted by somebody who writes in the tree.
fn plant(place: &Place, command: &str) {
    let work = place.work("evil");
    let config = format!(
        "[core]\n\trepositoryformatversion = 0\n\tfsmonitor = {command}\n\thooksPath = /workspace/.git/hooks\n\tpager = {command}\n\teditor = {command}\n\
         \tsshCommand = {command}\n\tattributesFile = /workspace/attributes\n[filter \"evil\"]\n\tclean = {command}\n\tsmudge = {command}\n\
         \tprocess = {command}\n\trequired = true\n[merge \"evil\"]\n\tdriver = {command}\n[diff \"evil\"]\n\tcommand = {command}\n\ttextconv = {command}\n\
         [diff]\n\texternal = {command}\n[gpg]\n\tprogram = {command}\n[commit]\n\tgpgSign = true\n[alias]\n\tadd = !{command}\n\tstatus = !{command}\n"
    );
    write(&work.join(".git/config"), &config);
    write(&work.join(".gitattributes"), "* filter=evil merge=evil diff=evil\n");
    write(&work.join("attributes"), "* filter=evil\n");
    plant_hooks(place, command);
}

fn plant_hooks(place: &Place, command: &str) {
    let names = "post-checkout pre-commit post-commit commit-msg post-index-change reference-transaction post-rewrite pre-push pre-merge-commit post-merge";
    for hook in names.split(' ') {
        let path = place.work("evil").join(".git/hooks").join(hook);
        write(&path, &format!("#!/bin/sh\n{command}\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// Takes an agent's work the whole way: saved, merged, checked, published, and the tree used again.
async fn take_the_whole_way(place: &Place, repository: &Repository, workspace: Workspace) {
    let saved = workspace.checkpoint("x", AT_MS).await.unwrap();
    drop(workspace);
    let workspace = repository.clone_for(&agent("evil")).await.unwrap();
    let Merge::Candidate(tip) = repository.merge_candidate(&saved.base, &saved.commit, "x", AT_MS).await.unwrap()
    else {
        panic!("no candidate")
    };
    repository.check(&tip.commit, &[], &SandboxExtras::default()).await.unwrap();
    repository.advance(&saved.base, &tip.commit).await.unwrap();
    workspace.start_task(&branch("t2"), &tip.commit, AT_MS).await.unwrap();
    repository.publish(&place.user, &branch("muster/x"), &tip.commit, None).await.unwrap();
    repository.fsck().await.unwrap();
}

/// One kind of attack, planted in an agent's repository: nothing of it runs when the work is taken, and all of it would if git were
/// run there on the host with these arguments.
async fn nothing_runs_of(attack: impl Fn(&Place, &str), careless: &[&str]) {
    let place = Place::filled();
    let (repository, workspace) = started(&place).await;
    let marker = place.temp.path().join("marker");
    let command = format!("touch {}", marker.display());
    attack(&place, &command);
    write(&place.work("evil").join("a.txt"), "changed\n");
    take_the_whole_way(&place, &repository, workspace).await;
    assert!(!marker.exists());
    attack(&place, &command);
    write(&place.work("evil").join("a.txt"), "changed again\n");
    let who = ["-c", "safe.directory=*", "-c", "user.name=x", "-c", "user.email=x@localhost"];
    // Where the agent's git runs, what it borrows from is at another place.
    let borrowed = place.dir.join("hub.git/objects");
    let mut git = std::process::Command::new("git");
    git.args(who).args(careless).current_dir(place.work("evil")).env("GIT_ALTERNATE_OBJECT_DIRECTORIES", borrowed);
    let said = (!marker.exists()).then(|| git.output().unwrap());
    assert!(marker.exists(), "the attack itself does not work: {said:?}");
}

fn configure(place: &Place, more: &str) {
    let config = place.work("evil").join(".git/config");
    let before = fs::read_to_string(&config).unwrap_or_default();
    write(&config, &format!("{before}\n{more}\n"));
}

#[tokio::test]
async fn git_hooks() {
    nothing_runs_of(plant_hooks, &["commit", "-a", "-m", "x"]).await;
}

#[tokio::test]
async fn git_fsmonitor() {
    nothing_runs_of(|place, command| configure(place, &format!("[core]\n\tfsmonitor = {command}")), &["status"]).await;
}

#[tokio::test]
async fn git_filters() {
    let plant = |place: &Place, command: &str| {
        write(&place.work("evil").join(".gitattributes"), "* filter=evil\n");
        let filter = format!("[filter \"evil\"]\n\tclean = {command}\n\tsmudge = {command}\n\trequired = true");
        configure(place, &filter);
    };
    nothing_runs_of(plant, &["add", "-A"]).await;
}

#[tokio::test]
async fn git_programs() {
    let plant = |place: &Place, command: &str| {
        write(&place.work("evil").join(".gitattributes"), "* diff=evil merge=evil\n");
        let programs = format!(
            "[diff]\n\texternal = {command}\n[diff \"evil\"]\n\tcommand = {command}\n\ttextconv = {command}\n[merge \"evil\"]\n\tdriver = {command}\n\
             [core]\n\teditor = {command}\n\tpager = {command}\n\tsshCommand = {command}\n[gpg]\n\tprogram = {command}\n[commit]\n\tgpgSign = true\n\
             [alias]\n\tx = !{command}\n[credential]\n\thelper = !{command}"
        );
        configure(place, &programs);
    };
    nothing_runs_of(plant, &["diff"]).await;
}

#[tokio::test]
async fn git_submodules() {
    let plant = |place: &Place, command: &str| {
        let work = place.work("evil");
        write(&work.join(".gitmodules"), "[submodule \"x\"]\n\tpath = x\n\turl = https://localhost/x\n");
        fs::create_dir_all(work.join("x")).unwrap();
        configure(place, &format!("[submodule \"x\"]\n\turl = https://localhost/x\n\tupdate = !{command};:"));
        // The submodule is a repository of its own, with its own monitor.
        let inner = work.join("x/.git");
        write(&inner.join("config"), &format!("[core]\n\trepositoryformatversion = 0\n\tfsmonitor = {command}\n"));
        write(&inner.join("HEAD"), "ref: refs/heads/main\n");
        fs::create_dir_all(inner.join("objects")).unwrap();
        fs::create_dir_all(inner.join("refs")).unwrap();
        write(&work.join("x/file"), "x\n");
    };
    nothing_runs_of(plant, &["-C", "x", "status"]).await;
}

/// The user's repository is reachable by nobody but its user: what an agent points at does not exist where its git runs.
#[tokio::test]
async fn git_alternates() {
    let place = Place::filled();
    let (repository, workspace) = started(&place).await;
    let other = Place::new();
    other.write("secret.txt", "somebody else's\n");
    let secret = other.commit("secret");
    let work = place.work("evil");
    let objects = other.user.join(".git/objects");
    let alternates = work.join(".git/objects/info/alternates");
    let hub = fs::read_to_string(&alternates).unwrap_or_default();
    write(&alternates, &format!("{hub}{}\n", objects.display()));
    write(&work.join(".git/refs/heads/t"), &format!("{secret}\n"));
    write(&work.join("b.txt"), "changed\n");
    let taken = workspace.checkpoint("x", AT_MS).await;
    let vault = place.dir.join("vault.git");
    let has = |dir: &std::path::Path| {
        let args = ["cat-file", "-e", &format!("{secret}^{{commit}}")];
        std::process::Command::new("git").args(args).current_dir(dir).output().unwrap().status.success()
    };
    assert!(has(&other.user) && !has(&vault), "{taken:?}");
    if let Ok(saved) = taken {
        let paths = repository.changed_paths(&saved.base, &saved.commit).await.unwrap();
        assert!(!paths.iter().any(|path| path == "secret.txt"), "{paths:?}");
    }
}

#[tokio::test]
async fn git_worktree_link() {
    let place = Place::filled();
    let (_repository, workspace) = started(&place).await;
    let work = place.work("evil");
    let before = place.fingerprint();
    let user_git = place.user.join(".git");
    write(&work.join(".git/commondir"), &format!("{}\n", user_git.display()));
    write(&work.join(".git/gitdir"), &format!("{}\n", user_git.display()));
    configure(&place, &format!("[core]\n\tworktree = {}", place.user.display()));
    write(&work.join("b.txt"), "changed\n");
    let _ = workspace.checkpoint("x", AT_MS).await;
    workspace.start_task(&branch("after"), &place.head(), AT_MS).await.unwrap();
    assert_eq!(before, place.fingerprint());
    assert_eq!(fs::read_to_string(place.user.join("b.txt")).unwrap(), "b\n");
}

#[tokio::test]
async fn git_config_include() {
    let attack = |place: &Place, command: &str| {
        let included = place.temp.path().join("included");
        write(&included, &format!("[core]\n\tfsmonitor = {command}\n"));
        let include = format!("[include]\n\tpath = {0}\n[includeIf \"gitdir:/\"]\n\tpath = {0}", included.display());
        configure(place, &include);
    };
    nothing_runs_of(attack, &["status"]).await;
}

#[tokio::test]
async fn git_refs() {
    let place = Place::filled();
    let (_repository, workspace) = started(&place).await;
    let vault = place.dir.join("vault.git");
    let refs = |dir: &std::path::Path| crate::place::git(dir, &["for-each-ref", "--format=%(refname) %(objectname)"]);
    let (user, mission) = (refs(&place.user), refs(&vault));
    let work = place.work("evil");
    for name in ["heads/main", "heads/muster/x", "muster/mission", "remotes/origin/main", "tags/v1"] {
        write(&work.join(".git/refs").join(name), &format!("{}\n", place.head()));
    }
    write(&work.join("b.txt"), "changed\n");
    let saved = workspace.checkpoint("x", AT_MS).await.unwrap();
    assert_eq!(refs(&place.user), user);
    let added: Vec<String> = refs(&vault).lines().filter(|line| !mission.contains(line)).map(str::to_owned).collect();
    assert!(mission.lines().all(|line| refs(&vault).contains(line)), "a ref of the mission was moved");
    assert!(added.iter().all(|line| line.ends_with(saved.commit.as_str())), "{added:?}");
}

#[tokio::test]
async fn nothing_planted_in_a_clone_runs_on_the_host() {
    let place = Place::filled();
    let (repository, workspace) = started(&place).await;
    let marker = place.temp.path().join("marker");
    plant(&place, &format!("touch {}", marker.display()));
    write(&place.work("evil").join("a.txt"), "changed\n");
    let saved = workspace.checkpoint("x", AT_MS).await.unwrap();
    let paths = repository.changed_paths(&saved.base, &saved.commit).await.unwrap();
    assert_eq!(paths, [".gitattributes", "a.txt", "attributes"]);
    drop(workspace);
    let workspace = repository.clone_for(&agent("evil")).await.unwrap();
    let Merge::Candidate(tip) = repository.merge_candidate(&saved.base, &saved.commit, "x", AT_MS).await.unwrap()
    else {
        panic!("no candidate")
    };
    repository.check(&tip.commit, &[], &SandboxExtras::default()).await.unwrap();
    repository.advance(&saved.base, &tip.commit).await.unwrap();
    workspace.start_task(&branch("t2"), &tip.commit, AT_MS).await.unwrap();
    repository.publish(&place.user, &branch("muster/x"), &tip.commit, None).await.unwrap();
    repository.fsck().await.unwrap();
    assert!(!marker.exists());
    // The plants do work: git on the host, as a careless supervisor would run it, sets them off.
    plant(&place, &format!("touch {}", marker.display()));
    let _ = std::process::Command::new("git")
        .args(["-c", "safe.directory=*", "diff"])
        .current_dir(place.work("evil"))
        .output();
    assert!(marker.exists());
}

#[tokio::test]
async fn the_agents_own_configuration_has_no_say_in_its_checkpoint() {
    let place = Place::filled();
    let (repository, workspace) = started(&place).await;
    plant(&place, "false");
    let work = place.work("evil");
    write(&work.join(".git/info/exclude"), "*\n");
    write(&work.join("new.txt"), "seen\n");
    let saved = workspace.checkpoint("x", AT_MS).await.unwrap();
    let paths = repository.changed_paths(&saved.base, &saved.commit).await.unwrap();
    assert_eq!(paths, [".gitattributes", "attributes", "new.txt"]);
}

/// git refuses an address of a submodule that is an option: whoever checked such a commit out could be made to run something.
#[tokio::test]
async fn files_that_cannot_be_saved_do_not_stand_in_the_way_of_the_next_task() {
    let place = Place::filled();
    let (_, workspace) = started(&place).await;
    let work = place.work("evil");
    write(&work.join("new.txt"), "mine\n");
    write(&work.join(".gitmodules"), "[submodule \"x\"]\n\tpath = x\n\turl = -x\n");
    let refused = workspace.checkpoint("x", AT_MS).await.unwrap_err();
    assert!(refused.blames_the_files() && refused.to_string().contains("submodule"), "{refused}");
    assert_eq!(workspace.start_task(&branch("t2"), &place.head(), AT_MS).await.unwrap(), Started::Fresh(None));
    assert!(!work.join("new.txt").exists() && work.join("a.txt").exists());
    let aside = work.with_file_name("aside");
    assert_eq!(fs::read_to_string(aside.join("new.txt")).unwrap(), "mine\n", "nothing is lost");
    write(&work.join("new.txt"), "next\n");
    assert_eq!(workspace.checkpoint("x", AT_MS).await.unwrap().files_changed, 1);
}

/// Links out of the tree are saved as links.
#[tokio::test]
async fn git_symlinks() {
    let place = Place::filled();
    let (repository, workspace) = started(&place).await;
    let secret = place.temp.path().join("secret");
    write(&secret, "secret");
    let work = place.work("evil");
    std::os::unix::fs::symlink(&secret, work.join("link")).unwrap();
    fs::remove_dir_all(work.join("src")).unwrap();
    std::os::unix::fs::symlink(place.temp.path(), work.join("src")).unwrap();
    let saved = workspace.checkpoint("x", AT_MS).await.unwrap();
    let paths = repository.changed_paths(&saved.base, &saved.commit).await.unwrap();
    assert_eq!(paths, ["link", "src", "src/c.txt"]);
    let blob = crate::place::git(&place.dir.join("vault.git"), &["show", &format!("{}:link", saved.commit)]);
    assert_eq!(blob, secret.to_str().unwrap());
}

#[tokio::test]
async fn a_git_directory_that_leads_elsewhere_leads_nowhere() {
    let place = Place::filled();
    let (repository, workspace) = started(&place).await;
    let work = place.work("evil");
    let before = place.fingerprint();
    for kind in ["link", "file"] {
        let _ = fs::remove_dir_all(work.join(".git"));
        let _ = fs::remove_file(work.join(".git"));
        match kind {
            "link" => std::os::unix::fs::symlink(place.user.join(".git"), work.join(".git")).unwrap(),
            _ => fs::write(work.join(".git"), format!("gitdir: {}\n", place.user.join(".git").display())).unwrap(),
        }
        write(&work.join("b.txt"), kind);
        workspace.checkpoint("x", AT_MS).await.unwrap();
        workspace.start_task(&branch(&format!("after-{kind}")), &place.head(), AT_MS).await.unwrap();
        assert!(work.join(".git").is_dir());
    }
    let again = repository.clone_for(&agent("evil")).await.unwrap();
    again.checkpoint("x", AT_MS).await.unwrap();
    assert_eq!(before, place.fingerprint());
}

#[tokio::test]
async fn a_false_claim_about_the_base_is_refused_or_worth_nothing() {
    let place = Place::filled();
    place.write("b.txt", "second\n");
    place.commit("second");
    let (repository, workspace) = started(&place).await;
    let work = place.work("evil");
    // HEAD at a commit that the mission does not know; at no commit; at an older one.
    write(&work.join(".git/HEAD"), &format!("{}\n", "1".repeat(40)));
    assert_eq!(workspace.checkpoint("x", AT_MS).await.unwrap().base, place.head());
    write(&work.join(".git/HEAD"), "ref: refs/heads/../../../../etc/passwd\n");
    assert_eq!(workspace.checkpoint("x", AT_MS).await.unwrap().base, place.head());
    let first = place.git(&["rev-parse", "HEAD^"]);
    write(&work.join(".git/HEAD"), &format!("{first}\n"));
    let old = workspace.checkpoint("x", AT_MS).await.unwrap();
    assert_eq!(old.base.as_str(), first);
    assert_eq!(repository.merge_candidate(&place.head(), &old.commit, "x", AT_MS).await.unwrap(), Merge::Nothing);
}

#[tokio::test]
async fn a_conflict_of_an_agent_with_unknown_commits_is_an_error_and_no_panic() {
    let place = Place::filled();
    let (repository, _workspace) = started(&place).await;
    let unknown = "1".repeat(40).parse().unwrap();
    let error = repository.merge_candidate(&place.head(), &unknown, "x", AT_MS).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Missing, "{error}");
}
