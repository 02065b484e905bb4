//! The JSON-RPC 2.0 envelope and its one-message-per-line framing, shared by both ends of the agent protocol.
//!
//! Why here: our own agent and the engine speak the same protocol from opposite sides, and a peer may be
//! anybody's program. So this module decides once what is a message, what is not, and which answer the
//! specification (<https://www.jsonrpc.org/specification>) demands for what is not.
//!
//! It refuses to do I/O, to know any method, and to accept batches (the agent protocol has none).

use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

mod lines;
mod malformed;

pub use lines::{LINE_BYTES_MAX, LineSplitter, LineTooLong};
pub use malformed::{Malformed, Rule};

/// The only protocol version that exists on the wire.
pub const VERSION: &str = "2.0";

/// Error codes of JSON-RPC 2.0, section 5.1.
pub mod code {
    /// The line is not JSON.
    pub const PARSE_ERROR: i64 = -32700;
    /// The line is JSON, but not a request.
    pub const INVALID_REQUEST: i64 = -32600;
    /// The method does not exist or is not offered.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// The parameters do not fit the method.
    pub const INVALID_PARAMS: i64 = -32602;
    /// The peer failed by itself.
    pub const INTERNAL_ERROR: i64 = -32603;
}

/// What pairs a response with its request. Null appears in answers to requests whose id could not be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Id {
    /// A whole number.
    Number(i64),
    /// A text.
    Text(String),
    /// No id could be read.
    Null,
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Null => f.write_str("null"),
        }
    }
}

/// A call that wants an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Chosen by the caller, given back in the response.
    pub id: Id,
    /// Name of the method.
    pub method: String,
    /// An object or an array, if present.
    pub params: Option<Value>,
}

/// A call that must not be answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    /// Name of the method.
    pub method: String,
    /// An object or an array, if present.
    pub params: Option<Value>,
}

/// The answer to one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// The request's id; null when it could not be read.
    pub id: Id,
    /// The `result` member, or the `error` member.
    pub outcome: Result<Value, ErrorObject>,
}

/// The `error` member of a response.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorObject {
    /// See [`code`]; peers add their own.
    pub code: i64,
    /// One sentence.
    #[serde(default)]
    pub message: String,
    /// Whatever the peer adds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

/// One well-formed line from the peer.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// Must be answered.
    Request(Request),
    /// Must not be answered.
    Notification(Notification),
    /// Answers one of our requests, if the id is ours.
    Response(Response),
}

impl Incoming {
    /// Reads one line (without or with its line end).
    ///
    /// # Errors
    /// [`Malformed`] says what is wrong; its [`Malformed::reply`] is the answer that the peer is owed, if any.
    pub fn parse(line: &[u8]) -> Result<Self, Malformed> {
        malformed::parse(line)
    }
}

impl Request {
    /// A request.
    pub fn new(id: Id, method: impl Into<String>, params: Value) -> Self {
        Self { id, method: method.into(), params: Some(params) }
    }

    /// The message as one line, line end included.
    pub fn to_line(&self) -> String {
        line_of(self)
    }
}

impl Notification {
    /// A notification.
    pub fn new(method: impl Into<String>, params: Value) -> Self {
        Self { method: method.into(), params: Some(params) }
    }

    /// The message as one line, line end included.
    pub fn to_line(&self) -> String {
        line_of(self)
    }
}

impl Response {
    /// A successful answer.
    pub fn ok(id: Id, result: Value) -> Self {
        Self { id, outcome: Ok(result) }
    }

    /// A refusal.
    pub fn error(id: Id, error: ErrorObject) -> Self {
        Self { id, outcome: Err(error) }
    }

    /// The message as one line, line end included.
    pub fn to_line(&self) -> String {
        line_of(self)
    }
}

impl ErrorObject {
    /// An error without data.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// "Method not found", naming the method (its first 100 characters: a peer's text is not echoed without a bound).
    pub fn method_not_found(method: &str) -> Self {
        let method: String = method.chars().take(100).collect();
        Self::new(code::METHOD_NOT_FOUND, format!("method not found: {method}"))
    }

    /// "Invalid params", saying what is wrong with them.
    pub fn invalid_params(what: impl std::fmt::Display) -> Self {
        Self::new(code::INVALID_PARAMS, format!("invalid params: {what}"))
    }

    /// "Internal error", saying what failed.
    pub fn internal(what: impl std::fmt::Display) -> Self {
        Self::new(code::INTERNAL_ERROR, format!("internal error: {what}"))
    }

    /// The same error with data.
    #[must_use]
    pub fn with_data(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }
}

impl std::fmt::Display for ErrorObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (code {})", self.message, self.code)
    }
}

impl std::error::Error for ErrorObject {}

impl Serialize for Request {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = envelope(serializer)?;
        map.serialize_entry("id", &self.id)?;
        call(map, &self.method, self.params.as_ref())
    }
}

impl Serialize for Notification {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        call(envelope(serializer)?, &self.method, self.params.as_ref())
    }
}

impl Serialize for Response {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = envelope(serializer)?;
        map.serialize_entry("id", &self.id)?;
        match &self.outcome {
            Ok(result) => map.serialize_entry("result", result)?,
            Err(error) => map.serialize_entry("error", error)?,
        }
        map.end()
    }
}

fn envelope<S: Serializer>(serializer: S) -> Result<S::SerializeMap, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry("jsonrpc", VERSION)?;
    Ok(map)
}

fn call<M: SerializeMap>(mut map: M, method: &str, params: Option<&Value>) -> Result<M::Ok, M::Error> {
    map.serialize_entry("method", method)?;
    if let Some(params) = params {
        map.serialize_entry("params", params)?;
    }
    map.end()
}

fn line_of(message: &impl Serialize) -> String {
    match serde_json::to_string(message) {
        Ok(mut line) => {
            line.push('\n');
            line
        }
        Err(error) => unreachable!("an envelope around a JSON value always serialises: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_written_is_read_back() {
        let request = Request::new(Id::Number(7), "session/new", json!({"cwd": "/repo"}));
        assert_eq!(
            request.to_line(),
            "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"session/new\",\"params\":{\"cwd\":\"/repo\"}}\n"
        );
        assert_eq!(Incoming::parse(request.to_line().as_bytes()).unwrap(), Incoming::Request(request));

        let told = Notification { method: "initialized".into(), params: None };
        assert_eq!(told.to_line(), "{\"jsonrpc\":\"2.0\",\"method\":\"initialized\"}\n");
        assert_eq!(Incoming::parse(told.to_line().as_bytes()).unwrap(), Incoming::Notification(told));

        for response in [
            Response::ok(Id::Text("a".into()), json!(null)),
            Response::error(Id::Null, ErrorObject::method_not_found("fs/read").with_data(json!([1]))),
        ] {
            assert_eq!(Incoming::parse(response.to_line().as_bytes()).unwrap(), Incoming::Response(response));
        }
    }

    #[test]
    fn a_message_is_one_line_whatever_its_text() {
        let told = Notification::new("say", json!({"text": "two\nlines\r\n\u{2028}"}));
        assert_eq!(told.to_line().matches('\n').count(), 1);
    }
}
