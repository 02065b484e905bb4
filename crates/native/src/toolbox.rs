//! All tools of a session: ours and those that its tool servers offer.
//!
//! A server that offers `run_command` runs commands for an agent that may start no process: its tool takes the place of ours.

use serde_json::Value;

use crate::record::{Definition, Offered};
use crate::tools::{self, Tool};

/// Most tools taken from all servers together; every one is paid for in every request.
const OFFERED_MAX: usize = 64;
/// Longest description of a server's tool, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 4096;
/// Longest name that every model API accepts.
const NAME_BYTES_MAX: usize = 64;

/// Where a tool is.
pub enum Place<'a> {
    /// Here, with its arguments read.
    Here(Tool),
    /// On a server.
    Server(&'a Offered),
}

/// The tool that a server may take over.
const RUN_COMMAND: &str = "run_command";

/// What the model is shown, in order.
pub fn definitions(offered: &[Offered]) -> Vec<Definition> {
    let mut all = tools::definitions();
    all.retain(|tool| !offered.iter().any(|offered| offered.tool.name == tool.name));
    all.extend(offered.iter().map(|offered| offered.tool.clone()));
    all
}

/// Finds the tool of a call.
///
/// # Errors
/// What to tell the model: there is no such tool, or the arguments do not fit.
pub fn find<'a>(offered: &'a [Offered], name: &str, arguments: &Value) -> Result<Place<'a>, String> {
    if let Some(there) = offered.iter().find(|offered| offered.tool.name == name) {
        return Ok(Place::Server(there));
    }
    match Tool::read(name, arguments) {
        Some(read) => {
            read.map(Place::Here).map_err(|problem| format!("The arguments of {name} do not fit: {problem}."))
        }
        None => {
            let names: Vec<String> = definitions(offered).into_iter().map(|tool| tool.name).collect();
            Err(format!("There is no tool {name:?}. The tools are: {}.", names.join(", ")))
        }
    }
}

/// Adds what one server offers, under names that are not taken and that every model API accepts.
pub fn offer(all: &mut Vec<Offered>, server: &str, tools: Vec<Definition>) {
    for mut tool in tools {
        if all.len() == OFFERED_MAX {
            return;
        }
        let name = tool.name.clone();
        let ours = |name: &str| name != RUN_COMMAND && Tool::read(name, &Value::Null).is_some();
        tool.name = model_name(&name);
        if ours(&tool.name) || all.iter().any(|other| other.tool.name == tool.name) {
            tool.name = model_name(&format!("{server}_{name}"));
        }
        if ours(&tool.name) || all.iter().any(|other| other.tool.name == tool.name) {
            continue;
        }
        tool.description.truncate(tool.description.floor_char_boundary(DESCRIPTION_BYTES_MAX));
        all.push(Offered { server: server.to_owned(), name, tool });
    }
}

/// `name` in the letters that every model API accepts, not empty and not too long.
pub fn model_name(name: &str) -> String {
    let accepted = |letter: char| if letter.is_ascii_alphanumeric() || "_-".contains(letter) { letter } else { '_' };
    let name: String = name.chars().take(NAME_BYTES_MAX).map(accepted).collect();
    if name.is_empty() { "unnamed".into() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_are_unique_and_acceptable() {
        let mut all = Vec::new();
        offer(&mut all, "muster", ["send", "read_file", "send", "a b/é"].map(tool).to_vec());
        offer(&mut all, "other", ["send", "send"].map(tool).to_vec());
        let names: Vec<&str> = all.iter().map(|offered| offered.tool.name.as_str()).collect();
        assert_eq!(names, ["send", "muster_read_file", "muster_send", "a_b__", "other_send"]);
        assert_eq!(all[1].name, "read_file");
        assert_eq!(model_name(""), "unnamed");
        assert_eq!(model_name(&"x".repeat(99)).len(), 64);
    }

    #[test]
    fn what_cannot_be_found_is_explained() {
        let mut all = Vec::new();
        offer(&mut all, "muster", vec![tool("send")]);
        let told = |name: &str, arguments: Value| find(&all, name, &arguments).err();
        assert_eq!(
            told("rm", json!({})).unwrap(),
            "There is no tool \"rm\". The tools are: read_file, list_files, search, write_file, apply_patch, run_command, send."
        );
        assert_eq!(
            told("read_file", json!({})).unwrap(),
            "The arguments of read_file do not fit: missing field `path`."
        );
        assert_eq!(told("send", json!({"anything": 1})), None);
    }

    #[test]
    fn a_server_that_runs_commands_takes_the_place_of_ours() {
        let mut all = Vec::new();
        offer(&mut all, "muster", vec![tool("run_command"), tool("send")]);
        let names: Vec<String> = definitions(&all).into_iter().map(|tool| tool.name).collect();
        assert_eq!(names, ["read_file", "list_files", "search", "write_file", "apply_patch", "run_command", "send"]);
        let arguments = json!({"command": "true"});
        assert!(matches!(find(&all, "run_command", &arguments), Ok(Place::Server(there)) if there.server == "muster"));
        assert!(matches!(find(&[], "run_command", &arguments), Ok(Place::Here(_))));
    }

    #[test]
    fn offers_are_bounded() {
        let mut all = Vec::new();
        offer(&mut all, "s", (0..99).map(|number| tool(&number.to_string())).collect());
        assert_eq!(all.len(), OFFERED_MAX);
    }

    fn tool(name: &str) -> Definition {
        Definition { name: name.into(), description: String::new(), parameters: json!({"type": "object"}) }
    }
}
