//! What is to be run for an agent, before anything is known about where it runs.

use api::config::Speaks;
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

    /// A program as a role's `command` gives it. One that does not speak ACP is run by the bridge, a hidden subcommand of the `muster` binary at this
    /// absolute path, which does.
    ///
    /// # Errors
    /// [`NoProgram`] when the list or its first word is empty.
    pub fn command(words: &[String], speaks: Speaks, muster: impl Into<PathBuf>) -> Result<Self, NoProgram> {
        let [program, args @ ..] = words else { return Err(NoProgram) };
        if program.trim().is_empty() {
            return Err(NoProgram);
        }
        let plain =
            |auth_method| Self { program: program.into(), args: args.to_vec(), env: BTreeMap::new(), auth_method };
        let bridge = || {
            let own = ["__bridge", speaks.name()].map(str::to_owned);
            let args = own.into_iter().chain(words.iter().cloned()).collect();
            Self { program: muster.into(), args, env: BTreeMap::new(), auth_method: None }
        };
        Ok(match speaks {
            Speaks::Acp => plain(None),
            Speaks::Cursor => plain(Some("cursor_login".to_owned())),
            Speaks::Codex | Speaks::Claude | Speaks::Exec => bridge(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_needs_a_program() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let command = |given: &[&str], speaks| AgentProgram::command(&words(given), speaks, "/muster");
        let opencode = command(&["opencode", "acp"], Speaks::Acp).unwrap();
        assert_eq!((opencode.program, opencode.args), ("opencode".into(), words(&["acp"])));
        let codex = command(&["/opt/codex", "-c", "x=1"], Speaks::Codex).unwrap();
        assert_eq!(
            (codex.program, codex.args),
            ("/muster".into(), words(&["__bridge", "codex", "/opt/codex", "-c", "x=1"]))
        );
        assert_eq!(command(&["agent", "acp"], Speaks::Cursor).unwrap().auth_method.as_deref(), Some("cursor_login"));
        assert_eq!(command(&[], Speaks::Acp), Err(NoProgram));
        assert_eq!(command(&["  "], Speaks::Exec), Err(NoProgram));
    }
}
