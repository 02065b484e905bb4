//! `muster sandbox`: programs under a policy as a person runs them, as root and as an ordinary user.

use crate::support::{bench::MUSTER, child::Running};
use rustix::process::Signal;
use std::{
    fs,
    io::Write,
    os::unix::fs::{PermissionsExt, chown},
    os::unix::process::CommandExt,
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
        person.ends(&args, 125, "", &["the program no-such-program is not found"]);
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
fn what_was_denied_comes_with_the_line_that_allows_it() {
    each(|person| {
        fs::write(person.dir.path().join("outside.txt"), "seen\n").unwrap();
        let outside = person.dir.path().join("outside.txt").display().to_string();
        let line = format!("files: {{read: [{outside}]}}");
        let place = format!("{{read: [{{host: {outside}, inside: /data/outside.txt}}]}}");
        let told = if outside.starts_with("/tmp") { place } else { line };
        person.ends(&[&RUN[..], &["cat", &outside]].concat(), 1, "", &["No such file", &told]);
        let shadow = [&RUN[..], &["sh", "-c", "touch /usr/made || exit 3"]].concat();
        person.ends(&shadow, 3, "", &["/usr is shown to read and execute only", "files: {write: [/usr]}"]);
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
