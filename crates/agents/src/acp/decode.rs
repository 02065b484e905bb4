//! From one line of an agent to what it means. Pure; tested on recordings of real agents and on noise.
//!
//! A line falls in one of three classes: not a message ([`Malformed`], the peer may be owed an error), a message whose
//! parameters cannot be used ([`Incoming::Unusable`]), or something that has a meaning here.

use super::change::Change;
use super::permission::{OptionKind, PermissionOption};
use super::tap::clip_to;
use super::{SESSION_ID_BYTES_MAX, SessionId};
use api::rpc::{self, Id, Malformed, Notification, Request, Response};
use serde_json::Value;

/// Longest title of a permission request that is kept, and longest method name, in bytes.
const TITLE_BYTES_MAX: usize = 500;
/// Most options of a permission request that are looked at.
const OPTIONS_MAX: usize = 50;

/// What a line of an agent means.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// An answer to one of our requests, if the id is ours.
    Response(Response),
    /// News of a session.
    Update {
        /// Which session.
        session: SessionId,
        /// What changed.
        change: Change,
    },
    /// The agent wants to know whether it may do something.
    Permission {
        /// Id to answer under.
        id: Id,
        /// In which session.
        session: SessionId,
        /// What it wants to do.
        title: String,
        /// The answers that it offers.
        options: Vec<PermissionOption>,
    },
    /// A request for something that we do not offer.
    UnknownRequest {
        /// Id to answer under.
        id: Id,
        /// Its method, cut.
        method: String,
    },
    /// A notification that means nothing to us.
    UnknownNotification {
        /// Its method, cut.
        method: String,
    },
    /// A method that we know, with parameters that we cannot use.
    Unusable {
        /// Id to answer under, if it is a request.
        id: Option<Id>,
        /// The method.
        method: &'static str,
        /// What is wrong.
        why: &'static str,
    },
}

/// Reads one line.
///
/// # Errors
/// [`Malformed`] when it is not a message at all.
pub fn decode(line: &[u8]) -> Result<Incoming, Malformed> {
    Ok(match rpc::Incoming::parse(line)? {
        rpc::Incoming::Response(response) => Incoming::Response(response),
        rpc::Incoming::Notification(notification) => update(notification),
        rpc::Incoming::Request(request) => ask(request),
    })
}

fn update(notification: Notification) -> Incoming {
    const METHOD: &str = "session/update";
    if notification.method != METHOD {
        return Incoming::UnknownNotification { method: clip_to(&notification.method, TITLE_BYTES_MAX) };
    }
    let params = notification.params.unwrap_or_default();
    let unusable = |why| Incoming::Unusable { id: None, method: METHOD, why };
    let Some(session) = session(&params) else { return unusable("there is no sessionId") };
    match params.get("update").and_then(Change::read) {
        Some(change) => Incoming::Update { session, change },
        None => unusable("there is no update.sessionUpdate"),
    }
}

fn ask(Request { id, method, params }: Request) -> Incoming {
    const METHOD: &str = "session/request_permission";
    if method != METHOD {
        return Incoming::UnknownRequest { id, method: clip_to(&method, TITLE_BYTES_MAX) };
    }
    let params = params.unwrap_or_default();
    let unusable = |id, why| Incoming::Unusable { id: Some(id), method: METHOD, why };
    let Some(session) = session(&params) else { return unusable(id, "there is no sessionId") };
    let Some(options) = params.get("options").and_then(Value::as_array) else {
        return unusable(id, "there is no list of options");
    };
    let options = options.iter().take(OPTIONS_MAX).filter_map(option).collect();
    Incoming::Permission { id, session, title: title(params.get("toolCall")), options }
}

fn session(params: &Value) -> Option<SessionId> {
    let session = params.get("sessionId")?.as_str()?;
    (session.len() <= SESSION_ID_BYTES_MAX).then(|| SessionId(session.to_owned()))
}

fn option(option: &Value) -> Option<PermissionOption> {
    let id = option.get("optionId")?.as_str()?.to_owned();
    let kind = OptionKind::read(option.get("kind").and_then(Value::as_str).unwrap_or_default());
    Some(PermissionOption { id, kind })
}

fn title(call: Option<&Value>) -> String {
    let member = |name| call.and_then(|call| call.get(name)).and_then(Value::as_str);
    let title = member("title").or_else(|| member("toolCallId")).unwrap_or("a tool call");
    clip_to(&format!("{title}{}", told(title, call)), TITLE_BYTES_MAX)
}

/// What a call is about, where its title does not say it: a command, a path, an address.
fn told(title: &str, call: Option<&Value>) -> String {
    const TELLING: [&str; 6] = ["command", "cmd", "file_path", "filePath", "path", "url"];
    let input = call.and_then(|call| call.get("rawInput"));
    let member = |name: &&str| input.and_then(|input| input.get(name)).and_then(Value::as_str);
    let found = TELLING.iter().find_map(member).filter(|found| !title.contains(found));
    found.map(|found| format!(": {found}")).unwrap_or_default()
}
