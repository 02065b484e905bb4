//! What of a request differs from one run of the same mission to the next and means nothing.
//!
//! Each rule has its proof: two runs that did the same differ there. Keys are random, a mission's name has a random end,
//! commits carry the time at which they were made (and so do their ids), test runners print how long they took, and
//! addresses and names of temporary files are the system's choice. Agents of a mission work at the same time: which of
//! several free ones takes a task, the number of a message, and what of the others an agent finds when it looks (its
//! messages, the list of agents) depend on how fast each of them is. Anything else that differs is a difference.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// Fields of the body that name the session and not what is asked: OpenAI's `prompt_cache_key`, `safety_identifier`,
/// `user` and `client_metadata`, everybody's `metadata`.
const SESSION_FIELDS: [&str; 5] = ["prompt_cache_key", "safety_identifier", "user", "metadata", "client_metadata"];

/// What is found, and what stands in its place. The order matters: the longest forms first.
static RULES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let rules = [
        // Our own keys: see `Session`.
        (r"\bmuster-[0-9a-f]{48}\b", "<key>"),
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<uuid>"),
        (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?( ?(Z|[+-]\d\d:?\d\d)\b)?", "<time>"),
        // As git writes it: Wed Nov 25 23:26:54 2026 +0000.
        (r"\b[A-Z][a-z]{2} [A-Z][a-z]{2} +\d{1,2} \d\d:\d\d:\d\d \d{4}( [+-]\d{4})?\b", "<time>"),
        (r"\b\d\d:\d\d:\d\d(\.\d+)?\b", "<time>"),
        // As test runners and build tools write it: 0.002s, 1.25 seconds, 12 ms.
        (r"\b\d+(\.\d+ ?(s|sec|secs|seconds?)|(\.\d+)? ?(ms|µs|us|ns))\b", "<duration>"),
        (r"\b0x[0-9a-f]{6,16}\b", "<address>"),
        // Python's tempfile and mktemp(1).
        (r"/tmp/tmp[a-z0-9_]{8}\b|/tmp/tmp\.[A-Za-z0-9]{10}\b", "<temporary file>"),
    ];
    rules.into_iter().filter_map(|(rule, cover)| Some((Regex::new(rule).ok()?, cover))).collect()
});

/// Ids of commits and other objects of git, whole or abbreviated.
static OBJECT: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\b(?:[0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{7,12})\b").ok());

/// The fields of what our agent tools say of other agents: `send_message`, `read_messages`, `list_agents`.
const OF_OTHERS: [&[&str]; 3] = [&["message"], &["messages", "unread"], &["you", "agents"]];

/// A request's body with everything that varies covered. `mission` and `agent`: the names of who asks.
pub(super) fn settled(body: &[u8], mission: &str, agent: &str) -> Value {
    let mut value: Value =
        serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned().into());
    if let Value::Object(fields) = &mut value {
        SESSION_FIELDS.iter().for_each(|field| drop(fields.remove(*field)));
    }
    settle(&mut value, mission, agent);
    value
}

/// One number for a value in which the order of an object's fields does not count.
pub(super) fn digest(path: &str, value: &Value) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(path.as_bytes());
    feed(&mut hash, value);
    hash.finalize().into()
}

fn settle(value: &mut Value, mission: &str, agent: &str) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(covered) = covered(text, mission, agent) {
                *text = covered;
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| settle(value, mission, agent)),
        Value::Object(fields) => fields.values_mut().for_each(|value| settle(value, mission, agent)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn covered<'a>(text: &'a str, mission: &str, agent: &str) -> Cow<'a, str> {
    if is_of_others(text) {
        return Cow::Owned("<what others did>".to_owned());
    }
    let mut text = Cow::Borrowed(text);
    for (name, cover) in [(mission, "<mission>"), (agent, "<agent>")] {
        if let Some(changed) = without_name(&text, name, cover) {
            text = Cow::Owned(changed);
        }
    }
    for (rule, cover) in RULES.iter() {
        if let Cow::Owned(changed) = rule.replace_all(&text, *cover) {
            text = Cow::Owned(changed);
        }
    }
    if let Some(rule) = OBJECT.as_ref()
        && let Cow::Owned(changed) = rule.replace_all(&text, |found: &Captures<'_>| object(&found[0]))
    {
        text = Cow::Owned(changed);
    }
    text
}

/// Whether a text is an answer of one of our agent tools that tells of other agents.
fn is_of_others(text: &str) -> bool {
    if !text.starts_with('{') {
        return false;
    }
    let Ok(fields) = serde_json::from_str::<Map<String, Value>>(text) else { return false };
    let message = |fields: &Map<String, Value>| {
        let number = fields.get("message").and_then(Value::as_str).and_then(|text| text.strip_prefix('m'));
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let has = |names: &&[&str]| fields.len() == names.len() && names.iter().all(|name| fields.contains_key(*name));
    OF_OTHERS.iter().any(has) && (fields.len() > 1 || message(&fields))
}

/// The text with a name covered where it stands by itself; `None` where it does not.
fn without_name(text: &str, name: &str, cover: &str) -> Option<String> {
    let is_part = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let alone = |at: &usize| {
        let (before, after) = (at.checked_sub(1), at + name.len());
        !is_part(before.and_then(|at| text.as_bytes().get(at))) && !is_part(text.as_bytes().get(after))
    };
    let places: Vec<usize> = match name {
        "" => Vec::new(),
        name => text.match_indices(name).map(|(at, _)| at).filter(alone).collect(),
    };
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for at in &places {
        out.push_str(&text[from..*at]);
        out.push_str(cover);
        from = at + name.len();
    }
    out.push_str(&text[from..]);
    (!places.is_empty()).then_some(out)
}

/// Words and numbers can look like the beginning of an id; an id as good as always has both letters and digits.
fn object(found: &str) -> String {
    let both = found.bytes().any(|byte| byte.is_ascii_digit()) && found.bytes().any(|byte| byte.is_ascii_lowercase());
    if both { "<object>".to_owned() } else { found.to_owned() }
}

/// Each value with its kind and its length before it, so that no two values are the same bytes.
fn feed(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Object(fields) => feed_object(hash, fields),
        Value::Array(values) => {
            hash.update(format!("[{}:", values.len()));
            values.iter().for_each(|value| feed(hash, value));
        }
        Value::String(text) => {
            hash.update(format!("\"{}:", text.len()));
            hash.update(text);
        }
        other => hash.update(format!("={other};")),
    }
}

fn feed_object(hash: &mut Sha256, fields: &Map<String, Value>) {
    let mut names: Vec<&String> = fields.keys().collect();
    names.sort_unstable();
    hash.update(format!("{{{}:", names.len()));
    for name in names {
        hash.update(format!("{}:{name}", name.len()));
        feed(hash, &fields[name.as_str()]);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn same(one: &str, other: &str) -> bool {
        settled(one.as_bytes(), "fix-a1b2c", "ada-1") == settled(other.as_bytes(), "replay-fix-9f8e7", "ada-2")
    }

    #[test]
    fn what_varies_does_not_count() {
        for (one, other) in [
            ("Ran 9 tests in 0.002s", "Ran 9 tests in 0.013s"),
            ("finished in 12 ms", "finished in 9 ms"),
            ("merged 3f2a1bc", "merged 90ab12d"),
            ("at 2026-11-25T23:26:54Z, on muster/fix-a1b2c", "at 2026-11-26T01:02:03Z, on muster/replay-fix-9f8e7"),
            ("Date:   Wed Nov 25 23:26:54 2026 +0000", "Date:   Thu Nov 26 01:02:03 2026 +0100"),
            ("You are ada-1.", "You are ada-2."),
            (r#"{"message":"m1"}"#, r#"{"message":"m20"}"#),
            (r#"{"messages":[],"unread":0}"#, r#"{"messages":[{"id":"m0","from":"bob","body":"hi"}],"unread":1}"#),
            ("<A object at 0x7f0011223344>", "<A object at 0x7fff55443322>"),
        ] {
            assert!(same(&json!(one).to_string(), &json!(other).to_string()), "{one} / {other}");
        }
        assert!(same(r#"{"user":"a","model":"m"}"#, r#"{"model":"m","prompt_cache_key":"x"}"#));
    }

    #[test]
    fn what_is_asked_counts() {
        for (one, other) in [
            ("Ran 9 tests", "Ran 8 tests"),
            ("tell ada-10", "tell ada-20"),
            (r#"{"message":"no"}"#, r#"{"message":"yes"}"#),
            ("sleep 10", "sleep 20"),
            ("wait 10s", "wait 20s"),
            ("deadbeef", "feedface"),
            ("line 1234567", "line 7654321"),
        ] {
            assert!(!same(&json!(one).to_string(), &json!(other).to_string()), "{one} / {other}");
        }
    }

    #[test]
    fn the_order_of_fields_does_not_change_the_digest_and_nothing_else_is_alike() {
        let of = |text: &str| digest("/v1/messages", &serde_json::from_str(text).unwrap());
        assert_eq!(of(r#"{"a":1,"b":[2]}"#), of(r#"{"b":[2],"a":1}"#));
        let different = [r#"{"a":1}"#, r#"{"a":"1"}"#, r#"["a",1]"#, r#"["a1"]"#, r#"[["a"],1]"#, r#"{"a":[1]}"#];
        for (at, one) in different.iter().enumerate() {
            assert!(different[at + 1..].iter().all(|other| of(one) != of(other)), "{one}");
        }
        assert_ne!(of("1"), digest("/v1/responses", &json!(1)));
    }

    #[test]
    fn every_rule_is_a_rule() {
        assert_eq!(RULES.len(), 8);
        assert!(OBJECT.is_some());
    }
}
