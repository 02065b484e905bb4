//! The scripted upstream: a model whose answers are written in a file.
//!
//! It is a public part of the product: demos, tests of plans and tests of agents run on it, without keys, network or
//! cost. It answers in every format, streaming or not, on the same way through the gateway as a real model. It keeps
//! no state: the answer depends on the request alone, so that the same request always gets the same bytes, before
//! and after a restart.
//!
//! # The file
//!
//! YAML (or JSON, which is YAML):
//!
//! ```yaml
//! version: 1
//! model: scripted-1          # what GET /v1/models says; `scripted` when left out
//! latency_ms: 0              # how long every answer is thought about; 0 when left out
//! replies:                   # the first whose `when` fits answers; when none fits, the call fails with 400
//!   - when:                  # everything in it must hold; left out: fits always
//!       contains: "[parser]" # text in the messages of the user; a list: each of its texts
//!       tool_result_contains: "2 failed"   # the same for the results of tools
//!       model: scripted-1    # the model that the request names
//!     latency_ms: 20         # in place of the file's
//!     steps:
//!       - say: I will read the file first.      # text beside the calls; may be left out
//!         calls:
//!           - {tool: read_file, args: {path: parser.py}}
//!       - text: Done.        # an answer without calls
//! ```
//!
//! **Which step answers**: the one whose number (from 0) is the number of turns that the assistant has taken in the
//! request's conversation; a run of consecutive items of the assistant is one turn. Beyond the last step the answer
//! is the text `Nothing further to do.`
//!
//! A step is one of:
//!
//! | step | answer |
//! |---|---|
//! | `text: TEXT` | a text |
//! | `calls: [{tool, args}]`, with `say: TEXT` if wanted | calls of tools; `args` is a mapping, empty when left out |
//! | `error: {status, message, retry_after_s}` | an HTTP error in the format's shape, with `retry-after` if given |
//! | `raw: {kind}` | a bad answer, see below |
//!
//! A tool that the request does not offer, but one whose name ends in `_` and its, is called by that name: so one script does for agents that give
//! the tools of MCP servers other names (`submit_result` is `muster_submit_result` to one and `mcp__muster__submit_result` to another).
//! A tool called `mcp__SERVER__TOOL` is one of an MCP server, as Claude Code names it; in OpenAI's Responses it is called by `namespace` and `name`, as Codex
//! wants it.
//!
//! A step may carry `latency_ms` (in place of the reply's) and `usage: {input_tokens, cached_tokens, output_tokens}` (the
//! numbers to report; a number left out is counted as below, `cached_tokens` is part of `input_tokens`).
//!
//! | `raw` kind | answer |
//! |---|---|
//! | `empty` | well-formed, without text and without calls |
//! | `refusal` | the format's own way of declining |
//! | `length` | a text that stops in mid-sentence at the output limit |
//! | `unknown_tool` | a call of `no_such_tool` |
//! | `malformed` | a call whose arguments are not JSON |
//! | `truncated` | the connection breaks in the middle of the answer |
//! | `stalled` | silence in the middle of the answer, for ever |
//! | `unreachable` | none: as if nobody listened at the upstream's address |
//! | `garbage` | status 200 with a body that is not of the format |
//! | `huge` | a text of `bytes` bytes, 1 MiB when left out |
//!
//! **Numbers and ids** depend on the request and the step only: `input_tokens` is the request body's bytes divided by
//! 4, `output_tokens` the bytes of text and arguments divided by 4, both rounded up; ids are built from the numbers of
//! reply, step and call (`call_r0s1c0`; `toolu_r0s1c0` in Anthropic's format). A streamed text comes in pieces of at
//! least 16 bytes and in at most 64 pieces.
//!
//! Asked to count tokens, a script answers with the request body's bytes divided by 4, rounded up.
//!
//! A scripted model costs nothing, unless the configuration gives its model a price.

mod answer;
mod body;
mod conversation;
mod render;
mod script;

pub use script::{Script, ScriptError};

pub(crate) use answer::count;
pub(crate) use body::{Ends, ScriptedBody};
