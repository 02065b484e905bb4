//! What a script looks at in a request: who said what, and how many turns the assistant has had.

use serde_json::Value;

use crate::format::Format;

/// A request's conversation.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Conversation<'a> {
    pub(super) model: &'a str,
    pub(super) user_texts: Vec<&'a str>,
    pub(super) tool_results: Vec<&'a str>,
    /// Maximal runs of consecutive items of the assistant.
    pub(super) turns: usize,
    /// The first tool on offer.
    pub(super) first_tool: Option<&'a str>,
    /// All of them by the names under which they are called; those of a namespace have it before theirs.
    tools: Vec<String>,
    assistant_spoke_last: bool,
}

impl<'a> Conversation<'a> {
    pub(super) fn read(format: Format, model: &'a str, request: &'a Value) -> Self {
        let mut read = Conversation { model, ..Conversation::default() };
        let tool = &request["tools"][0];
        read.tools = tools(format, request);
        match format {
            Format::OpenAiChat => {
                read.first_tool = tool["function"]["name"].as_str();
                items(&request["messages"]).for_each(|message| read.chat(message));
            }
            Format::OpenAiResponses => {
                read.first_tool = tool["name"].as_str();
                read.user_texts.extend(request["input"].as_str());
                items(&request["input"]).for_each(|item| read.responses(item));
            }
            Format::Anthropic => {
                read.first_tool = tool["name"].as_str();
                items(&request["messages"]).for_each(|message| read.anthropic(message));
            }
            Format::Gemini => {
                read.first_tool = tool["functionDeclarations"][0]["name"].as_str();
                items(&request["contents"]).for_each(|content| read.gemini(content));
            }
        }
        read
    }

    /// What a tool of the script is called here: by its name if that is on offer, else by the only one that ends in it, as those of MCP servers do.
    pub(super) fn called(&self, tool: &str) -> String {
        let ending = format!("_{tool}");
        let mut alike = self.tools.iter().filter(|name| name.ends_with(&ending));
        match (self.tools.iter().any(|name| name == tool), alike.next(), alike.next()) {
            (false, Some(only), None) => only.clone(),
            _ => tool.to_owned(),
        }
    }

    fn chat(&mut self, message: &'a Value) {
        match message["role"].as_str() {
            Some("assistant") => self.assistant(),
            Some("tool" | "function") => self.result(&message["content"]),
            Some("user") => self.user(&message["content"]),
            _ => {}
        }
    }

    fn responses(&mut self, item: &'a Value) {
        match (item["type"].as_str(), item["role"].as_str()) {
            (_, Some("assistant")) => self.assistant(),
            (_, Some("user")) | (Some("agent_message"), _) => self.user(&item["content"]),
            (Some(kind), None) if kind.ends_with("_output") => self.result(&item["output"]),
            (Some(kind), None) if kind.ends_with("_call") || kind == "reasoning" => self.assistant(),
            _ => {}
        }
    }

    fn anthropic(&mut self, message: &'a Value) {
        match message["role"].as_str() {
            Some("assistant") => self.assistant(),
            Some("user") => {
                self.user(&message["content"]);
                let results = items(&message["content"]).filter(|block| block["type"] == "tool_result");
                results.for_each(|block| self.result(&block["content"]));
            }
            _ => {}
        }
    }

    fn gemini(&mut self, content: &'a Value) {
        if content["role"] == "model" {
            return self.assistant();
        }
        self.user(&content["parts"]);
        for result in items(&content["parts"]).map(|part| &part["functionResponse"]["response"]) {
            self.tool_results.extend(all_texts(result));
        }
    }

    fn assistant(&mut self) {
        self.turns += usize::from(!self.assistant_spoke_last);
        self.assistant_spoke_last = true;
    }

    fn user(&mut self, content: &'a Value) {
        self.assistant_spoke_last = false;
        self.user_texts.extend(texts(content));
    }

    fn result(&mut self, content: &'a Value) {
        self.assistant_spoke_last = false;
        self.tool_results.extend(texts(content));
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// A text, or the texts among a list of parts (`text`, `input_text`, `output_text`).
fn texts(content: &Value) -> impl Iterator<Item = &str> {
    content.as_str().into_iter().chain(items(content).filter_map(|part| part["text"].as_str()))
}

/// All texts inside a value: Gemini gives a tool's result any shape.
fn all_texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(values) => values.iter().flat_map(all_texts).collect(),
        Value::Object(fields) => fields.values().flat_map(all_texts).collect(),
        _ => Vec::new(),
    }
}

/// The names of what a request offers. Codex keeps the tools of a server together under its name, in the list or among the input.
fn tools(format: Format, request: &Value) -> Vec<String> {
    let listed = items(&request["tools"]);
    let more = items(&request["input"])
        .filter(|item| item["type"] == "additional_tools")
        .flat_map(|item| items(&item["tools"]));
    let name = |tool: &Value| tool["name"].as_str().map(str::to_owned);
    match format {
        Format::OpenAiChat => listed.filter_map(|tool| name(&tool["function"])).collect(),
        Format::Anthropic => listed.filter_map(name).collect(),
        Format::Gemini => listed.flat_map(|tool| items(&tool["functionDeclarations"])).filter_map(name).collect(),
        Format::OpenAiResponses => listed
            .chain(more)
            .flat_map(|tool| {
                let own = name(tool).unwrap_or_default();
                let within: Vec<String> =
                    items(&tool["tools"]).filter_map(name).map(|name| format!("{own}__{name}")).collect();
                if tool["type"] == "namespace" { within } else { vec![own] }
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tool_is_called_by_the_name_that_it_has_here() {
        let called = |format, request: &str| {
            let request: Value = serde_json::from_str(request).unwrap();
            Conversation::read(format, "m", &request).called("submit_result")
        };
        let chat = r#"{"tools":[{"function":{"name":"bash"}},{"function":{"name":"muster_submit_result"}}]}"#;
        assert_eq!(called(Format::OpenAiChat, chat), "muster_submit_result");
        let claude = r#"{"tools":[{"name":"mcp__muster__submit_result"},{"name":"Bash"}]}"#;
        assert_eq!(called(Format::Anthropic, claude), "mcp__muster__submit_result");
        let codex = r#"{"tools":[{"type":"namespace","name":"mcp__muster","tools":[{"name":"submit_result"}]}]}"#;
        assert_eq!(called(Format::OpenAiResponses, codex), "mcp__muster__submit_result");
        for plain in [
            r#"{"tools":[{"name":"submit_result"},{"name":"x_submit_result"}]}"#,
            "{}",
            r#"{"tools":[{"name":"a_submit_result"},{"name":"b_submit_result"}]}"#,
        ] {
            assert_eq!(called(Format::Anthropic, plain), "submit_result", "{plain}");
        }
    }

    #[test]
    fn every_format_tells_the_same_story() {
        let chat = json!({"model": "m", "tools": [{"type": "function", "function": {"name": "look"}}], "messages": [
            {"role": "system", "content": "not of the user"},
            {"role": "user", "content": [{"type": "text", "text": "fix it"}]},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "a"}, {"id": "b"}]},
            {"role": "tool", "tool_call_id": "a", "content": "one"},
            {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "two"}]},
            {"role": "assistant", "content": "done"},
            {"role": "user", "content": "more"},
        ]});
        let responses = json!({"model": "m", "tools": [{"type": "function", "name": "look"}], "input": [
            {"role": "developer", "content": "not of the user"},
            {"role": "user", "content": "fix it"},
            {"type": "reasoning", "summary": []},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look"}]},
            {"type": "function_call", "call_id": "a"}, {"type": "custom_tool_call", "call_id": "b"},
            {"type": "function_call_output", "call_id": "a", "output": "one"},
            {"type": "custom_tool_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "two"}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "done"}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "more"}]},
        ]});
        let anthropic = json!({"model": "m", "system": "not of the user", "tools": [{"name": "look"}], "messages": [
            {"role": "user", "content": "fix it"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "a"}, {"type": "tool_use", "id": "b"}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "one"},
                {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": "two"}]}]},
            {"role": "assistant", "content": "done"},
            {"role": "user", "content": [{"type": "text", "text": "more"}]},
        ]});
        let gemini = json!({"systemInstruction": {"parts": [{"text": "not of the user"}]},
            "tools": [{"functionDeclarations": [{"name": "look"}]}], "contents": [
            {"role": "user", "parts": [{"text": "fix it"}]},
            {"role": "model", "parts": [{"text": "I look"}, {"functionCall": {"name": "look", "args": {}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {"output": "one"}}},
                {"functionResponse": {"name": "look", "response": {"result": {"lines": ["two"]}}}}]},
            {"role": "model", "parts": [{"text": "done"}]},
            {"role": "user", "parts": [{"text": "more"}]},
        ]});
        for (format, request) in Format::ALL.into_iter().zip([&chat, &responses, &anthropic, &gemini]) {
            let read = Conversation::read(format, "m", request);
            assert_eq!(read.user_texts, ["fix it", "more"], "{format:?}");
            assert_eq!(read.tool_results, ["one", "two"], "{format:?}");
            assert_eq!((read.turns, read.model, read.first_tool), (2, "m", Some("look")), "{format:?}");
        }
    }

    #[test]
    fn an_input_of_one_text_is_the_users() {
        let request = json!({"model": "m", "input": "hello"});
        assert_eq!(Conversation::read(Format::OpenAiResponses, "m", &request).user_texts, ["hello"]);
    }
}
