//! `muster doctor`: what this host has and enforces, found out by doing it.

use super::runtime;
use crate::{
    cli::JsonArg,
    outcome::{Error, Outcome},
    project::found,
    screen,
};
use engine::{HostView, view::table};
use serde::Serialize;
use std::{fmt::Write as _, path::Path};

/// Free space below which a mission soon stops, in bytes: clones, checkpoints and test runs of a middling repository.
const DISK_FREE_MIN: u64 = 1 << 30;

pub(crate) fn run(home: &Path, args: JsonArg) -> Result<Outcome, Error> {
    let host = runtime()?.block_on(look(home))?;
    let config = config_problem(home);
    match args.json {
        true => screen::json(&Seen { host: &host, config_problem: config.as_deref() })?,
        false => screen::out(&(text(&host) + &of_config(config.as_deref())))?,
    };
    Ok(if host.ready && config.is_none() { Outcome::Done } else { Outcome::Failed })
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Seen<'a> {
    #[serde(flatten)]
    host: &'a HostView,
    /// What is wrong with the configuration of this folder, if there is one.
    config_problem: Option<&'a str>,
}

/// What is wrong with the configuration that `muster run` would take here; nothing when it is well or there is none.
fn config_problem(home: &Path) -> Option<String> {
    let checked = super::config::check(home, &found(Path::new("."))?, None, None);
    checked.err().map(|(Error::Usage(why) | Error::Failed(why))| why)
}

fn of_config(problem: Option<&str>) -> String {
    let told = |problem: &str| {
        format!("\nbut not with the configuration of this folder:\n  {}\n", problem.trim().replace('\n', "\n  "))
    };
    problem.map(told).unwrap_or_default()
}

async fn look(home: &Path) -> Result<HostView, Error> {
    let scratch = std::env::temp_dir().join(format!("muster-doctor-{}", std::process::id()));
    std::fs::create_dir(&scratch).map_err(|error| Error::failed(format!("{}: {error}", scratch.display())))?;
    let program =
        std::env::current_exe().map_err(|error| Error::failed(format!("this program cannot be found: {error}")));
    let host = match program {
        Ok(program) => Ok(HostView::look(vec![program.into_os_string(), "__sandbox".into()], &scratch, home).await),
        Err(error) => Err(error),
    };
    // What is left of it lies in the folder for what may be left.
    let _ = engine::remove_tree(&scratch);
    host
}

fn text(host: &HostView) -> String {
    let mut text = String::from("What a sandbox guarantees here, each tried:\n");
    let guarantees = host.guarantees.iter().map(|guarantee| {
        let held = if guarantee.problem.is_none() { "yes" } else { "NO" };
        vec![format!("  {held}"), guarantee.name.to_owned(), format!("by {}", guarantee.by)]
    });
    text.push_str(&table(&guarantees.collect::<Vec<_>>()));
    text.push_str("\nWhat it shows to agents and checks:\n");
    let tools = host.tools.iter().map(|tool| {
        let found =
            tool.version.clone().unwrap_or_else(|| if tool.needed { "NOT FOUND".into() } else { "not found".into() });
        vec![format!("  {}", tool.name), found, format!("for {}", tool.used_for)]
    });
    text.push_str(&table(&tools.collect::<Vec<_>>()));
    text.push_str("\nThis host:\n");
    let landlock = host
        .landlock_abi
        .map_or("none; files are kept apart by namespaces alone".to_owned(), |abi| format!("version {abi}"));
    let who =
        if host.root { "root; agents are a user of their own" } else { "an ordinary user; agents are the same one" };
    let groups = match &host.cgroups_problem {
        None => "can be made: limits of a whole tree are the kernel's",
        Some(_) => "cannot be made: limits of a whole tree are watched by the sandbox",
    };
    let engine =
        host.container_engine.as_ref().map_or("not found; only `backend: docker` needs one".to_owned(), |path| {
            format!("listens at {}, for `backend: docker`", path.display())
        });
    let container = host.inside_container.as_ref().map_or("no".to_owned(), |why| format!("yes: {why}"));
    let disk = host.disk_free_bytes.map_or("unknown".to_owned(), gib);
    let rows = [
        ("kernel", host.kernel.clone()),
        ("Landlock", landlock),
        ("control groups", groups.to_owned()),
        ("container engine", engine),
        ("in a container", container),
        ("asked by", who.to_owned()),
        ("state in", host.home.display().to_string()),
        ("disk free", disk),
    ];
    text.push_str(&table(&rows.map(|(name, value)| vec![format!("  {name}"), value])));
    text.push_str(&verdict(host));
    text
}

/// What is missing and what to do, or that nothing is.
fn verdict(host: &HostView) -> String {
    let mut text = String::new();
    for guarantee in &host.guarantees {
        if let Some(problem) = &guarantee.problem {
            let _ = writeln!(text, "\nnot guaranteed: {}\n  {}", guarantee.name, problem.trim().replace('\n', "\n  "));
        }
    }
    for tool in host.tools.iter().filter(|tool| tool.version.is_none()) {
        let why = tool.problem.as_deref().unwrap_or_default();
        let _ = writeln!(
            text,
            "\n{} cannot be run inside a sandbox: {why}\n  help: install it with the system's packages",
            tool.name
        );
    }
    if let Some(problem) = &host.git_problem {
        let _ = writeln!(text, "\ngit on this host: {}", problem.trim().replace('\n', "\n  "));
    }
    if let Some(problem) = &host.home_problem {
        let _ = writeln!(
            text,
            "\nstate cannot be kept in {}: {}\n  help: make that folder yours to write in, or say another one with --home DIR or MUSTER_HOME",
            host.home.display(),
            problem.trim().replace('\n', "\n  ")
        );
    }
    if host.landlock_abi.is_none() {
        text.push_str("\na policy that may do without Landlock says so: allow_degraded: [landlock]\n");
    }
    if let Some(why) = &host.cgroups_problem {
        let _ = writeln!(text, "\nno control groups: {why}");
    }
    if host.inside_container.is_some() && !host.ready {
        text.push_str("\ninside a container, its engine must allow user namespaces and mounts: see docs/sandbox.md\n");
    }
    if host.disk_free_bytes.is_some_and(|free| free < DISK_FREE_MIN) {
        text.push_str("\nlittle disk space is free; a mission pauses and asks when there is none\n");
    }
    text.push_str(match host.ready {
        true => "\nmissions can be run here\n",
        false if host.home_problem.is_some() || host.git_problem.is_some() => "\nmissions cannot be run here\n",
        false => "\nmissions cannot be run here: what is not enforced is refused, not skipped\n",
    });
    text
}

fn gib(bytes: u64) -> String {
    format!("{}.{} GiB", bytes >> 30, (bytes >> 20) % 1024 * 10 / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::{Guarantee, Tool};

    #[test]
    fn what_is_missing_is_said_with_what_to_do() {
        let host = HostView {
            ready: false,
            guarantees: vec![
                Guarantee { name: "own processes", by: "a process namespace".to_owned(), problem: None },
                Guarantee {
                    name: "own network",
                    by: "a network namespace".to_owned(),
                    problem: Some("it does not hold".to_owned()),
                },
            ],
            landlock_abi: Some(4),
            root: false,
            tools: vec![Tool {
                name: "git",
                used_for: "merges",
                needed: true,
                version: None,
                problem: Some("no such file".to_owned()),
            }],
            kernel: "6.8.0".to_owned(),
            home: "/home/a/muster".into(),
            home_problem: Some("/home/a/muster: permission denied".to_owned()),
            git_problem: None,
            disk_free_bytes: Some(3 << 29),
            cgroups_problem: Some("version 2 is not mounted".to_owned()),
            container_engine: None,
            inside_container: Some("there is /.dockerenv".to_owned()),
        };
        expect_test::expect![[r#"
            What a sandbox guarantees here, each tried:
              yes  own processes  by a process namespace
              NO   own network    by a network namespace

            What it shows to agents and checks:
              git  NOT FOUND  for merges

            This host:
              kernel            6.8.0
              Landlock          version 4
              control groups    cannot be made: limits of a whole tree are watched by the sandbox
              container engine  not found; only `backend: docker` needs one
              in a container    yes: there is /.dockerenv
              asked by          an ordinary user; agents are the same one
              state in          /home/a/muster
              disk free         1.5 GiB

            not guaranteed: own network
              it does not hold

            git cannot be run inside a sandbox: no such file
              help: install it with the system's packages

            state cannot be kept in /home/a/muster: /home/a/muster: permission denied
              help: make that folder yours to write in, or say another one with --home DIR or MUSTER_HOME

            no control groups: version 2 is not mounted

            inside a container, its engine must allow user namespaces and mounts: see docs/sandbox.md

            missions cannot be run here
        "#]]
        .assert_eq(&text(&host));
    }
}
