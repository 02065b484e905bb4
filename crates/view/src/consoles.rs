//! The consoles of a mission's sandboxes, read from its transcripts as they grow, and in words.

use super::{
    duration,
    readings::ViewError,
    tell::{Line, Tone, Weight},
};
use crate::console::{CONSOLE, Console, RunBy};
use serde::Serialize;
use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
};
use store::{Content, Entry, MissionKey, TranscriptReader};

/// Entries read in one step.
const PAGE: usize = 512;

/// One thing on the console of an agent. As JSON it is `{agent, at_ms, console, …}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Heard {
    /// The agent that it was run for.
    pub agent: String,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What.
    #[serde(flatten)]
    pub console: Console,
}

/// Follows the consoles of a mission.
pub struct Consoles {
    reader: TranscriptReader,
    mission: MissionKey,
    /// The last entry read of each agent.
    read: BTreeMap<String, u64>,
    /// Read, and not given yet; in the order of time.
    waiting: VecDeque<Heard>,
}

impl Consoles {
    /// The consoles of a mission from their beginning.
    ///
    /// # Errors
    /// [`ViewError::Open`].
    pub fn open(home: &Path, mission: &str) -> Result<Self, ViewError> {
        let reader = TranscriptReader::open(home)?;
        Ok(Self { reader, mission: mission.into(), read: BTreeMap::new(), waiting: VecDeque::new() })
    }

    /// Passes over everything that is there.
    ///
    /// # Errors
    /// [`ViewError::Read`].
    pub fn skip(&mut self) -> Result<(), ViewError> {
        for agent in self.reader.agents(&self.mission)? {
            let last = self.reader.last_seq(&self.mission, &agent)?;
            self.read.insert(agent, last);
        }
        Ok(())
    }

    /// What is new, up to this time; all of it without one.
    ///
    /// # Errors
    /// [`ViewError::Read`].
    pub fn until(&mut self, at_ms: Option<u64>) -> Result<Vec<Heard>, ViewError> {
        self.read_new()?;
        let due = self.waiting.partition_point(|heard| at_ms.is_none_or(|at_ms| heard.at_ms <= at_ms));
        Ok(self.waiting.drain(..due).collect())
    }

    fn read_new(&mut self) -> Result<(), ViewError> {
        for agent in self.reader.agents(&self.mission)? {
            let read = self.read.entry(agent.clone()).or_default();
            loop {
                let page = self.reader.entries(&self.mission, &agent, *read, PAGE)?;
                let Some(last) = page.last() else { break };
                *read = last.seq;
                self.waiting.extend(page.into_iter().filter_map(|entry| heard(&agent, entry)));
            }
        }
        // The order of one agent's entries is theirs, whatever the clock did.
        self.waiting.make_contiguous().sort_by_key(|heard| heard.at_ms);
        Ok(())
    }
}

fn heard(agent: &str, entry: Entry) -> Option<Heard> {
    let console = match entry.content {
        Content::Bytes { kind, bytes } if kind == CONSOLE => serde_json::from_slice(&bytes).ok()?,
        Content::Bytes { .. } => return None,
        Content::Gap { chunks, bytes, .. } => Console::NotKept { chunks, bytes },
    };
    Some(Heard { agent: agent.to_owned(), at_ms: entry.at_ms, console })
}

impl Heard {
    /// The same in words. What a program printed is in it as it came: whoever shows it makes it harmless first.
    pub fn line(&self) -> Line {
        let text = match &self.console {
            Console::Begun { by, run, cwd, .. } => {
                let place = cwd.as_ref().map(|cwd| format!(" (in {cwd})")).unwrap_or_default();
                let check = if *by == RunBy::Check { "check " } else { "" };
                format!("{check}$ {}{place}", run.trim_end())
            }
            Console::Said { stderr, text, .. } => margin(if *stderr { "!| " } else { " | " }, text),
            Console::LeftOut { bytes, .. } => format!(" | [{bytes} bytes left out]"),
            Console::Ended { how, ms, hints, .. } => {
                let hints: String = hints.iter().map(|hint| format!("\nhint: {hint}")).collect();
                format!("{how} after {}{hints}", duration(*ms))
            }
            Console::Recount { says, booked } => format!(
                "it counts {} tokens in and {} out for this turn; the gateway booked {} and {}, which is what counts",
                says[0], says[1], booked[0], booked[1]
            ),
            Console::Process { how } => format!("its process ended: {how}"),
            Console::NotKept { chunks, bytes } => {
                format!("[{chunks} pieces of its transcript, {bytes} bytes, are not kept]")
            }
        };
        Line { weight: Weight::Detail, tone: Tone::Plain, agent: Some(self.agent.clone()), task: None, text }
    }
}

/// Each line of a text behind a mark, so that what a program prints cannot be taken for what muster says.
fn margin(mark: &str, text: &str) -> String {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.split('\n').map(|line| format!("{mark}{line}").trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_console_in_words() {
        let run = "make test".to_owned();
        let consoles = [
            Console::Begun { number: 1, by: RunBy::Agent, run: run.clone(), cwd: Some("src".into()) },
            Console::Said { number: 1, stderr: false, text: "one\n\ntwo\n".into() },
            Console::Said { number: 1, stderr: true, text: "oh\n\nno".into() },
            Console::LeftOut { number: 1, bytes: 12 },
            Console::Ended { number: 1, how: "exit status 1".into(), ms: 1234, bytes: 9, hints: vec!["why".into()] },
            Console::Begun { number: 2, by: RunBy::Check, run, cwd: None },
            Console::Process { how: "ended by signal 9".into() },
            Console::NotKept { chunks: 2, bytes: 300 },
        ];
        let lines = consoles.map(|console| Heard { agent: "builder-1".into(), at_ms: 0, console }.line().text);
        expect![[r#"
            $ make test (in src)
             | one
             |
             | two
            !| oh
            !|
            !| no
             | [12 bytes left out]
            exit status 1 after 1.2 s
            hint: why
            check $ make test
            its process ended: ended by signal 9
            [2 pieces of its transcript, 300 bytes, are not kept]"#]]
        .assert_eq(&lines.join("\n"));
    }

    #[test]
    fn as_json_it_is_flat() {
        let console = Console::Said { number: 3, stderr: true, text: "x".into() };
        let heard = Heard { agent: "a".into(), at_ms: 7, console };
        let expected =
            serde_json::json!({"agent": "a", "at_ms": 7, "console": "said", "number": 3, "stderr": true, "text": "x"});
        assert_eq!(serde_json::to_value(heard).unwrap(), expected);
    }
}
