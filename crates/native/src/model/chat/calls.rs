//! Tool calls that come in pieces: which piece belongs to which call.
//!
//! A piece says so by its id, by its index, or by neither. Servers repeat ids and indices, leave them out, and send arguments as text or as an object.

use serde_json::Value;

use crate::model::RawCall;

/// The calls so far.
#[derive(Default)]
pub struct Calls(Vec<Building>);

#[derive(Default)]
struct Building {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

impl Calls {
    /// Takes a piece of the list `tool_calls`; gives how many bytes it has.
    pub fn feed(&mut self, piece: &Value) -> usize {
        let text = |value: Option<&Value>| match value {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let function = piece.get("function").unwrap_or(piece);
        let index = piece.get("index").and_then(Value::as_u64);
        let (id, name) = (text(piece.get("id")), text(function.get("name")));
        let arguments = match function.get("arguments").or_else(|| function.get("input")) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(whole) => whole.to_string(),
        };
        let bytes = name.len() + arguments.len();
        if let Some(call) = self.place(index, &id, &name, &arguments) {
            if call.id.is_empty() {
                call.id = id;
            }
            if call.name.is_empty() {
                call.name = name;
            }
            call.index = call.index.or(index);
            call.arguments.push_str(&arguments);
        }
        bytes
    }

    /// The call that a piece belongs to; a new one when it is nobody's.
    fn place(&mut self, index: Option<u64>, id: &str, name: &str, arguments: &str) -> Option<&mut Building> {
        let full = |call: &Building| !arguments.is_empty() && call.is_whole();
        let same = |call: &Building| {
            let id_fits = call.id.is_empty() || id.is_empty() || call.id == id;
            let index_fits = call.index.is_none() || index.is_none() || call.index == index;
            let name_fits = call.name.is_empty() || name.is_empty() || call.name == name;
            id_fits && index_fits && name_fits && !full(call)
        };
        let at = if !id.is_empty() && self.0.iter().any(|call| call.id == id) {
            self.0.iter().rposition(|call| call.id == id && same(call))
        } else if index.is_some() {
            self.0.iter().rposition(|call| call.index == index).filter(|at| self.0.get(*at).is_some_and(same))
        } else if !id.is_empty() {
            None
        } else {
            // Neither: what has a name begins a call, what has none goes on with the last.
            self.0.len().checked_sub(1).filter(|at| {
                self.0.get(*at).is_some_and(|last| {
                    name.is_empty() || (same(last) && (last.name.is_empty() || !last.arguments.is_empty()))
                })
            })
        };
        let at = at.unwrap_or_else(|| {
            self.0.push(Building { index, ..Building::default() });
            self.0.len() - 1
        });
        self.0.get_mut(at)
    }

    /// The calls in their order; arguments that are no JSON stay texts.
    pub fn finish(self) -> Vec<RawCall> {
        let call = |call: Building| RawCall {
            id: call.id,
            name: call.name.strip_prefix("functions.").unwrap_or(&call.name).to_owned(),
            arguments: arguments(call.arguments),
        };
        self.0.into_iter().map(call).collect()
    }
}

impl Building {
    /// Whether its arguments are complete, so that no further piece can be theirs.
    fn is_whole(&self) -> bool {
        serde_json::from_str::<serde_json::Map<String, Value>>(&self.arguments).is_ok()
    }
}

fn arguments(text: String) -> Value {
    let read = serde_json::from_str::<Value>(&text).or_else(|_| serde_json::from_str(&escaped(&text)));
    match read {
        // Some servers write the text of the arguments twice.
        Ok(Value::String(inner)) => serde_json::from_str(&inner).unwrap_or(Value::String(inner)),
        Ok(value) => value,
        Err(_) => Value::String(text),
    }
}

/// Line ends and tabs inside JSON's texts as escapes: some models write them raw.
fn escaped(text: &str) -> String {
    let (mut made, mut inside, mut after) = (String::with_capacity(text.len()), false, false);
    for letter in text.chars() {
        match letter {
            '\n' if inside => made.push_str("\\n"),
            '\r' if inside => made.push_str("\\r"),
            '\t' if inside => made.push_str("\\t"),
            other => made.push(other),
        }
        inside ^= letter == '"' && !after;
        after = letter == '\\' && !after;
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(pieces: &[Value]) -> Vec<String> {
        let mut calls = Calls::default();
        for piece in pieces {
            calls.feed(piece);
        }
        calls.finish().into_iter().map(|call| format!("{} {} {}", call.id, call.name, call.arguments)).collect()
    }

    fn piece(index: Option<u64>, id: Option<&str>, name: Option<&str>, arguments: Value) -> Value {
        let mut made = json!({"function": {"arguments": arguments}});
        if let Some(index) = index {
            made["index"] = index.into();
        }
        if let Some(id) = id {
            made["id"] = id.into();
        }
        if let Some(name) = name {
            made["function"]["name"] = name.into();
        }
        made
    }

    #[test]
    fn as_openai_sends_them() {
        let pieces = [
            piece(Some(0), Some("a"), Some("read"), json!("")),
            piece(Some(1), Some("b"), Some("list"), json!("")),
            piece(Some(0), None, None, json!("{\"p\"")),
            piece(Some(1), None, None, json!("{}")),
            piece(Some(0), None, None, json!(":1}")),
        ];
        assert_eq!(told(&pieces), ["a read {\"p\":1}", "b list {}"]);
    }

    #[test]
    fn calls_are_told_apart_by_their_id() {
        for index in [None, Some(0)] {
            let whole = [
                piece(index, Some("c1"), Some("write"), json!("{\"a\":1}")),
                piece(index, Some("c2"), Some("list"), json!("{}")),
            ];
            assert_eq!(told(&whole), ["c1 write {\"a\":1}", "c2 list {}"], "{index:?}");
            let in_pieces = [
                piece(index, Some("c1"), Some("write"), json!("{\"a\"")),
                piece(index, Some("c1"), Some("write"), json!(":1}")),
                piece(index, Some("c2"), Some("list"), json!("{")),
                piece(index, Some("c2"), None, json!("}")),
            ];
            assert_eq!(told(&in_pieces), ["c1 write {\"a\":1}", "c2 list {}"], "{index:?}");
        }
    }

    #[test]
    fn without_ids_names_and_whole_arguments_tell() {
        let by_index =
            [piece(Some(0), None, Some("write"), json!("{\"a\":1}")), piece(Some(0), None, Some("list"), json!("{}"))];
        assert_eq!(told(&by_index), [" write {\"a\":1}", " list {}"]);
        let by_name = [
            piece(None, None, Some("write"), json!("{\"a\"")),
            piece(None, None, None, json!(":1}")),
            piece(None, None, Some("write"), json!("{\"a\":2}")),
            piece(None, Some(""), Some("list"), Value::Null),
        ];
        assert_eq!(told(&by_name), [" write {\"a\":1}", " write {\"a\":2}", " list \"\""]);
        let one_id =
            [piece(Some(0), Some("c1"), Some("a"), json!("{}")), piece(Some(1), Some("c1"), Some("b"), json!("{}"))];
        assert_eq!(told(&one_id), ["c1 a {}", "c1 b {}"]);
    }

    #[test]
    fn arguments_in_every_dress() {
        assert_eq!(told(&[piece(None, Some("1"), Some("w"), json!({"a": [1]}))]), ["1 w {\"a\":[1]}"]);
        assert_eq!(told(&[piece(None, Some("1"), Some("w"), json!("\"{\\\"a\\\":1}\""))]), ["1 w {\"a\":1}"]);
        assert_eq!(
            told(&[piece(None, Some("1"), Some("functions.w"), json!("{\"a\":\"x\n\ty\\\"\"}"))]),
            ["1 w {\"a\":\"x\\n\\ty\\\"\"}"]
        );
        assert_eq!(told(&[piece(None, Some("1"), Some("w"), json!("{\"a\":"))]), ["1 w \"{\\\"a\\\":\""]);
        assert_eq!(told(&[json!({"id": 7, "name": "flat", "arguments": {}})]), ["7 flat {}"]);
    }
}
