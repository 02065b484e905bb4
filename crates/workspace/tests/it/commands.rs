//! Commands that are run for an agent: their output, their end, and nothing left of them.

use crate::place::{AT_MS, Place, agent, branch};
use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{io::AsyncReadExt, net::unix::pipe, sync::oneshot, task::JoinSet};
use workspace::{
    Access, COMMAND_TAIL_BYTES, COMMANDS_MAX, CheckEnd, CommandOrder, CommandRun, ErrorKind, LimitExtras, Output,
    Preset, Process, Program, SandboxExtras, Spoken, Workspace,
};

fn order(command: &str) -> CommandOrder {
    CommandOrder {
        command: command.into(),
        cwd: "".into(),
        timeout: Duration::from_secs(60),
        extras: SandboxExtras { preset: Preset::Worker, ..SandboxExtras::default() },
    }
}

async fn run(workspace: &Workspace, command: &str) -> CommandRun {
    workspace.run_command(&order(command), std::future::pending(), &mut |_| {}).await.unwrap()
}

async fn coder(place: &Place) -> Workspace {
    let repository = place.prepare().await;
    let workspace = repository.clone_for(&agent("coder")).await.unwrap();
    workspace.start_task(&branch("t"), &place.head(), AT_MS).await.unwrap();
    workspace
}

/// A pipe in the work folder: what can write to it lives.
fn fifo(place: &Place) -> pipe::Receiver {
    let path = place.work("coder").join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    pipe::OpenOptions::new().open_receiver(path).unwrap()
}

#[tokio::test]
async fn a_command_works_in_the_agents_folder_and_says_how_it_ended() {
    let place = Place::filled();
    let workspace = coder(&place).await;
    let done = run(&workspace, "pwd; echo $HOME; cat b.txt; echo new >new; echo no >&2; exit 3").await;
    assert_eq!((done.end, done.stdout_tail.as_str()), (CheckEnd::Exit(3), "/workspace\n/home/agent\nb\n"));
    assert_eq!((done.stderr_tail.as_str(), done.stdout_bytes, done.stderr_bytes), ("no\n", 25, 3));
    assert_eq!(fs::read_to_string(place.work("coder").join("new")).unwrap(), "new\n");
    assert_eq!(run(&workspace, "kill -TERM $$").await.end, CheckEnd::Signal(15));
    let script = "printf '#!/bin/sh\necho ran' >tool; chmod +x tool; ./tool; git add -A; git commit -qm mine; git log -1 --format=%an";
    assert_eq!(run(&workspace, script).await.stdout_tail, "ran\ncoder\n");
}

#[tokio::test]
async fn who_only_reads_the_work_folder_changes_nothing_by_a_command() {
    let place = Place::filled();
    let workspace = coder(&place).await;
    let script = "cat b.txt; echo x >~/new && echo home; echo x >new || echo refused";
    let by_role = SandboxExtras { work: Some(Access::Read), ..order("").extras };
    let by_preset = SandboxExtras { preset: Preset::ReadOnly, ..SandboxExtras::default() };
    for extras in [by_role, by_preset] {
        let order = CommandOrder { extras, ..order(script) };
        let done = workspace.run_command(&order, std::future::pending(), &mut |_| {}).await.unwrap();
        assert_eq!(done.stdout_tail, "b\nhome\nrefused\n", "{}", done.stderr_tail);
        assert!(!place.work("coder").join("new").exists());
    }
}

#[tokio::test]
async fn an_agent_that_starts_no_process_plants_nothing_in_gits_own_files() {
    let place = Place::filled();
    let workspace = coder(&place).await;
    let git = place.work("coder").join(".git");
    let before = fs::read(git.join("config")).unwrap();
    let script = "echo mine >b.txt; read -r head <.git/HEAD; echo $head; \
        echo x >>.git/config || echo held; echo '* filter=x' >.git/attributes || echo held; echo x >.git/HEAD || echo held";
    let mut program = Program { path: "sh".into(), ..Program::default() };
    program.args = vec!["-c".into(), script.into()];
    program.extras = order("").extras;
    let Process { stdin, mut stdout, stderr: _stderr, control, .. } = workspace.spawn(program.clone()).await.unwrap();
    drop(stdin);
    let mut said = String::new();
    stdout.read_to_string(&mut said).await.unwrap();
    control.wait().await;
    assert_eq!(said, "ref: refs/heads/t\nheld\nheld\nheld\n");
    assert!(fs::read(git.join("config")).unwrap() == before && !git.join("attributes").exists());
    let looks = run(&workspace, "git diff --name-only; git status --short").await;
    assert_eq!(looks.stdout_tail, "b.txt\n M b.txt\n", "{}", looks.stderr_tail);
    let saved = workspace.checkpoint("x", AT_MS).await.unwrap();
    assert!(saved.left_out.shown.is_empty(), "{:?}", saved.left_out.shown);

    // What a command has put there instead leads nowhere.
    let outside = tempfile::tempdir_in("/var/tmp").unwrap();
    fs::write(outside.path().join("HEAD"), "secret").unwrap();
    run(&workspace, &format!("mv .git gone; ln -s {} .git", outside.path().display())).await;
    let Process { stdin, mut stdout, stderr: _stderr, control, .. } = workspace.spawn(program).await.unwrap();
    drop(stdin);
    said.clear();
    stdout.read_to_string(&mut said).await.unwrap();
    control.wait().await;
    assert!(!said.contains("secret"), "{said}");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_command_begins_where_it_is_told_to() {
    let place = Place::filled();
    let workspace = coder(&place).await;
    let at = |cwd: &str| CommandOrder { cwd: cwd.into(), ..order("pwd") };
    let (mut quiet, never) = (|_: Spoken<'_>| {}, std::future::pending::<()>);
    assert_eq!(workspace.run_command(&at("src"), never(), &mut quiet).await.unwrap().stdout_tail, "/workspace/src\n");
    let outside = workspace.run_command(&at("../home"), never(), &mut quiet).await.unwrap_err();
    assert_eq!(outside.kind, ErrorKind::Invalid, "{outside}");
    let nowhere = workspace.run_command(&at("nowhere"), never(), &mut quiet).await.unwrap_err();
    assert_eq!(nowhere.kind, ErrorKind::Sandbox, "{nowhere}");
    assert!(nowhere.to_string().contains("nowhere"), "{nowhere}");
}

#[tokio::test]
async fn a_command_sees_neither_the_agents_home_nor_a_network() {
    let place = Place::filled();
    let workspace = coder(&place).await;
    fs::write(place.dir.join("agents/coder/home/conversation"), "secret").unwrap();
    let done =
        run(&workspace, "ls ~; touch ~/cache; tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '; env | grep -c KEY")
            .await;
    assert_eq!(done.stdout_tail, "lo\n0\n");
    assert_eq!(run(&workspace, "ls ~").await.stdout_tail, "cache\n", "its own home is kept");
    let wall = run(&workspace, "touch /usr/x").await;
    assert!(wall.end != CheckEnd::Exit(0) && wall.hints[0].contains("can be written"), "{wall:?}");
}

#[tokio::test]
async fn both_outputs_are_told_apart_and_in_order() {
    let place = Place::filled();
    let workspace = coder(&place).await;
    let mut heard: Vec<(Output, String)> = Vec::new();
    let mut said = |spoken: Spoken<'_>| {
        let text = String::from_utf8_lossy(spoken.bytes).into_owned();
        match heard.last_mut() {
            Some((output, before)) if *output == spoken.output => before.push_str(&text),
            _ => heard.push((spoken.output, text)),
        }
    };
    let script = "echo one; echo two >&2; while [ ! -e go ]; do :; done; echo three";
    let path = place.work("coder").join("go");
    let mut go = |spoken: Spoken<'_>| {
        said(spoken);
        if spoken.output == Output::Stderr {
            fs::write(&path, "").unwrap();
        }
    };
    workspace.run_command(&order(script), std::future::pending(), &mut go).await.unwrap();
    let of = |wanted: Output| {
        heard.iter().filter(|(output, _)| *output == wanted).map(|(_, text)| text.as_str()).collect::<String>()
    };
    assert_eq!((of(Output::Stdout).as_str(), of(Output::Stderr).as_str()), ("one\nthree\n", "two\n"));
    // The two outputs are pipes of their own: which of "one" and "two" is heard first is open.
    assert!(heard.last().unwrap().1.ends_with("three\n"), "what came while it ran came before its end: {heard:?}");
}

#[tokio::test]
async fn nothing_that_a_command_leaves_behind_lives_on() {
    let place = Place::filled();
    let workspace = coder(&place).await;
    let mut alive = fifo(&place);
    let script =
        "exec 8>fifo; (setsid sleep 1000 &) ; setsid sh -c 'trap \"\" TERM HUP; sleep 1000' & echo up >&8; exit 0";
    let done = run(&workspace, script).await;
    assert_eq!(done.end, CheckEnd::Exit(0));
    // The end of the pipe is the end of all that could write to it.
    let mut written = String::new();
    alive.read_to_string(&mut written).await.unwrap();
    assert_eq!(written, "up\n");
}

#[tokio::test]
async fn a_command_has_an_end_and_what_it_said_is_kept() {
    let place = Place::filled();
    let workspace = coder(&place).await;
    let late =
        CommandOrder { timeout: Duration::from_millis(300), ..order("echo begun; (setsid sleep 1000 &); sleep 1000") };
    let done = workspace.run_command(&late, std::future::pending(), &mut |_| {}).await.unwrap();
    assert_eq!((done.end, done.stdout_tail.as_str()), (CheckEnd::TimedOut, "begun\n"));
    assert!((300..30_000).contains(&done.ms), "{}", done.ms);
}

#[tokio::test]
async fn a_limit_of_the_role_ends_a_command() {
    let place = Place::filled();
    let workspace = coder(&place).await;
    let limits = LimitExtras { file_bytes: Some(1 << 20), ..LimitExtras::default() };
    let large = CommandOrder {
        extras: SandboxExtras { limits, ..SandboxExtras::default() },
        ..order("exec head -c 2000000 /dev/zero >large")
    };
    let done = workspace.run_command(&large, std::future::pending(), &mut |_| {}).await.unwrap();
    assert_eq!(done.end, CheckEnd::FileSizeLimit);
}

#[tokio::test]
async fn a_flood_is_counted_and_its_end_is_kept() {
    let place = Place::filled();
    let workspace = coder(&place).await;
    let (mut bytes, mut largest) = (0, 0);
    let mut said = |spoken: Spoken<'_>| {
        bytes += spoken.bytes.len();
        largest = largest.max(spoken.bytes.len());
    };
    let flood = order("yes | head -c 3000000; yes no | head -c 1000000 >&2; echo the end");
    let done = workspace.run_command(&flood, std::future::pending(), &mut said).await.unwrap();
    assert_eq!((done.stdout_bytes, done.stderr_bytes, bytes), (3_000_008, 1_000_000, 4_000_008));
    assert!(done.stdout_tail.starts_with('[') && done.stdout_tail.ends_with("the end\n"));
    assert!(done.stdout_tail.len().max(done.stderr_tail.len()) <= COMMAND_TAIL_BYTES + 64);
    assert!(largest <= 16 << 10);
}

#[tokio::test]
async fn a_command_that_is_stopped_is_gone_when_the_call_returns() {
    let place = Place::filled();
    let workspace = coder(&place).await;
    let alive = fifo(&place);
    let (stop, stopped) = oneshot::channel::<()>();
    let mut stop = Some(stop);
    let mut said = |_: Spoken<'_>| drop(stop.take());
    let until = async { drop(stopped.await) };
    let script = order("exec 8>fifo; (setsid sleep 1000 &); echo up >&8; echo up; sleep 1000");
    let done = workspace.run_command(&script, until, &mut said).await.unwrap();
    assert_eq!((done.end, done.stdout_tail.as_str()), (CheckEnd::Stopped, "up\n"));
    let mut buffer = [0; 8];
    assert_eq!(alive.try_read(&mut buffer).unwrap(), 3);
    assert_eq!(alive.try_read(&mut buffer).unwrap(), 0, "nobody can write any more");
}

#[tokio::test]
async fn a_command_that_nobody_waits_for_dies() {
    let place = Place::filled();
    let workspace = coder(&place).await;
    let mut alive = fifo(&place);
    let mut byte = [0];
    {
        let script = order("exec 8>fifo; (setsid sleep 1000 &); printf x >&8; sleep 1000");
        let mut said = |_: Spoken<'_>| {};
        let mut call = std::pin::pin!(workspace.run_command(&script, std::future::pending(), &mut said));
        tokio::select! {
            done = &mut call => panic!("it waits for ever: {done:?}"),
            read = alive.read(&mut byte) => assert_eq!(read.unwrap(), 1),
        }
    }
    let mut rest = String::new();
    alive.read_to_string(&mut rest).await.unwrap();
    assert_eq!((byte, rest.as_str()), (*b"x", ""));
}

#[tokio::test]
async fn no_more_than_so_many_run_at_one_time() {
    let place = Place::filled();
    let workspace = Arc::new(coder(&place).await);
    let (go, up) = (place.work("coder").join("go"), Arc::new(AtomicUsize::new(0)));
    fs::create_dir(place.work("coder").join("at")).unwrap();
    let mut all = JoinSet::new();
    for number in 0..COMMANDS_MAX + 1 {
        let (workspace, go, up) = (Arc::clone(&workspace), go.clone(), Arc::clone(&up));
        let script =
            format!("touch at/{number}; echo up >&2; while [ ! -e go ]; do :; done; ls at | wc -l; rm at/{number}");
        all.spawn(async move {
            let mut said = |spoken: Spoken<'_>| {
                if spoken.output == Output::Stderr && up.fetch_add(1, Ordering::SeqCst) + 1 == COMMANDS_MAX {
                    fs::write(&go, "").unwrap();
                }
            };
            workspace.run_command(&order(&script), std::future::pending(), &mut said).await.unwrap()
        });
    }
    for done in all.join_all().await {
        let beside: usize = done.stdout_tail.trim().parse().unwrap();
        assert!(done.end == CheckEnd::Exit(0) && beside <= COMMANDS_MAX, "{done:?}");
    }
}
