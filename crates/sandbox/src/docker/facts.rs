//! What an engine says of itself, and who a container's processes have to be because of it.

use bollard::models::{SystemInfo, SystemVersion};

use super::engine_error;
use crate::error::SandboxError;
use crate::policy::Identity;
use crate::sys;

/// The oldest API that has all that is asked for (Docker 20.10, Podman 3.0): private cgroup namespaces came with 1.41. The
/// client names no version in its requests, which means the engine's newest.
const API_MIN: (u32, u32) = (1, 41);

/// An engine, as far as a plan depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub kind: Kind,
    pub user: User,
    pub hard_limits: HardLimits,
}

/// Who the container's processes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    /// `uid:gid` in the container.
    pub user: String,
    /// How that is mapped to the host; none means as the engine does it.
    pub userns_mode: Option<String>,
}

/// The most that can be asked for of what the kernel limits per process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HardLimits {
    pub data: u64,
    pub fsize: u64,
    pub nofile: u64,
    /// None where the engine leaves it alone when nothing is said. Podman raises it, and fails where it may not.
    pub nproc: Option<u64>,
}

/// What kind of engine it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub podman: bool,
    pub rootless: bool,
    /// The engine gives containers a user namespace unless told otherwise (`userns-remap` of dockerd).
    pub remaps: bool,
}

impl Kind {
    /// Reads the engine's answers; an engine that is too old is refused.
    pub fn read(version: &SystemVersion, info: &SystemInfo) -> Result<Self, SandboxError> {
        let api = version.api_version.as_deref().unwrap_or_default();
        if parsed(api).is_none_or(|api| api < API_MIN) {
            let what =
                format!("it speaks version `{api}` of the Docker API, and {}.{} is needed", API_MIN.0, API_MIN.1);
            return Err(engine_error(what, "Update it to Docker 20.10 or Podman 3.0, or later."));
        }
        let options = info.security_options.iter().flatten();
        let has = |name: &str| options.clone().any(|option| option.split(',').any(|part| part == name));
        let components = version.components.iter().flatten();
        Ok(Self {
            podman: components.into_iter().any(|component| component.name.starts_with("Podman")),
            rootless: has("name=rootless"),
            remaps: has("name=userns"),
        })
    }
}

fn parsed(api: &str) -> Option<(u32, u32)> {
    let (major, minor) = api.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

impl User {
    /// Who is on the host whom the caller's files belong to (or, for root, nobody else), and never root inside.
    pub fn of(kind: Kind, caller: sys::HostIds, identity: Identity) -> Result<Self, SandboxError> {
        let Identity { uid, gid } = identity;
        match kind {
            Kind { podman: true, rootless: true, .. } => {
                let userns_mode = Some(format!("keep-id:uid={uid},gid={gid}"));
                Ok(Self { user: format!("{uid}:{gid}"), userns_mode })
            }
            Kind { podman: false, rootless: true, .. } => Err(engine_error(
                "rootless Docker cannot give an agent your files without making it root in its container",
                "Use Podman, an engine that runs as root, or the kernel back end.",
            )),
            Kind { remaps, .. } => {
                let userns_mode = remaps.then(|| "host".to_owned());
                Ok(Self { user: format!("{}:{}", caller.uid, caller.gid), userns_mode })
            }
        }
    }
}

impl HardLimits {
    /// An engine that runs as root may set any; one that does not is bound by what the caller is.
    pub fn of(kind: Kind) -> Self {
        let most = |resource| if kind.podman { sys::hard_limit(resource) } else { u64::MAX };
        Self {
            data: most(libc::RLIMIT_DATA),
            fsize: most(libc::RLIMIT_FSIZE),
            nofile: most(libc::RLIMIT_NOFILE),
            nproc: kind.podman.then(|| sys::hard_limit(libc::RLIMIT_NPROC).min(process_numbers())),
        }
    }
}

/// How many processes there can be on this host at all; Podman limits itself to this.
fn process_numbers() -> u64 {
    let most = std::fs::read_to_string("/proc/sys/kernel/pid_max").ok();
    most.and_then(|most| most.trim().parse().ok()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLER: sys::HostIds = sys::HostIds { uid: 501, gid: 20 };

    fn kind(api: &str, component: &str, options: &[&str]) -> Result<Kind, SandboxError> {
        let component = bollard::models::SystemVersionComponents { name: component.into(), ..Default::default() };
        let version = SystemVersion {
            api_version: Some(api.into()),
            components: Some(vec![component]),
            ..SystemVersion::default()
        };
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        Kind::read(&version, &SystemInfo { security_options: Some(options), ..SystemInfo::default() })
    }

    #[test]
    fn old_engines_are_refused_with_what_to_do() {
        for api in ["1.40", "", "1", "x.y"] {
            let error = kind(api, "Engine", &[]).unwrap_err().to_string();
            assert!(error.contains("1.41 is needed") && error.contains("Update it"), "{error}");
        }
        kind("1.41", "Engine", &[]).unwrap();
        kind("2.0", "Engine", &[]).unwrap();
    }

    #[test]
    fn nobody_is_root_and_the_callers_files_are_the_agents() {
        let of = |component: &str, options: &[&str]| {
            User::of(kind("1.45", component, options).unwrap(), CALLER, Identity { uid: 1000, gid: 1001 })
        };
        let docker = of("Engine", &["name=seccomp,profile=builtin", "name=cgroupns"]).unwrap();
        assert_eq!(docker, User { user: "501:20".into(), userns_mode: None });
        let remapped = of("Engine", &["name=userns"]).unwrap();
        assert_eq!(remapped, User { user: "501:20".into(), userns_mode: Some("host".into()) });
        let podman = of("Podman Engine", &["name=seccomp,profile=default", "name=rootless"]).unwrap();
        assert_eq!(podman, User { user: "1000:1001".into(), userns_mode: Some("keep-id:uid=1000,gid=1001".into()) });
        assert!(of("Engine", &["name=rootless"]).unwrap_err().to_string().contains("Use Podman"));
    }
}
