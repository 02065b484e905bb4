//! Agents that are tasks of this process, to measure what the engine itself costs.
//!
//! Everything else about them is what every agent has: the protocol on two pipes, a listener of its own behind which the gateway and the
//! agent tools are, a session key, a transcript, the journal. What they do not have is a sandbox, so no program but a benchmark may be built
//! with this feature (`cargo xtask tidy` looks), and only roles without a repository may have such agents.

use super::{Body, Input, Output};
use crate::hands::Failed;
use agents::acp::Io;
use futures::future::BoxFuture;
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, TcpListener},
    sync::Arc,
};
use tokio::{io::DuplexStream, runtime, sync::watch, task::AbortHandle};

/// Bytes that wait in one direction of a pipe: as many as in a pipe of the kernel.
const PIPE_BYTES: usize = 64 * 1024;

/// A modelled agent as it begins: what a process would find.
pub struct ModelledAgent {
    /// What the engine says, line by line; its end asks the agent to end.
    pub stdin: DuplexStream,
    /// What the agent says.
    pub stdout: DuplexStream,
    /// Where models are and how they are asked, under the names that programs look for.
    pub env: BTreeMap<String, String>,
}

/// What all agents of an engine are instead of programs.
#[derive(Clone)]
pub struct Modelled {
    /// Where they run. Apart from the engine's own runtime, what they cost can be told from what it costs.
    pub runtime: runtime::Handle,
    /// What each does until its end.
    pub run: Arc<dyn Fn(ModelledAgent) -> BoxFuture<'static, ()> + Send + Sync>,
}

/// Waits for a modelled agent and ends it.
pub(in crate::hands) struct Control {
    task: AbortHandle,
    /// Closed when the task is gone.
    alive: watch::Receiver<()>,
}

impl Control {
    pub(super) async fn wait(&self) {
        let mut alive = self.alive.clone();
        while alive.changed().await.is_ok() {}
    }

    pub(super) fn kill(&self) {
        self.task.abort();
    }
}

/// The listener of an agent that is still to begin, and where it is.
pub(in crate::hands) fn door() -> Result<(TcpListener, String), Failed> {
    let open = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        Ok((listener, address.to_string()))
    };
    open().map_err(|error: std::io::Error| Failed::transient(format!("a modelled agent's listener: {error}")))
}

impl Modelled {
    pub(in crate::hands) fn begin(&self, env: BTreeMap<String, String>, listener: TcpListener) -> Body {
        let (to_agent, stdin) = tokio::io::duplex(PIPE_BYTES);
        let (stdout, from_agent) = tokio::io::duplex(PIPE_BYTES);
        let (alive, watched) = watch::channel(());
        let agent = (self.run)(ModelledAgent { stdin, stdout, env });
        let task = self.runtime.spawn(async move {
            agent.await;
            drop(alive);
        });
        Body {
            io: Io {
                stdin: Box::new(to_agent) as Input,
                stdout: Box::new(from_agent) as Output,
                stderr: None::<Output>,
            },
            listener: Some(listener),
            control: super::Control::Modelled(Control { task: task.abort_handle(), alive: watched }),
        }
    }
}
