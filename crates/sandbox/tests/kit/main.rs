//! What the tests run: the launcher (also under conditions that make it fail), an engine to kill, and programs that try
//! things inside a sandbox.
#![allow(unsafe_code, clippy::unwrap_used, clippy::panic)]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::ExitCode;

use sandbox::{Launch, Launcher, presets};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    run(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

fn run(args: &[&str]) -> ExitCode {
    match args {
        ["__sandbox", ..] => return sandbox::launcher_main(),
        ["as", uid, rest @ ..] => return become_user(uid.parse().unwrap(), rest),
        ["without-namespaces", rest @ ..] => return without_namespaces(rest),
        ["deny", call, errno, rest @ ..] => return deny(call.parse().unwrap(), errno.parse().unwrap(), rest),
        ["engine", token] => engine(token),
        ["try-memory", bytes] => println!("{}", memory(bytes.parse().unwrap())),
        ["try-files"] => println!("{}", files()),
        ["try-processes"] => println!("{}", processes()),
        ["try-keyring"] => println!("{}", keyring()),
        ["stay"] => stay(),
        ["usage"] => println!("{}", usage()),
        _ => panic!("unknown: {args:?}"),
    }
    ExitCode::SUCCESS
}

/// Goes on as an ordinary user.
fn become_user(uid: u32, rest: &[&str]) -> ExitCode {
    unsafe {
        assert_eq!(libc::setgroups(0, std::ptr::null()), 0);
        assert_eq!(libc::setresgid(uid, uid, uid), 0);
        assert_eq!(libc::setresuid(uid, uid, uid), 0);
        assert_eq!(libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0), 0);
    }
    run(rest)
}

/// Goes on where no further user namespace may be made.
fn without_namespaces(rest: &[&str]) -> ExitCode {
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWUSER) }, 0);
    fs::write("/proc/self/setgroups", "deny").unwrap();
    fs::write("/proc/self/gid_map", format!("0 {gid} 1")).unwrap();
    fs::write("/proc/self/uid_map", format!("0 {uid} 1")).unwrap();
    fs::write("/proc/sys/user/max_user_namespaces", "0").unwrap();
    run(rest)
}

/// Goes on where a system call fails, as on a kernel that lacks it.
fn deny(call: u32, errno: u32, rest: &[&str]) -> ExitCode {
    let instruction = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut filter = [
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, call),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | errno),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program), 0);
    }
    run(rest)
}

/// An engine with one sandbox in which processes hide; says "ready" and waits to be killed.
fn engine(token: &str) {
    let exe = std::env::current_exe().unwrap();
    let launcher = Launcher::new(vec![exe.into(), "__sandbox".into(), token.into()]).unwrap();
    let script = format!("setsid sh -c 'trap \"\" TERM HUP; sleep 1000; : {token}' & sleep 1000; : {token}");
    let launch = Launch {
        policy: presets::agent_cli(),
        program: "sh".into(),
        args: vec!["-c".into(), format!("(echo ready; {script}) & wait").into()],
        cwd: "/".into(),
    };
    let sandboxed = launcher.launch(&launch).unwrap();
    let mut line = String::new();
    BufReader::new(File::from(sandboxed.stdout)).read_line(&mut line).unwrap();
    print!("{line}");
    std::io::stdout().flush().unwrap();
    stay();
}

/// Runs a sandbox until it has used up a second, and tells how much processor time this process's own children have used
/// then, in milliseconds.
fn usage() -> i64 {
    let exe = std::env::current_exe().unwrap();
    let launcher = Launcher::new(vec![exe.into(), "__sandbox".into()]).unwrap();
    let mut policy = presets::tool();
    policy.limits.cpu_s = Some(1);
    let args = vec!["-c".into(), "while :; do :; done".into()];
    let mut sandboxed = launcher.launch(&Launch { policy, program: "sh".into(), args, cwd: "/".into() }).unwrap();
    assert_eq!(sandboxed.tree.wait(), sandbox::Exit::Limit(sandbox::Limit::Cpu));
    drop((sandboxed, launcher));
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    let usage = unsafe {
        assert_eq!(libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()), 0);
        usage.assume_init()
    };
    (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000
}

/// Ends when standard input does.
fn stay() {
    let _ = std::io::stdin().read(&mut [0]);
}

fn memory(bytes: usize) -> &'static str {
    let mut block: Vec<u8> = Vec::new();
    if block.try_reserve_exact(bytes).is_err() {
        return "refused";
    }
    block.resize(bytes, 1);
    if block.iter().all(|byte| *byte == 1) { "given" } else { "broken" }
}

fn files() -> usize {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect::<Vec<_>>().len() + 3
}

/// How many children can be had at once.
fn processes() -> usize {
    let fork = || match unsafe { libc::fork() } {
        0 => loop {
            unsafe { libc::pause() };
        },
        pid => (pid > 0).then_some(pid),
    };
    let children: Vec<_> = std::iter::from_fn(fork).take(2000).collect();
    children.iter().for_each(|pid| assert_eq!(unsafe { libc::kill(*pid, libc::SIGKILL) }, 0));
    children.len()
}

/// The serial number of the session keyring.
fn keyring() -> i64 {
    unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_GET_KEYRING_ID, -3, 1) }
}
