//! What holds in a container, whatever the engine.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;

use sandbox::{Bind, Exit, Limit, Network, Processes, SandboxError, Sandboxed};

use super::Fixture;
use crate::{Output, output};

/// Leaves the session, ignores polite signals, and says so; the program itself goes on.
const HIDE: &str = "(setsid sh -c 'trap \"\" TERM HUP INT; echo ready; while :; do sleep 1000; done' &) ; sleep 1000";

pub fn streams_are_carried_both_ways(fixture: &Fixture) {
    let bytes: Vec<u8> = (0..4_000_003_u32).map(|number| number.to_le_bytes()[0]).collect();
    let Sandboxed { stdin, stdout, stderr, mut tree, .. } =
        fixture.host.launch(fixture.policy(), &["sh", "-c", "echo to-err >&2; cat"]).unwrap();
    let fed = bytes.clone();
    let feeder = std::thread::spawn(move || File::from(stdin).write_all(&fed).unwrap());
    let mut read = Vec::new();
    File::from(stdout).read_to_end(&mut read).unwrap();
    feeder.join().unwrap();
    assert!(read == bytes, "{} of {} bytes", read.len(), bytes.len());
    assert_eq!(crate::read(File::from(stderr)), "to-err\n");
    assert_eq!(tree.wait(), Exit::Code(0));
}

pub fn codes_and_signals_are_told_apart(fixture: &Fixture) {
    let exit = |script: &str| fixture.host.run(fixture.policy(), &["sh", "-c", script]).exit;
    assert_eq!(exit("exit 7"), Exit::Code(7));
    assert_eq!(exit("kill -TERM $$"), Exit::Signal(libc::SIGTERM));
}

pub fn kill_reaches_everything(fixture: &Fixture) {
    let Sandboxed { stdout, mut tree, .. } = fixture.host.launch(fixture.policy(), &["sh", "-c", HIDE]).unwrap();
    read_ready(&stdout);
    assert_eq!(tree.try_wait(), None);
    tree.kill();
    read_to_end(stdout);
    assert_eq!(tree.wait(), Exit::Killed);
}

pub fn dropping_the_tree_kills_it(fixture: &Fixture) {
    let Sandboxed { stdout, tree, .. } = fixture.host.launch(fixture.policy(), &["sh", "-c", HIDE]).unwrap();
    read_ready(&stdout);
    drop(tree);
    read_to_end(stdout);
}

pub fn what_the_program_leaves_behind_dies_with_it(fixture: &Fixture) {
    let script = "(setsid sh -c 'trap \"\" TERM HUP; echo ready; sleep 1000' &); read line; exit 7";
    let Sandboxed { stdin, stdout, mut tree, .. } =
        fixture.host.launch(fixture.policy(), &["sh", "-c", script]).unwrap();
    read_ready(&stdout);
    drop(stdin);
    read_to_end(stdout);
    assert_eq!(tree.wait(), Exit::Code(7));
}

pub fn the_walls_stand(fixture: &Fixture) {
    let status = sh(fixture, "cat /proc/self/status");
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t")).unwrap();
    assert_eq!((field("NoNewPrivs"), field("Seccomp")), ("1", "2"));
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert_ne!(field("Uid").split('\t').next(), Some("0"));
    assert_eq!(sh(fixture, "for i in /proc/[0-9]*; do cat $i/comm; done").lines().next(), Some("muster-init"));
    assert_eq!(sh(fixture, "tail -n +3 /proc/net/dev | grep -vc lo: || :"), "0\n");
    assert_eq!(sh(fixture, "cat /proc/sys/kernel/hostname"), "sandbox\n");
}

pub fn files_are_what_the_policy_says(fixture: &Fixture) {
    let host = &fixture.host;
    for folder in ["given", "programs"] {
        fs::create_dir(host.path(folder)).unwrap();
        fs::write(host.path(folder).join("file"), "given").unwrap();
        fs::copy("/bin/true", host.path(folder).join("true")).unwrap();
    }
    let mut policy = fixture.policy();
    policy.filesystem.binds.push(Bind::read(host.path("given"), "/given"));
    policy.filesystem.binds.push(Bind::read_execute(host.path("programs"), "/programs"));
    policy.filesystem.files.insert("/etc/made/up".into(), "made up\n".into());
    let script = "
        cat /given/file /etc/made/up
        cp /given/true /work/true && /work/true && echo work-runs
        cp /given/true /tmp/true && /tmp/true && echo tmp-runs
        /programs/true && echo programs-run
        /given/true 2>/dev/null || echo given-does-not-run
        for place in /given /programs /usr /etc /.muster /.muster/socket; do
            (echo > $place/new) 2>/dev/null && echo $place was written
        done
        echo > /work/made";
    let output = host.run(policy, &["sh", "-c", script]);
    let expected = "givenmade up\nwork-runs\ntmp-runs\nprograms-run\ngiven-does-not-run\n";
    assert_eq!((output.exit, output.out.as_str()), (Exit::Code(0), expected), "{}", output.err);
    assert_eq!(fs::read_to_string(host.path("work/made")).unwrap(), "\n");
}

pub fn nothing_of_the_image_or_the_caller_reaches_the_program(fixture: &Fixture) {
    let mut policy = fixture.policy();
    policy.env = [("ONE", "a b"), ("PATH", "/usr/bin:/bin")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let output = fixture.host.run(policy, &["env"]);
    assert_eq!(output.out, "ONE=a b\nPATH=/usr/bin:/bin\n");
    // The fourth is the list itself, being read.
    assert_eq!(sh(fixture, "ls /proc/self/fd"), "0\n1\n2\n3\n");
    assert_eq!(sh(fixture, "echo $0 $#; pwd"), "sh 0\n/\n");
}

pub fn the_donated_listener_is_the_callers(fixture: &Fixture) {
    let mut policy = fixture.policy();
    policy.network = Network::Gateway;
    let mut sandboxed = fixture.host.launch(policy, &["/opt/kit", "ask", "127.0.0.1:3128", "hello"]).unwrap();
    let (mut stream, _) = sandboxed.listener.take().unwrap().accept().unwrap();
    let mut line = String::new();
    BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "hello\n");
    stream.write_all(b"answer").unwrap();
    drop(stream);
    let Output { exit, out, err } = output(sandboxed);
    assert_eq!((exit, out.as_str(), err.as_str()), (Exit::Code(0), "answer\n", ""));
}

pub fn without_the_gateway_nobody_listens(fixture: &Fixture) {
    let sandboxed = fixture.host.launch(fixture.policy(), &["/opt/kit", "ask", "127.0.0.1:3128", "x"]).unwrap();
    assert!(sandboxed.listener.is_none());
    assert!(output(sandboxed).err.contains("ConnectionRefused"));
}

pub fn limits_hold(fixture: &Fixture) {
    let run = |change: &dyn Fn(&mut sandbox::Limits), script: &str| {
        let mut policy = fixture.policy();
        change(&mut policy.limits);
        fixture.host.run(policy, &["sh", "-c", script])
    };
    assert_eq!(run(&|limits| limits.wall_ms = Some(300), "sleep 1000").exit, Exit::Limit(Limit::Wall));
    assert_eq!(run(&|limits| limits.cpu_s = Some(1), "while :; do :; done").exit, Exit::Limit(Limit::Cpu));
    let fill = "exec dd if=/dev/zero of=/work/big bs=1k count=100";
    assert_eq!(run(&|limits| limits.file_bytes = 10_000, fill).exit, Exit::Limit(Limit::FileSize));
    assert_eq!(run(&|limits| limits.open_files = 77, "ulimit -n; ulimit -c").out, "77\n0\n");
}

pub fn disks_are_watched(fixture: &Fixture) {
    let mut policy = fixture.policy();
    policy.limits.disk_bytes = Some(1 << 20);
    let fill = "while :; do echo; done > /work/fill";
    assert_eq!(fixture.host.run(policy, &["sh", "-c", fill]).exit, Exit::Limit(Limit::Disk));
}

pub fn who_may_start_nothing_starts_nothing(fixture: &Fixture) {
    let mut policy = fixture.policy();
    policy.processes = Processes::None;
    let output = fixture.host.run(policy.clone(), &["sh", "-c", "echo here; /bin/true; echo not here"]);
    assert!(output.out == "here\n" && output.exit != Exit::Code(0), "{output:?}");
    // Not even in its own place.
    let output = fixture.host.run(policy, &["sh", "-c", "exec /bin/true"]);
    assert_eq!(output.exit, Exit::Code(126), "{output:?}");
}

pub fn only_the_listed_programs_run(fixture: &Fixture) {
    let mut policy = fixture.policy();
    policy.processes = Processes::Exec(vec!["/bin/sh".into(), "/bin/cat".into()]);
    let refusal = fixture.host.refusal(policy.clone(), &["/bin/sh", "-c", "true"]);
    assert!(refusal.contains("processes: exec with /work to write in"), "{refusal}");
    policy.filesystem.binds.retain(|bind| !bind.access.writes());
    let script = "cat /etc/group >/dev/null && echo cat; /bin/ls / 2>/dev/null || echo no ls";
    assert_eq!(fixture.host.run(policy, &["/bin/sh", "-c", script]).out, "cat\nno ls\n");
}

pub fn what_is_not_allowed_is_refused(fixture: &Fixture) {
    for call in [libc::SYS_unshare, libc::SYS_ptrace, libc::SYS_io_uring_setup, libc::SYS_bpf, libc::SYS_keyctl] {
        let output = fixture.host.run(fixture.policy(), &["/opt/kit", "try-call", &call.to_string()]);
        // EPERM, or ENOSYS for what programs know to do without.
        assert!(output.exit == Exit::Code(0) && ["1\n", "38\n"].contains(&output.out.as_str()), "{call} {output:?}");
    }
}

pub fn what_cannot_be_started_is_told(fixture: &Fixture) {
    let error = fixture.host.launch(fixture.policy(), &["no-such-program"]).unwrap_err();
    assert!(matches!(error, SandboxError::Exec { .. }), "{error}");
    let mut policy = fixture.policy();
    policy.filesystem.binds.push(Bind::read("/no/such/folder", "/there"));
    let error = fixture.host.launch(policy, &["true"]).unwrap_err();
    assert!(matches!(error, SandboxError::Bind { .. }), "{error}");
}

/// What a shell script says that must succeed.
fn sh(fixture: &Fixture, script: &str) -> String {
    fixture.host.sh(fixture.policy(), script)
}

pub fn read_ready(stdout: &OwnedFd) {
    let mut line = String::new();
    BufReader::new(File::from(stdout.try_clone().unwrap())).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
}

/// Reads to the end, which comes only when no process inside holds the pipe any more.
pub fn read_to_end(stdout: OwnedFd) {
    File::from(stdout).read_to_end(&mut Vec::new()).unwrap();
}
