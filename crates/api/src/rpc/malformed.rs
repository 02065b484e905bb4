//! What can be wrong with a line, and what the peer is owed for it.
//!
//! The rule of the specification: a request that cannot be read is answered with an error, under its id if that
//! could be read and under null otherwise. A response is never answered, however broken, or two broken peers
//! would answer each other for ever.

use super::{ErrorObject, Id, Incoming, Notification, Request, Response, VERSION, code};
use serde_json::{Map, Value};

/// Why a line is not a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not UTF-8 or not JSON.
    #[error("not JSON: {reason}")]
    NotJson {
        /// The parser's words, with the column.
        reason: String,
    },
    /// A list of messages; the agent protocol has no batches.
    #[error("a batch; send one message per line")]
    Batch,
    /// JSON, but a bare value.
    #[error("expected an object, found {found}")]
    NotAnObject {
        /// Kind of the value.
        found: &'static str,
    },
    /// An object that breaks the rules of a request, a notification or a response.
    #[error("{rule}")]
    BrokenRule {
        /// Which rule.
        rule: Rule,
        /// The id, if it could be read.
        id: Option<Id>,
        /// It has a `result` or an `error` and no `method`: it is somebody's answer, and gets none.
        is_response: bool,
    },
}

/// The rules that an object must keep to be a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// `jsonrpc` is missing or something else.
    #[error("\"jsonrpc\" must be \"2.0\"")]
    Version,
    /// `id` is a fraction, a list, …
    #[error("\"id\" must be a text or a whole number")]
    Id,
    /// Neither `method` nor `result` nor `error`.
    #[error("one of \"method\", \"result\" or \"error\" is needed")]
    Empty,
    /// Both a call and an answer.
    #[error("\"method\" together with \"result\" or \"error\"")]
    MethodAndOutcome,
    /// An answer that succeeded and failed.
    #[error("\"result\" together with \"error\"")]
    ResultAndError,
    /// `method` is not a text.
    #[error("\"method\" must be a text")]
    Method,
    /// `params` is a bare value.
    #[error("\"params\" must be an object or a list")]
    Params,
    /// An answer to nothing.
    #[error("a response needs an \"id\"")]
    ResponseWithoutId,
    /// `error` is not an object with a whole `code`.
    #[error("\"error\" must be an object with a whole \"code\"")]
    Error,
}

impl Malformed {
    /// The answer that the specification demands, or `None` where it forbids one.
    pub fn reply(&self) -> Option<Response> {
        let (id, code) = match self {
            Self::NotJson { .. } => (Id::Null, code::PARSE_ERROR),
            Self::Batch | Self::NotAnObject { .. } => (Id::Null, code::INVALID_REQUEST),
            Self::BrokenRule { is_response: true, .. } => return None,
            Self::BrokenRule { id, .. } => (id.clone().unwrap_or(Id::Null), code::INVALID_REQUEST),
        };
        let name = if code == code::PARSE_ERROR { "parse error" } else { "invalid request" };
        Some(Response::error(id, ErrorObject::new(code, format!("{name}: {self}"))))
    }
}

pub(super) fn parse(line: &[u8]) -> Result<Incoming, Malformed> {
    match serde_json::from_slice(line) {
        Ok(Value::Object(members)) => message(members),
        Ok(Value::Array(_)) => Err(Malformed::Batch),
        Ok(other) => Err(Malformed::NotAnObject { found: kind(&other) }),
        Err(error) => Err(Malformed::NotJson { reason: error.to_string() }),
    }
}

fn message(mut members: Map<String, Value>) -> Result<Incoming, Malformed> {
    let is_call = members.contains_key("method");
    let has_outcome = members.contains_key("result") || members.contains_key("error");
    let id = id(members.remove("id"));
    let broken = |rule, id: &Result<Option<Id>, ()>| {
        let id = id.clone().ok().flatten();
        Malformed::BrokenRule { rule, id, is_response: has_outcome && !is_call }
    };
    if members.get("jsonrpc").and_then(Value::as_str) != Some(VERSION) {
        return Err(broken(Rule::Version, &id));
    }
    if id.is_err() {
        return Err(broken(Rule::Id, &id));
    }
    let read = match (is_call, has_outcome) {
        (true, true) => Err(Rule::MethodAndOutcome),
        (false, false) => Err(Rule::Empty),
        (true, false) => call(&mut members, id.clone().ok().flatten()),
        (false, true) => response(&mut members, id.clone().ok().flatten()),
    };
    read.map_err(|rule| broken(rule, &id))
}

fn call(members: &mut Map<String, Value>, id: Option<Id>) -> Result<Incoming, Rule> {
    let Some(Value::String(method)) = members.remove("method") else { return Err(Rule::Method) };
    let params = members.remove("params");
    if params.as_ref().is_some_and(|params| !(params.is_object() || params.is_array() || params.is_null())) {
        return Err(Rule::Params);
    }
    let params = params.filter(|params| !params.is_null());
    Ok(match id {
        Some(id) => Incoming::Request(Request { id, method, params }),
        None => Incoming::Notification(Notification { method, params }),
    })
}

fn response(members: &mut Map<String, Value>, id: Option<Id>) -> Result<Incoming, Rule> {
    let id = id.ok_or(Rule::ResponseWithoutId)?;
    let outcome = match (members.remove("result"), members.remove("error")) {
        // Some peers send the unused member as null.
        (Some(result), None | Some(Value::Null)) => Ok(result),
        (None | Some(Value::Null), Some(error)) => Err(serde_json::from_value(error).map_err(|_| Rule::Error)?),
        _ => return Err(Rule::ResultAndError),
    };
    Ok(Incoming::Response(Response { id, outcome }))
}

/// `Ok(None)`: no `id` member, so a call is a notification.
fn id(value: Option<Value>) -> Result<Option<Id>, ()> {
    match value {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(Id::Null)),
        Some(Value::String(text)) => Ok(Some(Id::Text(text))),
        Some(Value::Number(number)) => number.as_i64().map(|number| Some(Id::Number(number))).ok_or(()),
        Some(_) => Err(()),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    #[test]
    fn lines_that_are_not_json() {
        check("hello", expect!["not JSON: expected value at line 1 column 1 -> null -32700"]);
        check("{\"id\":1", expect!["not JSON: EOF while parsing an object at line 1 column 7 -> null -32700"]);
        check("{} {}", expect!["not JSON: trailing characters at line 1 column 4 -> null -32700"]);
    }

    #[test]
    fn json_that_is_not_a_message() {
        check("[]", expect!["a batch; send one message per line -> null -32600"]);
        check("17", expect!["expected an object, found a number -> null -32600"]);
        check("{}", expect![[r#""jsonrpc" must be "2.0" -> null -32600"#]]);
        check(
            r#"{"jsonrpc":"2.0","id":1}"#,
            expect![[r#"one of "method", "result" or "error" is needed -> 1 -32600"#]],
        );
    }

    #[test]
    fn broken_requests_are_answered_under_their_id() {
        check(r#"{"jsonrpc":"1.0","id":5,"method":"m"}"#, expect![[r#""jsonrpc" must be "2.0" -> 5 -32600"#]]);
        check(r#"{"id":"x","method":"m"}"#, expect![[r#""jsonrpc" must be "2.0" -> "x" -32600"#]]);
        check(
            r#"{"jsonrpc":"2.0","id":1.5,"method":"m"}"#,
            expect![[r#""id" must be a text or a whole number -> null -32600"#]],
        );
        check(r#"{"jsonrpc":"2.0","id":2,"method":3}"#, expect![[r#""method" must be a text -> 2 -32600"#]]);
        check(
            r#"{"jsonrpc":"2.0","id":2,"method":"m","params":"p"}"#,
            expect![[r#""params" must be an object or a list -> 2 -32600"#]],
        );
        check(
            r#"{"jsonrpc":"2.0","id":2,"method":"m","result":{}}"#,
            expect![[r#""method" together with "result" or "error" -> 2 -32600"#]],
        );
    }

    #[test]
    fn broken_responses_are_never_answered() {
        check(r#"{"jsonrpc":"2.0","result":{}}"#, expect![[r#"a response needs an "id" -> no answer"#]]);
        check(
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1}}"#,
            expect![[r#""result" together with "error" -> no answer"#]],
        );
        check(
            r#"{"jsonrpc":"2.0","id":1,"error":"no"}"#,
            expect![[r#""error" must be an object with a whole "code" -> no answer"#]],
        );
        check(r#"{"id":1,"result":{}}"#, expect![[r#""jsonrpc" must be "2.0" -> no answer"#]]);
    }

    #[test]
    fn a_missing_id_is_a_notification_and_null_is_an_id() {
        assert!(matches!(parse(br#"{"jsonrpc":"2.0","method":"m"}"#), Ok(Incoming::Notification(_))));
        assert!(matches!(
            parse(br#"{"jsonrpc":"2.0","method":"m","id":null}"#),
            Ok(Incoming::Request(Request { id: Id::Null, .. }))
        ));
    }

    #[test]
    fn an_unused_member_may_be_null() {
        assert!(matches!(
            parse(br#"{"jsonrpc":"2.0","id":1,"result":{},"error":null}"#),
            Ok(Incoming::Response(Response { outcome: Ok(_), .. }))
        ));
        assert!(matches!(
            parse(br#"{"jsonrpc":"2.0","id":1,"result":null}"#),
            Ok(Incoming::Response(Response { outcome: Ok(Value::Null), .. }))
        ));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Err(malformed) = parse(&bytes) { malformed.reply(); }
        }

        #[test]
        fn no_members_panic(text in r#"\{("(jsonrpc|id|method|params|result|error|code)":("2.0"|1|null|\{"code":1\}|\[\]),?){0,6}\}"#) {
            if let Err(malformed) = parse(text.as_bytes()) { malformed.reply(); }
        }
    }

    fn check(line: &str, expected: Expect) {
        let malformed = parse(line.as_bytes()).unwrap_err();
        let reply = match malformed.reply() {
            Some(Response { id, outcome: Err(error) }) => format!("{id} {}", error.code),
            Some(_) => unreachable!("a reply to a broken line is an error"),
            None => "no answer".into(),
        };
        expected.assert_eq(&format!("{malformed} -> {reply}"));
    }
}
