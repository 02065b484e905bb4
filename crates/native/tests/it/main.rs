//! The agent as its client sees it: the real program on pipes, with a model and a tool server made of threads.

// Tests may fail by panic; the exemption in clippy.toml does not reach helpers outside of test functions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod client;
mod limits;
mod protocol;
mod providers;
mod resume;
mod server;
mod stream;
mod tool_server;
mod turns;
