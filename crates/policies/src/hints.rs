//! From the end of what a program said to the rule that stopped it, and the line that would allow it.
//!
//! A sandbox denies silently: the program gets an error of the kernel and words it in its own way. But the words are few, and
//! the policy is known; so a person need not guess. What cannot be told apart from an ordinary mistake is left alone: a file
//! that does not exist outside either is not the sandbox's doing.

use super::{Access, Bind, Network, Policy, Processes, lines::word, meaning::bytes, system};
use serde::Serialize;
use std::{
    collections::BTreeSet,
    path::{Component, Path, PathBuf},
};

/// What stopped a program, and what would let it go on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Hint {
    /// Which rule denied what.
    pub why: String,
    /// The line to add to the policy; empty where no line helps.
    pub allow: String,
    /// What to do where no line helps.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub instead: &'static str,
}

impl Hint {
    /// For a terminal, with a line end.
    pub fn text(&self) -> String {
        let Self { why, allow, instead } = self;
        match allow.is_empty() {
            true => format!("sandbox: {why}\n  no policy can allow it: {instead}\n"),
            false => format!("sandbox: {why}\n  to allow it: {}\n", allow.replace('\n', "\n               ")),
        }
    }

    fn new(why: impl Into<String>, allow: impl Into<String>) -> Self {
        Self { why: why.into(), allow: allow.into(), instead: "" }
    }
}

/// Most hints of one run: the first mistakes matter, the rest follows from them.
const HINTS_MAX: usize = 5;

/// Where programs of the host are looked for that a sandbox does not show.
const PROGRAM_DIRS: &[&str] = &["/usr/local/bin", "/usr/bin", "/bin", "/opt/bin", "/snap/bin"];

/// The hints for a program under `policy`, begun in `cwd`, that said `stderr` last. `on_host` says whether a path exists
/// outside; `programs` are further folders with programs there.
pub fn hints(
    policy: &Policy,
    cwd: &Path,
    stderr: &str,
    programs: &[PathBuf],
    on_host: &dyn Fn(&Path) -> bool,
) -> Vec<Hint> {
    let scene = Scene { policy, cwd, said: stderr, programs, on_host };
    let mut seen = BTreeSet::new();
    let found = stderr.lines().flat_map(|line| scene.of_line(line));
    found.filter(|hint| seen.insert((hint.allow.clone(), hint.instead))).take(HINTS_MAX).collect()
}

struct Scene<'a> {
    policy: &'a Policy,
    cwd: &'a Path,
    /// All that the program said.
    said: &'a str,
    programs: &'a [PathBuf],
    on_host: &'a dyn Fn(&Path) -> bool,
}

impl Scene<'_> {
    fn of_line(&self, line: &str) -> Option<Hint> {
        let says = |words: &[&str]| {
            let lower = line.to_ascii_lowercase();
            words.iter().any(|word| lower.contains(word))
        };
        if says(&["read-only file system", "erofs"]) {
            return self.not_writable(line);
        }
        if says(&["fork", "clone", "spawn", "new thread", "create thread", "start thread", "vfork"])
            && let Some(hint) = self.no_child(&says, line)
        {
            return Some(hint);
        }
        // Node's word; in small letters it stands in Python's `FileNotFoundError` too.
        if says(NAMES) || line.contains("ENOTFOUND") {
            return self.no_name(line);
        }
        let address = words(line).any(is_address);
        if says(&["network is unreachable", "enetunreach"])
            || address && says(&["failed to connect", "couldn't connect"])
        {
            return self.no_address();
        }
        if says(&["connection refused", "econnrefused"]) && line.contains(":3128") {
            return self.no_gateway();
        }
        if says(&["permission denied", "eacces", "permissionerror"]) {
            return self.denied(line);
        }
        if says(&["no such file", "enoent", "not found", "cannot open", "can't open"]) {
            return self.not_shown(line).or_else(|| self.no_program(line));
        }
        self.limit(&says, line)
    }

    /// A path is shown to read only.
    fn not_writable(&self, line: &str) -> Option<Hint> {
        let path =
            self.paths(line).into_iter().find(|path| !self.bind_of(path).is_some_and(|bind| bind.access.writes()));
        let path = path.unwrap_or_else(|| self.cwd.to_owned());
        let dir = self.folder(&path);
        let why = match self.bind_of(&path) {
            Some(bind) => format!("{} is shown to {}", bind.inside.display(), access(bind.access)),
            None => format!("{} is no part of the policy", dir.display()),
        };
        Some(self.writable(why, &self.outside(&dir)))
    }

    /// A folder of this machine to write in, unless it is the system's.
    fn writable(&self, why: String, dir: &Path) -> Hint {
        match system::is_system(dir) {
            true => Hint { why, allow: String::new(), instead: system::INSTEAD },
            false => Hint::new(why, format!("files: {{write: [{}]}}", word(dir))),
        }
    }

    fn denied(&self, line: &str) -> Option<Hint> {
        if let Some(hint) = self.not_listed(line) {
            return Some(hint);
        }
        let paths = self.paths(line);
        let (path, bind) = paths.iter().find_map(|path| Some((path, self.bind_of(path)?)))?;
        let runs = line.contains("exec") || line.contains("spawn") || starts_with_shell(line);
        let key = match (bind.access.executes(), bind.access.writes()) {
            (false, _) if runs => "execute",
            (_, false) => "write",
            _ => return None,
        };
        let why =
            format!("{} is in {}, which is shown to {}", path.display(), bind.inside.display(), access(bind.access));
        let outside = self.outside(&bind.inside);
        Some(match key {
            "write" => self.writable(why, &outside),
            _ => Hint::new(why, format!("files: {{execute: [{}]}}", word(&outside))),
        })
    }

    /// A program that the list of programs lacks.
    fn not_listed(&self, line: &str) -> Option<Hint> {
        let Processes::Exec(listed) = &self.policy.processes else { return None };
        let path = self.policy.env.get("PATH").map(String::as_str).unwrap_or_default();
        let program = |word: &str| match word.contains('/') {
            true => Some(plain(&self.cwd.join(word))),
            false => Some(crate::extras::full_path(word, path)).filter(|full| full.is_absolute()),
        };
        let runs =
            |path: &PathBuf| self.bind_of(path).is_some_and(|bind| bind.access.executes()) && (self.on_host)(path);
        // The shell that complains may be named first, and is one that runs.
        let program = words(line)
            .filter_map(program)
            .find(|path| runs(path) && !listed.iter().any(|known| known.file_name() == path.file_name()))?;
        let all = listed.iter().chain([&program]).map(|path| name(path)).collect::<Vec<_>>().join(", ");
        let why = format!("processes: exec does not list {}", program.display());
        Some(Hint::new(why, format!("processes: {{exec: [{all}]}}")))
    }

    /// A path exists outside, and the policy does not show it.
    fn not_shown(&self, line: &str) -> Option<Hint> {
        let path = self.paths(line).into_iter().find(|path| self.bind_of(path).is_none() && (self.on_host)(path))?;
        if ["/tmp", "/proc", "/dev"].iter().any(|own| path.starts_with(own)) {
            let why = format!("{} exists on this machine; the sandbox has a {} of its own", path.display(), top(&path));
            let allow = format!("files: {{read: [{{host: {}, inside: /data/{}}}]}}", path.display(), name(&path));
            return Some(Hint::new(why, allow));
        }
        let why = format!("{} exists on this machine and is no part of the policy", path.display());
        Some(Hint::new(why, format!("files: {{read: [{}]}}", word(&path))))
    }

    /// A program exists outside, in a folder that the policy does not show.
    fn no_program(&self, line: &str) -> Option<Hint> {
        if !line.contains("not found") && !line.contains("No such file") {
            return None;
        }
        let usual = PROGRAM_DIRS.iter().map(PathBuf::from);
        let dirs: Vec<PathBuf> = usual.chain(self.programs.iter().cloned()).collect();
        let word = words(line).filter(|word| !word.contains('/') && word.len() > 1);
        let found = word.flat_map(|word| dirs.iter().map(move |dir| dir.join(word)));
        let path = found.into_iter().find(|path| self.bind_of(path).is_none() && (self.on_host)(path))?;
        let dir = path.parent()?;
        let why = format!("the program {} exists on this machine and is no part of the policy", path.display());
        let path = self.policy.env.get("PATH").map(String::as_str).unwrap_or_default();
        let dir = dir.display();
        Some(Hint::new(why, format!("files: {{execute: [{dir}]}}\nenv: {{PATH: \"{dir}:{path}\"}}")))
    }

    fn no_child(&self, says: &dyn Fn(&[&str]) -> bool, line: &str) -> Option<Hint> {
        let refused = says(&["operation not permitted", "eperm", "permission denied"]);
        let full = says(&["resource temporarily unavailable", "eagain", "can't start new thread", "cannot fork"]);
        let thread = says(&["thread"]);
        if !refused && !full {
            return None;
        }
        if self.policy.processes == Processes::None && !thread {
            return Some(Hint::new("processes: none: it may start no other process", "processes: tree"));
        }
        if !thread && (refused || says(&["cannot fork"])) && self.without_children() {
            let why = "allowed_syscalls: no call in this list starts a process";
            return Some(Hint::new(why, "allowed_syscalls: [\"@tool\"]"));
        }
        if refused && line.contains("spawn") {
            return self.not_listed(line);
        }
        let most = self.policy.limits.processes;
        full.then(|| {
            let why = format!("limits: processes is {most}, threads and the sandbox's own two included");
            Hint::new(why, format!("limits: {{processes: {}}}", most.saturating_mul(2)))
        })
    }

    /// Whether the policy's own list of system calls leaves out those that start processes.
    fn without_children(&self) -> bool {
        let listed = &self.policy.allowed_syscalls;
        let starts = ["@tool", "@all", "clone", "fork", "vfork"];
        !listed.is_empty() && !listed.iter().any(|call| starts.contains(&call.as_str()))
    }

    fn no_name(&self, line: &str) -> Option<Hint> {
        let host = words(line).map(|word| word.trim_matches(['(', ')', '[', ']'])).find(|word| is_host(word));
        let port = host.map_or(443, |host| self.port_of(host));
        let allow = format!("network: {{hosts: [\"{}:{port}\"]}}", host.unwrap_or("HOST"));
        self.no_network(
            &host.map_or_else(|| "a name was to be resolved".into(), |host| format!("{host} was to be reached")),
            &allow,
        )
    }

    /// The port of the first URL of a host in all that was said; HTTPS's where there is none.
    fn port_of(&self, host: &str) -> u16 {
        let urls = self.said.split(|c: char| c.is_whitespace() || "'\"`<>()".contains(c));
        urls.filter_map(|word| word.split_once("://"))
            .find_map(|(scheme, rest)| {
                let place = rest.split(['/', '?', '#']).next()?;
                let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
                let (name, port) = place.split_once(':').map_or((place, None), |(name, port)| (name, Some(port)));
                let usual = if scheme.ends_with("http") || scheme.ends_with("ws") { 80 } else { 443 };
                (name == host).then(|| port.and_then(|port| port.parse().ok()).unwrap_or(usual))
            })
            .unwrap_or(443)
    }

    fn no_address(&self) -> Option<Hint> {
        let what = "an address was tried, and only hosts by their names can be let through";
        let mut hint = self.no_network(what, "network: open")?;
        hint.why = hint.why.replace(NO_NAME, " (`network: {hosts: [\"NAME:PORT\"]}`, for programs that use the proxy)");
        Some(hint)
    }

    fn no_network(&self, what: &str, allow: &str) -> Option<Hint> {
        let rule = match &self.policy.network {
            Network::None => "network: none",
            Network::Gateway => "network: gateway",
            Network::Hosts(_) => "network: hosts (only through the proxy of HTTPS_PROXY)",
            Network::Open => return None,
        };
        Some(Hint::new(format!("{rule}: {what}{NO_NAME}"), allow))
    }

    fn no_gateway(&self) -> Option<Hint> {
        (self.policy.network == Network::Gateway).then(|| {
            let why = "network: gateway: outside of a mission nobody serves the gateway at 127.0.0.1:3128";
            Hint::new(why, "network: {hosts: [\"HOST:443\"]}")
        })
    }

    fn limit(&self, says: &dyn Fn(&[&str]) -> bool, line: &str) -> Option<Hint> {
        let limits = &self.policy.limits;
        let twice = |most: u64| bytes(most.saturating_mul(2));
        let hint = |why: String, allow: String| Some(Hint::new(why, format!("limits: {{{allow}}}")));
        if says(&["cannot allocate memory", "out of memory", "memoryerror", "memory allocation of", "enomem"]) {
            let most = limits.memory_bytes;
            return hint(
                format!("limits: memory is {}, each process", bytes(most)),
                format!("memory: {}", twice(most)),
            );
        }
        if says(&["too many open files", "emfile"]) {
            let most = limits.open_files;
            return hint(format!("limits: open_files is {most}"), format!("open_files: {}", most.saturating_mul(2)));
        }
        if says(&["file too large", "efbig", "file size limit exceeded"]) {
            let most = limits.file_bytes;
            return hint(format!("limits: file is {}", bytes(most)), format!("file: {}", twice(most)));
        }
        let temporary = |path: &Path| path.starts_with("/tmp") || path.starts_with("/dev/shm");
        let paths = self.paths(line);
        if says(&["no space left", "enospc"]) && (paths.is_empty() || paths.iter().any(|path| temporary(path))) {
            let most = self.policy.filesystem.tmp_bytes;
            return hint(format!("limits: tmp is {}", bytes(most)), format!("tmp: {}", twice(most)));
        }
        None
    }

    /// Every path in a line, without `.` and `..`.
    fn paths(&self, line: &str) -> Vec<PathBuf> {
        let pathlike = |word: &&str| word.contains('/') && !word.contains("://");
        words(line).filter(pathlike).map(|word| plain(&self.cwd.join(word))).collect()
    }

    /// The innermost bind over a path inside.
    fn bind_of(&self, path: &Path) -> Option<&Bind> {
        let over = self.policy.filesystem.binds.iter().filter(|bind| path.starts_with(&bind.inside));
        over.max_by_key(|bind| bind.inside.components().count())
    }

    /// The path on the host of a path inside.
    fn outside(&self, path: &Path) -> PathBuf {
        let host = |bind: &Bind| Some(bind.host.join(path.strip_prefix(&bind.inside).ok()?));
        let host = self.bind_of(path).and_then(host).unwrap_or_else(|| path.to_owned());
        host.components().collect()
    }

    /// What has to be shown for a path: itself if it is there, else its folder.
    fn folder(&self, path: &Path) -> PathBuf {
        let there = path.ancestors().find(|path| (self.on_host)(&self.outside(path)));
        there.unwrap_or(self.cwd).to_owned()
    }
}

/// What programs say when a name cannot be resolved, in lower case.
const NAMES: &[&str] = &[
    "could not resolve",
    "couldn't resolve",
    "temporary failure in name resolution",
    "name or service not known",
    "nodename nor servname",
    "unable to resolve host",
    "failed to lookup address",
    "getaddrinfo",
    "eai_again",
];

const NO_NAME: &str = ", and no name is resolved inside";

fn access(access: Access) -> &'static str {
    match access {
        Access::Read => "read only",
        Access::ReadExecute => "read and execute only",
        Access::Write => "read and write, not to execute",
        Access::WriteExecute => "read, write and execute",
    }
}

/// The words of a line without the quotes and stops around them.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let around =
        |c: char| matches!(c, '\'' | '"' | '`' | '‘' | '’' | '“' | '”' | ':' | ',' | ';' | '(' | ')' | '[' | ']');
    line.split(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '‘' | '’' | '='))
        .map(move |word| word.trim_matches(around).trim_end_matches('.'))
        .filter(|word| !word.is_empty())
}

/// `sh: 1: ./tool: Permission denied`.
fn starts_with_shell(line: &str) -> bool {
    ["sh:", "/bin/sh:", "bash:", "dash:", "env:", "zsh:"].iter().any(|shell| line.trim_start().starts_with(shell))
}

/// An address of the network rather than a name.
fn is_address(word: &str) -> bool {
    let bare = word.trim_matches(['[', ']']);
    bare.parse::<std::net::IpAddr>()
        .or_else(|_| word.parse().map(|at: std::net::SocketAddr| at.ip()))
        .is_ok_and(|ip| !ip.is_loopback())
}

/// A host name with at least one dot, so that no ordinary word is taken for one.
fn is_host(word: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    let last = word.rsplit('.').next().unwrap_or_default();
    word.contains('.')
        && !word.contains("..")
        && word.bytes().all(allowed)
        && last.len() >= 2
        && last.bytes().all(|byte| byte.is_ascii_alphabetic())
}

fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => _ = plain.pop(),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

fn top(path: &Path) -> String {
    path.components().take(2).collect::<PathBuf>().display().to_string()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        let mut policy = workspace::presets::check();
        policy.filesystem.binds = vec![
            Bind::system("/usr"),
            Bind::read("/home/me/project", "/home/me/project"),
            Bind::write("/srv/out", "/out"),
        ];
        policy
    }

    const HOST: &[&str] = &[
        "/",
        "/home",
        "/home/me",
        "/home/me/x.toml",
        "/home/me/project",
        "/srv/out",
        "/opt/bin/tool",
        "/tmp/seen",
        "/home/me/.cargo/bin/cargo",
        "/usr/bin/id",
        "/usr/bin/sh",
    ];

    #[track_caller]
    fn hinted(policy: &Policy, line: &str) -> String {
        let on_host = |path: &Path| HOST.iter().any(|known| Path::new(known) == path);
        let found = hints(policy, Path::new("/home/me/project"), line, &["/home/me/.cargo/bin".into()], &on_host);
        found.into_iter().map(|hint| format!("{}\n  {}{}\n", hint.why, hint.allow, hint.instead)).collect()
    }

    #[track_caller]
    fn check(line: &str, expected: &str) {
        assert_eq!(hinted(&policy(), line), expected, "{line}");
    }

    #[test]
    fn a_path_that_is_shown_to_read_only() {
        let told = "/home/me/project is shown to read only\n  files: {write: [/home/me/project]}\n";
        check("touch: cannot touch 'new.txt': Read-only file system", told);
        check("OSError: [Errno 30] Read-only file system: '/home/me/project/new.txt'", told);
        check("Error: EROFS: read-only file system, open '/home/me/project/new.txt'", told);
        check(
            "touch: cannot touch '/usr/x': Permission denied",
            &format!("/usr/x is in /usr, which is shown to read and execute only\n  {}\n", system::INSTEAD),
        );
    }

    #[test]
    fn a_program_that_may_not_be_executed() {
        check(
            "sh: 1: /out/tool: Permission denied",
            "/out/tool is in /out, which is shown to read and write, not to execute\n  files: {execute: [/srv/out]}\n",
        );
    }

    #[test]
    fn a_path_that_exists_outside() {
        let told =
            "/home/me/x.toml exists on this machine and is no part of the policy\n  files: {read: [/home/me/x.toml]}\n";
        check("cat: /home/me/x.toml: No such file or directory", told);
        check("FileNotFoundError: [Errno 2] No such file or directory: '../x.toml'", told);
        check("Error: ENOENT: no such file or directory, open '/home/me/x.toml'", told);
        check("cat: /home/me/nothing: No such file or directory", "");
        assert!(hinted(&policy(), "cat: /tmp/seen: No such file or directory").contains("has a /tmp of its own"));
    }

    #[test]
    fn a_program_that_exists_outside() {
        check(
            "sh: 1: tool: not found",
            "the program /opt/bin/tool exists on this machine and is no part of the policy\n  files: {execute: [/opt/bin]}\nenv: {PATH: \"/opt/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"}\n",
        );
        assert!(hinted(&policy(), "bash: line 1: cargo: command not found").contains("/home/me/.cargo/bin"));
        check("sh: 1: nonsense: not found", "");
    }

    #[test]
    fn names_that_cannot_be_resolved() {
        let told = "network: none: crates.io was to be reached, and no name is resolved inside\n  network: {hosts: [\"crates.io:443\"]}\n";
        check("curl: (6) Could not resolve host: crates.io", told);
        check("npm error getaddrinfo EAI_AGAIN crates.io", told);
        check("fatal: unable to access 'https://x': Could not resolve host: crates.io", told);
        let open = Policy { network: Network::Open, ..policy() };
        assert_eq!(hinted(&open, "curl: (6) Could not resolve host: crates.io"), "");
        let gateway = Policy { network: Network::Gateway, ..policy() };
        assert!(hinted(&gateway, "connect to 127.0.0.1:3128: Connection refused").contains("outside of a mission"));
    }

    #[test]
    fn children() {
        let none = Policy { processes: Processes::None, ..policy() };
        let told = "processes: none: it may start no other process\n  processes: tree\n";
        assert_eq!(hinted(&none, "sh: 1: Cannot fork: Operation not permitted"), told);
        assert_eq!(hinted(&none, "Error: spawn EPERM"), told);
        let full =
            "limits: processes is 1024, threads and the sandbox's own two included\n  limits: {processes: 2048}\n";
        check("bash: fork: retry: Resource temporarily unavailable", full);
        check("RuntimeError: can't start new thread", full);
    }

    #[test]
    fn children_that_the_lists_lack() {
        let none = Policy { processes: Processes::None, ..policy() };
        let told = "processes: none: it may start no other process\n  processes: tree\n";
        assert_eq!(hinted(&none, "sh: 1: Cannot fork"), told);
        let calls = Policy { allowed_syscalls: vec!["@worker".into()], ..policy() };
        let told = "allowed_syscalls: no call in this list starts a process\n  allowed_syscalls: [\"@tool\"]\n";
        assert_eq!(hinted(&calls, "sh: 1: Cannot fork"), told);
        let exec = Policy { processes: Processes::Exec(vec!["/usr/bin/sh".into()]), ..policy() };
        let told = "processes: exec does not list /usr/bin/id\n  processes: {exec: [sh, id]}\n";
        for line in [
            "sh: 1: id: Permission denied",
            "/bin/sh: 1: /usr/bin/id: Permission denied",
            "PermissionError: [Errno 13] Permission denied: 'id'",
        ] {
            assert_eq!(hinted(&exec, line), told, "{line}");
        }
    }

    #[test]
    fn ports_and_addresses() {
        let port = |said: &str| hinted(&policy(), said);
        assert!(
            port("fatal: unable to access 'https://a.org:8443/x/': Could not resolve host: a.org")
                .contains("a.org:8443")
        );
        assert!(port("get http://u@a.org/x\ncurl: (6) Could not resolve host: a.org").contains("\"a.org:80\""));
        for said in
            ["curl: (7) Failed to connect to 1.1.1.1 port 80 after 0 ms", "OSError: [Errno 101] Network is unreachable"]
        {
            let told = port(said);
            assert!(told.ends_with("\n  network: open\n") && told.contains("only hosts by their names"), "{told}");
        }
        check("curl: (7) Failed to connect to 127.0.0.1 port 80 after 0 ms", "");
    }

    #[test]
    fn limits_that_make_a_call_fail() {
        check(
            "memory allocation of 9 bytes failed",
            "limits: memory is 8GiB, each process\n  limits: {memory: 16GiB}\n",
        );
        check("OSError: [Errno 24] Too many open files", "limits: open_files is 4096\n  limits: {open_files: 8192}\n");
        check("dd: error writing '/tmp/f': No space left on device", "limits: tmp is 2GiB\n  limits: {tmp: 4GiB}\n");
        check("dd: error writing 'f': No space left on device", "limits: tmp is 2GiB\n  limits: {tmp: 4GiB}\n");
        check("write: File too large", "limits: file is 4GiB\n  limits: {file: 8GiB}\n");
    }

    #[test]
    fn one_hint_of_a_kind_and_few_in_all() {
        let line = "cat: /home/me/x.toml: No such file or directory\n";
        assert_eq!(hinted(&policy(), &line.repeat(50)).lines().count(), 2);
        check("all is well\n\nerror: expected `;`, found `}`", "");
    }
}
