//! The seeded simulator: whole missions on the real core, in virtual time, against a world that fails, lies, repeats itself and dies.
//!
//! One number makes one run, the same on every machine. The world ([`world`]) knows what truly is: which processes live, where the mission branch
//! stands, what the provider was paid. The driver ([`driver`]) is the engine's loop on a journal that can lose what is not durable. The rules
//! ([`rules`]) compare both with the core after every step. There is no thread, clock or file in a run.

pub mod agent;
pub mod coverage;
pub mod driver;
pub mod hands;
pub mod person;
pub mod rng;
pub mod rules;
pub mod scenario;
pub mod shadow;
pub mod world;

pub use coverage::Coverage;
pub use driver::{Driver, Outcome};
pub use rules::{Rule, Violation};
pub use world::Plant;

/// Runs one seed.
///
/// # Errors
/// The first rule that it breaks.
pub fn run(seed: u64, plant: Option<Plant>, trace: bool) -> Result<Outcome, Violation> {
    Driver::new(seed, plant, trace).run()
}

/// The command that runs one seed again, with everything that happens in it.
pub fn command(seed: u64) -> String {
    format!("cargo run -p sim --release -- --seed {seed} --trace")
}
