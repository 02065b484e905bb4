//! Who runs the probes: a user, a scene, launchers, and policies with limits that probes can reach quickly.

use std::ffi::OsString;

use sandbox::{Bind, Launcher, Layer, Policy, Preset};

use crate::expected::{NOT_WITHOUT, allowed};
use crate::judge::{Verdict, judge};
use crate::scene::Scene;
use crate::{ORDINARY, PROBE, run};

/// Root, or an ordinary user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Root,
    User,
}

impl Who {
    /// The users that can be tried: an ordinary user cannot become root.
    pub const ALL: [Self; 2] = [Self::Root, Self::User];

    pub fn can_be_tried(self) -> bool {
        self == Self::User || crate::is_root()
    }

    fn uid(self) -> u32 {
        match self {
            Self::Root => 0,
            Self::User if crate::is_root() => ORDINARY,
            Self::User => unsafe { libc::geteuid() },
        }
    }
}

/// Where probes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// As a plain child.
    NoSandbox,
    Inside(Preset),
    /// Without these layers of the sandbox.
    Without(&'static [&'static str]),
}

impl Place {
    /// The preset that a probe is run in. To see which layers hold it, that is one which does not allow it.
    fn preset_of(self, name: &str) -> Preset {
        let allows = |preset| allowed(name, preset).is_some();
        match self {
            Self::Inside(preset) => preset,
            Self::NoSandbox | Self::Without(_) if !allows(Preset::AgentCli) || allows(Preset::Worker) => {
                Preset::AgentCli
            }
            Self::NoSandbox | Self::Without(_) if !allows(Preset::ReadOnly) => Preset::ReadOnly,
            Self::NoSandbox | Self::Without(_) => Preset::Worker,
        }
    }

    /// Taking a lock away changes nothing for what the clock and limits end; and a worker without its filter is not launched.
    fn matters_to(self, name: &str) -> bool {
        let Self::Without(layers) = self else { return true };
        let refused = layers.contains(&"seccomp") && self.preset_of(name) == Preset::Worker;
        !refused && !outstays(name) && !name.starts_with("res_")
    }
}

/// Every probe at a place, as somebody. Those that wait for a clock or a watcher have a scene of their own, so that the others need
/// not wait for them.
pub fn run_all(who: Who, place: Place) -> Vec<(&'static str, Verdict)> {
    let names = probes::all().map(|probe| probe.name).filter(|name| place.matters_to(name));
    let (slow, quick): (Vec<_>, Vec<_>) = names.partition(|name| name.starts_with("time_") || name.starts_with("res_"));
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| run_in_a_scene(who, place, &slow));
        let quick = run_in_a_scene(who, place, &quick);
        [quick, slow.join().unwrap()].concat()
    })
}

fn run_in_a_scene(who: Who, place: Place, names: &[&'static str]) -> Vec<(&'static str, Verdict)> {
    if names.is_empty() {
        return vec![];
    }
    let mut scene = Scene::set(who.uid());
    let launcher = match place {
        Place::NoSandbox => None,
        Place::Inside(_) => Some(launcher(&scene, &[])),
        Place::Without(layers) => Some(launcher(&scene, layers)),
    };
    names.iter().map(|name| (*name, run_one(&mut scene, launcher.as_ref(), place, name))).collect()
}

fn run_one(scene: &mut Scene, launcher: Option<&Launcher>, place: Place, name: &str) -> Verdict {
    let Some(launcher) = launcher else {
        let not = NOT_WITHOUT.iter().find(|(other, _)| *other == name);
        return not.map_or_else(
            || judge(name, &run::plainly(scene, name)),
            |(_, why)| Verdict::NotApplicable((*why).to_owned()),
        );
    };
    match run::inside(scene, launcher, policy(scene, place, name), name) {
        Ok(ran) => judge(name, &ran),
        Err(error) => Verdict::Broken(format!("no sandbox: {error}")),
    }
}

/// A secret in the launcher's own environment is there to be found, too.
fn launcher(scene: &Scene, without: &[&str]) -> Launcher {
    let variable = format!("PROBE_KEY=SECRET-{}-variable", scene.token);
    let mut command = vec![PROBE.to_owned(), "with-env".to_owned(), variable];
    if crate::is_root() && scene.uid != 0 {
        command.extend(["as".to_owned(), scene.uid.to_string()]);
    }
    command.push("__sandbox".to_owned());
    if !without.is_empty() {
        command.extend(["--without".to_owned(), without.join(",")]);
    }
    let launcher = Launcher::new(command.into_iter().map(OsString::from).collect()).unwrap();
    launcher.hide(scene.path("hub.git/kept"));
    launcher
}

/// Bytes of memory and of disk that a whole sandbox may hold; less than what the probes want.
const TREE_LIMITS: (Option<u64>, Option<u64>) = (Some(96 << 20), Some(20 << 20));

fn policy(scene: &Scene, place: Place, name: &str) -> Policy {
    let preset = place.preset_of(name);
    let mut policy = preset.policy();
    if let Place::Without(layers) = place {
        policy.allow_degraded = layers.iter().map(|layer| layer_named(layer)).collect();
    }
    let bind = |name: &str, inside: &str, access| Bind { access, ..Bind::read(scene.path(name), inside) };
    policy.filesystem.binds.push(bind("work", "/work", preset.work_access()));
    policy.filesystem.binds.push(Bind::read_execute(scene.path("bin"), "/opt"));
    policy.filesystem.binds.push(Bind::read(scene.path("hub.git"), "/hub"));
    policy.filesystem.binds.push(Bind::write(scene.path("checkout"), "/checkout"));
    policy.filesystem.tmp_bytes = 16 << 20;
    let limits = &mut policy.limits;
    // Those that execute what they copied need room for a whole program, one with what a debugger reads.
    let file_bytes = if name.starts_with("res_") { 8 << 20 } else { 256 << 20 };
    (limits.memory_bytes, limits.file_bytes) = (64 << 20, file_bytes);
    (limits.processes, limits.open_files) = (64, 256);
    (limits.tree_memory_bytes, limits.disk_bytes) = TREE_LIMITS;
    limits.wall_ms = Some(if outstays(name) { 250 } else { 10_000 });
    policy
}

fn layer_named(name: &str) -> Layer {
    match name {
        "landlock" => Layer::Landlock,
        "seccomp" => Layer::Seccomp,
        other => panic!("no layer {other}"),
    }
}

/// Probes that can only be ended by the clock.
fn outstays(name: &str) -> bool {
    name.starts_with("time_") || ["res_cpu_spin_wall", "res_log_flood"].contains(&name)
}
