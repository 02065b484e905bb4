//! A thousand launches and kills in a row leave nothing: no process, mount, namespace, control group, socket, descriptor or
//! temporary file.
//!
//! What belongs to the caller and its launcher is counted exactly, by the caller. Of what all programs of this host share,
//! others make and remove some at the same time; there it is asked that not even one of ten launches left something.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::trees::{Delegated, each};

const LAUNCHES: usize = 1000;
/// What others may make while we count.
const OTHERS_MAX: usize = LAUNCHES / 10;

#[test]
fn a_thousand_launches_and_kills_leave_nothing() {
    each(|caller| {
        let delegated = Delegated::new(caller.uid());
        let groups = delegated.as_ref().map_or("-", |delegated| delegated.root().to_str().unwrap());
        let token = crate::token();
        let before = shared();
        let mut kit = Command::new("sh")
            .args(["-c", r#"[ "$1" = - ] || echo $$ > "$1/callers/cgroup.procs"; shift; exec "$@""#, "sh", groups])
            .arg(caller.path("kit"))
            .args(&caller.prelude)
            .args(["launches", &LAUNCHES.to_string(), &token, groups])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(kit.stdout.take().unwrap()).lines().map(Result::unwrap);
        let lines: Vec<String> = said.take_while(|line| line != "ready").collect();
        assert_eq!(lines.len(), 8, "{lines:?}");
        lines.iter().for_each(|line| {
            let counts: Vec<u32> = line.split(' ').skip(1).map(|count| count.parse().unwrap()).collect();
            // The thread that watches limits ends a moment after the last sandbox that has some.
            let moment = u32::from(line.starts_with("threads "));
            assert!(counts[1].abs_diff(counts[0]) <= moment, "before and after {LAUNCHES} launches: {lines:?}");
        });
        // The caller and its launcher are still there; nothing that ran inside is.
        assert_eq!(processes_with(&token), [Vec::<String>::new(), Vec::new()], "left over");
        let after = shared();
        for (what, before) in &before {
            let new: Vec<_> = after[what].difference(before).collect();
            assert!(new.len() < OTHERS_MAX, "{what}: {} are left: {new:?}", new.len());
        }
        drop(kit.stdin.take());
        assert!(kit.wait().unwrap().success());
        println!("root: {}; {LAUNCHES} launches: {}", caller.prelude.is_empty(), lines.join(", "));
    });
}

/// The command lines of processes that have a word in their environment, as all that ran inside has it, and of all but two
/// that have it in their command line, as the caller, its launcher and every init have it.
fn processes_with(token: &str) -> [Vec<String>; 2] {
    let text = |pid: &str, file: &str| {
        String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default()).replace('\0', " ")
    };
    let named = |file: &str| -> Vec<String> {
        pids()
            .filter(|pid| text(pid, file).contains(token))
            .map(|pid| format!("{pid}: {}", text(&pid, "cmdline")))
            .collect()
    };
    [named("environ"), named("cmdline").into_iter().skip(2).collect()]
}

fn pids() -> impl Iterator<Item = String> {
    let names = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What all programs of this host share, by kind.
fn shared() -> BTreeMap<&'static str, BTreeSet<String>> {
    let lines =
        |path: &str| fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    let links = |pid: String| {
        let entries = fs::read_dir(format!("/proc/{pid}/ns")).into_iter().flatten();
        entries.filter_map(|entry| Some(fs::read_link(entry.ok()?.path()).ok()?.display().to_string()))
    };
    let names = |dir: &str| fs::read_dir(dir).into_iter().flatten().map(|entry| format!("{:?}", entry.unwrap().path()));
    let socket = |line: &String| Some(line.split_ascii_whitespace().nth(6)?.to_owned());
    [
        ("processes", pids().collect()),
        ("namespaces", pids().flat_map(links).collect()),
        ("mounts", lines("/proc/self/mountinfo").into_iter().collect()),
        ("sockets", lines("/proc/net/unix").iter().filter_map(socket).collect()),
        ("temporary files", ["/tmp", "/var/tmp", "/dev/shm", "/run"].into_iter().flat_map(names).collect()),
    ]
    .into()
}
