//! What a sandbox has to say when its program is over: limits that ended it, what was refused, and what to add to the policy.

use super::{Exit, Hint, Limit, Policy, hints::hints, lines::merged, meaning::bytes};
use crate::words::duration;
use serde::Serialize;
use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

/// What there is to say; nothing, if the sandbox was in nobody's way. Field names are stable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Console {
    /// The limit that ended it.
    pub limit: Option<Hit>,
    /// What was refused, a line each.
    pub refused: Vec<String>,
    /// What stopped the program, as far as its own words tell, and how to allow it.
    pub hints: Vec<Hint>,
}

/// A limit that ended a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hit {
    /// Its key in a policy.
    pub limit: &'static str,
    /// How much was allowed.
    pub value: String,
    /// The line that allows more.
    pub allow: String,
}

/// The console of a program that ended so, under `policy`, begun in `cwd`, and that said `stderr` last. `refused` is what
/// the sandbox itself knows to have refused; `programs` are the caller's folders with programs.
pub fn console(
    policy: &Policy,
    cwd: &Path,
    exit: Exit,
    stderr: &str,
    refused: Vec<String>,
    programs: &[PathBuf],
) -> Console {
    // A program that is content was not stopped, whatever it said on the way.
    let hints = if exit == Exit::Code(0) {
        Vec::new()
    } else {
        hints(policy, cwd, stderr, programs, &|path| path.try_exists().unwrap_or(false))
    };
    let limit = match exit {
        Exit::Limit(limit) => Some(hit(policy, limit)),
        _ => None,
    };
    Console { limit, refused, hints }
}

fn hit(policy: &Policy, limit: Limit) -> Hit {
    let limits = &policy.limits;
    let twice = |bytes_max: u64| bytes(bytes_max.saturating_mul(2));
    let more_time = |ms: u64| format!("{}s", ms.saturating_mul(2).div_ceil(1000).max(1));
    let (value, more) = match limit {
        Limit::Wall => {
            let ms = limits.wall_ms.unwrap_or_default();
            (duration(ms), more_time(ms))
        }
        Limit::Cpu => {
            let ms = limits.cpu_s.unwrap_or_default().saturating_mul(1000);
            (duration(ms), more_time(ms))
        }
        Limit::FileSize => (bytes(limits.file_bytes), twice(limits.file_bytes)),
        Limit::Memory => {
            let most = limits.tree_memory_bytes.unwrap_or_default();
            (bytes(most), twice(most))
        }
        Limit::Disk => {
            let most = limits.disk_bytes.unwrap_or_default();
            (bytes(most), twice(most))
        }
    };
    let limit = limit_name(limit);
    Hit { limit, value, allow: format!("limits: {{{limit}: {more}}}") }
}

/// A limit's key in a policy.
pub fn limit_name(limit: Limit) -> &'static str {
    match limit {
        Limit::Wall => "wall",
        Limit::Cpu => "cpu_time",
        Limit::FileSize => "file",
        Limit::Memory => "tree_memory",
        Limit::Disk => "disk",
    }
}

impl Console {
    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// For a terminal; `policy` is the policy file that lines are added to, or the lines that say the same as the run where
    /// there was none.
    pub fn text(&self, policy: Policies<'_>) -> String {
        let mut text = String::new();
        if let Some(Hit { limit, value, allow }) = &self.limit {
            let _ = writeln!(text, "sandbox: ended by its limit: {limit} is {value}\n  to allow more: {allow}");
        }
        for line in &self.refused {
            let _ = writeln!(text, "sandbox: {}", line.replace('\n', "\n  "));
        }
        for hint in &self.hints {
            let _ = write!(text, "{}", hint.text());
        }
        let addable = self.refused.iter().any(|line| line.to_lowercase().contains("to allow"));
        let lines = self.lines().count();
        let _ = match policy {
            Policies::File(file) if lines > 0 || addable => {
                writeln!(text, "sandbox: lines to add belong in {}", file.display())
            }
            Policies::Lines(begun) if lines > 0 => {
                let file = merged(begun.iter().map(String::as_str).chain(self.lines()));
                let file = file.trim_end().replace('\n', "\n  ");
                writeln!(text, "sandbox: the whole policy, for a file (muster sandbox run --policy FILE):\n  {file}")
            }
            Policies::Lines(_) if addable => {
                writeln!(text, "sandbox: lines to add belong in a policy file: muster sandbox run --policy FILE")
            }
            Policies::File(_) | Policies::Lines(_) => Ok(()),
        };
        text
    }

    fn lines(&self) -> impl Iterator<Item = &str> {
        let of_limit = self.limit.iter().map(|hit| hit.allow.as_str());
        let of_hints = self.hints.iter().map(|hint| hint.allow.as_str());
        of_limit.chain(of_hints).filter(|line| !line.is_empty())
    }
}

/// Where the policy of a run was written.
#[derive(Clone, Copy, Debug)]
pub enum Policies<'a> {
    /// In a file.
    File(&'a Path),
    /// Nowhere: these lines would say the same.
    Lines(&'a [String]),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(exit: Exit, stderr: &str) -> String {
        let mut policy = workspace::presets::check();
        policy.limits.cpu_s = Some(60);
        policy.limits.tree_memory_bytes = Some(1 << 30);
        console(&policy, Path::new("/work"), exit, stderr, Vec::new(), &[])
            .text(Policies::Lines(&["preset: check".into(), "work: write".into()]))
    }

    #[test]
    fn nothing_is_said_of_a_program_that_is_content() {
        assert_eq!(told(Exit::Code(0), "curl: (6) Could not resolve host: crates.io"), "");
        assert_eq!(told(Exit::Code(1), "2 tests failed"), "");
    }

    #[test]
    fn a_limit_and_a_hint() {
        expect_test::expect![[r#"
            sandbox: ended by its limit: wall is 10 min 0 s
              to allow more: limits: {wall: 1200s}
            sandbox: network: none: crates.io was to be reached, and no name is resolved inside
              to allow it: network: {hosts: ["crates.io:443"]}
            sandbox: the whole policy, for a file (muster sandbox run --policy FILE):
              preset: check
              work: write
              limits: {wall: 1200s}
              network: {hosts: ["crates.io:443"]}
        "#]]
        .assert_eq(&told(Exit::Limit(Limit::Wall), "curl: (6) Could not resolve host: crates.io"));
        expect_test::expect![[r#"
            sandbox: ended by its limit: cpu_time is 1 min 0 s
              to allow more: limits: {cpu_time: 120s}
            sandbox: the whole policy, for a file (muster sandbox run --policy FILE):
              preset: check
              work: write
              limits: {cpu_time: 120s}
        "#]]
        .assert_eq(&told(Exit::Limit(Limit::Cpu), ""));
        expect_test::expect![[r#"
            sandbox: ended by its limit: file is 4GiB
              to allow more: limits: {file: 8GiB}
            sandbox: the whole policy, for a file (muster sandbox run --policy FILE):
              preset: check
              work: write
              limits: {file: 8GiB}
        "#]]
        .assert_eq(&told(Exit::Limit(Limit::FileSize), ""));
        expect_test::expect![[r#"
            sandbox: ended by its limit: tree_memory is 1GiB
              to allow more: limits: {tree_memory: 2GiB}
            sandbox: the whole policy, for a file (muster sandbox run --policy FILE):
              preset: check
              work: write
              limits: {tree_memory: 2GiB}
        "#]]
        .assert_eq(&told(Exit::Limit(Limit::Memory), ""));
    }

    #[test]
    fn what_was_refused_is_told_even_of_a_program_that_ended_well() {
        let never = "refused 3 times: `ptrace` (system call), which is never allowed in a sandbox".to_owned();
        let listed = "refused: `sync` (system call), not in allowed_syscalls; to allow it add `sync` there".to_owned();
        let refused = vec![never, listed];
        let console = console(&workspace::presets::check(), Path::new("/"), Exit::Code(0), "", refused, &[]);
        expect_test::expect![[r#"
            sandbox: refused 3 times: `ptrace` (system call), which is never allowed in a sandbox
            sandbox: refused: `sync` (system call), not in allowed_syscalls; to allow it add `sync` there
            sandbox: lines to add belong in policy.yaml
        "#]]
        .assert_eq(&console.text(Policies::File(Path::new("policy.yaml"))));
    }
}
