//! Things that go wrong outside of the mission, and what a person reads of each, word for word: in the question, on the screen and in the report.
//!
//! Each is counted at a provider of the test's own: at most one call is made after the cause is known.

use crate::support::{Bench, evidence};
use faults::{FAULTS, Fault, Needs};
use server::Upstream;
use std::{fs, os::unix::fs::PermissionsExt};

mod faults;
mod server;

const KEY: &str = "not-a-real-key-0f3c9a";

/// What a person reads of one fault.
struct Read {
    code: i32,
    /// The question that is asked, or the error that nothing began with.
    question: String,
    /// Lines of the screen that tell of it.
    screen: Vec<String>,
    /// What the report's last section says.
    report: Vec<String>,
    calls: usize,
}

#[test]
fn what_a_person_reads() {
    let rows: Vec<(&Fault, Read)> = in_parallel(FAULTS, |fault| (fault, run(fault)));
    let mut text = String::new();
    for (fault, read) in &rows {
        text += &format!("## {}\n\nexit {}, calls {}\n\n", fault.name, read.code, read.calls);
        text += &format!("question: {}\n\n", read.question);
        read.screen.iter().for_each(|line| text += &format!("screen: {line}\n"));
        read.report.iter().for_each(|line| text += &format!("report: {line}\n"));
        text.push('\n');
    }
    let columns = ["fault", "kind", "exit", "calls", "what the person reads"];
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', "<br>");
    let row = |(fault, read): &(&Fault, Read)| {
        let (code, calls) = (read.code.to_string(), read.calls.to_string());
        vec![fault.name.to_owned(), fault.kind.to_owned(), code, calls, cell(&read.question)]
    };
    let said = "Written by `MUSTER_EVIDENCE=docs/evidence cargo nextest run -p muster --test it outside_faults`; \
                the question, or the error that nothing began with, word for word. Calls are counted at the provider.";
    let rows_of: Vec<Vec<String>> = rows.iter().map(row).collect();
    evidence::table(
        "outside-faults",
        "What a person reads when something outside goes wrong",
        said,
        &columns,
        &rows_of,
    );
    let mut wrong = Vec::new();
    for (fault, read) in &rows {
        let missing: Vec<_> = fault.says.iter().filter(|words| !read.question.contains(**words)).collect();
        if read.calls > fault.calls_max || !missing.is_empty() {
            wrong.push(format!("{}: {} calls, without {missing:?}: {}", fault.name, read.calls, read.question));
        }
    }
    expect_test::expect_file!["outside_faults/read.txt"].assert_eq(&text);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// As many at once as there are processors, in the order of the list.
fn in_parallel<'a, T: Sync, R: Send>(all: &'a [T], one: impl Fn(&'a T) -> R + Sync) -> Vec<R> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(2, usize::from).max(4);
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let work = || {
            let mut mine = Vec::new();
            loop {
                let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                match all.get(at) {
                    Some(item) => mine.push((at, one(item))),
                    None => return mine,
                }
            }
        };
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

fn run(fault: &Fault) -> Read {
    let upstream = Upstream::start(fault.answer);
    let port = upstream.port.to_string();
    let fill = |text: &str| text.replace("{port}", &port);
    let plan = format!(
        "goal: Write a note.\ntasks:\n  - id: note\n    role: builder\n    instructions: Write done into note.txt.\n    attempts_max: 1\n    checks: [{}]\n",
        fault.check
    );
    let base_url = fill(fault.base_url);
    let config = format!(
        "version: 1\nupstreams:\n  main: {{format: openai-chat, base_url: \"{base_url}\", {}}}\n\
         roles:\n  builder: {{{}}}\n{}\n",
        fault.key, fault.role, fault.more
    );
    let mut bench = Bench::new(&plan, &config, "version: 1\nreplies: []\n", &[("README.md", "A repository.\n")]);
    bench.set_env("PROVIDER_KEY", KEY);
    prepare(&bench, fault);
    let ended = bench.run(&[]);
    let clean = |text: &str| cleaned(&bench, &port, text);
    let calls = upstream.calls();
    let mut screen: Vec<String> = ended.stderr.lines().filter(|line| is_about(line)).map(clean).collect();
    screen.dedup();
    let shown = bench.muster(&["show", "last", "--json"]);
    if shown.code != Some(0) {
        let question = clean(ended.stderr.trim());
        return Read { code: ended.code.unwrap_or(-1), question, screen: Vec::new(), report: Vec::new(), calls };
    }
    let view = shown.json();
    let asked = view["interrupts"].as_array().and_then(|all| all.first());
    let question = asked.and_then(|one| one["question"].as_str()).map(clean).unwrap_or_default();
    let report = bench.muster(&["report", "last"]).stdout;
    let last = report.split("## What went wrong on the way").nth(1).unwrap_or_default();
    // Without the time: `* 2026-01-01 00:00:00 `.
    let report =
        last.lines().filter(|line| line.starts_with("* ")).filter_map(|line| line.get(22..)).map(clean).collect();
    Read { code: ended.code.unwrap_or(-1), question, screen, report, calls }
}

fn prepare(bench: &Bench, fault: &Fault) {
    match fault.needs {
        Needs::Nothing => {}
        Needs::Program(name, text, mode) => {
            let path = bench.path(name);
            fs::write(&path, text.replace("{dir}", &bench.path("").to_string_lossy())).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            fill_in(bench);
        }
        Needs::Done(done) => {
            done(bench);
            fill_in(bench);
        }
    }
}

/// Puts the bench's own folder into its configuration.
fn fill_in(bench: &Bench) {
    let config = fs::read_to_string(bench.path("muster.yaml")).unwrap();
    bench.write("muster.yaml", &config.replace("{dir}", bench.path("").to_str().unwrap().trim_end_matches('/')));
}

/// Questions are read from `show`.
fn is_about(line: &str) -> bool {
    if line.contains("(user_input)") {
        return false;
    }
    ["attempt failed", "gets nothing more", "sent back", "could not be started", "was lost", "check", "cannot go on"]
        .iter()
        .any(|words| line.contains(words))
}

/// Without what differs from run to run: the folder, the port, times.
fn cleaned(bench: &Bench, port: &str, text: &str) -> String {
    let dir = bench.path("");
    let dir = dir.to_string_lossy();
    let text = text.replace(dir.trim_end_matches('/'), "DIR").replace(port, "PORT");
    // The time before a line of the screen.
    let (time, rest) = text.split_once("s  ").unwrap_or_default();
    let timed = !time.is_empty() && time.trim().parse::<f64>().is_ok();
    let text = if timed { rest.to_owned() } else { text };
    text.trim_end().to_owned()
}
