//! The crate from outside: real repositories, real sandboxes.

mod agents;
mod checks;
mod hostile;
mod inspect;
mod merges;
mod place;
mod publish;
mod stores;
