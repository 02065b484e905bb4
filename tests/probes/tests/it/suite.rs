//! The tests: every preset as root and as an ordinary user, and the run without a sandbox that shows that the probes work.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, OnceLock};

use sandbox::Preset;

use crate::evidence::Layers;
use crate::expected::{NEEDS_ROOT, NOT_SHOWN, NOT_WITHOUT, ONLY_SECCOMP, allowed};
use crate::host::{Place, Who, run_all};
use crate::judge::Verdict;

pub type Results = Vec<(&'static str, Verdict)>;

/// Results at a place, run once however many tests want them.
pub fn results(who: Who, place: Place) -> Arc<Results> {
    type Once = Arc<OnceLock<Arc<Results>>>;
    static ALL: LazyLock<Mutex<BTreeMap<String, Once>>> = LazyLock::new(Mutex::default);
    let once = Arc::clone(ALL.lock().unwrap().entry(format!("{who:?} {place:?}")).or_default());
    Arc::clone(once.get_or_init(|| Arc::new(run_all(who, place))))
}

/// What is not as it should be, told all at once.
fn complain(who: Who, place: Place, wrong: &[String]) {
    assert!(wrong.is_empty(), "as {who:?} at {place:?}:\n{}", wrong.join("\n"));
}

fn every_probe_is_held(who: Who, preset: Preset) {
    if !who.can_be_tried() {
        return;
    }
    let results = results(who, Place::Inside(preset));
    let wrong = results.iter().filter_map(|(name, verdict)| {
        let fine = match verdict {
            Verdict::Held(_) => *name != "spawn_thread_ok",
            Verdict::Escaped(_) | Verdict::Partly(_) => allowed(name, preset).is_some(),
            Verdict::NotApplicable(_) => cfg!(not(target_arch = "x86_64")),
            Verdict::Broken(_) => false,
        };
        (!fine).then(|| format!("  {name}: {}", verdict.words()))
    });
    complain(who, Place::Inside(preset), &wrong.collect::<Vec<_>>());
}

macro_rules! presets {
    ($($test:ident: $who:ident $preset:ident;)*) => {
        $(#[test]
        fn $test() {
            every_probe_is_held(Who::$who, Preset::$preset);
        })*
    };
}

presets! {
    worker_as_root: Root Worker;
    worker_as_user: User Worker;
    agent_cli_as_root: Root AgentCli;
    agent_cli_as_user: User AgentCli;
    check_as_root: Root Check;
    check_as_user: User Check;
    read_only_as_root: Root ReadOnly;
    read_only_as_user: User ReadOnly;
}

/// Without a sandbox a probe has to work, or its being held inside says nothing.
fn probes_work(who: Who) {
    if !who.can_be_tried() {
        return;
    }
    let results = results(who, Place::NoSandbox);
    let excused = |name: &str| {
        [NOT_SHOWN, NOT_WITHOUT].concat().iter().any(|(other, _)| *other == name)
            || who == Who::User && NEEDS_ROOT.contains(&name)
            // Only root can give the scene a program that is root's.
            || name == "fs_suid_sudo" && !crate::is_root()
    };
    let idle = results.iter().filter(|(name, verdict)| !verdict.shows_capable() && !excused(name));
    let wrong: Vec<String> = idle.map(|(name, verdict)| format!("  {name}: {}", verdict.words())).collect();
    complain(who, Place::NoSandbox, &wrong);
}

#[test]
fn without_a_sandbox_as_root() {
    probes_work(Who::Root);
}

#[test]
fn without_a_sandbox_as_user() {
    probes_work(Who::User);
}

/// With either lock away the other layers still keep everything of others and of the host; what the filter of system calls alone
/// keeps away is known by name.
fn one_lock_is_enough(who: Who) {
    if !who.can_be_tried() {
        return;
    }
    for lacking in ["landlock", "seccomp"] {
        let known = |name: &str| lacking == "seccomp" && ONLY_SECCOMP.contains(&name);
        let results = results(who, Place::Without(Layers::one(lacking)));
        let out = results.iter().filter(|(name, verdict)| !verdict.is_held() && !known(name) && !harmless(name));
        let wrong: Vec<String> = out.map(|(name, verdict)| format!("  {name}: {}", verdict.words())).collect();
        complain(who, Place::Without(Layers::one(lacking)), &wrong);
        // Had the filter been there after all, this would say nothing.
        let served = results.iter().find(|(name, _)| *name == "sys_personality").unwrap();
        assert_eq!(served.1.is_held(), lacking != "seccomp", "{served:?}");
    }
}

/// What is allowed even to a worker.
fn harmless(name: &str) -> bool {
    allowed(name, Preset::Worker).is_some()
}

#[test]
fn one_lock_is_enough_as_root() {
    one_lock_is_enough(Who::Root);
}

#[test]
fn one_lock_is_enough_as_user() {
    one_lock_is_enough(Who::User);
}

#[test]
fn names_are_not_used_twice() {
    let mut names: Vec<&str> = probes::all().map(|probe| probe.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(count >= 110, "{count}");
}
