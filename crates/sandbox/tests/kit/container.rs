//! What a container engine does with a container's description, as far as the tests need it: namespaces, mounts, limits,
//! identity. The image is the system directories of this host.

use std::ffi::CString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde_json::Value;

/// Of this host, what is in every image of the tests.
const IMAGE: &[&str] = &["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives"];

/// Runs the container described in a file, with `root` as an empty folder to build in, and ends as its first process does.
pub fn run(description: &str, root: &str) -> ExitCode {
    let description: Value = serde_json::from_str(&fs::read_to_string(description).unwrap()).unwrap();
    let host = &description["HostConfig"];
    let networks = if host["NetworkMode"] == "none" { libc::CLONE_NEWNET } else { 0 };
    let namespaces = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | networks;
    let caller = unsafe { (libc::geteuid(), libc::getegid()) };
    if caller.0 == 0 {
        assert_eq!(unsafe { libc::unshare(namespaces) }, 0);
    } else {
        assert_eq!(unsafe { libc::unshare(namespaces | libc::CLONE_NEWUSER) }, 0);
        fs::write("/proc/self/setgroups", "deny").unwrap();
        fs::write("/proc/self/gid_map", format!("{0} {0} 1", caller.1)).unwrap();
        fs::write("/proc/self/uid_map", format!("{0} {0} 1", caller.0)).unwrap();
    }
    match unsafe { libc::fork() } {
        0 => first_process(&description, Path::new(root)),
        pid => wait(pid),
    }
}

fn wait(pid: libc::pid_t) -> ExitCode {
    let mut status = 0;
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    let code = if libc::WIFSIGNALED(status) { 128 + libc::WTERMSIG(status) } else { libc::WEXITSTATUS(status) };
    ExitCode::from(u8::try_from(code).unwrap())
}

fn first_process(description: &Value, root: &Path) -> ! {
    let host = &description["HostConfig"];
    build(host, root);
    loopback_up();
    let name = text(&description["Hostname"]);
    assert_eq!(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }, 0);
    std::os::unix::fs::chroot(root).unwrap();
    std::env::set_current_dir(text(&description["WorkingDir"])).unwrap();
    limit(&host["Ulimits"]);
    give_up(host, text(&description["User"]));
    // A change of identity would undo it.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) }, 0);
    let command: Vec<&str> = list(&description["Entrypoint"]).iter().map(text).collect();
    let env = list(&description["Env"]).iter().map(|variable| text(variable).split_once('=').unwrap());
    let error = Command::new(command[0]).args(&command[1..]).env_clear().envs(env).exec();
    eprintln!("{}: {error}", command[0]);
    std::process::exit(127)
}

fn build(host: &Value, root: &Path) {
    mount(None, Path::new("/"), None, libc::MS_REC | libc::MS_PRIVATE, "");
    mount(None, root, Some("tmpfs"), 0, "mode=0755");
    IMAGE.iter().map(Path::new).for_each(|path| show_image(path, &inside(root, path)));
    for (kind, place) in [("proc", "/proc"), ("tmpfs", "/dev")] {
        fs::create_dir(inside(root, Path::new(place))).unwrap();
        mount(None, &inside(root, Path::new(place)), Some(kind), 0, "");
    }
    for device in ["null", "zero", "full", "random", "urandom", "tty"] {
        let device = Path::new("/dev").join(device);
        bind(&device, &inside(root, &device), false);
    }
    let shm = inside(root, Path::new("/dev/shm"));
    fs::create_dir(&shm).unwrap();
    mount(None, &shm, Some("tmpfs"), libc::MS_NOEXEC, &format!("mode=1777,size={}", host["ShmSize"]));
    for (place, options) in host["Tmpfs"].as_object().unwrap() {
        let place = inside(root, Path::new(place));
        fs::create_dir_all(&place).unwrap();
        let known = |option: &&str| option.starts_with("mode=") || option.starts_with("size=");
        let options: Vec<&str> = text(options).split(',').filter(known).collect();
        mount(None, &place, Some("tmpfs"), libc::MS_NOSUID | libc::MS_NODEV, &options.join(","));
    }
    for one in list(&host["Mounts"]) {
        let (source, target) = (Path::new(text(&one["Source"])), Path::new(text(&one["Target"])));
        bind(source, &inside(root, target), one["ReadOnly"].as_bool().unwrap());
    }
    if host["ReadonlyRootfs"] == true {
        mount(None, root, None, libc::MS_REMOUNT | libc::MS_RDONLY | libc::MS_BIND, "");
    }
}

/// Links stay links, as images have them.
fn show_image(path: &Path, place: &Path) {
    match fs::symlink_metadata(path) {
        Err(_) => {}
        Ok(about) if about.is_symlink() => {
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(fs::read_link(path).unwrap(), place).unwrap();
        }
        Ok(_) => bind(path, place, true),
    }
}

fn bind(source: &Path, place: &Path, read_only: bool) {
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    match source.is_dir() {
        true => fs::create_dir_all(place).unwrap(),
        false => drop(fs::File::create(place).unwrap()),
    }
    mount(Some(source), place, None, libc::MS_BIND | libc::MS_REC, "");
    if read_only {
        // What the host's mount forbids must stay forbidden in a user namespace.
        let held = libc::MS_NOSUID | libc::MS_NODEV;
        mount(None, place, None, libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY | held, "");
    }
}

fn mount(source: Option<&Path>, place: &Path, kind: Option<&str>, flags: libc::c_ulong, options: &str) {
    let c_string = |text: &str| CString::new(text).unwrap();
    let source = c_string(source.map_or("none", |path| path.to_str().unwrap()));
    let (target, kind, data) = (c_string(place.to_str().unwrap()), kind.map(c_string), c_string(options));
    let kind = kind.as_ref().map_or(std::ptr::null(), |kind| kind.as_ptr());
    let done = unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind, flags, data.as_ptr().cast()) };
    assert_eq!(done, 0, "mounting {}: {}", place.display(), std::io::Error::last_os_error());
}

fn loopback_up() {
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        libc::ioctl(socket, libc::SIOCSIFFLAGS as _, &raw const request);
    }
}

fn limit(limits: &Value) {
    for one in list(limits) {
        let kind = match text(&one["Name"]) {
            "core" => libc::RLIMIT_CORE,
            "data" => libc::RLIMIT_DATA,
            "fsize" => libc::RLIMIT_FSIZE,
            "nofile" => libc::RLIMIT_NOFILE,
            other => panic!("unknown limit {other}"),
        };
        let limit = libc::rlimit { rlim_cur: one["Soft"].as_u64().unwrap(), rlim_max: one["Hard"].as_u64().unwrap() };
        assert_eq!(unsafe { libc::setrlimit(kind, &raw const limit) }, 0);
    }
}

/// Capabilities, identity, new privileges, and a filter of system calls that allows all: that there is one is looked for.
fn give_up(host: &Value, user: &str) {
    let (uid, gid) = user.split_once(':').unwrap();
    let (uid, gid): (u32, u32) = (uid.parse().unwrap(), gid.parse().unwrap());
    let option = |name: &str| list(&host["SecurityOpt"]).iter().any(|option| text(option) == name);
    unsafe {
        if list(&host["CapDrop"]).iter().any(|set| set == "ALL") {
            (0..64).for_each(|capability| _ = libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0));
        }
        if libc::geteuid() != uid {
            assert_eq!(libc::setgroups(0, std::ptr::null()), 0);
            assert_eq!(libc::setresgid(gid, gid, gid), 0);
            assert_eq!(libc::setresuid(uid, uid, uid), 0);
        }
        let header = [0x2008_0522_u32, 0];
        assert_eq!(libc::syscall(libc::SYS_capset, header.as_ptr(), [0_u32; 6].as_ptr()), 0);
        if option("no-new-privileges") {
            assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
            let code = (libc::BPF_RET | libc::BPF_K) as u16;
            let mut filter = [libc::sock_filter { code, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW }];
            let program = libc::sock_fprog { len: 1, filter: filter.as_mut_ptr() };
            assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program), 0);
        }
    }
}

fn inside(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
