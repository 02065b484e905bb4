//! What a policy means, in plain words, and what holds each part of it on this host.

use super::{Access, Bind, Layer, Network, Policy, Processes, Resolved, usual_env};
use crate::words::{duration, table};
use serde::Serialize;
use std::{fmt::Write as _, path::Path};
use workspace::{Backend, HostReport, is_system};

/// What a policy means. Field names are stable.
#[derive(Clone, Debug, Serialize)]
pub struct Meaning {
    /// The preset that it began with.
    pub preset: &'static str,
    /// Part by part.
    pub sections: Vec<Section>,
    /// What this host does not hold of any policy, and why.
    pub unheld: Vec<String>,
    /// Layers that may be missing here, and whether they are.
    pub degraded: Vec<String>,
    /// What it asks of the rules on permission, because a sandbox cannot hold it.
    pub remains: Vec<&'static str>,
    /// The policy itself, complete.
    pub policy: Policy,
}

/// One part of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Section {
    /// What it is about.
    pub name: &'static str,
    /// What is allowed: a word, and what it is about.
    pub says: Vec<(&'static str, String)>,
    /// What holds it on this host.
    pub by: String,
}

impl Meaning {
    /// What `resolved` means on the host of this report.
    pub fn of(resolved: &Resolved, host: &HostReport) -> Self {
        let policy = &resolved.policy;
        let docker = matches!(policy.backend, Backend::Docker { .. });
        let by = |words: &str| if docker { "the container engine".to_owned() } else { words.to_owned() };
        let landlock = match host.landlock_abi {
            Some(version) => format!("a mount namespace, and Landlock (version {version} here)"),
            None => "a mount namespace alone: this kernel has no Landlock".to_owned(),
        };
        let sections = vec![
            Section { name: "files", says: files(policy), by: by(&landlock) },
            Section { name: "network", says: network(&policy.network), by: by(network_by(&policy.network)) },
            Section { name: "system calls", says: calls(policy), by: by("a seccomp filter") },
            Section { name: "processes", says: processes(policy), by: by(processes_by(&policy.processes)) },
            Section { name: "limits", says: limits(policy), by: by("resource limits, and the sandbox's own watch") },
            Section { name: "environment", says: environment(policy), by: by("an environment made from nothing") },
            Section { name: "identity", says: identity(policy, host.root), by: by("a user namespace") },
        ];
        let degraded = policy.allow_degraded.iter().map(|layer| degraded(*layer, host)).collect();
        let unheld =
            host.checks.iter().filter_map(|check| Some(format!("{}: {}", check.name, check.problem.as_ref()?)));
        let unheld = if docker { Vec::new() } else { unheld.collect() };
        Self {
            preset: resolved.preset,
            sections,
            unheld,
            degraded,
            remains: resolved.remains.clone(),
            policy: policy.clone(),
        }
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let mut text = format!("begins with the preset {}\n", self.preset);
        if let Backend::Docker { image } = &self.policy.backend {
            let _ = writeln!(text, "runs in a container of the image {image}");
        }
        for section in &self.sections {
            let _ = writeln!(text, "\n{}, held by {}", section.name, section.by);
            let rows = section.says.iter().map(|(what, value)| vec![format!("  {what}"), value.clone()]);
            text.push_str(&table(&rows.collect::<Vec<_>>()));
        }
        for (title, lines) in [
            (
                "what this host does not hold; a program under this policy is refused unless it is given up by name",
                self.unheld.clone(),
            ),
            ("protection that this policy does without", self.degraded.clone()),
            ("left to the rules on permission", self.remains.iter().map(|line| (*line).to_owned()).collect()),
        ] {
            if !lines.is_empty() {
                let _ = writeln!(text, "\n{title}\n  {}", lines.join("\n  "));
            }
        }
        text
    }
}

fn files(policy: &Policy) -> Vec<(&'static str, String)> {
    let own: Vec<&Bind> = policy.filesystem.binds.iter().filter(|bind| !is_system(&bind.host)).collect();
    let system = policy.filesystem.binds.len() - own.len();
    let mut says = Vec::new();
    if system > 0 {
        says.push(("read, execute", format!("the system's programs and what they need ({system} folders and files)")));
    }
    says.extend(own.iter().map(|bind| (access_words(bind.access), shown(bind))));
    let made: Vec<String> = policy.filesystem.files.keys().map(|path| path.display().to_string()).collect();
    if !made.is_empty() {
        says.push(("read", format!("{} (made up; the host's are not shown)", made.join(", "))));
    }
    let room = bytes(policy.filesystem.tmp_bytes);
    says.push(("read, write, execute", format!("a private /tmp and /dev/shm, {room} together, gone at the end")));
    let terminals = if policy.filesystem.terminals { " with terminals" } else { " without terminals" };
    says.push(("its own", format!("/proc and /dev{terminals}")));
    says.push(("nothing else", "does not exist inside".to_owned()));
    says
}

/// What may be done with a bind.
pub(super) fn access_words(access: Access) -> &'static str {
    match access {
        Access::Read => "read",
        Access::ReadExecute => "read, execute",
        Access::Write => "read, write",
        Access::WriteExecute => "read, write, execute",
    }
}

fn shown(bind: &Bind) -> String {
    let place = |path: &Path| path.display().to_string();
    if bind.host == bind.inside {
        place(&bind.host)
    } else {
        format!("{} as {}", place(&bind.host), place(&bind.inside))
    }
}

fn network(network: &Network) -> Vec<(&'static str, String)> {
    match network {
        Network::None => vec![("none", "a loopback of its own, where tests can open servers".to_owned())],
        Network::Gateway => vec![
            ("gateway", "muster's gateway and agent tools at 127.0.0.1:3128, in a mission".to_owned()),
            ("nothing else", "no names are resolved, no address is reached".to_owned()),
        ],
        Network::Hosts(hosts) => vec![
            ("through a proxy", hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
            ("nothing else", "names are resolved outside; private addresses are refused unless named".to_owned()),
        ],
        Network::Open => vec![("open", "everything that this machine reaches, its own services included".to_owned())],
    }
}

fn network_by(network: &Network) -> &'static str {
    match network {
        Network::None => "a network namespace with loopback only",
        Network::Gateway => "a network namespace whose only way out is the gateway",
        Network::Hosts(_) => "a network namespace whose only way out is a proxy that knows these hosts",
        Network::Open => "nothing: the network is the host's",
    }
}

fn calls(policy: &Policy) -> Vec<(&'static str, String)> {
    let named = match policy.allowed_syscalls.as_slice() {
        [] => format!("{} (what this policy's processes need)", usual_group(&policy.processes)),
        named => named.join(", "),
    };
    let mut says = vec![("allowed", named)];
    // A policy with a word that nobody knows is refused before it comes here.
    let allowed = workspace::allowed_syscalls(policy).unwrap_or_default();
    says.push(("in all", format!("{} calls, some of them only with harmless arguments", allowed.len())));
    let absent: Vec<&str> = NOTABLE.iter().filter(|call| !allowed.contains(call)).copied().collect();
    says.push(("not among them", absent.join(", ")));
    says
}

/// System calls whose absence tells something about a policy.
const NOTABLE: &[&str] = &[
    "fork",
    "execve",
    "socket",
    "ptrace",
    "process_vm_readv",
    "mount",
    "unshare",
    "setns",
    "bpf",
    "io_uring_setup",
    "keyctl",
    "perf_event_open",
    "userfaultfd",
    "init_module",
];

fn usual_group(processes: &Processes) -> &'static str {
    if *processes == Processes::None { "@worker" } else { "@tool" }
}

fn processes(policy: &Policy) -> Vec<(&'static str, String)> {
    match &policy.processes {
        Processes::None => vec![("none", "threads, but no other process and no other program".to_owned())],
        Processes::Tree => vec![("tree", "any program that it can see; all of them live and die with it".to_owned())],
        Processes::Exec(programs) => {
            let names: Vec<String> = programs.iter().map(|path| path.display().to_string()).collect();
            vec![
                ("only", names.join(", ")),
                ("note", "an interpreter in this list runs whatever it can read".to_owned()),
            ]
        }
    }
}

fn processes_by(processes: &Processes) -> &'static str {
    match processes {
        Processes::None => "a seccomp filter and a process namespace",
        Processes::Tree => "a process namespace, which sees no other and dies whole",
        Processes::Exec(_) => "Landlock and a process namespace",
    }
}

fn limits(policy: &Policy) -> Vec<(&'static str, String)> {
    let limits = &policy.limits;
    let each = |text: String| format!("{text}, each process");
    let all = |text: String| format!("{text}, all together");
    let rows = [
        ("memory", Some(each(bytes(limits.memory_bytes)))),
        ("tree_memory", limits.tree_memory_bytes.map(|most| all(bytes(most)))),
        ("processes", Some(format!("{} with threads, two of them the sandbox's own", limits.processes))),
        ("open_files", Some(each(limits.open_files.to_string()))),
        ("file", Some(format!("{}, each file", bytes(limits.file_bytes)))),
        ("disk", limits.disk_bytes.map(|most| all(bytes(most)))),
        ("tmp", Some(bytes(policy.filesystem.tmp_bytes))),
        ("cpu_time", limits.cpu_s.map(|s| each(duration(s.saturating_mul(1000))))),
        ("cpu_percent", limits.cpu_percent.map(|percent| all(format!("{percent} % of one processor")))),
        ("wall", limits.wall_ms.map(duration)),
    ];
    let unlimited: Vec<&str> = rows.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| *name).collect();
    let mut says: Vec<_> = rows.iter().filter_map(|(name, value)| Some((*name, value.clone()?))).collect();
    if !unlimited.is_empty() {
        says.push(("no limit", unlimited.join(", ")));
    }
    says
}

fn environment(policy: &Policy) -> Vec<(&'static str, String)> {
    let usual = usual_env();
    let (same, own): (Vec<_>, Vec<_>) = policy.env.iter().partition(|(name, value)| usual.get(*name) == Some(*value));
    let names =
        |list: Vec<(&String, &String)>| list.into_iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    let mut says = vec![("usual", names(same))];
    if !own.is_empty() {
        // Names only: what was passed on may be a secret.
        says.push(("its own", names(own)));
    }
    says.push(("nothing else", "no variable of the caller is inherited".to_owned()));
    says
}

fn identity(policy: &Policy, root: bool) -> Vec<(&'static str, String)> {
    let who = policy.identity;
    let outside = if root { "a user that nobody else on this machine is" } else { "you" };
    vec![("inside", format!("user {}, group {}, no capabilities", who.uid, who.gid)), ("outside", outside.to_owned())]
}

fn degraded(layer: Layer, host: &HostReport) -> String {
    let name = layer_name(layer);
    match layer {
        Layer::Landlock => match host.landlock_abi {
            Some(version) => format!("{name}: may be missing; this host has it (version {version}) and it is used"),
            None => format!("{name}: missing on this host; files are kept apart by namespaces alone"),
        },
        Layer::Seccomp | Layer::Namespaces | Layer::Cgroup => {
            format!("{name}: may be missing; it is used where the host has it")
        }
    }
}

/// A layer as a policy names it.
pub fn layer_name(layer: Layer) -> &'static str {
    match layer {
        Layer::Namespaces => "namespaces",
        Layer::Landlock => "landlock",
        Layer::Seccomp => "seccomp",
        Layer::Cgroup => "cgroup",
    }
}

/// A size in the largest unit that keeps it whole, as a policy would write it.
pub(crate) fn bytes(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let whole = units.iter().find(|(shift, _)| bytes >= 1 << shift && bytes.trailing_zeros() >= *shift);
    whole.map_or_else(|| format!("{bytes}B"), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn host(landlock_abi: Option<i32>) -> HostReport {
        HostReport { landlock_abi, root: true, ..HostReport::default() }
    }

    fn resolved() -> Resolved {
        let mut policy = workspace::presets::check();
        policy.filesystem.binds = vec![
            Bind::system("/usr"),
            Bind::system("/etc/ssl"),
            Bind::write_execute("/srv/work", "/srv/work"),
            Bind::read("/srv/data", "/data"),
        ];
        policy.network = Network::Hosts(vec!["crates.io:443".parse().unwrap()]);
        policy.env.insert("TOKEN".into(), "secret".into());
        policy.limits.cpu_s = Some(90);
        policy.allow_degraded = vec![Layer::Landlock];
        Resolved {
            preset: "check",
            policy,
            cwd: "/srv/work".into(),
            remains: vec!["a sentence"],
            written: crate::Written::default(),
        }
    }

    #[test]
    fn in_plain_words() {
        expect_test::expect![[r#"
            begins with the preset check

            files, held by a mount namespace, and Landlock (version 7 here)
              read, execute         the system's programs and what they need (2 folders and files)
              read, write, execute  /srv/work
              read                  /srv/data as /data
              read                  /etc/group, /etc/hosts, /etc/nsswitch.conf, /etc/passwd (made up; the host's are not shown)
              read, write, execute  a private /tmp and /dev/shm, 2GiB together, gone at the end
              its own               /proc and /dev with terminals
              nothing else          does not exist inside

            network, held by a network namespace whose only way out is a proxy that knows these hosts
              through a proxy  crates.io:443
              nothing else     names are resolved outside; private addresses are refused unless named

            system calls, held by a seccomp filter
              allowed         @tool (what this policy's processes need)
              in all          255 calls, some of them only with harmless arguments
              not among them  ptrace, process_vm_readv, mount, unshare, setns, bpf, io_uring_setup, keyctl, perf_event_open, userfaultfd, init_module

            processes, held by a process namespace, which sees no other and dies whole
              tree  any program that it can see; all of them live and die with it

            limits, held by resource limits, and the sandbox's own watch
              memory       8GiB, each process
              tree_memory  16GiB, all together
              processes    1024 with threads, two of them the sandbox's own
              open_files   4096, each process
              file         4GiB, each file
              disk         64GiB, all together
              tmp          2GiB
              cpu_time     1 min 30 s, each process
              wall         10 min 0 s
              no limit     cpu_percent

            environment, held by an environment made from nothing
              usual         HOME, LANG, PATH, SHELL, USER
              its own       TOKEN
              nothing else  no variable of the caller is inherited

            identity, held by a user namespace
              inside   user 1000, group 1000, no capabilities
              outside  a user that nobody else on this machine is

            protection that this policy does without
              landlock: may be missing; this host has it (version 7) and it is used

            left to the rules on permission
              a sentence
        "#]].assert_eq(&Meaning::of(&resolved(), &host(Some(7))).text());
    }

    #[test]
    fn what_is_missing_here_is_said() {
        let text = Meaning::of(&resolved(), &host(None)).text();
        assert!(text.contains("files, held by a mount namespace alone: this kernel has no Landlock"), "{text}");
        assert!(text.contains("landlock: missing on this host"), "{text}");
    }

    #[test]
    fn no_value_of_a_variable_is_shown() {
        assert!(!Meaning::of(&resolved(), &host(None)).text().contains("secret"));
        let env: BTreeMap<_, _> = usual_env();
        assert!(env.contains_key("PATH"));
    }

    #[test]
    fn sizes_are_written_as_they_are_read() {
        assert_eq!([0, 1, 1024, 1536, 512 << 20, 2 << 30].map(bytes), ["0B", "1B", "1KiB", "1536B", "512MiB", "2GiB"]);
    }
}
