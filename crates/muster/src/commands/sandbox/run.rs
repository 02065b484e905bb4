//! `muster sandbox run`: one program under a policy, as if there were no sandbox: its input, its output, its exit code, its
//! signals. What the sandbox has to say comes at the end, on standard error, and only when there is something.

use super::{
    current_dir, launcher, named, read,
    terminal::{Kind, OwnTerminal},
};
use crate::{
    cli::SandboxRun,
    commands::{runtime, user_home},
    outcome::{Error, Outcome},
    screen::visible,
};
use api::policy::Preset;
use engine::sandboxed::{
    self, Access, Backend, Console, Control, Door, Exit, Limit, Policies, Process, Resolved, Terminals,
};
use std::{
    ffi::OsString,
    io::{IsTerminal, Read, Write},
    path::{Path, PathBuf},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::pipe,
    signal::unix::{SignalKind, signal},
};

/// The sandbox could not be made: as with other programs that run programs.
const NO_SANDBOX: u8 = 125;
/// The program is there and cannot be executed, as shells say it.
const NOT_EXECUTABLE: u8 = 126;
/// The program is not there, as shells say it.
const NOT_FOUND: u8 = 127;
/// A limit on time ended it, as `timeout` says it.
const TOO_LONG: u8 = 124;
/// Shells add the number of a signal to this.
const BY_SIGNAL: u8 = 128;

/// How much of the end of standard error is kept, in bytes: the last screens of a program.
const TAIL_BYTES: usize = 64 << 10;

/// Signals that are passed on to everything inside.
fn passed_on() -> [SignalKind; 6] {
    [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
        SignalKind::quit(),
        SignalKind::user_defined1(),
        SignalKind::user_defined2(),
    ]
}

pub(super) fn run(args: SandboxRun) -> Outcome {
    let code = sandbox(&args).and_then(|mut resolved| {
        let kind = match (std::io::stdin().is_terminal(), std::io::stdout().is_terminal()) {
            (true, true) => Some(Kind::Whole),
            (false, true) => Some(Kind::Screen),
            (_, false) => None,
        };
        if kind.is_some() {
            pass_terminal(&mut resolved);
        }
        let runtime = runtime()?;
        let code = runtime.block_on(in_sandbox(&args, &resolved, kind));
        // A thread may wait for input that never comes.
        runtime.shutdown_background();
        code
    });
    Outcome::Code(code.unwrap_or_else(|error| {
        _ = error.report();
        NO_SANDBOX
    }))
}

/// How to write on the terminal that is inside.
fn pass_terminal(resolved: &mut Resolved) {
    for name in ["TERM", "COLORTERM", "NO_COLOR"] {
        if let Ok(value) = std::env::var(name) {
            resolved.policy.env.entry(name.to_owned()).or_insert(value);
        }
    }
}

/// The policy that was asked for.
fn sandbox(args: &SandboxRun) -> Result<Resolved, Error> {
    // A sandbox needs no home; without one nothing was trusted before.
    let home = crate::commands::home(args.home.clone()).ok();
    let door = crate::trust::Door { home: home.as_deref(), trust: args.trust };
    let mut given = None;
    let mut resolved = match &args.policy {
        Some(file) => {
            let (resolved, read) = read(file, Some(&door))?;
            given = Some(read);
            resolved
        }
        None => of_preset(args)?,
    };
    for (dirs, access) in [(&args.read, Access::ReadExecute), (&args.write, Access::WriteExecute)] {
        for dir in dirs {
            let path = dir.canonicalize().map_err(|error| Error::usage(format!("{}: {error}", dir.display())))?;
            resolved.add(&path, access).map_err(Error::usage)?;
        }
    }
    if let Some(given) = given.map(|given| given.within(&writable(&resolved))) {
        let asks = api::trust::of_policy(&given.source).map_err(Error::usage)?;
        door.pass(vec![(&given, given.needs(asks))])?;
    }
    if let Some(ceiling) = &args.ceiling {
        resolved.within(&named(ceiling, Some(&door))?).map_err(Error::usage)?;
    }
    Ok(resolved)
}

/// The folders of this machine that the program may write in: whatever lies there is its own to change.
fn writable(resolved: &Resolved) -> Vec<PathBuf> {
    let binds = resolved.policy.filesystem.binds.iter();
    binds.filter(|bind| bind.access.writes()).map(|bind| bind.host.clone()).collect()
}

/// A preset, with the current folder to work in.
fn of_preset(args: &SandboxRun) -> Result<Resolved, Error> {
    let preset = Preset::named(&args.preset).unwrap_or(super::USUAL);
    let dir = current_dir()?;
    let whole = user_home().is_some_and(|home| home.starts_with(&dir)) || dir.components().count() < 2;
    let taken = ["/tmp", "/proc", "/dev"].iter().any(|own| dir == Path::new(own)) || dir.starts_with("/proc");
    let system = preset != Preset::ReadOnly && sandboxed::is_system(&dir);
    if whole || taken || system {
        let why = match (taken, whole) {
            (true, _) => "every sandbox has its own",
            (false, true) => "that is all of your files",
            (false, false) => "it belongs to the system, which no sandbox may change",
        };
        let fix = "go to the folder of a project, or say in a policy file what is shown (--policy FILE)";
        return Err(Error::usage(format!("{} is not shown in a sandbox: {why}\n  help: {fix}", dir.display())));
    }
    Ok(sandboxed::of_preset(preset, &dir))
}

async fn in_sandbox(args: &SandboxRun, resolved: &Resolved, kind: Option<Kind>) -> Result<u8, Error> {
    let Some((program, rest)) = args.command.split_first() else {
        return Err(Error::usage("say what to run: muster sandbox run -- PROGRAM [ARGUMENT …]"));
    };
    let program = program_inside(program, resolved);
    // Before the launch: a signal that comes while the sandbox is made is passed on when it stands.
    let signals = Signals::taken();
    let kernel = matches!(resolved.policy.backend, Backend::Kernel);
    let failed = |error| Error::failed(format!("a terminal for the program: {error}"));
    // Never the person's own: who holds it can read what is typed for others, and leave it without an echo.
    let own = kind.filter(|_| kernel).map(OwnTerminal::make).transpose().map_err(failed)?;
    let (own, terminals) = own.map_or_else(|| (None, Terminals::default()), |(own, terminals)| (Some(own), terminals));
    let _checkouts = OuterCheckouts::keep(resolved);
    let process = match resolved.launch(&launcher()?, &program, rest, terminals).await {
        Ok(process) => process,
        Err(error) => return Ok(not_started(&error.to_string(), resolved, &program)),
    };
    let Process { stdin, stdout, stderr, listener, control } = process;
    let door = resolved.serve(listener).map_err(|error| Error::failed(format!("the proxy to its hosts: {error}")))?;
    let passing_on = tokio::spawn(pass_on(signals, control.clone()));
    let (exit, tail) = match own {
        Some(own) => {
            if kind == Some(Kind::Screen) {
                pump_stdin(stdin);
            }
            let (exit, shown, tail) = tokio::join!(control.wait(), own.relay(TAIL_BYTES), pump_stderr(stderr));
            (exit, shown.map_err(failed)? + &tail)
        }
        None => {
            pump_stdin(stdin);
            let (exit, (), tail) = tokio::join!(control.wait(), pump_stdout(stdout), pump_stderr(stderr));
            (exit, tail)
        }
    };
    passing_on.abort();
    let programs: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    let hosts = door.iter().flat_map(Door::refused);
    let refused = control.denials().iter().map(ToString::to_string).chain(hosts).collect();
    let console = sandboxed::console(&resolved.policy, &resolved.cwd, exit, &tail, refused, &programs);
    let code = code_of(exit);
    tell(args, &console, exit, code);
    Ok(code)
}

/// Keeps a program from making a repository of a folder that lies in one: the next git there would run what it is told in it. As long as
/// the program runs, an empty `.git` is in the way, which git itself takes no notice of.
struct OuterCheckouts(Vec<PathBuf>);

impl OuterCheckouts {
    fn keep(resolved: &Resolved) -> Self {
        let written = resolved.policy.filesystem.binds.iter().filter(|bind| bind.access.writes() && bind.host.is_dir());
        let lies_in_one =
            |folder: &Path| folder.ancestors().skip(1).any(|above| above.join(".git").symlink_metadata().is_ok());
        let bare = written.filter(|bind| lies_in_one(&bind.host)).map(|bind| bind.host.join(".git"));
        // Where nothing can be made, the program cannot either; what is there is kept as it is anyway.
        Self(bare.filter(|state| std::fs::create_dir(state).is_ok()).collect())
    }
}

impl Drop for OuterCheckouts {
    fn drop(&mut self) {
        for state in &self.0 {
            // It was empty and nothing could be put in it.
            let _ = std::fs::remove_dir(state);
        }
    }
}

/// A program that is named by a path is named from here; inside it may be somewhere else, or nowhere.
fn program_inside(program: &OsString, resolved: &Resolved) -> PathBuf {
    let path = Path::new(program);
    match path.components().count() {
        0 | 1 if !program.as_encoded_bytes().contains(&b'/') => path.to_owned(),
        _ => resolved.cwd.join(path).components().filter(|part| *part != std::path::Component::CurDir).collect(),
    }
}

/// Copies standard input until it ends or nobody reads it. On a thread of its own, since reading cannot be given up.
fn pump_stdin(stdin: pipe::Sender) {
    // In the background reading a terminal would stop us, and the program, which may not want to read, with us.
    let in_background =
        || rustix::termios::tcgetpgrp(std::io::stdin()).is_ok_and(|group| group != rustix::process::getpgrp());
    if in_background() {
        return;
    }
    std::thread::spawn(move || {
        let Ok(mut pipe) = stdin.into_blocking_fd().map(std::fs::File::from) else { return };
        let mut chunk = vec![0; 64 << 10];
        while let Ok(count @ 1..) = std::io::stdin().read(&mut chunk) {
            if pipe.write_all(&chunk[..count]).is_err() {
                break;
            }
        }
    });
}

/// Copies standard output; when nobody reads ours, the program learns it as it would without a sandbox.
async fn pump_stdout(mut stdout: pipe::Receiver) {
    let (mut ours, mut chunk) = (tokio::io::stdout(), vec![0; 64 << 10]);
    while let Ok(count @ 1..) = stdout.read(&mut chunk).await {
        if ours.write_all(&chunk[..count]).await.is_err() || ours.flush().await.is_err() {
            break;
        }
    }
}

/// Copies standard error, and keeps its end.
async fn pump_stderr(mut stderr: pipe::Receiver) -> String {
    let (mut ours, mut chunk, mut tail) = (tokio::io::stderr(), vec![0; 16 << 10], Vec::new());
    while let Ok(count @ 1..) = stderr.read(&mut chunk).await {
        let _ = ours.write_all(&chunk[..count]).await;
        let _ = ours.flush().await;
        tail.extend_from_slice(&chunk[..count]);
        if tail.len() > 2 * TAIL_BYTES {
            tail.drain(..tail.len() - TAIL_BYTES);
        }
    }
    String::from_utf8_lossy(&tail).into_owned()
}

/// Signals that came for us, in order.
struct Signals(tokio::sync::mpsc::Receiver<SignalKind>);

impl Signals {
    /// From now on none of them ends this process.
    fn taken() -> Self {
        let (sender, signals) = tokio::sync::mpsc::channel(8);
        for kind in passed_on() {
            let Ok(mut stream) = signal(kind) else { continue };
            let sender = sender.clone();
            tokio::spawn(async move { while stream.recv().await.is_some() && sender.send(kind).await.is_ok() {} });
        }
        Self(signals)
    }
}

/// Passes signals on. A second Ctrl-C ends what does not end by itself.
async fn pass_on(Signals(mut signals): Signals, control: Control) {
    let mut interrupted = false;
    while let Some(kind) = signals.recv().await {
        if interrupted && kind == SignalKind::interrupt() {
            control.kill();
        }
        interrupted |= kind == SignalKind::interrupt();
        if let Ok(signal) = u8::try_from(kind.as_raw_value()) {
            control.signal(signal);
        }
    }
}

/// Says why nothing was run, and gives the exit code that shells give.
fn not_started(error: &str, resolved: &Resolved, program: &Path) -> u8 {
    _ = Error::failed(error).report();
    let exec = error.contains("cannot be started in the sandbox");
    if !exec {
        return NO_SANDBOX;
    }
    let on_host = |path: &Path| path.try_exists().unwrap_or(false);
    let line = format!("exec: {}: not found", program.display());
    let programs: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    for hint in sandboxed::hints(&resolved.policy, &resolved.cwd, &line, &programs, &on_host) {
        eprint!("{}", hint.text());
    }
    if error.contains("os error 2") { NOT_FOUND } else { NOT_EXECUTABLE }
}

/// How it ended, in the words of a policy.
fn ended(exit: Exit) -> serde_json::Value {
    match exit {
        Exit::Code(code) => serde_json::json!({ "code": code }),
        Exit::Signal(signal) => serde_json::json!({ "signal": signal }),
        Exit::Limit(limit) => serde_json::json!({ "limit": sandboxed::limit_name(limit) }),
        Exit::Killed => serde_json::json!("killed"),
    }
}

fn code_of(exit: Exit) -> u8 {
    let plus = |signal: i32| BY_SIGNAL.saturating_add(u8::try_from(signal).unwrap_or_default());
    match exit {
        Exit::Code(code) => u8::try_from(code).unwrap_or(1),
        Exit::Signal(signal) => plus(signal),
        Exit::Killed => plus(9),
        Exit::Limit(Limit::Wall | Limit::Cpu) => TOO_LONG,
        Exit::Limit(Limit::FileSize) => plus(25),
        Exit::Limit(Limit::Memory | Limit::Disk) => plus(9),
    }
}

/// The policy of a run without a policy file, as lines of one.
fn begun(args: &SandboxRun) -> Vec<String> {
    let preset = Preset::named(&args.preset).unwrap_or(super::USUAL);
    let work = if preset == Preset::ReadOnly { "read" } else { "write" };
    let shown = |key: &str, dir: &PathBuf| {
        let dir = dir.canonicalize().unwrap_or_else(|_| dir.clone());
        format!("files: {{{key}: [{}]}}", sandboxed::word(&dir))
    };
    let read = args.read.iter().map(|dir| shown("execute", dir));
    let write = args.write.iter().flat_map(|dir| [shown("write", dir), shown("execute", dir)]);
    [format!("preset: {}", preset.word()), format!("work: {work}")].into_iter().chain(read).chain(write).collect()
}

fn tell(args: &SandboxRun, console: &Console, exit: Exit, code: u8) {
    let text = if args.json {
        let value = serde_json::json!({"exit_code": code, "ended": ended(exit), "console": console});
        format!("{value}\n")
    } else if args.quiet {
        String::new()
    } else {
        let lines = begun(args);
        visible(&console.text(args.policy.as_deref().map_or(Policies::Lines(&lines), Policies::File)))
    };
    // A closed terminal is no reason to fail.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
