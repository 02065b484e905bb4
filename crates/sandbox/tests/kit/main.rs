//! What the tests run: the launcher (also under conditions that make it fail), an engine to kill, and programs that try
//! things inside a sandbox.
#![allow(unsafe_code, clippy::unwrap_used, clippy::panic)]

mod container;
mod launches;
mod trees;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::ExitCode;

use sandbox::{Backend, Launch, Launcher, Policy, presets};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    run(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

fn run(args: &[&str]) -> ExitCode {
    match args {
        ["__sandbox", words @ ..] => return sandbox::launcher_main_with(words.iter().map(Into::into)),
        ["__sandbox-guest", words @ ..] => return sandbox::guest_main(words.iter().map(Into::into)),
        ["as", uid, rest @ ..] => return become_user(uid.parse().unwrap(), rest),
        ["without-namespaces", rest @ ..] => return without_namespaces(rest),
        ["deny", call, errno, rest @ ..] => return deny(call.parse().unwrap(), errno.parse().unwrap(), rest),
        ["engine", token] => engine(token),
        ["docker-engine", socket, image] => docker_engine(socket, image),
        ["ask", address, line] => println!("{}", ask(address, line)),
        ["container", description, root] => return container::run(description, root),
        ["try-memory", bytes] => println!("{}", memory(bytes.parse().unwrap())),
        ["try-files"] => println!("{}", files()),
        ["try-processes"] => println!("{}", processes()),
        ["try-keyring"] => println!("{}", keyring()),
        ["try-call", number, args @ ..] => println!("{}", call(number.parse().unwrap(), args)),
        ["try-calls", allowed] => calls(allowed),
        ["try-children"] => children(),
        ["try-foreign"] => foreign(),
        ["flood", number, times] => {
            (0..times.parse::<u64>().unwrap()).for_each(|_| _ = call(number.parse().unwrap(), &[]))
        }
        ["orphans"] => orphans(),
        ["interrupted"] => interrupted(),
        ["stay"] => stay(),
        ["watched", memory, disk, dir, how, command @ ..] => trees::watched(memory, disk, dir, how, command),
        ["idle", memory, disk, dir, count] => trees::idle(memory, disk, dir, count.parse().unwrap()),
        ["grouped", root] => trees::grouped(root),
        ["use", what, count, bytes] => trees::use_up(what, count.parse().unwrap(), bytes.parse().unwrap()),
        ["launches", count, token, groups] => launches::launches(count.parse().unwrap(), token, groups),
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

/// An engine with one container; says "ready" and waits to be killed.
fn docker_engine(socket: &str, image: &str) {
    let exe = std::env::current_exe().unwrap();
    let launcher = Launcher::new(vec![exe.into(), "__sandbox".into()]).unwrap();
    launcher.use_engine(socket);
    let policy = Policy { backend: Backend::Docker { image: image.to_owned() }, ..presets::tool() };
    let script = "setsid sh -c 'trap \"\" TERM HUP; sleep 1000' & echo ready; sleep 1000";
    let launch = Launch { policy, program: "sh".into(), args: vec!["-c".into(), script.into()], cwd: "/".into() };
    let sandboxed = launcher.launch(&launch).unwrap();
    let mut line = String::new();
    BufReader::new(File::from(sandboxed.stdout)).read_line(&mut line).unwrap();
    print!("{line}");
    std::io::stdout().flush().unwrap();
    stay();
}

/// Makes children of init that end at once, without end.
fn orphans() {
    loop {
        let flags = libc::CLONE_PARENT | libc::SIGCHLD;
        if unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) } == 0 {
            unsafe { libc::_exit(0) };
        }
    }
}

/// Makes refused calls that a signal interrupts while they wait for their answer, for two seconds; then one that is not.
fn interrupted() {
    extern "C" fn ignore(_: libc::c_int) {}
    let every = |microseconds| {
        let time = libc::timeval { tv_sec: 0, tv_usec: microseconds };
        let timer = libc::itimerval { it_interval: time, it_value: time };
        assert_eq!(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) }, 0);
    };
    let handler: extern "C" fn(libc::c_int) = ignore;
    // Without SA_RESTART: an interrupted call comes back.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as libc::sighandler_t;
        assert_eq!(libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut()), 0);
    }
    every(50);
    let began = std::time::Instant::now();
    while began.elapsed().as_secs() < 2 {
        call(libc::SYS_ptrace, &[]);
    }
    every(0);
    println!("{}", call(libc::SYS_memfd_create, &[]));
}

/// Says a line to a server and returns all that it answers.
fn ask(address: &str, line: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
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

/// Makes a system call and tells its error; 0 for none.
fn call(number: i64, args: &[&str]) -> i32 {
    let mut numbers = [0_i64; 6];
    numbers.iter_mut().zip(args).for_each(|(number, arg)| *number = arg.parse().unwrap());
    let [a, b, c, d, e, f] = numbers;
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result == -1 { std::io::Error::last_os_error().raw_os_error().unwrap() } else { 0 }
}

/// Makes every system call but these (numbers with commas); tells how many fail for being refused, and which do not.
fn calls(allowed: &str) {
    let allowed: Vec<i64> = allowed.split(',').map(|number| number.parse().unwrap()).collect();
    // The kernel answers these two itself, whatever a filter says: they belong to its own probes.
    let others = (0..=600).filter(|number| !allowed.contains(number) && ![335, 336].contains(number));
    let x32 = (0..=600).map(|number| 0x4000_0000 | number);
    let tried: Vec<(i64, i32)> = others.chain(x32).map(|number| (number, call(number, &[]))).collect();
    let open: Vec<_> = tried.iter().filter(|(_, errno)| ![libc::EPERM, libc::ENOSYS].contains(errno)).collect();
    println!("{} refused, open: {open:?}", tried.len() - open.len());
}

/// Tries every way to start a process or another program, and one to start a thread.
fn children() {
    let errno = || std::io::Error::last_os_error().raw_os_error().unwrap();
    let command = |name: &str| std::process::Command::new(name).spawn().map_err(|error| error.raw_os_error().unwrap());
    println!("command {:?}", command("/bin/true").unwrap_err());
    println!("fork {}", if unsafe { libc::fork() } == -1 { errno() } else { 0 });
    println!("process clone {}", call(libc::SYS_clone, &["17"]));
    println!("clone3 {}", call(libc::SYS_clone3, &[]));
    let (path, mut pid) = (c"/bin/true", 0);
    let args = [path.as_ptr().cast_mut(), std::ptr::null_mut()];
    let spawned = unsafe {
        let null = std::ptr::null();
        libc::posix_spawn(&raw mut pid, path.as_ptr(), null, null.cast(), args.as_ptr(), args.as_ptr().add(1))
    };
    println!("posix_spawn {spawned}");
    let executed = unsafe { libc::execv(path.as_ptr(), args.as_ptr().cast()) };
    println!("execve {}", if executed == -1 { errno() } else { 0 });
    let at = unsafe { libc::syscall(libc::SYS_execveat, libc::AT_FDCWD, path.as_ptr(), args.as_ptr(), 0, 0, 0) };
    println!("execveat {}", if at == -1 { errno() } else { 0 });
    println!("thread {}", std::thread::spawn(|| 7).join().unwrap());
}

/// Makes a system call of the 32-bit processor (20 asks for the process id).
fn foreign() {
    #[cfg(target_arch = "x86_64")]
    unsafe {
        let mut number = 20;
        std::arch::asm!("int 0x80", inout("eax") number);
        println!("{number}");
    }
}

/// The serial number of the session keyring.
fn keyring() -> i64 {
    unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_GET_KEYRING_ID, -3, 1) }
}
