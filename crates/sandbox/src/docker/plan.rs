//! A policy as a container: what is asked of the engine, worked out without asking anything.
//!
//! Everything that the engine would add by itself (the image's entry point, health check and environment, a restart, a
//! terminal, its own init) is set, so that an engine's defaults cannot change what a policy means.

use std::collections::HashMap;
use std::path::Path;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, Mount,
    MountBindOptions, MountBindOptionsPropagationEnum, MountType, ResourcesUlimits, RestartPolicy,
    RestartPolicyNameEnum,
};

use super::facts::Facts;
use crate::error::SandboxError;
use crate::policy::Limits;
use crate::spec::{Net, Spec};

/// Where the guest program, the folder with its socket, and nothing else of ours appear inside.
pub(crate) const INSIDE: &str = "/.muster";
/// Bytes that `/dev/shm` gets of the policy's `tmp_bytes` at most: what engines give it by themselves.
const SHM_BYTES_MAX: u64 = 64 << 20;
/// How much sooner than others a container goes when the machine runs out of memory (-1000 to 1000).
const OOM_SCORE: i64 = 500;

/// What a container is made from.
pub(super) struct Request<'a> {
    pub spec: &'a Spec,
    /// The policy's, with those of the whole tree.
    pub limits: &'a Limits,
    pub image: &'a str,
    /// What allows the system calls that the policy does.
    pub profile: &'a str,
    pub facts: &'a Facts,
    /// The program whose hidden subcommand is the guest, on the host.
    pub guest: &'a Path,
    /// The folder on the host with `socket/` and `files/`.
    pub place: &'a Path,
    pub labels: HashMap<String, String>,
}

/// The container for one launch.
pub(super) fn plan(request: &Request<'_>) -> Result<ContainerCreateBody, SandboxError> {
    let guest = format!("{INSIDE}/guest");
    Ok(ContainerCreateBody {
        image: Some(request.image.to_owned()),
        entrypoint: Some(vec![guest, "__sandbox-guest".into(), format!("{INSIDE}/socket/s")]),
        cmd: Some(Vec::new()),
        // For the guest only, which gives the program exactly the policy's: nothing of the image is loaded into it.
        env: Some(vec!["LD_PRELOAD=".into(), "LD_LIBRARY_PATH=".into(), "LD_AUDIT=".into()]),
        working_dir: Some("/".into()),
        user: Some(request.facts.user.user.clone()),
        hostname: Some("sandbox".into()),
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".into()]), ..HealthConfig::default() }),
        labels: Some(request.labels.clone()),
        attach_stdin: Some(false),
        attach_stdout: Some(false),
        attach_stderr: Some(false),
        open_stdin: Some(false),
        stdin_once: Some(false),
        tty: Some(false),
        network_disabled: Some(request.spec.net != Net::Host),
        host_config: Some(host_config(request)?),
        ..ContainerCreateBody::default()
    })
}

fn host_config(request: &Request<'_>) -> Result<HostConfig, SandboxError> {
    let spec = request.spec;
    let shm_bytes = SHM_BYTES_MAX.min(spec.tmp_bytes / 4);
    let exec = if spec.executes_anything() { "exec" } else { "noexec" };
    let mut tmp = format!("rw,{exec},nosuid,nodev,mode=1777,size={}", spec.tmp_bytes - shm_bytes);
    if request.facts.kind.podman {
        // Podman would copy what the image has in `/tmp`, its owner and mode with it.
        tmp.push_str(",notmpcopyup");
    }
    let memory = request.limits.tree_memory_bytes.map(signed);
    let network = if spec.net == Net::Host { "host" } else { "none" };
    Ok(HostConfig {
        mounts: Some(mounts(request)?),
        tmpfs: Some(HashMap::from([("/tmp".to_owned(), tmp)])),
        shm_size: Some(signed(shm_bytes)),
        readonly_rootfs: Some(true),
        network_mode: Some(network.into()),
        ipc_mode: Some("private".into()),
        cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
        userns_mode: request.facts.user.userns_mode.clone(),
        privileged: Some(false),
        cap_drop: Some(vec!["ALL".into()]),
        cap_add: Some(Vec::new()),
        security_opt: Some(security(request)),
        pids_limit: Some(signed(spec.limits.processes)),
        memory,
        // The same as `memory` means none of it can be swapped out.
        memory_swap: memory,
        nano_cpus: request.limits.cpu_percent.map(|percent| i64::from(percent) * 10_000_000),
        ulimits: Some(ulimits(request)),
        oom_score_adj: Some(OOM_SCORE),
        // The guest is process 1 itself: only so does the kernel end everything with it.
        init: Some(false),
        restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: Some(0) }),
        auto_remove: Some(false),
        // What the guest says before it can answer: a missing C library, above all.
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".into()),
            config: Some(HashMap::from([("max-size".to_owned(), "64k".to_owned())])),
        }),
        ..HostConfig::default()
    })
}

fn security(request: &Request<'_>) -> Vec<String> {
    // SELinux would keep the container from files that were not relabelled for it, and relabelling is a change of the
    // user's files.
    let filter = match request.facts.kind.podman {
        true => format!("seccomp={}", profile_place(request.place).display()),
        false => format!("seccomp={}", request.profile),
    };
    vec!["no-new-privileges".to_owned(), "label=disable".to_owned(), filter]
}

/// `nproc` is what it is for the caller at most: without a user namespace the kernel counts it over everything that the
/// user runs on the host, so that `pids_limit` is the limit of processes.
fn ulimits(request: &Request<'_>) -> Vec<ResourcesUlimits> {
    let limits = &request.spec.limits;
    let most = &request.facts.hard_limits;
    [
        ("core", 1, u64::MAX),
        ("data", limits.memory_bytes, most.data),
        ("fsize", limits.file_bytes, most.fsize),
        ("nofile", limits.open_files, most.nofile),
    ]
    .into_iter()
    .chain(most.nproc.map(|most| ("nproc", u64::MAX, most)))
    .map(|(name, value, most)| (name, signed(value.min(most))))
    .map(|(name, value)| ResourcesUlimits { name: Some(name.into()), soft: Some(value), hard: Some(value) })
    .collect()
}

/// Parents before children: engines mount in this order.
fn mounts(request: &Request<'_>) -> Result<Vec<Mount>, SandboxError> {
    let binds = request.spec.binds.iter().map(|bind| mount(&bind.host, &bind.inside, !bind.access.writes()));
    let files = request.spec.files.iter().enumerate();
    let files = files.map(|(number, (inside, _))| mount(&file_place(request.place, number), inside, true));
    let ours = [
        mount(request.guest, &Path::new(INSIDE).join("guest"), true),
        mount(&request.place.join("socket"), &Path::new(INSIDE).join("socket"), true),
    ];
    let mut mounts = binds.chain(files).chain(ours).collect::<Result<Vec<_>, _>>()?;
    mounts.sort_by(|a, b| a.target.cmp(&b.target));
    Ok(mounts)
}

/// Where the profile lies on the host: Podman takes it as a file, Docker as its text.
pub(super) fn profile_place(place: &Path) -> std::path::PathBuf {
    place.join("profile.json")
}

/// Where the text of a policy's file lies on the host.
pub(super) fn file_place(place: &Path, number: usize) -> std::path::PathBuf {
    place.join("files").join(number.to_string())
}

fn mount(host: &Path, inside: &Path, read_only: bool) -> Result<Mount, SandboxError> {
    Ok(Mount {
        typ: Some(MountType::BIND),
        source: Some(text(host)?),
        target: Some(text(inside)?),
        read_only: Some(read_only),
        bind_options: Some(MountBindOptions {
            propagation: Some(MountBindOptionsPropagationEnum::RPRIVATE),
            ..MountBindOptions::default()
        }),
        ..Mount::default()
    })
}

/// The engine's API is JSON, which has no bytes.
fn text(path: &Path) -> Result<String, SandboxError> {
    let text = path.to_str().map(ToOwned::to_owned);
    text.ok_or_else(|| {
        let what = format!("{} is not UTF-8, and a container engine takes no other names", path.display());
        SandboxError::Policy(what)
    })
}

/// The engine's numbers are signed; what does not fit means no limit that anybody could reach.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
