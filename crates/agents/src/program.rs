//! What is to be run for an agent, before anything is known about where it runs.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The program of one agent that speaks ACP on its standard input and output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentProgram {
    /// An absolute path on the host, or a bare name that is looked up inside the sandbox.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// What it needs in its environment beyond what every agent gets.
    pub env: BTreeMap<String, String>,
    /// Id of the authentication method that it wants before its first session (Gemini: `gemini-api-key`).
    pub auth_method: Option<String>,
}

/// A role names no command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the command is empty; write the program and its arguments, for example [\"opencode\", \"acp\"]")]
pub struct NoProgram;

impl AgentProgram {
    /// Our own agent: the hidden subcommand of the `muster` binary at this absolute path.
    pub fn native(muster: impl Into<PathBuf>) -> Self {
        Self { program: muster.into(), args: vec!["__native".into()], env: BTreeMap::new(), auth_method: None }
    }

    /// Any program that speaks ACP, as a role's `command` gives it.
    ///
    /// # Errors
    /// [`NoProgram`] when the list or its first word is empty.
    pub fn command(words: &[String]) -> Result<Self, NoProgram> {
        match words {
            [program, args @ ..] if !program.trim().is_empty() => {
                Ok(Self { program: program.into(), args: args.to_vec(), env: BTreeMap::new(), auth_method: None })
            }
            _ => Err(NoProgram),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_needs_a_program() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let opencode = AgentProgram::command(&words(&["opencode", "acp"])).unwrap();
        assert_eq!((opencode.program, opencode.args), ("opencode".into(), words(&["acp"])));
        assert_eq!(AgentProgram::command(&[]), Err(NoProgram));
        assert_eq!(AgentProgram::command(&words(&["  "])), Err(NoProgram));
    }
}
