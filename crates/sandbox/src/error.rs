//! Why a sandbox did not start, precisely enough to act on.

use std::io;
use std::path::PathBuf;

/// Why a launch was refused or failed. In every case nothing runs.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The policy contradicts itself, or asks for what this version cannot enforce.
    #[error("the sandbox policy is refused: {0}")]
    Policy(String),
    /// A bound host path cannot be shown inside.
    #[error("{} cannot be shown in the sandbox: {source}", host.display())]
    Bind {
        /// The path on the host.
        host: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The program could not be executed inside.
    #[error("{} cannot be started in the sandbox: {source}", program.display())]
    Exec {
        /// The program, as seen inside.
        program: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The working directory cannot be entered inside.
    #[error("the working directory {} cannot be entered in the sandbox: {source}", path.display())]
    Cwd {
        /// The directory, as seen inside.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// This host does not give what a sandbox needs.
    #[error("this host refused a part of the sandbox ({step}): {source}.{advice}")]
    Host {
        /// The step that failed.
        step: String,
        /// What the kernel said.
        source: io::Error,
        /// What to do about it; empty, or a sentence with a space in front.
        advice: String,
    },
    /// The container engine cannot be reached, or refused.
    #[error("the container engine: {what}{advice}")]
    Engine {
        /// What happened, in the engine's own words where it said any.
        what: String,
        /// What to do about it; empty, or sentences with a full stop and a space in front.
        advice: String,
    },
    /// The launcher process could not be started, died or did not answer.
    #[error("the sandbox launcher failed: {what}: {source}")]
    Launcher {
        /// What was being done.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

impl SandboxError {
    pub(crate) fn launcher(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Launcher { what, source }
    }
}
