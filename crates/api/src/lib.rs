//! What crosses our borders as text: the files that people write, the envelope and the tools that agents speak.
//!
//! One idea: whatever comes from outside is read once, into types that can only hold what makes sense, with a precise
//! answer to whoever sent the rest. The crate does no work of its own: it reads no environment, starts nothing, asks
//! nobody, and depends on no other crate of ours.

pub mod acp_meta;
pub mod config;
pub mod globs;
pub mod plan;
pub mod policy;
pub mod rpc;
pub mod schema;
pub mod source;
pub mod tools;
pub mod trust;
pub mod value;
