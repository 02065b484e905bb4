//! What the policy of a sandbox asks for.

use super::{Asker, config::long};
use crate::{
    policy::{
        BackendSpec, DockerSpec, ExecSpec, FilesSpec, HostsSpec, IdentitySpec, PathSpec, PermissionsSpec, PolicySpec,
        ProcessLimitsSpec,
    },
    source::shape::{At, DurationText, List, SizeText, Text, Whole, WordOr},
    value::{bytes, duration_ms},
};
use std::path::PathBuf;

/// What a policy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// The agents of a role.
    Role,
    /// Acceptance checks, which run what the repository brings anyway, each in a check-out that is thrown away.
    Checks,
    /// A program that a person runs under it, or the ceiling of other policies.
    Program,
}

pub(super) fn policy(asker: &mut Asker<'_>, spec: &PolicySpec, of: For) {
    let PolicySpec {
        version: _,
        preset: _,
        permissions,
        work: _,
        files,
        read: List(read),
        network,
        allowed_syscalls,
        processes,
        limits,
        env,
        pass: List(pass),
        identity,
        backend,
        allow_degraded: List(layers),
    } = spec;
    if let Some(At { value: PermissionsSpec { file_system: _, network, shell_commands: _, git_operations: _ }, .. }) =
        permissions
        && let Some(At { value: Text(word), place }) = network
        && !matches!(word.as_str(), "none" | "restricted")
    {
        asker.ask("permissions.network", *place, "the network of this machine is open to it");
    }
    if let Some(files) = files {
        paths(asker, files);
    }
    for At { value: Text(path), place } in read {
        let what = format!("reads and executes {}", long(path));
        asker.ask_outside("policy.read", *place, what, PathBuf::from(path));
    }
    hosts(asker, network.as_ref());
    if let Some(At { place, .. }) = allowed_syscalls {
        asker.ask("policy.allowed_syscalls", *place, "chooses the system calls itself");
    }
    match processes.as_ref().map(|processes| &processes.value) {
        None | Some(WordOr::Word(_) | WordOr::Map(ExecSpec { exec: _ })) => {}
    }
    if let Some(limits) = limits {
        process_limits(asker, &limits.value);
    }
    if of != For::Checks {
        for (name, _) in &env.0 {
            asker.ask("policy.env", name.place, format!("sets the variable {} for its programs", long(&name.value)));
        }
    }
    for At { value: Text(name), place } in pass {
        asker.ask("policy.pass", *place, format!("is given the value of your variable {}", long(name)));
    }
    if let Some(IdentitySpec { uid: _, gid: _ }) = identity {}
    enforced(asker, backend.as_ref());
    for layer in layers {
        let what = format!("the layer {} may be missing", long(&layer.value.0));
        asker.ask("policy.allow_degraded", layer.place, what);
    }
}

fn hosts(asker: &mut Asker<'_>, network: Option<&At<WordOr<HostsSpec>>>) {
    match network.map(|network| (&network.value, network.place)) {
        None => {}
        Some((WordOr::Map(HostsSpec { hosts }), _)) => {
            for At { value: Text(host), place } in &hosts.value.0 {
                asker.ask("hosts.hosts", *place, format!("may connect to {}", long(host)));
            }
        }
        Some((WordOr::Word(word), place)) if !matches!(word.as_str(), "none" | "gateway") => {
            asker.ask("policy.network", place, "the network of this machine is open to it");
        }
        Some((WordOr::Word(_), _)) => {}
    }
}

fn enforced(asker: &mut Asker<'_>, backend: Option<&At<WordOr<BackendSpec>>>) {
    match backend.map(|backend| (&backend.value, backend.place)) {
        None => {}
        Some((WordOr::Map(BackendSpec { docker: DockerSpec { image } }), _)) => {
            let what =
                format!("runs in a container of the image {}, through your container engine", long(&image.value.0));
            asker.ask("docker.image", image.place, what);
        }
        Some((WordOr::Word(word), place)) if word != "kernel" => {
            asker.ask("policy.backend", place, "is not enforced by the kernel");
        }
        Some((WordOr::Word(_), _)) => {}
    }
}

fn paths(asker: &mut Asker<'_>, files: &FilesSpec) {
    let FilesSpec { read, write, execute } = files;
    for (key, word, list) in [
        ("files.read", "reads", read),
        ("files.write", "writes in", write),
        ("files.execute", "reads and executes", execute),
    ] {
        for At { value, place } in &list.0 {
            match value {
                WordOr::Word(path) if key == "files.write" => {
                    asker.ask(key, *place, format!("{word} {}", long(path)));
                }
                WordOr::Word(path) => {
                    asker.ask_outside(key, *place, format!("{word} {}", long(path)), PathBuf::from(path));
                }
                WordOr::Map(PathSpec { host, inside }) => {
                    let what = format!("{word} {}, shown as {}", long(&host.value.0), long(&inside.value.0));
                    asker.ask("path.inside", host.place, what);
                }
            }
        }
    }
}

/// The least that any preset allows: what is at most that raises nothing. A test of `policies` holds them together with the
/// presets.
pub const LIMITS_UNASKED: &crate::policy::ProcessLimits = &crate::policy::ProcessLimits {
    memory_bytes: Some(4 << 30),
    tree_memory_bytes: Some(6 << 30),
    processes: Some(128),
    open_files: Some(4096),
    file_bytes: Some(4 << 30),
    disk_bytes: Some(16 << 30),
    tmp_bytes: Some(512 << 20),
    cpu_ms: None,
    cpu_percent: None,
    wall_ms: Some(600_000),
};

fn process_limits(asker: &mut Asker<'_>, spec: &ProcessLimitsSpec) {
    let ProcessLimitsSpec {
        memory,
        tree_memory,
        processes,
        open_files,
        file,
        disk,
        tmp,
        // No preset limits these two, so that any limit is a smaller one.
        cpu_time: _,
        cpu_percent: _,
        wall,
        memory_mib,
        tree_memory_mib,
        disk_mib,
        file_mib,
        tmp_mib,
    } = spec;
    let usual = LIMITS_UNASKED;
    let sizes = [
        (memory, memory_mib, usual.memory_bytes, "memory of a process"),
        (tree_memory, tree_memory_mib, usual.tree_memory_bytes, "memory"),
        (file, file_mib, usual.file_bytes, "a file"),
        (disk, disk_mib, usual.disk_bytes, "disk"),
        (tmp, tmp_mib, usual.tmp_bytes, "temporary files"),
    ];
    for (size, mib, most, of) in sizes {
        let most = most.unwrap_or(u64::MAX);
        if let Some(At { value: SizeText(text), place }) = size
            && bytes(text).unwrap_or(u64::MAX) > most
        {
            asker.ask("policy.limits", *place, format!("{} for {of}", long(text)));
        }
        if let Some(At { value: Whole(mib), place }) = mib
            && mib.checked_mul(1 << 20).is_none_or(|bytes| bytes > most)
        {
            asker.ask("policy.limits", *place, format!("{mib} MiB for {of}"));
        }
    }
    for (number, most, of) in
        [(processes, usual.processes, "processes at the same time"), (open_files, usual.open_files, "open files")]
    {
        if let Some(At { value: Whole(number), place }) = number
            && most.is_some_and(|most| *number > u64::from(most))
        {
            asker.ask("policy.limits", *place, format!("{number} {of}"));
        }
    }
    if let Some(At { value: DurationText(text), place }) = wall
        && usual.wall_ms.is_some_and(|most| duration_ms(text).unwrap_or(u64::MAX) > most)
    {
        asker.ask("policy.limits", *place, format!("{} until it is ended", long(text)));
    }
}
