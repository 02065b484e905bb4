//! The engine: missions carried out on this machine.
//!
//! ```text
//! Engine::begin / resume ─▶ Running
//!     driver   one actor per mission: decides, makes durable, then lets things happen
//!     hands    effects carried out: repositories, agents, turns, merges, publication
//!     meter    the books behind the gateway: leases, settlements, stored answers
//!     serve    what answers inside an agent's sandbox: the gateway and the agent tools
//!     masking  the secrets that this process knows; everything that is written passes it
//!     console  what ran in an agent's sandboxes and what it printed, for its transcript
//!     prices   the price table of a home
//!     ready    what a mission lacks, before anything is spent
//!     kit      whether a program can be an agent here: small missions of this very engine
//!     host     what this machine has and can enforce, for people
//!     registry which agents this machine has
//!     replay   a mission run again from its recorded calls
//! ```
//!
//! Nothing here holds a rule of the mission: those are in `mission`. Nothing here is visible or carried out before it is durable.

mod causes;
mod clock;
mod console;
pub mod control;
mod driver;
mod egress;
mod engine;
mod fault;
mod hands;
mod health;
mod host;
mod intake;
mod kit;
mod masking;
mod meter;
mod order;
mod past;
pub mod prices;
mod ready;
mod registry;
mod replay;
mod serve;
mod settings;
mod setup;
mod tools;

pub use ::view;
pub use driver::{DriverError, Handle, Progress, TellError};
pub use engine::{Engine, EngineError, Request, Running, Secrets, Setup, inspect};
pub use fault::{Faults, NoSuchPoint};
#[cfg(feature = "modelled")]
pub use hands::{Modelled, ModelledAgent};
pub use host::{Guarantee, HostView, Tool};
pub use kit::Verdict;
pub use masking::{Masking, Named};
pub use meter::Meter;
pub use mission::{Micros, Standing};
pub use order::{BadOrder, Order, Reply};
pub use policies as sandboxed;
pub use policies::{Extras, Places};
pub use ready::{Lack, lacks};
pub use registry::{AgentEntry, configured, registry};
pub use replay::{Comparison, Replay, ReplayedCalls};
pub use settings::{
    HealthSettings, Leaving, PriceSettings, Recording, RoleSettings, RulesSettings, SecretSettings, Settings,
    UpstreamSettings, core_plan, limits,
};
pub use setup::{SetupError, dollars};
pub use tools::{ExtraTool, RunTool};
pub use workspace::{
    CommitId, Comparing, ErrorKind, FileDiff, HostReport, Launcher, RepoFacts, RepoProblem, guest_main, host_report,
    keep_from_core_dumps, launcher_main, launcher_main_with, remove_tree,
};
