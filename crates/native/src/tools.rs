//! The agent's own tools: files and commands in its working directory.
//!
//! Every result is bounded, every error is a sentence the model can act on. The paths are checked for the sake of
//! clear errors; what keeps the agent in its place is the sandbox around the process.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::record::Definition;

mod apply_patch;
mod encoding;
mod list_files;
mod patch;
mod read_file;
mod root;
mod run_command;
mod search;
mod walk;
mod write_file;

pub use root::Root;

/// What the model is shown of a call: the result, or what went wrong.
pub type Outcome = Result<String, String>;

/// A call of one of our tools with arguments that fit.
#[derive(Debug)]
pub enum Tool {
    /// Part of a file.
    ReadFile(read_file::Args),
    /// Names of files.
    ListFiles(list_files::Args),
    /// Lines that match a pattern.
    Search(search::Args),
    /// A whole file.
    WriteFile(write_file::Args),
    /// Changes to files.
    ApplyPatch(apply_patch::Args),
    /// A shell command.
    RunCommand(run_command::Args),
}

/// What the model is told about our tools, in the order it sees them.
pub fn definitions() -> Vec<Definition> {
    vec![
        read_file::definition(),
        list_files::definition(),
        search::definition(),
        write_file::definition(),
        apply_patch::definition(),
        run_command::definition(),
    ]
}

impl Tool {
    /// Reads a call. `None`: we have no tool of that name.
    ///
    /// The inner error says how the arguments do not fit.
    pub fn read(name: &str, arguments: &Value) -> Option<Result<Self, String>> {
        Some(match name {
            "read_file" => args(arguments).map(Self::ReadFile),
            "list_files" => args(arguments).map(Self::ListFiles),
            "search" => args(arguments).map(Self::Search),
            "write_file" => args(arguments).map(Self::WriteFile),
            "apply_patch" => args(arguments).map(Self::ApplyPatch),
            "run_command" => args(arguments).map(Self::RunCommand),
            _ => return None,
        })
    }

    /// Runs the call. `is_rerun`: it may have been carried out before, in part or in full, and its result was lost.
    ///
    /// Dropping the future stops the tool; a command is killed with everything it started.
    ///
    /// # Errors
    /// What went wrong, for the model.
    pub async fn run(self, root: &Root, is_rerun: bool) -> Outcome {
        match self {
            Self::ReadFile(args) => read_file::run(args, root),
            Self::ListFiles(args) => list_files::run(args, root).await,
            Self::Search(args) => search::run(args, root).await,
            Self::WriteFile(args) => write_file::run(args, root),
            Self::ApplyPatch(args) => apply_patch::run(&args, root, is_rerun),
            Self::RunCommand(args) => run_command::run(args, root).await,
        }
    }
}

fn args<T: DeserializeOwned>(arguments: &Value) -> Result<T, String> {
    T::deserialize(arguments).map_err(|error| error.to_string())
}

fn define(name: &str, description: &str, required: &[&str], properties: Value) -> Definition {
    Definition {
        name: name.into(),
        description: description.into(),
        parameters: json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        }),
    }
}

fn io_error(what: &str, path: &str, error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => format!("{path}: there is no such file. list_files shows what there is."),
        ErrorKind::IsADirectory => format!("{path} is a directory. Use list_files."),
        ErrorKind::NotADirectory => format!("{path}: a part of this path is a file, not a directory."),
        ErrorKind::PermissionDenied => format!("{path}: not permitted to {what} it."),
        _ => format!("{path}: cannot {what} it: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_definition_is_a_tool_and_every_required_argument_is_described() {
        for definition in definitions() {
            let read = Tool::read(&definition.name, &json!({"surely": "unknown"}));
            assert!(read.unwrap().unwrap_err().contains("unknown field `surely`"), "{}", definition.name);
            for name in definition.parameters["required"].as_array().unwrap() {
                assert!(definition.parameters["properties"].get(name.as_str().unwrap()).is_some());
            }
        }
    }

    #[test]
    fn arguments_that_do_not_fit_are_explained() {
        let error = Tool::read("read_file", &json!({"path": 3})).unwrap().unwrap_err();
        assert_eq!(error, "invalid type: integer `3`, expected a string");
        assert!(Tool::read("format_disk", &json!({})).is_none());
    }
}
