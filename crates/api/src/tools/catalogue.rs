//! The list of agent tools, and the step from a model's call to a typed one.

use super::{
    BODY_BYTES_MAX, COMMAND_BYTES_MAX, COMMAND_S_MAX, CWD_BYTES_MAX, Checkpoint, EVIDENCE_BYTES_MAX, LABEL_BYTES_MAX,
    ListAgents, MESSAGES_MAX, NAME_BYTES_MAX, OPTION_BYTES_MAX, OPTIONS_MAX, QUESTION_BYTES_MAX, RaiseInterrupt,
    ReadMessages, RunCommand, SUMMARY_BYTES_MAX, SendMessage, SubmitResult,
};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Every tool's name, in the order of [`catalogue`].
pub const TOOL_NAMES: [&str; 7] =
    ["send_message", "read_messages", "list_agents", "raise_interrupt", "checkpoint", "submit_result", RUN_COMMAND];
/// The tool that only agents without processes of their own are offered.
pub const RUN_COMMAND: &str = "run_command";

/// One tool as `tools/list` shows it (the member names are MCP's).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolSpec {
    /// What the model calls.
    pub name: &'static str,
    /// When to call it.
    pub description: &'static str,
    /// JSON Schema of the arguments.
    pub input_schema: Value,
}

/// A call whose arguments are within what can be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentCall {
    /// `send_message`
    SendMessage(SendMessage),
    /// `read_messages`
    ReadMessages(ReadMessages),
    /// `list_agents`
    ListAgents(ListAgents),
    /// `raise_interrupt`
    RaiseInterrupt(RaiseInterrupt),
    /// `checkpoint`
    Checkpoint(Checkpoint),
    /// `submit_result`
    SubmitResult(SubmitResult),
    /// `run_command`
    RunCommand(RunCommand),
}

/// Why a call cannot be taken; the text is for the model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCall {
    /// No tool of that name.
    #[error("there is no tool of this name; the tools are {}", TOOL_NAMES.join(", "))]
    UnknownTool,
    /// The arguments do not fit the schema or break a limit.
    #[error("{tool}: {what}")]
    Arguments {
        /// Name of the tool.
        tool: &'static str,
        /// What is wrong and what would be right.
        what: String,
    },
}

/// Every agent tool, in a fixed order.
pub fn catalogue() -> Vec<ToolSpec> {
    vec![
        spec::<SendMessage>(
            "send_message",
            "Send a message to another agent, to every agent of a role, or to a topic that people follow. \
             It is read when the receiver next asks for its messages; nobody is interrupted.",
        ),
        spec::<ReadMessages>("read_messages", "Read the messages that wait for you, oldest first."),
        spec::<ListAgents>("list_agents", "List the agents of this mission with their roles and what they work on."),
        spec::<RaiseInterrupt>(
            "raise_interrupt",
            "Ask a person a question that you cannot settle yourself. Then end your turn: the answer comes as the next prompt.",
        ),
        spec::<Checkpoint>("checkpoint", "Save a snapshot of your working tree that survives whatever happens."),
        spec::<SubmitResult>(
            "submit_result",
            "Say that your task is done. The working tree as it stands is then checked and merged; \
             if a check fails you get its output as the next prompt. End your turn after this call.",
        ),
        spec::<RunCommand>(
            RUN_COMMAND,
            "Run a shell command (sh -c) in your work folder and return its exit code and the last 16 KiB of its standard output \
             and standard error. It runs in a sandbox of its own: your work folder is there, the network is not. It has no input. \
             Everything it started is killed when it ends, so nothing can be left running.",
        ),
    ]
}

impl AgentCall {
    /// Reads one call. `arguments` may be null for tools without required arguments.
    ///
    /// # Errors
    /// [`BadCall`], with a text for the model.
    pub fn parse(tool: &str, arguments: Value) -> Result<Self, BadCall> {
        Ok(match tool {
            "send_message" => Self::SendMessage(read("send_message", arguments, check_message)?),
            "read_messages" => Self::ReadMessages(read("read_messages", arguments, check_read)?),
            "list_agents" => Self::ListAgents(read("list_agents", arguments, |_| Ok(()))?),
            "raise_interrupt" => Self::RaiseInterrupt(read("raise_interrupt", arguments, check_interrupt)?),
            "checkpoint" => Self::Checkpoint(read("checkpoint", arguments, check_checkpoint)?),
            "submit_result" => Self::SubmitResult(read("submit_result", arguments, check_result)?),
            RUN_COMMAND => Self::RunCommand(read(RUN_COMMAND, arguments, check_command)?),
            _ => return Err(BadCall::UnknownTool),
        })
    }

    /// Name of the tool.
    pub fn tool(&self) -> &'static str {
        match self {
            Self::SendMessage(_) => "send_message",
            Self::ReadMessages(_) => "read_messages",
            Self::ListAgents(_) => "list_agents",
            Self::RaiseInterrupt(_) => "raise_interrupt",
            Self::Checkpoint(_) => "checkpoint",
            Self::SubmitResult(_) => "submit_result",
            Self::RunCommand(_) => RUN_COMMAND,
        }
    }
}

fn spec<T: JsonSchema>(name: &'static str, description: &'static str) -> ToolSpec {
    let mut settings = schemars::generate::SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    let mut input_schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    if let Some(members) = input_schema.as_object_mut() {
        members.remove("title");
        members.remove("description");
        // Some model providers refuse a tool whose schema has no `properties`.
        members.entry("properties").or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
    ToolSpec { name, description, input_schema }
}

fn read<T: DeserializeOwned>(
    tool: &'static str,
    arguments: Value,
    check: impl FnOnce(&T) -> Result<(), String>,
) -> Result<T, BadCall> {
    let arguments = if arguments.is_null() { Value::Object(serde_json::Map::new()) } else { arguments };
    let bad = |what| BadCall::Arguments { tool, what };
    if !arguments.is_object() {
        return Err(bad("the arguments must be an object".to_owned()));
    }
    let call: T = serde_json::from_value(arguments).map_err(|error| bad(error.to_string()))?;
    check(&call).map_err(bad)?;
    Ok(call)
}

fn check_message(call: &SendMessage) -> Result<(), String> {
    length("body", &call.body, BODY_BYTES_MAX)?;
    optional("reply_to", call.reply_to.as_deref(), NAME_BYTES_MAX)
}

fn check_read(call: &ReadMessages) -> Result<(), String> {
    match call.limit {
        Some(limit) if !(1..=MESSAGES_MAX).contains(&limit) => Err(format!("limit must be 1 to {MESSAGES_MAX}")),
        _ => Ok(()),
    }
}

fn check_interrupt(call: &RaiseInterrupt) -> Result<(), String> {
    length("question", &call.question, QUESTION_BYTES_MAX)?;
    if call.options.len() > OPTIONS_MAX {
        return Err(format!("at most {OPTIONS_MAX} options, not {}", call.options.len()));
    }
    for option in &call.options {
        length("each option", option, OPTION_BYTES_MAX)?;
    }
    optional("default", call.default.as_deref(), OPTION_BYTES_MAX)?;
    match &call.default {
        Some(default) if !call.options.is_empty() && !call.options.contains(default) => {
            Err("default must be one of the options".to_owned())
        }
        _ => Ok(()),
    }
}

fn check_checkpoint(call: &Checkpoint) -> Result<(), String> {
    optional("label", call.label.as_deref(), LABEL_BYTES_MAX)
}

fn check_result(call: &SubmitResult) -> Result<(), String> {
    length("summary", &call.summary, SUMMARY_BYTES_MAX)?;
    optional("evidence", call.evidence.as_deref(), EVIDENCE_BYTES_MAX)
}

fn check_command(call: &RunCommand) -> Result<(), String> {
    length("command", &call.command, COMMAND_BYTES_MAX)?;
    if call.command.contains('\0') {
        return Err("command must not contain a NUL character".to_owned());
    }
    if let Some(seconds) = call.timeout_s
        && !(1..=COMMAND_S_MAX).contains(&seconds)
    {
        return Err(format!("timeout_s must be 1 to {COMMAND_S_MAX}"));
    }
    let Some(cwd) = call.cwd.as_deref() else { return Ok(()) };
    length("cwd", cwd, CWD_BYTES_MAX)?;
    if cwd.starts_with('/') || cwd.split('/').any(|part| part == "..") || cwd.contains('\0') {
        return Err("cwd must be relative to your work folder, without `..`".to_owned());
    }
    Ok(())
}

fn optional(name: &str, text: Option<&str>, bytes_max: usize) -> Result<(), String> {
    text.map_or(Ok(()), |text| length(name, text, bytes_max))
}

fn length(name: &str, text: &str, bytes_max: usize) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err(format!("{name} must not be empty"));
    }
    if text.len() > bytes_max {
        return Err(format!("{name} has {} bytes; at most {bytes_max} are taken", text.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use serde_json::json;

    #[test]
    fn calls_within_the_limits_are_taken() {
        for (tool, arguments) in [
            ("send_message", json!({"to": "topic:status", "body": "half way", "reply_to": "m1"})),
            ("read_messages", json!(null)),
            ("read_messages", json!({"limit": 50})),
            ("list_agents", json!({})),
            (
                "raise_interrupt",
                json!({"kind": "user_input", "question": "Which?", "options": ["a", "b"], "default": "b"}),
            ),
            ("checkpoint", json!({"label": "tests pass"})),
            ("submit_result", json!({"summary": "done", "evidence": "ok"})),
            ("run_command", json!({"command": "make test", "timeout_s": 5, "cwd": "src/a"})),
        ] {
            let schema = catalogue().into_iter().find(|spec| spec.name == tool).unwrap().input_schema;
            if !arguments.is_null() {
                assert!(jsonschema::is_valid(&schema, &arguments), "{tool} {arguments} {schema}");
            }
            assert_eq!(AgentCall::parse(tool, arguments).unwrap().tool(), tool);
        }
    }

    #[test]
    fn refusals_say_what_would_be_right() {
        check(
            "fly",
            json!({}),
            expect![
                "there is no tool of this name; the tools are send_message, read_messages, list_agents, raise_interrupt, checkpoint, submit_result, run_command"
            ],
        );
        check("send_message", json!({"to": "a"}), expect!["send_message: missing field `body`"]);
        check("send_message", json!({"to": "a", "body": " "}), expect!["send_message: body must not be empty"]);
        check(
            "send_message",
            json!({"to": "a", "body": "b", "from": "c"}),
            expect!["send_message: unknown field `from`, expected one of `to`, `body`, `reply_to`"],
        );
        check(
            "send_message",
            json!({"to": "topic:x", "body": "b"}),
            expect!["send_message: there is no such topic; write topic:status, topic:alerts or topic:artifacts"],
        );
        check(
            "send_message",
            json!({"to": "a", "body": "x".repeat(BODY_BYTES_MAX + 1)}),
            expect!["send_message: body has 16385 bytes; at most 16384 are taken"],
        );
        check("read_messages", json!({"limit": 0}), expect!["read_messages: limit must be 1 to 50"]);
        check("list_agents", json!([1]), expect!["list_agents: the arguments must be an object"]);
        check(
            "raise_interrupt",
            json!({"kind": "user_input", "question": "?", "options": ["a"], "default": "b"}),
            expect!["raise_interrupt: default must be one of the options"],
        );
        check(
            "raise_interrupt",
            json!({"kind": "budget", "question": "?"}),
            expect!["raise_interrupt: unknown variant `budget`, expected `user_input`"],
        );
        check(
            "raise_interrupt",
            json!({"kind": "user_input", "question": "?", "options": vec!["a"; 11]}),
            expect!["raise_interrupt: at most 10 options, not 11"],
        );
        check("submit_result", json!(null), expect!["submit_result: missing field `summary`"]);
        check("run_command", json!({}), expect!["run_command: missing field `command`"]);
        check(
            "run_command",
            json!({"command": "a\0b"}),
            expect!["run_command: command must not contain a NUL character"],
        );
        check(
            "run_command",
            json!({"command": "a", "timeout_s": 601}),
            expect!["run_command: timeout_s must be 1 to 600"],
        );
        for cwd in ["/etc", "a/../..", ".."] {
            check(
                "run_command",
                json!({"command": "a", "cwd": cwd}),
                expect!["run_command: cwd must be relative to your work folder, without `..`"],
            );
        }
    }

    #[test]
    fn every_schema_is_self_contained_and_closed() {
        let specs = catalogue();
        assert_eq!(specs.iter().map(|spec| spec.name).collect::<Vec<_>>(), TOOL_NAMES);
        for spec in specs {
            assert_eq!(spec.input_schema["type"], "object");
            assert_eq!(spec.input_schema["additionalProperties"], false, "{}", spec.name);
            assert!(spec.input_schema["properties"].is_object(), "{}", spec.name);
            assert!(!spec.input_schema.to_string().contains("$ref"), "{}", spec.input_schema);
        }
    }

    #[test]
    fn the_schema_of_send_message_as_a_model_sees_it() {
        assert_eq!(
            catalogue().remove(0).input_schema,
            json!({
                "type": "object",
                "properties": {
                    "to": {
                        "description": "An agent's name, a role's name (every agent of that role), or `topic:status`, `topic:alerts`, `topic:artifacts`.",
                        "type": "string", "minLength": 1, "maxLength": 100,
                    },
                    "body": {"description": "The text.", "type": "string", "minLength": 1, "maxLength": 16384},
                    "reply_to": {
                        "description": "Id of the message that this one answers, as `read_messages` gave it.",
                        "type": ["string", "null"], "minLength": 1, "maxLength": 100,
                    },
                },
                "required": ["to", "body"],
                "additionalProperties": false,
            })
        );
    }

    fn check(tool: &str, arguments: Value, expected: Expect) {
        expected.assert_eq(&AgentCall::parse(tool, arguments).unwrap_err().to_string());
    }
}
