//! After a checkpoint it is known what of the tree is not in it, and why.

use crate::place::{AT_MS, Place, agent, as_agent, branch};
use workspace::{Checkpoint, Repository, WhyLeftOut, Workspace};

async fn started(place: &Place) -> (Repository, Workspace) {
    let repository = place.prepare().await;
    let workspace = repository.clone_for(&agent("coder")).await.unwrap();
    workspace.start_task(&branch("t"), &place.head(), AT_MS).await.unwrap();
    (repository, workspace)
}

/// What the script leaves, as a checkpoint.
async fn saved(workspace: &Workspace, script: &str) -> Checkpoint {
    as_agent(workspace, script).await;
    workspace.checkpoint("x", AT_MS).await.unwrap()
}

fn told(saved: &Checkpoint) -> Vec<String> {
    saved.left_out.shown.iter().map(|out| format!("{}: {}", out.path, out.why)).collect()
}

#[tokio::test]
async fn ignored_output_is_named_with_its_rule() {
    let place = Place::filled();
    place.write(".gitignore", "*.log\ndist/\n");
    place.write("web/.gitignore", "/out\n!keep.log\n");
    place.commit("ignore");
    let (_repository, workspace) = started(&place).await;
    let script = "mkdir -p dist/js web/out; echo 1 >dist/js/bundle.js; echo 1 >web/out/page; echo 1 >a.log; echo 1 >web/keep.log";
    let saved = saved(&workspace, script).await;
    assert_eq!(saved.files_changed, 1);
    let expected = [
        "a.log: ignored by .gitignore:1 (*.log)",
        "dist/: ignored by .gitignore:2 (dist/)",
        "web/out/: ignored by web/.gitignore:1 (/out)",
    ];
    assert_eq!(told(&saved), expected);
    assert_eq!(saved.left_out.shown[1].inside.as_deref(), Some("dist/js/bundle.js"));
    assert_eq!(saved.left_out.more, 0);
    // An unchanged tree is told of as well.
    assert_eq!(told(&workspace.checkpoint("again", AT_MS).await.unwrap()), expected);
}

#[tokio::test]
async fn a_folder_of_thousands_is_one_line() {
    let place = Place::filled();
    place.write(".gitignore", "node_modules/\n*.o\n");
    place.commit("ignore");
    let (_repository, workspace) = started(&place).await;
    let script = "mkdir -p node_modules/a node_modules/b; for n in $(seq 2000); do echo $n >node_modules/a/$n; done
                  for n in $(seq 200); do echo $n >$n.o; done";
    let saved = saved(&workspace, script).await;
    assert_eq!(saved.left_out.shown.len(), workspace::LEFT_OUT_MAX);
    assert_eq!(saved.left_out.shown.len() + saved.left_out.more, 201);
    assert!(told(&saved).iter().all(|line| line.contains("ignored by .gitignore:2")));
}

#[tokio::test]
async fn what_git_does_not_take_is_named_with_the_cause() {
    let place = Place::filled();
    let (repository, workspace) = started(&place).await;
    let script = "echo data >secret.txt; chmod 000 secret.txt; echo 1 >b.txt; chmod 000 a.txt
                  mkdir -p .GIT 'git~1' sub/.GiT closed; echo x >.GIT/config; echo x >sub/.GiT/hooks; echo x >'git~1/x'
                  echo 1 >closed/x; chmod 000 closed; mkfifo pipe; ln -s /etc/passwd out; touch con.
                  mkdir -p nested/.git; echo y >nested/file.txt; git init -q empty; printf 'x' >\"$(printf 'new\\nline')\"; chmod 000 \"$(printf 'new\\nline')\"";
    let saved = saved(&workspace, script).await;
    let mut lines = told(&saved);
    lines.sort();
    let denied = "it cannot be read: Permission denied";
    let mut expected = vec![
        ".GIT/config: git takes no file of such a name".to_owned(),
        format!("a.txt: {denied}"),
        format!("closed/: {denied}"),
        "empty/: it is a repository of its own".to_owned(),
        "pipe: it is neither a file nor a link".to_owned(),
        format!("secret.txt: {denied}"),
        "sub/.GiT/hooks: git takes no file of such a name".to_owned(),
    ];
    let odd = lines.iter().position(|line| line.starts_with("new\nline")).expect("named");
    lines.remove(odd);
    lines.retain(|line| !line.starts_with("git~1/x"));
    expected.sort();
    assert_eq!(lines, expected);
    let paths = repository.changed_paths(&saved.base, &saved.commit).await.unwrap();
    assert!(
        ["b.txt", "con.", "nested/file.txt", "out"].iter().all(|path| paths.iter().any(|other| other == path)),
        "{paths:?}"
    );
    // The next task finds a tree that can be used.
    as_agent(&workspace, "chmod 700 closed").await;
    workspace.start_task(&branch("t2"), &place.head(), AT_MS).await.unwrap();
    assert_eq!(
        as_agent(&workspace, "cat a.txt | head -1; git status --porcelain | grep -v 'empty\\|nested' || :").await,
        "1\n"
    );
}

#[tokio::test]
async fn a_path_that_is_too_long_is_named() {
    let place = Place::filled();
    let (_repository, workspace) = started(&place).await;
    let script = "d=$(printf '%200s' '' | tr ' ' d); mkdir $d; echo x >$d/f
                  for n in $(seq 25); do mkdir t; mv $d t/; mv t $d; done; echo 1 >b.txt";
    let saved = saved(&workspace, script).await;
    assert_eq!(saved.files_changed, 1);
    assert!(matches!(&saved.left_out.shown[..], [only] if only.why == WhyLeftOut::TooLong), "{:?}", told(&saved));
}
