//! What a mission's agents say and what is run for them, read from its transcripts as they grow, and in words.

use super::{
    duration,
    readings::ViewError,
    spoken::{Listening, Spoken, few_lines, margin},
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
/// Lines of one piece of what a program printed that are shown in words.
const PRINTED_LINES: usize = 12;

/// One thing of an agent's transcript. As JSON it is `{agent, at_ms, console, …}` or `{agent, at_ms, said, …}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Heard {
    /// The agent that it was run for.
    pub agent: String,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What.
    #[serde(flatten)]
    pub what: Something,
}

/// What is heard of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Something {
    /// What was run for it, and what that printed.
    Console(Console),
    /// What it said and did itself.
    Spoken(Spoken),
}

/// Follows the consoles of a mission.
pub struct Consoles {
    reader: TranscriptReader,
    mission: MissionKey,
    /// Of each agent, what has been read.
    read: BTreeMap<String, Heeded>,
    /// Read, and not given yet; in the order of time.
    waiting: VecDeque<Heard>,
}

/// How far an agent's transcript has been read.
#[derive(Default)]
struct Heeded {
    /// The last entry, and its time.
    last: (u64, u64),
    listening: Listening,
}

impl Consoles {
    /// The transcripts of a mission from their beginning.
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
            self.read.entry(agent).or_default().last.0 = last;
        }
        Ok(())
    }

    /// What is new, up to this time; all of it without one.
    ///
    /// # Errors
    /// [`ViewError::Read`].
    pub fn until(&mut self, at_ms: Option<u64>) -> Result<Vec<Heard>, ViewError> {
        self.read_new(at_ms.is_none())?;
        Ok(self.due(at_ms))
    }

    /// All that is left, texts that wait for more included.
    ///
    /// # Errors
    /// [`ViewError::Read`].
    pub fn rest(&mut self) -> Result<Vec<Heard>, ViewError> {
        self.read_new(false)?;
        for (agent, heeded) in &mut self.read {
            let rest = heeded.listening.rest();
            self.waiting.extend(rest.into_iter().map(|said| Heard::said(agent, heeded.last.1, said)));
        }
        Ok(self.due(None))
    }

    fn due(&mut self, at_ms: Option<u64>) -> Vec<Heard> {
        // The order of one agent's entries is theirs, whatever the clock did.
        self.waiting.make_contiguous().sort_by_key(|heard| heard.at_ms);
        let due = self.waiting.partition_point(|heard| at_ms.is_none_or(|at_ms| heard.at_ms <= at_ms));
        self.waiting.drain(..due).collect()
    }

    /// `looks`: a text that nothing has followed for some looks is told.
    fn read_new(&mut self, looks: bool) -> Result<(), ViewError> {
        for agent in self.reader.agents(&self.mission)? {
            let heeded = self.read.entry(agent.clone()).or_default();
            let before = heeded.last.0;
            loop {
                let page = self.reader.entries(&self.mission, &agent, heeded.last.0, PAGE)?;
                let Some(last) = page.last() else { break };
                let upto = (last.seq, last.at_ms);
                for entry in page {
                    self.waiting.extend(heeded.hear(&agent, entry));
                }
                heeded.last = upto;
            }
            if looks && heeded.last.0 == before {
                let late = heeded.listening.wait();
                self.waiting.extend(late.into_iter().map(|said| Heard::said(&agent, heeded.last.1, said)));
            }
        }
        Ok(())
    }
}

impl Heeded {
    fn hear(&mut self, agent: &str, entry: Entry) -> Vec<Heard> {
        let at_ms = entry.at_ms;
        let console = match entry.content {
            Content::Bytes { kind, bytes } if kind == CONSOLE => serde_json::from_slice(&bytes).ok(),
            Content::Bytes { bytes, .. } => {
                let said = self.listening.hear(&bytes).into_iter().filter(|said| !said.is_on_console());
                return said.map(|said| Heard::said(agent, at_ms, said)).collect();
            }
            Content::Gap { chunks, bytes, .. } => Some(Console::NotKept { chunks, bytes }),
        };
        // What was said before something was run comes before it.
        let said = self.listening.rest().into_iter().map(|said| Heard::said(agent, at_ms, said));
        let console =
            console.map(|console| Heard { agent: agent.to_owned(), at_ms, what: Something::Console(console) });
        said.chain(console).collect()
    }
}

impl Heard {
    fn said(agent: &str, at_ms: u64, said: Spoken) -> Self {
        Self { agent: agent.to_owned(), at_ms, what: Something::Spoken(said) }
    }

    /// The same in words. What an agent said or a program printed is in it as it came: whoever shows it makes it harmless first.
    pub fn line(&self) -> Line {
        let (tone, text) = match &self.what {
            Something::Console(console) => (Tone::Plain, console_words(console)),
            Something::Spoken(said) => said.words(),
        };
        Line { weight: Weight::Detail, tone, agent: Some(self.agent.clone()), task: None, text }
    }

    /// Whether a model call is made again.
    pub fn is_again(&self) -> bool {
        matches!(self.what, Something::Console(Console::Again { .. }))
    }

    /// What the agent is at, in a few words; nothing where this says nothing of it.
    pub fn brief(&self) -> Option<String> {
        match &self.what {
            Something::Spoken(said) => said.brief(),
            Something::Console(Console::Begun { run, by, .. }) => {
                let check = if *by == RunBy::Check { "check: " } else { "runs: " };
                Some(format!("{check}{}", run.trim()))
            }
            Something::Console(Console::Ended { .. }) => Some("asks its model".to_owned()),
            Something::Console(again @ Console::Again { .. }) => Some(console_words(again)),
            Something::Console(_) => None,
        }
    }
}

fn console_words(console: &Console) -> String {
    match console {
        Console::Begun { by, run, cwd, .. } => {
            let place = cwd.as_ref().map(|cwd| format!(" (in {cwd})")).unwrap_or_default();
            let check = if *by == RunBy::Check { "check " } else { "" };
            format!("{check}$ {}{place}", run.trim_end())
        }
        Console::Said { stderr, text, .. } => {
            margin(if *stderr { "!| " } else { " | " }, &few_lines(text, PRINTED_LINES))
        }
        Console::LeftOut { bytes, .. } => format!(" | [{bytes} bytes left out]"),
        Console::Ended { how, ms, hints, .. } => {
            let hints: String = hints.iter().map(|hint| format!("\nhint: {hint}")).collect();
            format!("{how} after {}{hints}", duration(*ms))
        }
        Console::Recount { says, booked } => format!(
            "it counts {} tokens in and {} out for this turn; the gateway booked {} and {}, which is what counts",
            says[0], says[1], booked[0], booked[1]
        ),
        Console::Again { upstream, next, of, why, pause_ms } => {
            format!("asking again ({next} of {of}): {why} from {upstream}, in {}", duration(*pause_ms))
        }
        Console::Process { how } => format!("its process ended: {how}"),
        Console::NotKept { chunks, bytes } => {
            format!("[{chunks} pieces of its transcript, {bytes} bytes, are not kept]")
        }
    }
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
            Console::Again { upstream: "main".into(), next: 2, of: 5, why: "503".into(), pause_ms: 500 },
            Console::Process { how: "ended by signal 9".into() },
            Console::NotKept { chunks: 2, bytes: 300 },
        ];
        let lines = consoles.map(|console| {
            Heard { agent: "builder-1".into(), at_ms: 0, what: Something::Console(console) }.line().text
        });
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
            asking again (2 of 5): 503 from main, in 500 ms
            its process ended: ended by signal 9
            [2 pieces of its transcript, 300 bytes, are not kept]"#]]
        .assert_eq(&lines.join("\n"));
    }

    #[test]
    fn as_json_it_is_flat() {
        let console = Console::Said { number: 3, stderr: true, text: "x".into() };
        let heard = Heard { agent: "a".into(), at_ms: 7, what: Something::Console(console) };
        let expected =
            serde_json::json!({"agent": "a", "at_ms": 7, "console": "said", "number": 3, "stderr": true, "text": "x"});
        assert_eq!(serde_json::to_value(heard).unwrap(), expected);
    }
}
