//! What all tests use.

pub mod bench;
pub mod child;
pub mod evidence;
pub mod journal;
pub mod repo;
pub mod server;

pub use bench::{Bench, Outcome};
pub use child::Running;
pub use journal::Journal;
