//! What agents say and do, from their transcripts: pieces of text put together, tool calls told once when they begin and once when they end.
//!
//! A transcript has what came over the protocol, piece by piece; nobody reads that. Here a text is told by its paragraphs, a call with a short form
//! of its arguments, its result with its beginning. The whole of it stays in the transcript.

use super::{layout::shortened, tell::Tone};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Bytes of a text that are waited for before its beginning is told.
const TEXT_BYTES: usize = 2_000;
/// Columns that a call, a line of a result or a note takes at most.
const SHOWN_COLUMNS: usize = 200;
/// Bytes of a result that are kept.
const OUTPUT_BYTES: usize = 16 << 10;
/// Looks at a transcript that does not grow before a text that waits is told.
const QUIET_LOOKS: u8 = 4;
/// How our own agent tells that its model is asked again.
const AGAIN: &str = "The model did not answer ";
/// Lines of a result that are shown.
const RESULT_LINES: usize = 4;
/// Calls of one agent that are remembered until they end.
const CALLS_MAX: usize = 256;

/// One thing that an agent said or did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "said", rename_all = "snake_case")]
pub enum Spoken {
    /// The model's words.
    Text {
        /// The words.
        text: String,
    },
    /// Its reasoning, where the provider shows it.
    Thought {
        /// The words.
        text: String,
    },
    /// It calls a tool.
    Call {
        /// What it does, in the agent's words.
        title: String,
        /// Its arguments, short.
        #[serde(skip_serializing_if = "String::is_empty")]
        input: String,
    },
    /// A tool call ended.
    Result {
        /// What it did.
        title: String,
        /// Whether it failed.
        failed: bool,
        /// What it gave, short.
        #[serde(skip_serializing_if = "String::is_empty")]
        output: String,
    },
    /// Something odd that its program did.
    Note {
        /// One sentence.
        text: String,
    },
}

/// The parts of what stands in a transcript that are told; whoever writes it says what else there is.
#[derive(Deserialize)]
struct Stored {
    #[serde(default)]
    update: String,
    #[serde(default)]
    change: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    call: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    input: String,
    #[serde(default)]
    output: String,
}

/// One agent's transcript on its way to a reader.
#[derive(Default)]
pub(super) struct Listening {
    text: String,
    thought: String,
    /// Calls that are on, by id.
    calls: BTreeMap<String, Calling>,
    /// Looks since it last grew.
    quiet: u8,
}

/// A call that is on.
#[derive(Default)]
struct Calling {
    title: String,
    output: String,
}

impl Listening {
    /// Takes the next piece of a transcript; gives what is complete by it.
    pub(super) fn hear(&mut self, bytes: &[u8]) -> Vec<Spoken> {
        let Ok(stored) = serde_json::from_slice::<Stored>(bytes) else { return Vec::new() };
        self.quiet = 0;
        let said = match (stored.update.as_str(), stored.change.as_str()) {
            ("session", "text") => return self.piece(false, &stored.text),
            ("session", "thought") => return self.piece(true, &stored.text),
            ("session", "tool_call") => self.call(stored),
            ("session", "tool_progress") => self.progress(stored),
            ("note" | "stderr", _) if !stored.text.trim().is_empty() => Some(Spoken::Note { text: stored.text }),
            _ => None,
        };
        let mut told = if said.is_some() { self.rest() } else { Vec::new() };
        told.extend(said);
        told
    }

    /// Another look at a transcript that has not grown: a text that nothing follows is told after a while.
    pub(super) fn wait(&mut self) -> Vec<Spoken> {
        self.quiet = self.quiet.saturating_add(1);
        if self.quiet >= QUIET_LOOKS { self.rest() } else { Vec::new() }
    }

    /// The text that waits for more.
    pub(super) fn rest(&mut self) -> Vec<Spoken> {
        let (thought, text) = (std::mem::take(&mut self.thought), std::mem::take(&mut self.text));
        let thought = Some(thought).filter(|text| !text.trim().is_empty()).map(|text| Spoken::Thought { text });
        let text = Some(text).filter(|text| !text.trim().is_empty()).map(|text| Spoken::Text { text });
        thought.into_iter().chain(text).collect()
    }

    fn piece(&mut self, thought: bool, piece: &str) -> Vec<Spoken> {
        let other = if thought { &self.text } else { &self.thought };
        let mut told = if other.is_empty() { Vec::new() } else { self.rest() };
        let text = if thought { &mut self.thought } else { &mut self.text };
        text.push_str(piece);
        if text.len() >= TEXT_BYTES && text.ends_with('\n') || text.len() >= 2 * TEXT_BYTES {
            told.extend(self.rest());
        }
        told
    }

    fn call(&mut self, stored: Stored) -> Option<Spoken> {
        while self.calls.len() >= CALLS_MAX {
            self.calls.pop_first();
        }
        let title = if stored.title.is_empty() { stored.kind } else { stored.title };
        self.calls.insert(stored.call, Calling { title: title.clone(), output: stored.output });
        Some(Spoken::Call { title, input: stored.input })
    }

    fn progress(&mut self, stored: Stored) -> Option<Spoken> {
        let calling = self.calls.entry(stored.call.clone()).or_default();
        if !stored.title.is_empty() {
            calling.title = stored.title;
        }
        match stored.output.starts_with(&calling.output) {
            true => calling.output = stored.output,
            false if calling.output.len() < OUTPUT_BYTES => calling.output.push_str(&stored.output),
            false => {}
        }
        let failed = stored.status == "failed";
        if !failed && stored.status != "completed" {
            return None;
        }
        let Calling { title, output } = self.calls.remove(&stored.call).unwrap_or_default();
        Some(Spoken::Result { title, failed, output })
    }
}

impl Spoken {
    /// Whether a console shows the same: a command that was run for the agent in a sandbox of its own.
    pub(super) fn is_on_console(&self) -> bool {
        let runs = |title: &str| title.split([':', ' ']).next().is_some_and(|tool| tool.ends_with("run_command"));
        matches!(self, Self::Call { title, .. } | Self::Result { title, .. } if runs(title))
    }

    /// In words, each line of the agent's behind a mark, so that it cannot be taken for what muster says.
    pub(super) fn words(&self) -> (Tone, String) {
        match self {
            Self::Text { text } => (Tone::Plain, margin("> ", text.trim())),
            Self::Thought { text } => (Tone::Plain, margin("~ ", text.trim())),
            Self::Call { title, input } => {
                let input = if title.contains(": ") || input == "{}" { "" } else { input };
                (Tone::Plain, shortened(&format!("calls {title} {input}"), SHOWN_COLUMNS))
            }
            Self::Result { title, failed, output } => {
                let tone = if *failed { Tone::Bad } else { Tone::Plain };
                let how = if *failed { "failed" } else { "done" };
                let shown = few_lines(output.trim(), RESULT_LINES);
                let shown = if shown.is_empty() { shown } else { format!("\n{}", margin(" | ", &shown)) };
                (tone, format!("{}: {how}{shown}", shortened(title, SHOWN_COLUMNS)))
            }
            Self::Note { text } => (Tone::Plain, format!("its program says: {}", shortened(text, SHOWN_COLUMNS))),
        }
    }

    /// In a few words, for a line that is drawn over.
    pub(super) fn brief(&self) -> Option<String> {
        match self {
            Self::Text { .. } => None,
            Self::Thought { text } => text.trim().strip_prefix(AGAIN).map(|why| format!("asks its model again {why}")),
            Self::Call { title, .. } => Some(title.clone()),
            Self::Result { .. } => Some("asks its model".to_owned()),
            Self::Note { text } => Some(shortened(text, SHOWN_COLUMNS)),
        }
    }
}

/// The first lines of a text, each bounded, and how many there are more.
pub(super) fn few_lines(text: &str, most: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let left = lines.len().saturating_sub(most + 1);
    let shown = if left == 0 { lines.len() } else { most };
    let mut told: Vec<String> = lines.iter().take(shown).map(|line| bounded(line)).collect();
    if left > 0 {
        told.push(format!("[{} more lines]", left + 1));
    }
    told.join("\n")
}

fn bounded(line: &str) -> String {
    if line.len() <= SHOWN_COLUMNS { line.trim_end().to_owned() } else { shortened(line, SHOWN_COLUMNS) }
}

/// Each line of a text behind a mark.
pub(super) fn margin(mark: &str, text: &str) -> String {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.split('\n').map(|line| format!("{mark}{line}").trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn told(pieces: &[serde_json::Value]) -> String {
        let mut listening = Listening::default();
        let mut said: Vec<Spoken> =
            pieces.iter().flat_map(|piece| listening.hear(piece.to_string().as_bytes())).collect();
        said.extend(listening.rest());
        said.iter().map(|said| said.words().1).collect::<Vec<_>>().join("\n")
    }

    fn session(change: serde_json::Value) -> serde_json::Value {
        let mut update = serde_json::json!({"update": "session", "session": "s"});
        update.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        update
    }

    #[test]
    fn pieces_become_texts_and_calls_are_told_twice() {
        let text = |text: &str| session(serde_json::json!({"change": "text", "text": text}));
        let thought = |text: &str| session(serde_json::json!({"change": "thought", "text": text}));
        let call = |title: &str, input: &str| {
            let (kind, output) = ("read", "");
            session(
                serde_json::json!({"change": "tool_call", "call": "1", "title": title, "kind": kind, "status": "pending", "input": input, "output": output}),
            )
        };
        let progress = |status: &str, output: &str| {
            session(
                serde_json::json!({"change": "tool_progress", "call": "1", "title": "", "status": status, "input": "", "output": output}),
            )
        };
        expect![[r#"
            ~ Where is it?
            > I will read
            > the module.
            calls Read {"path":"a.py"}
            Read: done
             | one
             | two
             | three
             | four
             | [4 more lines]
            calls read_file: b.py
            read_file: b.py: failed
             | no such file
            > Done."#]]
        .assert_eq(&told(&[
            thought("Where "),
            thought("is it?"),
            text("I will read\nthe"),
            text(" module."),
            call("Read", r#"{"path":"a.py"}"#),
            progress("in_progress", "one\ntwo"),
            progress("completed", "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight"),
            call("read_file: b.py", r#"{"path":"b.py"}"#),
            progress("failed", "no such file"),
            text("Done."),
        ]));
    }

    #[test]
    fn a_text_that_nothing_follows_is_told_after_a_while() {
        let mut listening = Listening::default();
        listening.hear(session(serde_json::json!({"change": "text", "text": "so"})).to_string().as_bytes());
        let looks = (1..9).find(|_| !listening.wait().is_empty());
        assert_eq!(looks, Some(QUIET_LOOKS.into()));
        assert!(listening.rest().is_empty());
    }

    #[test]
    fn a_command_stands_on_its_console() {
        let call = |title: &str| Spoken::Call { title: title.to_owned(), input: String::new() };
        assert!(call("run_command: make").is_on_console());
        assert!(call("mcp__muster__run_command").is_on_console());
        assert!(!call("read_file: run_command").is_on_console());
    }
}
