//! Sandboxes in containers of Docker or Podman: the same policy, with an image's programs.
//!
//! Why: a team may keep its tools in an image. It is not a stronger wall than the kernel back end, and a launch is several
//! requests to an engine.
//!
//! # How a launch goes
//!
//! ```text
//! caller ──engine's socket──▶ dockerd or podman ──▶ container: namespaces, read-only root, no capabilities, cgroup
//!    │                                                 └ process 1: our guest, this program's own file, shown read-only
//!    └──socket in a folder shown inside─────────────────┤  (spec and three pipes in; donated listener, failures, end out)
//!                                                       └ vfork ▶ the program: Landlock, limits, exec
//! ```
//!
//! The engine makes the walls and the guest does the rest, with the code that init has in the kernel back end: it looks
//! whether the walls stand, locks files a second time, starts the program and ends the tree. What the program reads and
//! writes goes through pipes of the caller and never through the engine, so that there is nothing to take apart, and a
//! reader that is slow on one of them holds up none of the others.
//!
//! The guest ends when the caller's end of its socket closes, be it by a crash; being process 1, it takes all with it. What is left
//! of a container then is removed by the next caller ([`owner`]).
//!
//! # What it refuses
//!
//! * To pull images: fetching from a network is not the sandbox's decision.
//! * A container that the engine made with less than was asked for: warnings of the engine are errors, and the guest looks.
//! * Remote engines: binds and the socket are of this machine.

mod engine;
mod facts;
mod owner;
mod place;
mod plan;
mod profile;

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::SandboxError;
use crate::launcher::{Launch, Plumbing, Sandboxed, Terminals, started};
use crate::limits::{Keeper, Kept};
use crate::policy::{Bind, Limits, Ownership, Policy};
use crate::seccomp;
use crate::spec::Spec;
use crate::sys;
use crate::tree::{Holder, Tree};
use crate::wire;
pub(crate) use engine::Ending;
use engine::Engine;
use owner::{OWNER, Owner};
use place::Place;
pub(crate) use plan::INSIDE;
use plan::{Request, plan};

/// How long the container may take from its start to its guest's first word, in milliseconds.
const START_MS: i32 = 60_000;
/// How long the guest may take to start the program, in milliseconds.
const GUEST_MS: i32 = 30_000;

/// What containers need of the caller's setting, and the engine once one was needed.
#[derive(Debug)]
pub(crate) struct Docker {
    /// The program that has the hidden subcommand of the guest.
    guest: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// None means the first of the usual ones that is there.
    socket: Option<PathBuf>,
    engine: Option<Arc<Engine>>,
    /// What earlier callers left has been removed.
    swept: bool,
}

impl Docker {
    /// `program` is the launcher's.
    pub fn new(program: PathBuf) -> Self {
        Self { guest: program, state: Mutex::default() }
    }

    /// Uses the engine at this socket from the next launch on.
    pub fn use_engine(&self, socket: PathBuf) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State { socket: Some(socket), ..State::default() };
    }

    /// Runs a program in a container of `image`; on any error nothing runs. `keeper` watches what engines cannot limit.
    pub fn launch(
        &self,
        launch: &Launch,
        image: &str,
        terminals: Terminals,
        keeper: &Keeper,
    ) -> Result<Sandboxed, SandboxError> {
        let policy = &launch.policy;
        let spec = Spec::compile(launch)?;
        check_rights(&spec.binds, spec.programs.is_some())?;
        let engine = self.engine()?;
        let facts = engine.facts(policy.identity)?;
        let host = sys::HostIdentity::of_sandboxes().map_err(SandboxError::launcher("finding a user for it"))?.ids();
        spec.binds.iter().try_for_each(|bind| check_owner(bind, host))?;
        let guest = self.guest.canonicalize().map_err(SandboxError::launcher("finding its program"))?;
        let owner = Owner::current();
        let profile = profile::profile(seccomp::allowed_syscalls(policy)?).to_string();
        let place = Place::make(&place::usual_base(sys::caller().uid), &owner, &spec, &profile)
            .map_err(SandboxError::launcher("making a folder for the container"))?;
        let request = Request {
            spec: &spec,
            limits: &policy.limits,
            image,
            profile: &profile,
            facts: &facts,
            guest: &guest,
            place: &place.path,
            labels: owner.labels(),
        };
        let container = engine.start(image, plan(&request)?)?;
        let mut container = Container { engine, id: container.id, ended: container.ended, place: Some(place) };
        let (reply, plumbing) = container.converse(&spec, host, terminals)?;
        let (init, denials, listener) = started(reply, &spec)?;
        let Plumbing { reports, stdin, stdout, stderr, theirs: _ } = plumbing;
        let ending = container.remove_at_end(&init, policy.limits.tree_memory_bytes.is_some())?;
        let (init, mut kept) = (Arc::new(init), Kept::default());
        let begun = keeper.begin(&mut kept, &watched_by_us(policy), &init);
        let tree = Tree::new(init, reports, denials, kept, Holder::Container(ending));
        begun.map_err(SandboxError::launcher("watching its limits"))?;
        Ok(Sandboxed { stdin, stdout, stderr, listener, tree })
    }

    /// The engine, found and swept when it is needed first; one that does not answer is looked for again next time.
    fn engine(&self) -> Result<Arc<Engine>, SandboxError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let engine = match &state.engine {
            Some(engine) => Arc::clone(engine),
            None => Arc::new(Engine::connect(&state.socket.clone().map_or_else(usual_socket, Ok)?)?),
        };
        state.engine = Some(Arc::clone(&engine));
        // A list that cannot be had or read is asked for again by the next launch: what is left behind does not run.
        state.swept = state.swept || sweep(&engine).is_ok();
        Ok(engine)
    }
}

fn usual_socket() -> Result<PathBuf, SandboxError> {
    let sockets = engine::usual_sockets(sys::caller().uid);
    sockets.iter().find(|socket| socket.exists()).cloned().ok_or_else(|| {
        let looked: Vec<String> = sockets.iter().map(|socket| socket.display().to_string()).collect();
        let what = format!("none is there; looked for {}", looked.join(", "));
        engine_error(
            what,
            "Start Docker or Podman (`systemctl --user start podman.socket`), or use the kernel back end.",
        )
    })
}

/// Removes what callers that are no more have left.
fn sweep(engine: &Engine) -> Result<(), SandboxError> {
    place::sweep(&place::usual_base(sys::caller().uid));
    let left = engine.labelled(OWNER)?.into_iter().filter(|one| owner::is_left_behind(&one.labels, one.is_over));
    left.for_each(|container| engine.remove(container.id, || ()));
    Ok(())
}

/// A container on its way; removed, with its folder, when dropped before [`Container::remove_at_end`].
struct Container {
    engine: Arc<Engine>,
    id: String,
    ended: OwnedFd,
    place: Option<Place>,
}

impl Container {
    /// Gives the guest what it needs and reads its answer.
    fn converse(
        &self,
        spec: &Spec,
        host: sys::HostIds,
        terminals: Terminals,
    ) -> Result<((wire::Reply, Vec<OwnedFd>), Plumbing), SandboxError> {
        let mut plumbing = Plumbing::new(terminals).map_err(SandboxError::launcher("making pipes"))?;
        let [_, theirs @ ..] = &plumbing.theirs;
        let give = |pipe| place::give(pipe, host.uid, host.gid);
        theirs.iter().try_for_each(give).map_err(SandboxError::launcher("handing its pipes over"))?;
        let accepted = self.place.as_ref().map(|place| place.accept(&self.ended, START_MS)).transpose();
        let accepted = accepted.map_err(SandboxError::launcher("waiting for the container"))?.flatten();
        plumbing.reports = accepted.ok_or_else(|| self.never_spoke())?;
        let [_, theirs @ ..] = plumbing.theirs.each_ref().map(AsFd::as_fd);
        let reports = plumbing.reports.as_fd();
        // A guest that fails early stops reading; its reason is then waiting for us, and says more than our own error.
        let _ = sys::send_with_fds(reports, &[0], &theirs).and_then(|()| sys::send_all(reports, &spec.encode()));
        if !sys::readable(reports, Some(GUEST_MS)) {
            return Err(SandboxError::Launcher { what: "waiting for the guest", source: crate::tree::timed_out() });
        }
        let reply = wire::receive(reports).map_err(|_| self.never_spoke())?;
        Ok((reply, plumbing))
    }

    fn never_spoke(&self) -> SandboxError {
        let said = self.engine.log(&self.id);
        let said = if said.is_empty() { "it said nothing".to_owned() } else { format!("it said: {said}") };
        let advice = "The image needs a C library at least as new as the one that muster was built with, or a static build of \
                      muster.";
        engine_error(format!("the container ended before its program could be started; {said}"), advice)
    }

    /// From here on its own end removes it.
    fn remove_at_end(&mut self, init: &OwnedFd, has_memory_limit: bool) -> Result<Ending, SandboxError> {
        let first = init.try_clone().map_err(SandboxError::launcher("referring to the container"))?;
        let place = self.place.take();
        place.iter().for_each(Place::close);
        Ok(Engine::remove_at_end(&self.engine, first, self.id.clone(), has_memory_limit, || drop(place)))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.engine.remove(self.id.clone(), || drop(place));
        }
    }
}

/// What is left to watch when the engine limits memory and processor time: disks.
fn watched_by_us(policy: &Policy) -> Policy {
    let limits = Limits { tree_memory_bytes: None, cpu_percent: None, ..policy.limits.clone() };
    Policy { limits, ..policy.clone() }
}

/// Landlock, which alone forbids to execute here, knows files and not the places where they are shown, and what holds for a
/// folder holds for all that is shown below it. It knows nothing of what a loader maps: where only `listed` programs run, the
/// loader of one of them would run whatever can be written.
fn check_rights(binds: &[Bind], listed: bool) -> Result<(), SandboxError> {
    if listed && let Some(bind) = binds.iter().find(|bind| bind.access.writes()) {
        return Err(SandboxError::Policy(format!(
            "processes: exec with {} to write in does not hold in a container, where a loader could run what is written there; \
             show it read-only, or use the kernel back end",
            bind.inside.display()
        )));
    }
    let executes = binds.iter().filter(|bind| bind.access.executes());
    for bind in executes {
        let is_below = |other: &&Bind| other.inside.starts_with(&bind.inside) && !other.access.executes();
        if let Some(other) = binds.iter().find(is_below) {
            return Err(SandboxError::Policy(format!(
                "{} is shown not to execute below {}, which is shown to execute; that cannot be told apart in a container; show \
                 it elsewhere, or use the kernel back end",
                other.inside.display(),
                bind.inside.display()
            )));
        }
        if let Some(other) = binds.iter().find(|other| other.host == bind.host && !other.access.executes()) {
            return Err(SandboxError::Policy(format!(
                "{} is shown at {} to execute and at {} not, which cannot be told apart in a container; show it once, or use \
                 the kernel back end",
                bind.host.display(),
                bind.inside.display(),
                other.inside.display()
            )));
        }
    }
    Ok(())
}

/// Engines cannot show files under another owner. For root that would make a bind useless inside, without a word.
fn check_owner(bind: &Bind, host: sys::HostIds) -> Result<(), SandboxError> {
    use std::os::unix::fs::MetadataExt;
    let about =
        std::fs::metadata(&bind.host).map_err(|source| SandboxError::Bind { host: bind.host.clone(), source })?;
    let needs_ownership = bind.ownership == Ownership::Agent && bind.access.writes();
    if !needs_ownership || about.uid() == host.uid {
        return Ok(());
    }
    Err(SandboxError::Policy(format!(
        "{} belongs to user {} and a container's processes are user {}, who could not write there; run as an ordinary user \
         who may use the engine's socket, give the folder to that user, or use the kernel back end",
        bind.host.display(),
        about.uid(),
        host.uid
    )))
}

/// A failure of the engine, or what it refused.
fn engine_error(what: impl Into<String>, advice: impl Into<String>) -> SandboxError {
    let (what, advice) = (what.into(), advice.into());
    let advice = if advice.is_empty() { advice } else { format!(". {advice}") };
    SandboxError::Engine { what, advice }
}

/// The program of a launcher's command, as a path that means the same to others.
pub(crate) fn program_of(command: &[std::ffi::OsString]) -> PathBuf {
    let program = command.first().map(PathBuf::from).unwrap_or_default();
    // Another process's `/proc/self/exe` is another program.
    if program == Path::new("/proc/self/exe") { std::fs::read_link(&program).unwrap_or(program) } else { program }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(binds: &[Bind], listed: bool) -> String {
        check_rights(binds, listed).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn rights_that_a_container_cannot_keep_are_refused() {
        let (work, tools) = (Bind::write_execute("/a/work", "/work"), Bind::read_execute("/a/tools", "/tools"));
        assert_eq!(refusal(&[work.clone(), tools.clone(), Bind::read("/a/rules", "/rules")], false), "");
        assert_eq!(refusal(&[work.clone(), Bind::read_execute("/a/tools", "/work/tools")], false), "");
        let below = refusal(&[work.clone(), Bind::read("/a/rules", "/work/rules")], false);
        assert!(below.contains("/work/rules is shown not to execute below /work"), "{below}");
        let twice = refusal(&[tools.clone(), Bind::write("/a/tools", "/again")], false);
        assert!(twice.contains("to execute and at /again not"), "{twice}");
        assert_eq!(refusal(&[tools.clone(), Bind::read("/a/rules", "/rules")], true), "");
        let written = refusal(&[tools, Bind::write("/a/work", "/work")], true);
        assert!(written.contains("processes: exec with /work to write in"), "{written}");
        assert!(refusal(&[work], true).contains("processes: exec with /work to write in"));
    }
}
