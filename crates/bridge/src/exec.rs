//! Runtime `exec`: any program. A turn is one run of it: the prompt goes to its standard input, or into the argument `{prompt}`, and what it prints is the
//! result. It knows no conversation, no tools and no permission; that it succeeded is its claim to be done, which checks judge like any other.

use crate::{
    settings::Settings,
    talk::{End, Out, Talk},
    update,
};
use api::acp_meta::Stop;

/// The argument that the prompt takes the place of.
pub(crate) const PROMPT: &str = "{prompt}";

/// Bytes of the end of the output that become the summary of the result.
const SUMMARY_BYTES_MAX: usize = 4 * 1024;

/// Bytes of the end of the output that say why a run failed.
const LAST_WORDS_BYTES_MAX: usize = 400;

/// The prompt in the place of its argument, where the command has one.
pub(crate) fn arguments(settings: &Settings, prompt: &str) -> Vec<String> {
    settings.args.iter().map(|arg| if arg == PROMPT { prompt.to_owned() } else { arg.clone() }).collect()
}

/// What a program of this kind is told and says.
pub struct Conversation {
    session: String,
    output: String,
    cancelled: bool,
}

impl Conversation {
    /// The session of this name.
    pub fn new(session: String) -> Self {
        Self { session, output: String::new(), cancelled: false }
    }
}

/// The end of what a failed run printed.
fn last_words(output: &str) -> String {
    let output = output.trim();
    let start = output.ceil_char_boundary(output.len().saturating_sub(LAST_WORDS_BYTES_MAX));
    if output.is_empty() {
        " and printed nothing".to_owned()
    } else {
        format!("; it printed last: {}", output[start..].trim())
    }
}

/// The end of what a run printed, for the result.
fn summary(output: &str) -> String {
    let output = output.trim();
    let start = output.ceil_char_boundary(output.len().saturating_sub(SUMMARY_BYTES_MAX));
    if output.is_empty() { "The program succeeded and printed nothing.".to_owned() } else { output[start..].to_owned() }
}

impl Talk for Conversation {
    fn open(&mut self) -> Vec<Out> {
        vec![Out::Opened(self.session.clone())]
    }

    fn line(&mut self, line: &[u8]) -> Vec<Out> {
        let text = format!("{}\n", String::from_utf8_lossy(line));
        self.output.push_str(&text);
        // Only the end is told, so that much may be forgotten.
        if self.output.len() > 8 * SUMMARY_BYTES_MAX {
            let start = self.output.ceil_char_boundary(self.output.len() - 2 * SUMMARY_BYTES_MAX);
            self.output.drain(..start);
        }
        vec![Out::Update(update::text(&update::shortened(&text)))]
    }

    fn prompt(&mut self, _: &str) -> Vec<Out> {
        self.output.clear();
        self.cancelled = false;
        Vec::new()
    }

    fn cancel(&mut self) -> Vec<Out> {
        self.cancelled = true;
        Vec::new()
    }

    fn permit(&mut self, _: &str, _: bool) -> Vec<Out> {
        Vec::new()
    }

    fn ended(&mut self, success: bool, ended: &str) -> Vec<Out> {
        let stop = match (self.cancelled, success) {
            (true, _) => Stop::Cancelled,
            (false, true) => Stop::Done,
            (false, false) => Stop::ModelError,
        };
        let problem =
            (stop == Stop::ModelError).then(|| format!("the program failed ({ended}){}", last_words(&self.output)));
        let claim = (stop == Stop::Done).then(|| Out::Claim(summary(&self.output)));
        claim.into_iter().chain([Out::Over(End { stop, usage: None, problem })]).collect()
    }
}
