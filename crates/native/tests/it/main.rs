//! The agent as its client sees it: the real program on pipes, with a model and a tool server made of threads.

mod client;
mod limits;
mod protocol;
mod resume;
mod server;
mod stream;
mod tool_server;
mod turns;
