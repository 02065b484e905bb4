//! The crate from outside: real repositories, real sandboxes.

mod inspect;
mod place;
