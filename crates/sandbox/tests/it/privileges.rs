//! A process inside has no rights, inherits nothing and sees nobody.

use std::io::Write;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use sandbox::{Exit, Layer, Network, presets};

use crate::each;

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .unwrap_or_else(|| panic!("{name}"))
        .trim()
}

#[test]
fn no_capabilities_no_new_privileges_no_root() {
    each(|host| {
        let status = host.sh(host.policy(), "cat /proc/self/status");
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(field(&status, set), "0000000000000000", "{set}");
        }
        assert_eq!(field(&status, "NoNewPrivs"), "1");
        assert_eq!(field(&status, "Uid"), "1000\t1000\t1000\t1000");
        assert_eq!(field(&status, "Gid"), "1000\t1000\t1000\t1000");
        assert_eq!(field(&status, "SigIgn"), "0000000000000000");
        assert_eq!(field(&status, "SigBlk"), "0000000000000000");
    });
}

#[test]
fn mounting_and_privileged_programs_fail() {
    each(|host| {
        for script in
            ["mount -t tmpfs x /work", "umount /work", "chroot /work true", "hostname other", "mknod /work/d b 8 0"]
        {
            let output = host.run(host.policy(), &["sh", "-c", script]);
            assert_ne!(output.exit, Exit::Code(0), "{script}: {output:?}");
            assert!(!output.err.contains("not found"), "{script} proves nothing: {}", output.err);
        }
    });
}

#[test]
fn only_its_own_processes_are_visible() {
    each(|host| {
        let pids = host.sh(host.policy(), "echo /proc/[0-9]*");
        assert_eq!(pids, "/proc/1 /proc/2\n");
        let stranger = std::process::id();
        assert_ne!(host.run(host.policy(), &["kill", "-0", &stranger.to_string()]).exit, Exit::Code(0));
    });
}

#[test]
fn init_is_closed_to_the_program() {
    each(|host| {
        for file in ["environ", "mem", "maps", "fd", "root", "cwd"] {
            let output = host.run(host.policy(), &["sh", "-c", &format!("cat /proc/1/{file} || ls /proc/1/{file}/")]);
            assert_ne!(output.exit, Exit::Code(0), "{file}: {output:?}");
        }
        assert_eq!(host.sh(host.policy(), "kill -9 1; kill -TERM 1; echo alive"), "alive\n");
    });
}

#[test]
fn the_environment_is_exactly_the_policys() {
    each(|host| {
        let mut policy = host.policy();
        policy.env = [("A".to_owned(), "1".to_owned()), ("PATH".to_owned(), "/usr/bin".to_owned())].into();
        assert_eq!(host.sh(policy, "exec env").replace("PWD=/\n", ""), "A=1\nPATH=/usr/bin\n");
        let names = host.run(presets::tool(), &["env"]).out;
        let names: Vec<&str> = names.lines().filter_map(|line| line.split('=').next()).collect();
        assert_eq!(names, ["HOME", "LANG", "PATH", "SHELL", "USER"]);
    });
}

#[test]
fn no_file_but_the_three_pipes_is_open() {
    each(|host| {
        assert_eq!(host.run(host.policy(), &["ls", "/proc/self/fd"]).out, "0\n1\n2\n3\n", "the fourth is ls's own");
        let links =
            host.sh(host.policy(), "readlink /proc/self/fd/0; readlink /proc/$$/fd/1; readlink /proc/self/fd/2");
        assert!(links.lines().all(|link| link.starts_with("pipe:")), "{links}");
    });
}

#[test]
fn the_program_reads_what_it_is_given() {
    each(|host| {
        let sandboxed = host.launch(host.policy(), &["cat"]).unwrap();
        let mut stdin = std::fs::File::from(sandboxed.stdin.try_clone().unwrap());
        stdin.write_all(b"hello").unwrap();
        drop(stdin);
        let output = crate::output(sandboxed);
        assert_eq!((output.exit, output.out.as_str()), (Exit::Code(0), "hello"));
    });
}

#[test]
fn it_stands_back_behind_the_caller() {
    each(|host| {
        let stat = host.sh(host.policy(), "cat /proc/$$/stat");
        let ours = std::fs::read_to_string("/proc/self/stat").unwrap();
        let nice = |stat: &str| {
            stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(16).unwrap().parse::<i32>().unwrap()
        };
        assert_eq!(nice(&stat), (nice(&ours) + 10).min(19));
    });
}

#[test]
fn it_has_a_process_group_of_its_own_and_no_terminal() {
    each(|host| {
        let stat = host.sh(host.policy(), "cat /proc/$$/stat");
        let fields: Vec<&str> = stat.split_ascii_whitespace().collect();
        // The session is the launcher's, which is not seen from in here.
        assert_eq!((fields[0], fields[4], fields[5], fields[6]), ("2", "2", "0", "0"), "pid, group, session, terminal");
    });
}

#[test]
fn it_has_its_own_host_name_and_keyring() {
    each(|host| {
        assert_eq!(host.sh(host.policy(), "uname -n"), "sandbox\n");
        let rings: Vec<String> = (0..2).map(|_| host.run(host.policy(), &["/opt/kit", "try-keyring"]).out).collect();
        assert!(rings[0] != rings[1] || rings[0] == "-1\n", "{rings:?}");
    });
}

#[test]
fn landlock_is_active() {
    each(|host| {
        // The socket has no file and the network is the host's: only Landlock (from version 6 on) keeps the program off it.
        let name = format!("muster-{}", host.token);
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let _listener = UnixListener::bind_addr(&address).unwrap();
        UnixStream::connect_addr(&address).unwrap();
        let report = sandbox::host_report(&host.launcher);
        assert!(report.can_launch(), "{report:?}");
        if report.landlock_abi < Some(6) {
            return;
        }
        let mut policy = host.policy();
        policy.network = Network::Open;
        let script = format!("import socket; socket.socket(socket.AF_UNIX).connect('\\0{name}')");
        let output = host.run(policy.clone(), &["python3", "-c", &script]);
        assert!(output.err.contains("Address family not supported"), "{output:?}");
        // Where no filter keeps it from making the socket, Landlock keeps it from connecting.
        let unfiltered = host.without("seccomp");
        policy.allow_degraded = vec![Layer::Seccomp];
        let output = unfiltered.run(policy, &["python3", "-c", &script]);
        assert!(output.err.contains("Operation not permitted"), "{output:?}");
    });
}

#[test]
fn what_programs_write_in_dev_can_be_written() {
    each(|host| {
        let script = "cp /bin/true /dev/shm/t && /dev/shm/t; echo x > /dev/null; echo x > /dev/shm/f; exec 3>>/dev/shm/f; echo y >> /proc/self/fd/3; grep -c . /dev/shm/f";
        assert_eq!(host.sh(host.policy(), script), "2\n");
        // The pipes are the caller's, and an ordinary launcher cannot pass them on from a caller who is root.
        if host.is_root == crate::is_root() {
            assert_eq!(host.sh(host.policy(), "echo x > /dev/stdout"), "x\n");
        }
    });
}

#[test]
fn nothing_is_written_in_proc() {
    each(|host| {
        for (file, text) in [("autogroup", "15"), ("oom_score_adj", "900"), ("comm", "x"), ("coredump_filter", "1")] {
            let script = format!("echo {text} > /proc/self/{file}");
            let output = host.run(host.policy(), &["sh", "-c", &script]);
            assert!(output.exit != Exit::Code(0) && output.err.contains("annot create"), "{output:?}");
        }
    });
}
