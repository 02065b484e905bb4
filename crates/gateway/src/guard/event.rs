//! One event of a stream: where its text is, and the event written anew with parts of that text replaced.
//!
//! Text is found by where all formats keep it, without a table of each: every string below a member called `delta`,
//! `parts` or `text`. Which block it belongs to is told by the names on the way there and by the indexes beside them.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::mask::Masker;

/// How deep text is looked for; the deepest known, an argument of a chat's tool call, is 8 levels down.
const DEPTH_MAX: usize = 12;

/// A text of an event.
pub(super) struct Leaf {
    /// Of which block of the answer.
    pub(super) block: String,
    pub(super) text: String,
    /// Where it stands in the event's data, quotes included.
    at: Range<usize>,
    /// What replaces which bytes of the text, in their order.
    edits: Vec<(Range<usize>, String)>,
}

/// An event that waits.
pub(super) struct Held {
    raw: Bytes,
    /// Its data; empty when there are no leaves.
    data: String,
    pub(super) leaves: Vec<Leaf>,
    /// Pieces of its text that are undecided.
    pub(super) waiting: usize,
}

impl Held {
    pub(super) fn new(raw: Bytes, data: &[u8], leaves: Vec<Leaf>) -> Self {
        let data = if leaves.is_empty() { String::new() } else { String::from_utf8_lossy(data).into_owned() };
        Held { raw, data, leaves, waiting: 0 }
    }

    pub(super) fn edit(&mut self, leaf: usize, bytes: Range<usize>, text: &str) {
        if let Some(leaf) = self.leaves.get_mut(leaf) {
            leaf.edits.push((bytes, text.to_owned()));
        }
    }

    /// The event as it passes: its text edited, and whatever else of it is a secret covered by value.
    pub(super) fn written(self, masker: &Masker) -> Bytes {
        let edited = self.leaves.iter().any(|leaf| !leaf.edits.is_empty());
        let raw = if edited { with_data(&self.raw, &self.edited()) } else { self.raw };
        match masker.bytes(&raw) {
            Cow::Borrowed(_) => raw,
            Cow::Owned(covered) => covered.into(),
        }
    }

    fn edited(&self) -> String {
        let (mut out, mut at) = (String::with_capacity(self.data.len()), 0);
        for leaf in self.leaves.iter().filter(|leaf| !leaf.edits.is_empty()) {
            out.push_str(self.data.get(at..leaf.at.start).unwrap_or_default());
            out.push_str(&serde_json::Value::String(leaf.edited()).to_string());
            at = leaf.at.end;
        }
        out + self.data.get(at..).unwrap_or_default()
    }
}

impl Leaf {
    fn edited(&self) -> String {
        let (mut out, mut at) = (String::new(), 0);
        for (bytes, text) in &self.edits {
            out.push_str(self.text.get(at..bytes.start).unwrap_or_default());
            out.push_str(text);
            at = bytes.end;
        }
        out + self.text.get(at..).unwrap_or_default()
    }
}

/// The event with other data: its first `data` line is replaced, further ones go, all other lines stay.
fn with_data(raw: &[u8], data: &str) -> Bytes {
    let (mut out, mut written) = (Vec::with_capacity(raw.len() + data.len()), false);
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        let Some(rest) = line.strip_prefix(b"data:") else {
            out.extend_from_slice(line);
            continue;
        };
        let begin: &[u8] = if rest.starts_with(b" ") { b"data: " } else { b"data:" };
        let end: &[u8] = if line.ends_with(b"\r\n") { b"\r\n" } else { b"\n" };
        if !std::mem::replace(&mut written, true) {
            data.split('\n').for_each(|line| out.extend([begin, line.as_bytes(), end].concat()));
        }
    }
    out.into()
}

/// The texts of an event in their order, and whether it says that a block or the answer has ended.
pub(super) fn leaves(data: &[u8]) -> (Vec<Leaf>, bool) {
    let mut found = Search { data: data.as_ptr() as usize, leaves: Vec::new(), ends: false };
    if let Ok(raw) = serde_json::from_slice::<&RawValue>(data) {
        found.value(raw, Where { block: "", name: "", text: false, depth: 0 });
    }
    (found.leaves, found.ends)
}

struct Search {
    /// Where the data begins in memory: what is found in it borrows from it.
    data: usize,
    leaves: Vec<Leaf>,
    ends: bool,
}

/// Where a value stands.
#[derive(Clone, Copy)]
struct Where<'a> {
    block: &'a str,
    name: &'a str,
    /// Whether strings here are text.
    text: bool,
    depth: usize,
}

impl Search {
    fn value(&mut self, raw: &RawValue, at: Where<'_>) {
        let json = raw.get();
        match json.as_bytes().first() {
            Some(b'{') if at.depth < DEPTH_MAX => self.object(json, at),
            Some(b'[') if at.depth < DEPTH_MAX => {
                let items: Vec<&RawValue> = serde_json::from_str(json).unwrap_or_default();
                items.into_iter().for_each(|item| self.value(item, Where { depth: at.depth + 1, ..at }));
            }
            Some(b'"') if at.text && !matches!(at.name, "type" | "role" | "id") => {
                let start = (json.as_ptr() as usize).saturating_sub(self.data);
                let text = serde_json::from_str(json).unwrap_or_default();
                let at_bytes = start..start + json.len();
                self.leaves.push(Leaf { block: at.block.to_owned(), text, at: at_bytes, edits: Vec::new() });
            }
            _ => {}
        }
    }

    fn object(&mut self, json: &str, at: Where<'_>) {
        let Ok(Members(members)) = serde_json::from_str(json) else { return };
        let mut block = at.block.to_owned();
        let indexes = members.iter().filter(|(name, _)| name == "index" || name.ends_with("_index"));
        indexes.for_each(|(_, index)| block.extend(["#", index.get()]));
        for (name, value) in &members {
            self.ends |= ends(name, value.get(), at.depth);
            let text = at.text || matches!(&**name, "delta" | "parts" | "text");
            let block = format!("{block}/{name}");
            self.value(value, Where { block: &block, name, text, depth: at.depth + 1 });
        }
    }
}

/// Whether a member says that a block or the answer has ended, in one of the formats.
fn ends(name: &str, json: &str, depth: usize) -> bool {
    match name {
        "finish_reason" | "finishReason" => json != "null",
        "type" if depth == 0 => [r#"_stop""#, r#".done""#, r#".completed""#].iter().any(|end| json.ends_with(end)),
        _ => false,
    }
}

/// The members of an object in their order.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(Name(name)) = map.next_key()? {
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Read)
    }
}

/// A name, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
