//! `processes: none` and `processes: exec`: no child, no second program, and threads all the same.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use sandbox::{Exit, Layer, Policy, Processes, presets};

use crate::{Host, each};

const PYTHON: &str = r"
import os, subprocess, sys, threading, multiprocessing, asyncio
def tried(name, start):
    try:
        start()
        print(name, 'STARTED')
    except OSError as error:
        print(name, error.errno)
tried('subprocess', lambda: subprocess.run(['/bin/true']))
tried('shell', lambda: subprocess.run('true', shell=True))
tried('fork', os.fork)
tried('system', lambda: (_ for _ in ()).throw(OSError(1, '')) if os.system('true') != 0 else None)
tried('posix_spawn', lambda: os.posix_spawn('/bin/true', ['true'], {}))
tried('exec', lambda: os.execv('/bin/true', ['true']))
tried('multiprocessing', lambda: multiprocessing.get_context('fork').Process(target=print).start())
done = []
thread = threading.Thread(target=lambda: done.append(1))
thread.start(); thread.join()
async def nap(): await asyncio.to_thread(done.append, 2)
asyncio.run(nap())
print('threads', done)
";

const NODE: &str = r"
const { spawn, spawnSync, execSync } = require('child_process');
const { Worker } = require('worker_threads');
console.log('spawnSync', spawnSync('/bin/true').error?.code);
try { execSync('true'); console.log('execSync STARTED'); } catch (error) { console.log('execSync', error.code); }
try { spawn('/bin/true'); console.log('spawn STARTED'); } catch (error) { console.log('spawn', error.code); }
new Worker('require(`worker_threads`).parentPort.postMessage(7)', { eval: true }).on('message', it => console.log('thread', it));
";

fn worker(host: &Host) -> Policy {
    host.with_work(presets::worker())
}

#[test]
fn a_worker_in_rust_has_no_children() {
    each(|host| {
        let output = host.run(worker(host), &["/opt/kit", "try-children"]);
        let expected = "command 1\nfork 1\nprocess clone 1\nclone3 38\nposix_spawn 1\nexecve 1\nexecveat 1\nthread 7\n";
        assert_eq!((output.exit, output.out.as_str()), (Exit::Code(0), expected), "{}", output.err);
    });
}

#[test]
fn a_worker_in_python_has_no_children() {
    each(|host| {
        let output = host.run(worker(host), &["python3", "-c", PYTHON]);
        let expected =
            "subprocess 1\nshell 1\nfork 1\nsystem 1\nposix_spawn 1\nexec 1\nmultiprocessing 1\nthreads [1, 2]\n";
        assert_eq!((output.exit, output.out.as_str()), (Exit::Code(0), expected), "{}", output.err);
    });
}

#[test]
fn a_worker_in_node_has_no_children() {
    each(|host| {
        let output = host.run(worker(host), &["node", "-e", NODE]);
        let expected = "spawnSync EPERM\nexecSync EPERM\nspawn EPERM\nthread 7\n";
        assert_eq!((output.exit, output.out.as_str()), (Exit::Code(0), expected), "{}", output.err);
    });
}

#[test]
fn a_worker_has_no_children_without_landlock_either() {
    let ordinary = crate::ORDINARY.to_string();
    let prelude: &[&str] = if crate::is_root() { &["as", &ordinary] } else { &[] };
    let uid = if crate::is_root() { crate::ORDINARY } else { unsafe { libc::geteuid() } };
    let host = Host::with_words(prelude, &["--without", "landlock"], uid);
    let policy = Policy { allow_degraded: vec![Layer::Landlock], ..worker(&host) };
    let output = host.run(policy, &["/opt/kit", "try-children"]);
    assert!(output.out.contains("execve 1\nexecveat 1\nthread 7"), "{output:?}");
}

#[test]
fn a_worker_reaches_the_gateway_and_no_other_kind_of_socket() {
    each(|host| {
        let script = "
import socket
for family in (socket.AF_UNIX, socket.AF_NETLINK, socket.AF_PACKET):
    try: socket.socket(family, socket.SOCK_DGRAM); print('made')
    except OSError as error: print(error.errno)
print(socket.create_connection(('localhost', 3128), timeout=20).makefile().read(), end='')";
        let mut sandboxed = host.launch(worker(host), &["python3", "-c", script]).unwrap();
        let listener = sandboxed.listener.take().unwrap();
        listener.accept().unwrap().0.write_all(b"hello\n").unwrap();
        let output = crate::output(sandboxed);
        assert_eq!(output.out, format!("{0}\n{0}\n{0}\nhello\n", libc::EAFNOSUPPORT), "{output:?}");
    });
}

#[test]
fn a_worker_has_no_memory_that_nobody_counts() {
    each(|host| {
        let try_it = "import mmap\nmmap.mmap(-1, 1 << 20)";
        let output = host.run(worker(host), &["python3", "-c", try_it]);
        assert!(output.err.contains("PermissionError"), "{output:?}");
        assert_eq!(host.run(host.policy(), &["python3", "-c", try_it]).exit, Exit::Code(0));
        let open = "open('/dev/zero')";
        assert!(host.run(worker(host), &["python3", "-c", open]).err.contains("No such file"));
        assert_eq!(host.run(host.policy(), &["python3", "-c", open]).exit, Exit::Code(0));
    });
}

#[test]
fn a_worker_may_be_a_script() {
    each(|host| {
        for (name, line) in [
            ("plain", "#!/usr/bin/python3 -u"),
            ("env", "#!/usr/bin/env python3"),
            ("split", "#!/usr/bin/env -S python3 -u"),
        ] {
            let script = host.path("work").join(name);
            fs::write(&script, format!("{line}\nimport sys; print(sys.argv)\n")).unwrap();
            fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
            let output = host.run(worker(host), &[&format!("/work/{name}"), "a"]);
            assert_eq!(output.out, format!("['/work/{name}', 'a']\n"), "{output:?}");
        }
    });
}

#[test]
fn a_worker_that_is_not_there_is_refused() {
    each(|host| {
        for name in ["/work/missing", "no-such-program", "/usr/bin"] {
            let refusal = host.refusal(worker(host), &[name]);
            assert!(
                refusal.starts_with(&format!("{name} cannot be started in the sandbox: No such file")),
                "{refusal}"
            );
        }
    });
}

#[test]
fn only_listed_programs_are_executed() {
    each(|host| {
        let listed = |programs: &[&str]| {
            let programs = programs.iter().map(Into::into).collect();
            Policy { processes: Processes::Exec(programs), ..host.policy() }
        };
        let report = sandbox::host_report(&host.launcher);
        let script = "cat /etc/hostname 2>/dev/null; ls /work; cp /bin/ls /work/cat; /work/cat; cp /bin/ls /tmp/cat; /tmp/cat; echo end";
        let output = host.run(listed(&["/bin/sh", "/usr/bin/cp"]), &["sh", "-c", script]);
        assert!(report.landlock_abi.is_some(), "this host cannot show it");
        assert_eq!(output.out, "end\n", "{output:?}");
        assert_eq!(output.err.matches("Permission denied").count(), 3, "{output:?}");
        let loader =
            "for l in /lib64/ld-linux-x86-64.so.2 /lib/ld-linux-aarch64.so.1; do [ ! -e $l ] || $l /tmp/cat /; done";
        let script = format!("cp /bin/ls /tmp/cat; {loader}");
        let output = host.run(listed(&["/bin/sh", "/usr/bin/cp"]), &["sh", "-c", &script]);
        assert!(output.out.is_empty() && output.err.contains("failed to map segment"), "{output:?}");
        let output = host.run(listed(&["/bin/sh", "/bin/ls"]), &["sh", "-c", "ls -d /work"]);
        assert_eq!((output.exit, output.out.as_str()), (Exit::Code(0), "/work\n"));
        let refusal = host.refusal(listed(&["/bin/sh", "/usr/bin/no-such"]), &["sh"]);
        assert!(refusal.contains("/usr/bin/no-such cannot be started in the sandbox: No such file"), "{refusal}");
        assert!(host.refusal(listed(&["/bin/ls"]), &["sh"]).contains("does not list sh"));
    });
}
