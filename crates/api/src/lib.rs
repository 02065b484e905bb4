//! (skeleton)
pub mod acp_meta;
pub mod rpc;
pub mod tools;
