//! The profile of macOS's `sandbox-exec` that says the same as a policy, as far as that system can.
//!
//! A profile is a list of rules, the last one that fits wins; it begins by denying everything. It has no filter of system
//! calls, no namespaces and no limits of a whole tree. What cannot be held is refused by the name that it has in a policy;
//! the filter and the namespaces can be given up with `allow_degraded`, the rest must be taken out of the policy.
//!
//! This is text only: nothing here runs on macOS, and the profile is for whoever starts a program there.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use workspace::{Backend, Bind, GATEWAY, Identity, Layer, Network, Policy, Processes, is_system};

/// Where the programs and libraries of macOS are, to read and execute: what `sandbox::system_binds` is for Linux.
const SYSTEM: [&str; 7] =
    ["/usr", "/bin", "/sbin", "/System", "/Library/Apple", "/private/var/db/dyld", "/Library/Developer"];

/// Devices that programs open by name.
const DEVICES: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/fd", "/dev/dtracehelper"];

/// What macOS cannot hold of a policy, each by its key and with what to do about it; empty if it holds all.
pub(crate) fn unenforceable(policy: &Policy) -> Vec<String> {
    let given_up = |layer| policy.allow_degraded.contains(&layer);
    let limits = &policy.limits;
    let calls = if policy.allowed_syscalls.is_empty() { "the filter of system calls" } else { "allowed_syscalls" };
    let moved = policy.filesystem.binds.iter().find(|bind| bind.host != bind.inside);
    let rows = [
        (!given_up(Layer::Seccomp), format!("{calls}: there is no filter; allow_degraded: [seccomp] gives it up")),
        (
            !given_up(Layer::Namespaces),
            "namespaces: other processes, users and loopback are the host's; allow_degraded: [namespaces] gives them up"
                .to_owned(),
        ),
        (
            moved.is_some(),
            moved.map_or_else(String::new, |bind| {
                let (host, inside) = (bind.host.display(), bind.inside.display());
                format!("files: {host} cannot appear at {inside}; show it at its own place")
            }),
        ),
        (limits.tree_memory_bytes.is_some() && !given_up(Layer::Cgroup), unlimited("tree_memory")),
        (limits.cpu_percent.is_some() && !given_up(Layer::Cgroup), unlimited("cpu_percent")),
        (limits.disk_bytes.is_some() && !given_up(Layer::Cgroup), unlimited("disk")),
        (policy.identity != Identity::default(), "identity: programs run as whoever starts them; leave it out".to_owned()),
        (policy.backend != Backend::Kernel, "backend: a container is not sandbox-exec; use kernel".to_owned()),
    ];
    rows.into_iter().filter(|(missing, _)| *missing).map(|(_, text)| text).collect()
}

fn unlimited(key: &str) -> String {
    format!("limits: {key} cannot be counted for a whole tree; allow_degraded: [cgroup] gives it up")
}

/// The profile, for a program at this path (which is all that may be executed with `processes: none`).
///
/// Errors: every reason of [`unenforceable`].
pub(crate) fn profile(policy: &Policy, program: Option<&Path>) -> Result<String, Vec<String>> {
    let missing = unenforceable(policy);
    if !missing.is_empty() {
        return Err(missing);
    }
    let mut text = String::from("(version 1)\n(deny default)\n");
    text.push_str("\n; the system\n");
    rule(&mut text, "allow file-read*", &SYSTEM.map(|path| filter(Path::new(path))));
    rule(&mut text, "allow file-read* file-write-data file-ioctl", &DEVICES.map(|path| filter(Path::new(path))));
    text.push_str("(allow file-read-metadata)\n(allow sysctl-read)\n(allow mach-lookup (global-name \"com.apple.system.logger\"))\n");
    text.push_str("(allow signal (target same-sandbox))\n(allow process-info* (target same-sandbox))\n");
    files(&mut text, policy);
    processes(&mut text, policy, program);
    network(&mut text, &policy.network);
    Ok(text)
}

fn files(text: &mut String, policy: &Policy) {
    text.push_str("\n; files\n");
    let own = |bind: &&Bind| !is_system(&bind.host);
    let binds: Vec<&Bind> = policy.filesystem.binds.iter().filter(own).collect();
    let paths = |wanted: &dyn Fn(&Bind) -> bool| -> Vec<String> {
        binds.iter().filter(|bind| wanted(bind)).map(|bind| filter(&bind.host)).collect()
    };
    rule(text, "allow file-read*", &paths(&|_| true));
    rule(text, "allow file-write*", &paths(&|bind| bind.access.writes()));
    rule(text, "allow file-read* file-write*", &["(param \"TMPDIR\")"].map(|param| format!("(subpath {param})")));
    if policy.filesystem.terminals {
        text.push_str(
            "(allow pseudo-tty)\n(allow file-read* file-write* file-ioctl (regex #\"^/dev/(ptmx|ttys[0-9]+|tty)$\"))\n",
        );
    }
}

fn processes(text: &mut String, policy: &Policy, program: Option<&Path>) {
    text.push_str("\n; processes\n");
    let literal = |path: &Path| format!("(literal {})", quoted(path));
    match &policy.processes {
        Processes::None => rule(text, "allow process-exec", &program.map(literal).into_iter().collect::<Vec<_>>()),
        Processes::Exec(programs) => {
            text.push_str("(allow process-fork)\n");
            rule(text, "allow process-exec", &programs.iter().map(|path| literal(path)).collect::<Vec<_>>());
        }
        Processes::Tree => {
            text.push_str("(allow process-fork)\n");
            let own = policy.filesystem.binds.iter().filter(|bind| bind.access.executes() && !is_system(&bind.host));
            let system = SYSTEM.iter().map(Path::new);
            let paths: BTreeSet<String> = system.chain(own.map(|bind| bind.host.as_path())).map(filter).collect();
            rule(text, "allow process-exec", &paths.into_iter().collect::<Vec<_>>());
        }
    }
}

fn network(text: &mut String, network: &Network) {
    text.push_str("\n; network\n");
    match network {
        Network::None => text.push_str("(deny network*)\n"),
        Network::Gateway | Network::Hosts(_) => {
            // Hosts are let through by whoever serves this address, and by nobody else.
            let _ = writeln!(text, "(allow network-outbound (remote tcp \"localhost:{}\"))", GATEWAY.port());
        }
        Network::Open => text.push_str(
            "(allow network*)\n(allow system-socket)\n(allow mach-lookup (global-name \"com.apple.dnssd.service\"))\n",
        ),
    }
}

/// One rule over several filters; nothing without any, since a rule without filters is about everything.
fn rule(text: &mut String, what: &str, filters: &[String]) {
    if !filters.is_empty() {
        let _ = writeln!(text, "({what}\n  {})", filters.join("\n  "));
    }
}

fn filter(path: &Path) -> String {
    format!("(subpath {})", quoted(path))
}

/// A string of the profile's language. A path that is not text is written as near as can be, and then fits nothing.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{text}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use workspace::presets;

    /// A policy that macOS can hold, with nothing of this host in it.
    fn policy() -> Policy {
        let mut policy = presets::check();
        policy.filesystem.binds = vec![
            Bind::system("/usr"),
            Bind::write_execute("/Users/me/project", "/Users/me/project"),
            Bind::read("/Users/me/say \"hi\"", "/Users/me/say \"hi\""),
        ];
        policy.allow_degraded = vec![Layer::Seccomp, Layer::Namespaces, Layer::Cgroup];
        policy
    }

    #[test]
    fn what_cannot_be_held_is_refused_by_name() {
        let refused = |change: &dyn Fn(&mut Policy)| {
            let mut policy = policy();
            change(&mut policy);
            profile(&policy, None).expect_err("must be refused").join("\n")
        };
        assert!(
            refused(&|policy| policy.allow_degraded = vec![Layer::Namespaces]).contains("the filter of system calls")
        );
        let listed = |policy: &mut Policy| {
            policy.allowed_syscalls = vec!["@worker".into()];
            policy.allow_degraded = vec![Layer::Namespaces];
        };
        assert!(refused(&listed).starts_with("allowed_syscalls: there is no filter"));
        assert!(refused(&|policy| policy.allow_degraded = vec![Layer::Seccomp]).starts_with("namespaces"));
        let counted = refused(&|policy| {
            policy.allow_degraded.retain(|layer| *layer != Layer::Cgroup);
            policy.limits.cpu_percent = Some(1);
        });
        assert!(["tree_memory", "cpu_percent", "disk"].iter().all(|key| counted.contains(key)), "{counted}");
        assert!(refused(&|policy| policy.identity.uid = 7).contains("identity"));
        assert!(
            refused(&|policy| policy.filesystem.binds.push(Bind::read("/a", "/b"))).contains("/a cannot appear at /b")
        );
        assert!(refused(&|policy| policy.backend = Backend::Docker { image: "x".into() }).contains("backend"));
    }

    #[test]
    fn a_check() {
        let text = profile(&policy(), None).unwrap();
        expect_test::expect![[r#"
            (version 1)
            (deny default)

            ; the system
            (allow file-read*
              (subpath "/usr")
              (subpath "/bin")
              (subpath "/sbin")
              (subpath "/System")
              (subpath "/Library/Apple")
              (subpath "/private/var/db/dyld")
              (subpath "/Library/Developer"))
            (allow file-read* file-write-data file-ioctl
              (subpath "/dev/null")
              (subpath "/dev/zero")
              (subpath "/dev/random")
              (subpath "/dev/urandom")
              (subpath "/dev/fd")
              (subpath "/dev/dtracehelper"))
            (allow file-read-metadata)
            (allow sysctl-read)
            (allow mach-lookup (global-name "com.apple.system.logger"))
            (allow signal (target same-sandbox))
            (allow process-info* (target same-sandbox))

            ; files
            (allow file-read*
              (subpath "/Users/me/project")
              (subpath "/Users/me/say \"hi\""))
            (allow file-write*
              (subpath "/Users/me/project"))
            (allow file-read* file-write*
              (subpath (param "TMPDIR")))
            (allow pseudo-tty)
            (allow file-read* file-write* file-ioctl (regex #"^/dev/(ptmx|ttys[0-9]+|tty)$"))

            ; processes
            (allow process-fork)
            (allow process-exec
              (subpath "/Library/Apple")
              (subpath "/Library/Developer")
              (subpath "/System")
              (subpath "/Users/me/project")
              (subpath "/bin")
              (subpath "/private/var/db/dyld")
              (subpath "/sbin")
              (subpath "/usr"))

            ; network
            (deny network*)
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn a_worker_may_execute_itself_and_reach_the_gateway() {
        let worker = Policy { processes: Processes::None, network: Network::Gateway, ..policy() };
        let text = profile(&worker, Some(Path::new("/opt/agent"))).unwrap();
        let tail = text.split("; processes\n").nth(1).unwrap();
        expect_test::expect![[r#"
            (allow process-exec
              (literal "/opt/agent"))

            ; network
            (allow network-outbound (remote tcp "localhost:3128"))
        "#]]
        .assert_eq(tail);
    }

    #[test]
    fn hosts_go_through_the_gateway_and_open_is_open() {
        let tail = |network| {
            let text = profile(&Policy { network, ..policy() }, None).unwrap();
            text.split("; network\n").nth(1).unwrap().to_owned()
        };
        assert_eq!(tail(Network::Gateway), "(allow network-outbound (remote tcp \"localhost:3128\"))\n");
        assert_eq!(tail(Network::None), "(deny network*)\n");
        assert!(tail(Network::Open).starts_with("(allow network*)\n"));
    }
}
