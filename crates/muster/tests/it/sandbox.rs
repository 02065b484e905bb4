//! `muster sandbox`: programs under a policy as a person runs them, as root and as an ordinary user.

use crate::support::{bench::MUSTER, child::Running};
use rustix::process::Signal;
use std::{
    fs,
    io::{BufRead, Write},
    os::unix::fs::{PermissionsExt, chown},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Command, Output, Stdio},
};
use tempfile::TempDir;

/// The ordinary user that tests become when they are run by root.
const ORDINARY: u32 = 65_533;

/// A folder to work in, and who works there.
struct Person {
    dir: TempDir,
    uid: Option<u32>,
}

/// Runs a test as whoever runs the tests and, if that is root, also as an ordinary user.
fn each(test: impl Fn(&Person)) {
    let person = |uid| {
        let dir = tempfile::Builder::new().prefix("muster-sandbox-").tempdir().unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(dir.path().join("work")).unwrap();
        if let Some(uid) = uid {
            chown(dir.path().join("work"), Some(uid), Some(uid)).unwrap();
        }
        Person { dir, uid }
    };
    test(&person(None));
    if rustix::process::geteuid().is_root() {
        test(&person(Some(ORDINARY)));
    }
}

impl Person {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(MUSTER);
        // Nothing of the tester's own: no home either, since a sandbox needs none.
        command.args(args).current_dir(self.dir.path().join("work")).env_clear().env("PATH", "/usr/bin:/bin");
        // The policies here lie where their programs work, and are the tester's own; `trust` has those that are not.
        command.env("MUSTER_TRUST", "1");
        if let Some(uid) = self.uid {
            command.uid(uid).gid(uid);
        }
        command
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join("work").join(name), text).unwrap();
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).stdin(Stdio::null()).output().unwrap()
    }

    #[track_caller]
    fn ends(&self, args: &[&str], code: i32, stdout: &str, stderr: &[&str]) {
        let output = self.run(args);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}\n{err}");
        assert_eq!(out, stdout, "{args:?}\n{err}");
        stderr.iter().for_each(|words| assert!(err.contains(words), "'{words}' is not said: {args:?}\n{err}"));
        assert!(!stderr.is_empty() || err.is_empty(), "{args:?}\n{err}");
    }
}

const RUN: [&str; 3] = ["sandbox", "run", "--"];

#[test]
fn a_program_behaves_as_if_there_were_no_sandbox() {
    each(|person| {
        person.ends(&[&RUN[..], &["sh", "-c", "echo out; exit 7"]].concat(), 7, "out\n", &[]);
        person.ends(&[&RUN[..], &["sh", "-c", "echo made > file; cat file"]].concat(), 0, "made\n", &[]);
        // The folder is below /tmp, which is the sandbox's own: what is shown there must be seen, and stay.
        assert_eq!(fs::read_to_string(person.dir.path().join("work/file")).unwrap(), "made\n");
        person.ends(&[&RUN[..], &["sh", "-c", "kill -TERM $$"]].concat(), 143, "", &[]);
        let mut child = person.command(&[&RUN[..], &["sort"]].concat());
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"b\na\n").unwrap();
        assert_eq!(String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap(), "a\nb\n");
    });
}

#[test]
fn what_is_not_there_ends_as_in_a_shell() {
    each(|person| {
        person.ends(&[&RUN[..], &["no-such-program"]].concat(), 127, "", &["no-such-program cannot be started"]);
        person.write("text", "not a program");
        person.ends(&[&RUN[..], &["./text"]].concat(), 126, "", &["cannot be started in the sandbox"]);
    });
}

#[test]
fn without_a_sandbox_nothing_is_run() {
    each(|person| {
        person.write("bad.yaml", "network: everything\nlimits: {memory: 1}\n");
        let args = ["sandbox", "run", "--policy", "bad.yaml", "--", "touch", "made"];
        person.ends(&args, 125, "", &["bad.yaml:1:10: `everything`", "bad.yaml:2:18: `1` is not a size"]);
        person.write(
            "bad.yaml",
            "files:\n  read: [./nothing, /etc/nothing/at/all]\nallowed_syscalls: ['@worker', opnat]\n",
        );
        let told = [
            "bad.yaml:2:10:",
            "it exists as far as",
            "bad.yaml:2:21: /etc/nothing/at/all does not exist",
            "bad.yaml:3:31:",
        ];
        person.ends(&args, 125, "", &told);
        person.write("bad.yaml", "processes: {exec: [no-such-program]}\n");
        person.ends(&args, 125, "", &["bad.yaml:1:12: processes: the program no-such-program is not found"]);
        person.ends(
            &["sandbox", "run", "--policy", "none.yaml", "--", "true"],
            125,
            "",
            &["none.yaml", "cannot be read"],
        );
        assert!(!person.dir.path().join("work/made").exists());
    });
}

#[test]
fn a_policy_wider_than_its_ceiling_is_refused_and_says_where() {
    each(|person| {
        fs::create_dir_all(person.dir.path().join("work/inner")).unwrap();
        std::os::unix::fs::symlink("/etc", person.dir.path().join("work/inner/link")).unwrap();
        person.write(
            "ceiling.yaml",
            "files: {read: [./inner], execute: [./]}\nnetwork: {hosts: ['*.example.org:443']}\nprocesses: {exec: [touch, git]}\n\
             limits: {memory: 1GiB, wall: 1m}\npass: [TERM]\n",
        );
        let run = |program: &str| {
            ["sandbox", "run", "--ceiling", "ceiling.yaml", "--policy", "asked.yaml", "--", program].map(str::to_owned)
        };
        let refused = |asked: &str, told: &[&str]| {
            person.write("asked.yaml", asked);
            let args = run("touch");
            person.ends(&args.each_ref().map(String::as_str), 125, "", told);
        };
        refused(
            "files: {write: [./inner], read: [./inner/link]}\nnetwork: {hosts: ['x.example.org:443', 'x.example.com:443']}\n\
             processes: tree\nlimits: {memory: 2GiB}\npass: [TERM, TOKEN]\n",
            &[
                "asked.yaml:1:17: files: ",
                "is shown to read, write, and that is wider than ceiling.yaml allows",
                "asked.yaml:1:34: files: ",
                "asked.yaml:2:10: network: hosts x.example.com:443, and",
                "asked.yaml:3:12: processes: tree, and",
                "asked.yaml:4:9: limits: memory 2GiB (at most 1GiB), and",
                "limits: wall 10 min 0 s (at most 1 min 0 s), and",
                "asked.yaml:5:8: pass: TOKEN, and",
                "ask for less here, or widen ceiling.yaml",
            ],
        );
        refused(
            "preset: agent-cli\n",
            &["asked.yaml:1:9: limits: wall no limit (at most 1 min 0 s)", "asked.yaml:1:9: processes: tree"],
        );
        person.write(
            "asked.yaml",
            "files: {read: [./inner]}\nnetwork: none\nprocesses: {exec: [touch]}\nlimits: {memory: 1GiB, wall: 30s}\n",
        );
        let args = ["sandbox", "run", "--ceiling", "ceiling.yaml", "--policy", "asked.yaml", "--", "touch", "/tmp/x"];
        person.ends(&args, 0, "", &[]);
        let presets = ["sandbox", "run", "--ceiling", "read-only", "--preset", "check", "--", "true"];
        person.ends(&presets, 125, "", &["the preset check: files: ", "wider than the preset read-only allows"]);
    });
}

#[test]
fn what_was_denied_comes_with_the_line_that_allows_it() {
    each(|person| {
        fs::write(person.dir.path().join("outside.txt"), "seen\n").unwrap();
        let outside = person.dir.path().join("outside.txt").display().to_string();
        let line = format!("files: {{read: [{outside}]}}");
        let place = format!("{{read: [{{host: {outside}, inside: /data/outside.txt}}]}}");
        let told = if outside.starts_with("/tmp") { place } else { line };
        person.ends(&[&RUN[..], &["cat", &outside]].concat(), 1, "", &["No such file", &told]);
        let shadow = [&RUN[..], &["sh", "-c", "touch /usr/made || exit 3"]].concat();
        let told = [
            "/usr is shown to read and execute only",
            "no policy can allow it: programs install into a folder of their own",
        ];
        person.ends(&shadow, 3, "", &told);
        person.ends(&["sandbox", "run", "--write", "/usr", "--", "true"], 125, "", &["belongs to the system"]);
        let json = [&RUN[..RUN.len() - 1], &["--json", "--", "sh", "-c", "exit 4"]].concat();
        person.ends(&json, 4, "", &["\"ended\":{\"code\":4}"]);
        let name = "import socket; socket.create_connection(('crates.invalid', 443))";
        person.ends(
            &[&RUN[..], &["sh", "-c", "echo 'curl: (6) Could not resolve host: crates.invalid' >&2; exit 6"]].concat(),
            6,
            "",
            &["network: none", "network: {hosts: [\"crates.invalid:443\"]}"],
        );
        person.ends(&[&RUN[..], &["python3", "-c", name]].concat(), 1, "", &["network: none"]);
    });
}

#[test]
fn a_policy_file_is_the_whole_truth() {
    each(|person| {
        person.write("seen.txt", "seen\n");
        person.write(
            "policy.yaml",
            "files: {read: [{host: ./seen.txt, inside: /data/seen}]}\nenv: {COLOUR: blue}\npass: [LIKED, MISSING]\n",
        );
        let script = "cat /data/seen; echo $COLOUR $LIKED $MISSING; ls; echo x >> /data/seen";
        let mut command = person.command(&["sandbox", "run", "--policy", "policy.yaml", "--", "sh", "-c", script]);
        let output = command.env("LIKED", "red").env("SECRET", "x").output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "seen\nblue red\n", "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("lines to add belong in policy.yaml"), "{said}");
        assert_eq!(fs::read_to_string(person.dir.path().join("work/seen.txt")).unwrap(), "seen\n");
    });
}

#[test]
fn a_limit_says_its_name_its_value_and_how_to_raise_it() {
    each(|person| {
        person.write("policy.yaml", "limits: {wall: 200ms}\n");
        let args = ["sandbox", "run", "--policy", "policy.yaml", "--", "sleep", "600"];
        person.ends(&args, 124, "", &["ended by its limit: wall is", "limits: {wall: 1s}"]);
        person.write("policy.yaml", "limits: {file: 1MiB}\n");
        let dd =
            ["sandbox", "run", "--policy", "policy.yaml", "--", "dd", "if=/dev/zero", "of=/tmp/f", "bs=1M", "count=5"];
        person.ends(&dd, 153, "", &["file is 1MiB", "limits: {file: 2MiB}"]);
    });
}

#[test]
fn the_end_can_be_read_by_a_program() {
    each(|person| {
        person.write("policy.yaml", "limits: {wall: 200ms}\n");
        let output = person.run(&["sandbox", "run", "--json", "--policy", "policy.yaml", "--", "sleep", "600"]);
        let value: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!((&value["exit_code"], &value["console"]["limit"]["limit"]), (&124.into(), &"wall".into()));
    });
}

#[test]
fn calls_that_were_refused_are_told() {
    each(|person| {
        let script = "import ctypes; print(ctypes.CDLL(None).ptrace(0, 0, 0, 0))";
        person.ends(&[&RUN[..], &["python3", "-c", script]].concat(), 0, "-1\n", &["refused: `ptrace`"]);
        person.write("policy.yaml", "preset: worker\nnetwork: none\n");
        let fork = "import os\ntry: os.fork()\nexcept OSError as error: print(error.errno)";
        let args = ["sandbox", "run", "--policy", "policy.yaml", "--", "/usr/bin/python3", "-c", fork];
        person.ends(&args, 0, "1\n", &["processes: tree"]);
    });
}

#[test]
fn named_hosts_are_reached_through_the_proxy_and_refusals_come_with_the_line_to_add() {
    each(|person| {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let mut line = String::new();
            std::io::BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nserved").unwrap();
            line
        });
        person.write("policy.yaml", &format!("network: {{hosts: ['localhost:{port} private']}}\n"));
        let script = format!(
            "import http.client, os, urllib.error, urllib.request\n\
             door = http.client.HTTPConnection(*os.environ['HTTP_PROXY'].removeprefix('http://').split(':'))\n\
             door.request('GET', 'http://localhost:{port}/x')\n\
             print(door.getresponse().read().decode())\n\
             try: urllib.request.urlopen('http://elsewhere.test/')\n\
             except urllib.error.HTTPError as error: print(error.code)\n"
        );
        let args = ["sandbox", "run", "--policy", "policy.yaml", "--", "python3", "-c", &script];
        let told = [
            "refused: elsewhere.test:80: no rule of `network: hosts` names it",
            "add `elsewhere.test:80` to `network: {hosts: […]}`",
            "lines to add belong in policy.yaml",
        ];
        person.ends(&args, 0, "served\n403\n", &told);
        assert_eq!(answering.join().unwrap(), "GET /x HTTP/1.1\r\n");
    });
}

#[test]
fn ctrl_c_reaches_the_program_and_the_second_one_ends_it() {
    each(|person| {
        let script = "trap 'echo asked >&2; exit 5' INT; echo ready >&2; while :; do sleep 0.1; done";
        let mut running = Running::start(person.command(&[&RUN[..], &["sh", "-c", script]].concat()));
        running.wait_for("ready");
        running.signal(Signal::INT);
        running.end().expect(5);
        let script = "trap 'echo asked >&2' INT; echo ready >&2; while :; do sleep 0.1; done";
        let mut running = Running::start(person.command(&[&RUN[..], &["sh", "-c", script]].concat()));
        running.wait_for("ready");
        running.signal(Signal::INT);
        running.wait_for("asked");
        running.signal(Signal::INT);
        running.end().expect(137);
    });
}

/// Plays the person: a terminal, the program on it, keys, a new size; says `as it was` when all came as expected.
const PERSON_AT_A_TERMINAL: &str = r#"
import fcntl, os, select, struct, sys, termios
def resize(lines, columns):
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
def until(word):
    global seen
    while word not in seen:
        if select.select([person], [], [], 0.5)[0]:
            seen += os.read(person, 65536)
        elif os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            sys.exit(f"it ended before it said {word}: {seen}")
    seen = seen.split(word, 1)[1]
person, slave = os.openpty()
seen = b""
resize(41, 123)
before = termios.tcgetattr(slave)
child = os.fork()
if child == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    [os.dup2(slave, fd) for fd in (0, 1, 2)]
    os.execv(sys.argv[1], sys.argv[1:])
until(b"by name")
until(b"41 123 True ready")
os.write(person, b"\x03")
until(b"interrupted")
resize(41, 99)
until(b"resized 99")
os.write(person, b"hello\r")
until(b"typed HELLO")
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(code, "as it was" if termios.tcgetattr(slave) == before else "changed")
"#;

/// Runs inside: says whether its terminal is its own and what came by it.
const AT_ITS_TERMINAL: &str = r#"
import os, signal, sys
def say(*words):
    print(*words, flush=True)
size = os.get_terminal_size(0)
leads = os.getsid(0) == os.getpid() and os.tcgetpgrp(0) == os.getpgrp()
signal.signal(signal.SIGINT, lambda *_: say("interrupted"))
signal.signal(signal.SIGWINCH, lambda *_: say("resized", os.get_terminal_size(0).columns))
with open("/dev/tty", "w") as terminal:
    terminal.write("by name\n")
say(size.lines, size.columns, leads, "ready")
say("typed", sys.stdin.readline().strip().upper())
sys.exit(6)
"#;

#[test]
fn a_person_at_a_terminal_has_one_inside_that_is_nobody_elses() {
    each(|person| {
        person.write("inside.py", AT_ITS_TERMINAL);
        let words = ["-c", PERSON_AT_A_TERMINAL, MUSTER, "sandbox", "run", "--", "python3", "inside.py"];
        let mut python = Command::new("/usr/bin/python3");
        python.args(words).current_dir(person.dir.path().join("work")).env_clear().env("PATH", "/usr/bin:/bin");
        if let Some(uid) = person.uid {
            python.uid(uid).gid(uid);
        }
        let output = python.stdin(Stdio::null()).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(out, "6 as it was\n", "{err}");
    });
}

/// Plays a person who pipes something in and types ahead meanwhile, for whatever runs next in that terminal.
const PERSON_WHO_PIPES: &str = r#"
import fcntl, os, select, sys, termios
person, slave = os.openpty()
before = termios.tcgetattr(slave)
os.write(person, b"typed ahead\r")
given, gives = os.pipe()
child = os.fork()
if child == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    [os.dup2(fd, to) for fd, to in ((given, 0), (slave, 1), (slave, 2))]
    os.close(gives)
    os.execv(sys.argv[1], sys.argv[1:])
os.close(given)
os.write(gives, b"piped in\n")
os.close(gives)
seen = b""
while b"the end" not in seen:
    if select.select([person], [], [], 0.5)[0]:
        seen += os.read(person, 65536)
    elif os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        sys.exit(f"it ended too early: {seen}")
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
left = os.read(slave, 100)
print(code, left, "as it was" if termios.tcgetattr(slave) == before else "changed")
print(seen.decode().split("begin ", 1)[1].split(" end", 1)[0])
"#;

/// Runs inside: tries to read what is typed, and to leave the terminal without an echo.
const AT_THE_SCREEN: &str = r#"
import os, select, sys, termios
got = sys.stdin.readline().strip()
settings = termios.tcgetattr(1)
settings[3] &= ~(termios.ECHO | termios.ICANON)
termios.tcsetattr(1, termios.TCSANOW, settings)
stolen = os.read(1, 99) if select.select([1], [], [], 0.5)[0] else b""
try:
    os.open("/dev/tty", os.O_RDWR)
    by_name = "opened"
except OSError:
    by_name = "none"
print("begin", got, os.isatty(0), os.isatty(1), stolen, by_name, "end", flush=True)
print("the end", flush=True)
"#;

#[test]
fn a_person_who_pipes_into_a_sandbox_keeps_the_terminal() {
    each(|person| {
        person.write("inside.py", AT_THE_SCREEN);
        let words = ["-c", PERSON_WHO_PIPES, MUSTER, "sandbox", "run", "--", "python3", "inside.py"];
        let mut python = Command::new("/usr/bin/python3");
        python.args(words).current_dir(person.dir.path().join("work")).env_clear().env("PATH", "/usr/bin:/bin");
        if let Some(uid) = person.uid {
            python.uid(uid).gid(uid);
        }
        let output = python.stdin(Stdio::null()).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(out, "0 b'typed ahead\\n' as it was\npiped in False True b'' none\n", "{err}");
    });
}

/// Whether a program leaves a core dump when it is told to, where the system lets it.
fn dumps(person: &Person, program: &[&str], ready: &str) -> (bool, String) {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "ulimit -c unlimited; exec \"$@\"", "sh"])
        .args(program)
        .env_clear()
        .env("PATH", "/usr/bin:/bin");
    command
        .current_dir(person.dir.path().join("work"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if let Some(uid) = person.uid {
        command.uid(uid).gid(uid);
    }
    let mut child = command.spawn().unwrap();
    let mut said = String::new();
    std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said.trim(), ready);
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::ABORT).unwrap();
    let status = child.wait().unwrap();
    let limit = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap().to_owned();
    (status.core_dumped(), limit)
}

#[test]
fn a_process_with_keys_leaves_no_core_dump() {
    each(|person| {
        let script = "echo ready; exec sleep 1000";
        let (_, limit) = dumps(person, &["/bin/sh", "-c", script], "ready");
        assert!(limit.contains("unlimited"), "nothing can be shown here: {limit}");
        let (dumped, limit) = dumps(person, &[MUSTER, "sandbox", "run", "--", "sh", "-c", script], "ready");
        assert!(!dumped);
        assert_eq!(limit.split_whitespace().collect::<Vec<_>>()[4..6], ["1", "1"], "{limit}");
    });
}

#[test]
fn a_policy_is_explained() {
    each(|person| {
        person.write(
            "policy.yaml",
            "preset: worker\npermissions: {git_operations: none, shell_commands: allowed}\nenv: {TOKEN: secret}\n",
        );
        let output = person.run(&["sandbox", "explain", "policy.yaml"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        for words in [
            "begins with the preset worker",
            "network, held by",
            "not among them",
            "left to the rules on permission",
            "TOKEN",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(!text.contains("secret"), "{text}");
        let json = person.run(&["sandbox", "explain", "check", "--json"]);
        let value: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
        assert_eq!((&value["preset"], &value["sections"][0]["name"]), (&"check".into(), &"files".into()));
        person.ends(
            &["sandbox", "explain", "policy.yaml", "--as", "seatbelt"],
            2,
            "",
            &["macOS cannot hold", "[seccomp]"],
        );
        person.write("policy.yaml", "allow_degraded: [seccomp, namespaces, cgroup]\n");
        let profile = person.run(&["sandbox", "explain", "policy.yaml", "--as", "seatbelt"]);
        assert!(String::from_utf8_lossy(&profile.stdout).starts_with("(version 1)\n(deny default)\n"), "{profile:?}");
    });
}

#[test]
fn a_policy_file_is_checked_and_its_schema_printed() {
    each(|person| {
        person.write("policy.yaml", "preset: check\nfiles: {read: [./a]}\n");
        person.write("a", "");
        person.write("bad.yaml", "preset: chek\n");
        let home = ["--home", "/nonexistent"];
        let check = |file| [&home[..], &["config", "check", file]].concat();
        person.ends(&check("policy.yaml"), 0, "policy.yaml: ok, a sandbox policy: preset check, 1 path\n", &[]);
        person.ends(&check("bad.yaml"), 2, "", &["bad.yaml:1:9:", "did you mean `check`?"]);
        let schema = person.run(&[&home[..], &["config", "schema", "policy"]].concat());
        let published = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema/policy.schema.json");
        assert_eq!(String::from_utf8(schema.stdout).unwrap(), fs::read_to_string(published).unwrap());
    });
}

/// git as the person uses it, outside of any sandbox.
fn git(person: &Person, dir: &Path, args: &[&str]) -> String {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=u", "-c", "user.email=u@u", "-c", "protocol.file.allow=always"]).args(args);
    git.current_dir(dir).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", person.dir.path().join("work"));
    if let Some(uid) = person.uid {
        git.uid(uid).gid(uid);
    }
    let output = git.stdin(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Leaves commands wherever the next git outside might run them.
const PLANTS: &str = r#"
cmd="touch $PWD/PWNED"
git config core.fsmonitor "$cmd"
mkdir -p .git/hooks .git/info
printf '#!/bin/sh\n%s\n' "$cmd" >.git/hooks/post-commit && chmod +x .git/hooks/post-commit
echo '* filter=x' >.git/info/attributes
evil() { mkdir -p "$1/objects" "$1/refs"; echo ref: refs/heads/main >"$1/HEAD"; printf '[core]\nfsmonitor = %s\n' "$cmd" >"$1/config"; }
evil elsewhere
echo ../elsewhere >.git/commondir
mv .git moved && evil .git
rm -rf .git && evil .git
for sub in sub empty; do
  evil $sub/.git
  mv $sub gone && mkdir $sub && evil $sub/.git
done
mkdir new && git init -q new
git update-index --add --cacheinfo 160000,1111111111111111111111111111111111111111,new && evil new/.git
echo done > result
"#;

#[test]
fn a_program_leaves_nothing_that_the_next_git_outside_runs() {
    each(|person| {
        let work = person.dir.path().join("work");
        let (repo, lib) = (work.join("repo"), work.join("lib"));
        for dir in [&repo, &lib] {
            git(person, &work, &["init", "-q", "-b", "main", dir.to_str().unwrap()]);
            git(person, dir, &["commit", "-q", "--allow-empty", "-m", "first"]);
        }
        for name in ["sub", "empty"] {
            git(person, &repo, &["submodule", "add", "-q", lib.to_str().unwrap(), name]);
        }
        git(person, &repo, &["commit", "-q", "-m", "with submodules"]);
        git(person, &repo, &["submodule", "deinit", "-q", "-f", "empty"]);
        let inner = repo.join("inner");
        let make = format!("mkdir {}", inner.display());
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &make]);
        if let Some(uid) = person.uid {
            shell.uid(uid).gid(uid);
        }
        assert!(shell.status().unwrap().success());
        let before = git(person, &repo, &["status", "--short"]);
        for (dir, plants) in [
            (&repo, PLANTS),
            (&inner, "git init -q .; evil() { :; }; mkdir -p .git && echo x >.git/config; echo done >result"),
        ] {
            let mut muster = person.command(&[&RUN[..], &["sh", "-c", plants]].concat());
            muster.current_dir(dir).stdin(Stdio::null()).output().unwrap();
            // What it is there for works.
            assert_eq!(fs::read_to_string(dir.join("result")).unwrap(), "done\n");
        }
        assert!(!inner.join(".git").exists());
        git(person, &repo, &["status", "--short"]);
        git(person, &inner, &["status", "--short"]);
        git(person, &repo, &["commit", "-q", "--allow-empty", "-m", "second"]);
        assert!(!repo.join("PWNED").exists() && !inner.join("PWNED").exists());
        assert_eq!(git(person, &repo, &["config", "core.fsmonitor"]), "");
        let after = git(person, &repo, &["status", "--short"]);
        assert!(after.lines().count() > before.lines().count(), "{before}\n{after}");
        // Who wants to commit inside says so.
        let script = "git -c user.name=u -c user.email=u@u commit -q --allow-empty -m inside";
        let mut muster = person.command(&["sandbox", "run", "--quiet", "--", "sh", "-c", script]);
        assert!(!muster.current_dir(&repo).stdin(Stdio::null()).output().unwrap().status.success());
        let mut muster = person.command(&["sandbox", "run", "--quiet", "--write", ".git", "--", "sh", "-c", script]);
        let output = muster.current_dir(&repo).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(git(person, &repo, &["log", "--format=%s"]).starts_with("inside\n"));
    });
}

#[test]
fn what_muster_keeps_is_shown_to_no_program() {
    each(|person| {
        for folder in ["state/home", ".config/muster"] {
            fs::create_dir_all(person.dir.path().join("work").join(folder)).unwrap();
            person.write(&format!("{folder}/secret"), "kept");
        }
        let work = person.dir.path().join("work");
        let run = |policy: &str, command: &str| {
            fs::create_dir_all(work.join("here")).unwrap();
            fs::write(work.join("here/policy.yaml"), policy).unwrap();
            let mut muster =
                person.command(&["sandbox", "run", "--quiet", "--policy", "policy.yaml", "--", "sh", "-c", command]);
            muster.env("MUSTER_HOME", work.join("state/home")).env("HOME", &work).current_dir(work.join("here"));
            let output = muster.stdin(Stdio::null()).output().unwrap();
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
        };
        for folder in ["state/home", ".config/muster"] {
            let text = run(&format!("files: {{read: [~/{folder}]}}\n"), "echo ran");
            assert!(text.contains("belongs to what muster keeps") && !text.contains("ran\n"), "{text}");
        }
        let text =
            run("files: {read: ['~/']}\n", "cd ~; ls state/home .config/muster; cat state/home/secret; echo ran");
        assert!(!text.contains("secret\n") && !text.contains("kept") && text.contains("ran\n"), "{text}");
        let text = run(
            "files: {write: ['~/state', '~/.config']}\n",
            "cat ~/state/home/secret; mv ~/state/home ~/state/x; echo ran",
        );
        assert!(!text.contains("kept\n") && text.contains("ran\n"), "{text}");
        let text = run("files: {write: ['~/']}\n", "echo ran");
        assert!(text.contains("write around it") && !text.contains("ran\n"), "{text}");
    });
}

#[test]
fn a_link_that_was_left_behind_is_not_followed() {
    each(|person| {
        let secret = person.dir.path().join("secret");
        fs::write(&secret, "not for programs").unwrap();
        let script = format!("ln -s {} planted; ln -s {} folder", secret.display(), person.dir.path().display());
        person.ends(&[&RUN[..], &["sh", "-c", &script]].concat(), 0, "", &[]);
        for (policy, command) in [
            ("files: {read: [{host: ./planted, inside: /shown}]}\n", "cat /shown"),
            ("files: {read: [./folder/secret]}\n", "cat folder/secret"),
            ("work: write\nfiles: {execute: [./folder]}\n", "cat folder/secret"),
        ] {
            person.write("policy.yaml", policy);
            let args = ["sandbox", "run", "--policy", "policy.yaml", "--", "sh", "-c", command];
            person.ends(&args, 125, "", &["by the link", "it may be theirs"]);
        }
    });
}
