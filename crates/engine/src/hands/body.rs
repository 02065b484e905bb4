//! What an agent runs in: a sandbox. With the feature `modelled`, which only the benchmarks have, it may be a task of this process instead.

#[cfg(feature = "modelled")]
pub(crate) mod modelled;

use super::Failed;
use agents::acp::Io;
use std::net::TcpListener;
use tokio::io::{AsyncRead, AsyncWrite};
use workspace::{Exit, Program, Workspace};

type Input = Box<dyn AsyncWrite + Unpin + Send>;
type Output = Box<dyn AsyncRead + Unpin + Send>;

/// A running agent: its pipes, its way to us, and the control of its life.
pub(super) struct Body {
    pub(super) io: Io<Input, Output, Output>,
    /// What answers the agent; whoever connects to it is this agent.
    pub(super) listener: Option<TcpListener>,
    pub(super) control: Control,
}

/// Waits for an agent's end and brings it about.
pub(super) enum Control {
    Sandboxed(workspace::Control),
    #[cfg(feature = "modelled")]
    Modelled(modelled::Control),
}

impl Body {
    /// The program in the workspace's sandbox.
    pub(super) async fn sandboxed(workspace: &Workspace, program: Program) -> Result<Self, Failed> {
        let process = workspace.spawn(program).await?;
        let io = Io {
            stdin: Box::new(process.stdin) as Input,
            stdout: Box::new(process.stdout) as Output,
            stderr: Some(Box::new(process.stderr) as Output),
        };
        Ok(Self { io, listener: process.listener, control: Control::Sandboxed(process.control) })
    }
}

impl Control {
    /// Waits until nothing of the agent runs any more, and says how its program ended.
    pub(super) async fn wait(&self) -> Exit {
        match self {
            Self::Sandboxed(control) => control.wait().await,
            #[cfg(feature = "modelled")]
            Self::Modelled(control) => {
                control.wait().await;
                Exit::Code(0)
            }
        }
    }

    /// Ends the agent and everything that it started. Returns at once; harmless when it is gone.
    pub(super) fn kill(&self) {
        match self {
            Self::Sandboxed(control) => control.kill(),
            #[cfg(feature = "modelled")]
            Self::Modelled(control) => control.kill(),
        }
    }
}
