//! Sandboxes in containers: against a strict stand-in of an engine, and against a real one where there is one.

mod cases;
mod death;
mod failures;
#[cfg(feature = "docker-tests")]
mod real;
mod shape;
mod standin;

use std::os::unix::fs::chown;

use sandbox::{Backend, HOST_ID_OF_ROOTS_AGENTS, Policy};

use crate::Host;
use standin::{Engine, IMAGE, Manner};

/// An engine to launch on, and a host with its user's directory.
struct Fixture {
    host: Host,
    image: String,
    engine: Option<Engine>,
    /// Where the stand-in has its socket and its containers; it goes after them.
    _dir: Option<tempfile::TempDir>,
}

impl Fixture {
    fn new(image: &str, socket: &std::path::Path) -> Self {
        let uid = unsafe { libc::geteuid() };
        let host = Host::new(&[], uid);
        // Engines cannot show root's files as another's.
        let agent = if uid == 0 { HOST_ID_OF_ROOTS_AGENTS } else { uid };
        if uid == 0 {
            chown(host.path("work"), Some(agent), Some(agent)).unwrap();
        }
        host.launcher.use_engine(socket);
        Self { host, image: image.to_owned(), engine: None, _dir: None }
    }

    fn standin() -> Self {
        Self::with(Manner::default())
    }

    fn with(manner: Manner) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::start(dir.path(), manner);
        let fixture = Self::new(IMAGE, &dir.path().join("engine.sock"));
        Self { engine: Some(engine), _dir: Some(dir), ..fixture }
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    /// A tool's policy with `/work` to write, and the kit at `/opt/kit`, in a container.
    fn policy(&self) -> Policy {
        Policy { backend: self.backend(), ..self.host.policy() }
    }

    fn backend(&self) -> Backend {
        Backend::Docker { image: self.image.clone() }
    }
}

/// Every case as a test on one kind of engine.
macro_rules! on {
    ($fixture:path: $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                $crate::docker::cases::$case(&$fixture());
            }
        )*
    };
}
/// All cases of [`cases`].
macro_rules! every_case_on {
    ($fixture:path) => {
        $crate::docker::on! { $fixture:
            streams_are_carried_both_ways
            codes_and_signals_are_told_apart
            kill_reaches_everything
            dropping_the_tree_kills_it
            what_the_program_leaves_behind_dies_with_it
            the_walls_stand
            files_are_what_the_policy_says
            nothing_of_the_image_or_the_caller_reaches_the_program
            the_donated_listener_is_the_callers
            without_the_gateway_nobody_listens
            limits_hold
            disks_are_watched
            who_may_start_nothing_starts_nothing
            only_the_listed_programs_run
            what_is_not_allowed_is_refused
            what_cannot_be_started_is_told
        }
    };
}
use {every_case_on, on};

mod on_the_standin {
    super::every_case_on! { super::Fixture::standin }
}
