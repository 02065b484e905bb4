//! The console of a sandbox: what was run in it, what it printed while it ran, how it ended. It goes to the transcript of the agent that it
//! was run for, as chunks of kind `console`, one JSON object each.
//!
//! A command may print more than anybody reads, and a transcript has a cap: of each command the beginning is kept as it comes, and of the
//! rest the end. What is left out is counted in its place.

use crate::{clock::Clock, masking::Masking};
use gateway::{MaskedStream, Masker};
use std::sync::atomic::{AtomicU64, Ordering};
use store::{Chunk, MissionKey, Transcripts};
use view::{CONSOLE, Console, RunBy};
use workspace::{CheckEnd, Exit, Limit, Output, Spoken};

/// Bytes of one command that are kept as they come.
const LIVE_BYTES_MAX: usize = 256 << 10;
/// Pieces of one command that are kept as they come: a program may print byte by byte.
const LIVE_PIECES_MAX: u32 = 2048;
/// Bytes kept of the end of each output when there was more.
const END_BYTES_MAX: usize = 8 << 10;
/// Bytes of a line that are waited for before a part of it is shown.
const LINE_BYTES_MAX: usize = 4 << 10;

/// Where the consoles of one agent go.
#[derive(Clone)]
pub(crate) struct Scribe {
    pub(crate) transcripts: Transcripts,
    pub(crate) mission: MissionKey,
    pub(crate) agent: String,
    pub(crate) clock: Clock,
    pub(crate) masking: Masking,
}

impl Scribe {
    /// Begins the console of a command.
    pub(crate) fn begin(&self, by: RunBy, run: &str, cwd: Option<&str>) -> Recording {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.write(&Console::Begun { number, by, run: run.to_owned(), cwd: cwd.map(str::to_owned) });
        let (scribe, out, err) = (self.clone(), Stream::default(), Stream::default());
        Recording { scribe, number, out, err, bytes: LIVE_BYTES_MAX, pieces: LIVE_PIECES_MAX, left_out: 0 }
    }

    /// Writes that the agent counts otherwise than the gateway.
    pub(crate) fn recounted(&self, says: [u64; 2], booked: [u64; 2]) {
        self.write(&Console::Recount { says, booked });
    }

    /// Writes the end of the agent's own process.
    pub(crate) fn process_ended(&self, exit: Exit) {
        self.write(&Console::Process { how: exit_words(exit) });
    }

    fn write(&self, console: &Console) {
        self.transcripts.push(Chunk {
            mission: self.mission.clone(),
            agent: self.agent.clone(),
            attempt: None,
            at_ms: self.clock.now().0,
            kind: CONSOLE.to_owned(),
            bytes: self.masking.masker().bytes(&serde_json::to_vec(console).unwrap_or_default()).into_owned(),
        });
    }
}

/// The console of one command while it runs.
pub(crate) struct Recording {
    scribe: Scribe,
    number: u64,
    out: Stream,
    err: Stream,
    /// What may still be kept as it comes.
    bytes: usize,
    pieces: u32,
    left_out: u64,
}

impl Recording {
    /// The next piece of output.
    pub(crate) fn said(&mut self, spoken: Spoken<'_>) {
        let stream = if spoken.output == Output::Stderr { &mut self.err } else { &mut self.out };
        let text = stream.lines(&self.scribe.masking.masker(), spoken.bytes);
        if text.is_empty() {
            return;
        }
        if text.len() > self.bytes || self.pieces == 0 {
            // From here on only the end is of interest.
            (self.bytes, self.pieces) = (0, 0);
            self.left_out += stream.keep_end(&text);
            return;
        }
        self.bytes -= text.len();
        self.pieces -= 1;
        self.say(spoken.output == Output::Stderr, text);
    }

    /// The end of it.
    pub(crate) fn ended(mut self, end: CheckEnd, ms: u64, bytes: u64, hints: Vec<String>) {
        if self.left_out > 0 {
            self.scribe.write(&Console::LeftOut { number: self.number, bytes: self.left_out });
        }
        let masker = self.scribe.masking.masker();
        let (out, err) = (self.out.rest(&masker), self.err.rest(&masker));
        self.say(false, out);
        self.say(true, err);
        self.scribe.write(&Console::Ended { number: self.number, how: end_words(end), ms, bytes, hints });
    }

    /// It was not run after all.
    pub(crate) fn failed(self, why: &str) {
        let how = format!("not run: {why}");
        self.scribe.write(&Console::Ended { number: self.number, how, ms: 0, bytes: 0, hints: Vec::new() });
    }

    fn say(&self, stderr: bool, text: String) {
        if !text.is_empty() {
            self.scribe.write(&Console::Said { number: self.number, stderr, text });
        }
    }
}

/// One output.
#[derive(Default)]
struct Stream {
    /// The beginning of what may be a secret.
    masked: MaskedStream,
    /// The beginning of a character whose rest has not come yet.
    begun: Vec<u8>,
    /// The beginning of a line whose rest has not come yet: many programs print in smaller pieces.
    line: String,
    /// The end of what is not shown as it comes.
    end: String,
}

impl Stream {
    /// The lines that these bytes complete.
    fn lines(&mut self, masker: &Masker, bytes: &[u8]) -> String {
        let bytes = self.masked.push(masker, bytes);
        let text = self.decode(&bytes);
        self.line.push_str(&text);
        let whole = match self.line.rfind('\n') {
            Some(end) => end + 1,
            None if self.line.len() > LINE_BYTES_MAX => self.line.len(),
            None => 0,
        };
        self.line.drain(..whole).collect()
    }

    /// Bytes as text, in whole characters.
    fn decode(&mut self, bytes: &[u8]) -> String {
        self.begun.extend_from_slice(bytes);
        let whole = self.begun.len() - unfinished(&self.begun);
        let text = String::from_utf8_lossy(&self.begun[..whole]).into_owned();
        self.begun.drain(..whole);
        text
    }

    /// Keeps the end of it; answers with how many bytes went for it.
    fn keep_end(&mut self, text: &str) -> u64 {
        self.end.push_str(text);
        let surplus = self.end.ceil_char_boundary(self.end.len().saturating_sub(END_BYTES_MAX));
        self.end.drain(..surplus);
        surplus as u64
    }

    fn rest(&mut self, masker: &Masker) -> String {
        let held = self.masked.finish(masker);
        let held = self.decode(&held);
        self.line.push_str(&held);
        let begun = std::mem::take(&mut self.begun);
        let line = std::mem::take(&mut self.line);
        std::mem::take(&mut self.end) + &line + &String::from_utf8_lossy(&begun)
    }
}

/// How many bytes at the end are the beginning of a character.
fn unfinished(bytes: &[u8]) -> usize {
    let length = |lead: u8| match lead {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => 1,
    };
    let last = (1..=bytes.len().min(3)).find(|back| bytes[bytes.len() - back] & 0xC0 != 0x80);
    last.filter(|back| length(bytes[bytes.len() - back]) > *back).unwrap_or(0)
}

/// How a check or a command ended, for people and agents.
pub(crate) fn end_words(end: CheckEnd) -> String {
    match end {
        CheckEnd::Exit(code) => format!("exit status {code}"),
        CheckEnd::Signal(signal) => format!("ended by signal {signal}"),
        CheckEnd::TimedOut => "stopped: it took too long".to_owned(),
        CheckEnd::CpuLimit => "stopped: it used up its processor time".to_owned(),
        CheckEnd::FileSizeLimit => "stopped: it wrote a file that is too large".to_owned(),
        CheckEnd::MemoryLimit => "stopped: its processes together used too much memory".to_owned(),
        CheckEnd::DiskLimit => "stopped: its files together became too large".to_owned(),
        CheckEnd::Stopped => "stopped: it was not wanted any more".to_owned(),
    }
}

/// How an agent's process ended, for people.
fn exit_words(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exit status {code}"),
        Exit::Signal(signal) => format!("ended by signal {signal}"),
        Exit::Limit(Limit::Wall) => "stopped: it took too long".to_owned(),
        Exit::Limit(Limit::Cpu) => "stopped: it used up its processor time".to_owned(),
        Exit::Limit(Limit::FileSize) => "stopped: it wrote a file that is too large".to_owned(),
        Exit::Limit(Limit::Memory) => "stopped: its processes together used too much memory".to_owned(),
        Exit::Limit(Limit::Disk) => "stopped: its files together became too large".to_owned(),
        Exit::Killed => "killed by muster".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_come_in_parts_are_put_together() {
        let mut stream = Stream::default();
        let bytes = "aé€😀".as_bytes();
        let text: String = bytes.iter().map(|byte| stream.decode(&[*byte])).collect();
        assert_eq!((text.as_str(), stream.rest(&Masker::default()).as_str()), ("aé€😀", ""));
        assert_eq!(stream.decode(b"a\xff\xe2\x82"), "a\u{fffd}");
        assert_eq!(stream.rest(&Masker::default()), "\u{fffd}");
    }

    #[test]
    fn output_is_told_by_the_line() {
        let mut stream = Stream::default();
        let told: Vec<String> =
            [".", ".", "F\n\nwhy", "?"].map(|piece| stream.lines(&Masker::default(), piece.as_bytes())).to_vec();
        assert_eq!(told, ["", "", "..F\n\n", ""]);
        assert_eq!(stream.lines(&Masker::default(), "x".repeat(LINE_BYTES_MAX).as_bytes()).len(), LINE_BYTES_MAX + 4);
        stream.lines(&Masker::default(), b"the end");
        assert_eq!(stream.rest(&Masker::default()), "the end");
    }

    #[test]
    fn a_secret_in_single_bytes_is_covered() {
        let masker = Masker::new([("KEY".to_owned(), "planted-0123456789".into())]);
        let mut stream = Stream::default();
        let text: String =
            b"it is planted-0123456789\nplanted".iter().map(|byte| stream.lines(&masker, &[*byte])).collect();
        assert_eq!((text.as_str(), stream.rest(&masker).as_str()), ("it is [masked:KEY]\n", "planted"));
    }

    #[tokio::test]
    async fn of_a_flood_the_beginning_and_the_end_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let lock = store::Home::lock(dir.path()).unwrap();
        let transcripts = Transcripts::open(&lock, store::TranscriptOptions::default()).unwrap();
        let mission: MissionKey = "m".into();
        let scribe = Scribe {
            transcripts: transcripts.clone(),
            mission: mission.clone(),
            agent: "a".into(),
            clock: Clock,
            masking: Masking::default(),
        };
        let mut recording = scribe.begin(RunBy::Agent, "yes", None);
        let piece = "y\n".repeat(4096);
        for _ in 0..1000 {
            recording.said(Spoken { output: Output::Stdout, bytes: piece.as_bytes() });
        }
        recording.said(Spoken { output: Output::Stderr, bytes: b"broken pipe" });
        recording.ended(CheckEnd::Exit(1), 12, 8_192_011, Vec::new());
        transcripts.flush().await.unwrap();
        let entries = store::TranscriptReader::open(dir.path()).unwrap().entries(&mission, "a", 0, 9999).unwrap();
        let consoles: Vec<Console> = entries
            .into_iter()
            .map(|entry| match entry.content {
                store::Content::Bytes { bytes, .. } => serde_json::from_slice(&bytes).unwrap(),
                gap => panic!("{gap:?}"),
            })
            .collect();
        let kept: usize =
            consoles.iter().map(|one| if let Console::Said { text, .. } = one { text.len() } else { 0 }).sum();
        let left: u64 =
            consoles.iter().map(|one| if let Console::LeftOut { bytes, .. } = one { *bytes } else { 0 }).sum();
        assert_eq!(kept as u64 + left, 8_192_011);
        assert!(kept <= LIVE_BYTES_MAX + 2 * END_BYTES_MAX);
        let [.., said, ended] = consoles.as_slice() else { panic!("{consoles:?}") };
        assert!(matches!(said, Console::Said { stderr: true, text, .. } if text == "broken pipe"), "{said:?}");
        assert!(matches!(ended, Console::Ended { how, ms: 12, .. } if how == "exit status 1"), "{ended:?}");
    }
}
