//! How the program ends: the exit codes, and errors as a person reads them.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Done: exit code 0.
    Done,
    /// Failed: 1.
    Failed,
    /// A person is waited for: 3.
    Waiting,
    /// Cancelled: 4.
    Cancelled,
    /// As the program that was run ended.
    Code(u8),
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        ExitCode::from(match outcome {
            Outcome::Done => 0,
            Outcome::Failed => 1,
            Outcome::Waiting => 3,
            Outcome::Cancelled => 4,
            Outcome::Code(code) => code,
        })
    }
}

/// Why a command could not be carried out.
#[derive(Debug)]
pub(crate) enum Error {
    /// What the user gave cannot be used: exit code 2.
    Usage(String),
    /// Something went wrong: exit code 1.
    Failed(String),
}

impl Error {
    pub(crate) fn usage(text: impl ToString) -> Self {
        Error::Usage(text.to_string())
    }

    pub(crate) fn failed(text: impl ToString) -> Self {
        Error::Failed(text.to_string())
    }

    /// Says what happened and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        let (text, code) = match self {
            Error::Usage(text) => (text, 2),
            Error::Failed(text) => (text, 1),
        };
        let text = crate::screen::visible(text);
        eprintln!("error: {}", crate::secrets::masking().text(text.as_str()));
        ExitCode::from(code)
    }
}

impl From<engine::EngineError> for Error {
    fn from(error: engine::EngineError) -> Self {
        use engine::EngineError;
        match error {
            EngineError::Repository(_)
            | EngineError::Setup(_)
            | EngineError::Read(_)
            | EngineError::Secret { .. }
            | EngineError::Unfinished { .. } => Error::usage(error),
            _ => Error::failed(error),
        }
    }
}
