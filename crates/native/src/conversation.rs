//! The conversation as the records tell it, and what comes next.
//!
//! Why: a turn that runs and a turn that is resumed must not differ. Both apply records to this state and both
//! ask [`Conversation::next`] what to do; there is no other memory of where a turn stands.
//!
//! Pure: no clock, no I/O, no model.

use api::acp_meta::Stop;

use crate::bounds::middle_out;
use crate::record::{Answer, Call, Cut, Fault, Offered, Record, Tokens};

/// Answers in a row that could not be used before the turn is given up.
pub const BAD_ANSWERS_MAX: usize = 3;

/// State of one session.
#[derive(Debug, Default)]
pub struct Conversation {
    entries: Vec<Entry>,
    offered: Option<Vec<Offered>>,
    cut: Cut,
    /// Answers so far, in all turns.
    steps: usize,
    turn: Turn,
    /// The number that the client gave the last turn.
    number: Option<u32>,
}

#[derive(Debug)]
enum Entry {
    Prompt(String),
    Step(Step),
}

/// One answer of the model and what came of it.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) answer: Answer,
    /// The answer is kept, but could not be used.
    pub(crate) fault: Option<Fault>,
    /// One place per call of the answer.
    pub(crate) results: Vec<Option<String>>,
}

#[derive(Debug, Default)]
enum Turn {
    #[default]
    None,
    Open {
        /// Answers in this turn.
        steps: usize,
        /// How many of the last answers could not be used.
        bad: usize,
        tokens: Tokens,
    },
    Ended {
        stop: Stop,
        why: String,
        tokens: Tokens,
    },
}

/// What to do next in an open turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Run this call of the last answer.
    Run(usize),
    /// Ask the model.
    Ask,
    /// Record the end of the turn.
    End(Stop),
}

/// A turn that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnEnd {
    /// Why it ended.
    pub stop: Stop,
    /// What to tell the user about it; may be empty.
    pub why: String,
    /// What all its model calls cost.
    pub tokens: Tokens,
}

impl Conversation {
    /// Takes one record.
    ///
    /// # Errors
    /// The record cannot follow the ones before it: the log is not one of ours.
    pub fn apply(&mut self, record: Record) -> Result<(), String> {
        match record {
            Record::Opened { version, .. } if version > crate::record::VERSION => {
                return Err(format!("written by a newer version of this agent (format {version})"));
            }
            Record::Opened { .. } => {}
            Record::Tools { tools } => self.offered = Some(tools),
            Record::Prompt { text, turn } => {
                self.entries.push(Entry::Prompt(text));
                self.number = turn;
                self.turn = Turn::Open { steps: 0, bad: 0, tokens: Tokens::default() };
            }
            Record::Answer(answer) => {
                let bad = !answer.calls.is_empty() && answer.calls.iter().all(|call| call.problem.is_some());
                self.step(answer, None, bad)?;
            }
            Record::BadAnswer { fault, text, tokens } => {
                self.step(Answer { text, tokens, ..Answer::default() }, Some(fault), true)?;
            }
            Record::Result { index, text, .. } => {
                let place = self.last_step_mut().and_then(|step| step.results.get_mut(index));
                *place.ok_or("a result without its call")? = Some(text);
            }
            Record::Compaction(cut) => self.cut = cut,
            Record::Ended { stop, why } => {
                let Turn::Open { tokens, .. } = self.turn else {
                    return Err("the end of a turn that is not open".into());
                };
                self.turn = Turn::Ended { stop, why, tokens };
            }
        }
        Ok(())
    }

    /// What to do next. `None`: no turn is open.
    pub fn next(&self, steps_max: u32) -> Option<Next> {
        let Turn::Open { steps, bad, .. } = self.turn else { return None };
        let Some(step) = self.last_step().filter(|_| steps > 0) else { return Some(Next::Ask) };
        if let Some(index) = step.results.iter().position(Option::is_none) {
            return Some(Next::Run(index));
        }
        if step.fault.is_none() && step.answer.calls.is_empty() {
            return Some(Next::End(Stop::Done));
        }
        if bad >= BAD_ANSWERS_MAX {
            let cut_off = step.fault == Some(Fault::CutOff);
            return Some(Next::End(if cut_off { Stop::MaxTokens } else { Stop::BadAnswers }));
        }
        if steps >= steps_max as usize {
            return Some(Next::End(Stop::MaxSteps));
        }
        Some(Next::Ask)
    }

    /// How the last turn ended. `None`: it is open, or there was none.
    pub fn ended(&self) -> Option<TurnEnd> {
        match &self.turn {
            Turn::Ended { stop, why, tokens } => Some(TurnEnd { stop: *stop, why: why.clone(), tokens: *tokens }),
            Turn::None | Turn::Open { .. } => None,
        }
    }

    /// No prompt was ever recorded.
    pub fn is_fresh(&self) -> bool {
        matches!(self.turn, Turn::None)
    }

    /// Whether the last turn is the client's turn of this number.
    pub fn is_in(&self, turn: u32) -> bool {
        self.number == Some(turn)
    }

    /// A turn was started and has not ended.
    pub fn is_open(&self) -> bool {
        matches!(self.turn, Turn::Open { .. })
    }

    /// The text of the last answer, if the model had nothing more to do after it.
    pub fn last_words(&self) -> Option<&str> {
        let step = self.last_step().filter(|step| step.fault.is_none() && step.answer.calls.is_empty())?;
        Some(step.answer.text.as_str()).filter(|text| !text.is_empty())
    }

    /// What the tool servers offer; `None` if they were not asked yet.
    pub fn offered(&self) -> Option<&[Offered]> {
        self.offered.as_deref()
    }

    /// A call of the last answer.
    pub fn call(&self, index: usize) -> Option<&Call> {
        self.last_step()?.answer.calls.get(index)
    }

    /// Number of answers so far; with the index of a call it names the call for ever.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// How much of the past is shown.
    pub fn cut(&self) -> Cut {
        self.cut
    }

    /// The messages of the next request, with the past cut as `cut` says.
    pub fn messages(&self, cut: Cut) -> Vec<Message> {
        let mut messages = Vec::new();
        let mut number = 0;
        for entry in &self.entries {
            match entry {
                Entry::Prompt(text) => messages.push(Message::User(text.clone())),
                Entry::Step(step) => {
                    number += 1;
                    if number > cut.drop_before {
                        step.render(number <= cut.shorten_before, &mut messages);
                    } else if number == cut.drop_before {
                        messages.push(Message::User(DROPPED.into()));
                    }
                }
            }
        }
        messages
    }

    fn step(&mut self, answer: Answer, fault: Option<Fault>, is_bad: bool) -> Result<(), String> {
        let Turn::Open { steps, bad, tokens } = &mut self.turn else { return Err("an answer outside a turn".into()) };
        *steps += 1;
        *bad = if is_bad { *bad + 1 } else { 0 };
        *tokens += answer.tokens;
        self.steps += 1;
        let results = vec![None; answer.calls.len()];
        self.entries.push(Entry::Step(Step { answer, fault, results }));
        Ok(())
    }

    fn last_step(&self) -> Option<&Step> {
        match self.entries.last() {
            Some(Entry::Step(step)) => Some(step),
            _ => None,
        }
    }

    fn last_step_mut(&mut self) -> Option<&mut Step> {
        match self.entries.last_mut() {
            Some(Entry::Step(step)) => Some(step),
            _ => None,
        }
    }
}

/// One message of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// From the user, or from us in the user's place.
    User(String),
    /// From the model.
    Assistant(Answer),
    /// Results of the calls of the message before, in order.
    Results(Vec<CallResult>),
}

/// The result of one call.
#[derive(Debug, Clone, PartialEq)]
pub struct CallResult {
    /// The model's id of the call.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// What the model is shown.
    pub text: String,
}

const DROPPED: &str =
    "[Earlier steps of this conversation were left out to save room. Look again at whatever you need.]";
const INTERRUPTED: &str = "The call was interrupted; it has no result.";
/// What is left of a long text in the shortened past, in bytes.
const SHORTENED_BYTES: usize = 400;

impl Step {
    fn render(&self, shorten: bool, messages: &mut Vec<Message>) {
        let mut answer = self.answer.clone();
        if let Some(fault) = self.fault {
            if answer.text.is_empty() {
                answer.text = "[no usable answer]".into();
            }
            messages.push(Message::Assistant(answer));
            messages.push(Message::User(fault.told().into()));
            return;
        }
        let shown = |text: &str| if shorten { middle_out(text, SHORTENED_BYTES) } else { text.to_owned() };
        let results: Vec<CallResult> = std::iter::zip(&answer.calls, &self.results)
            .map(|(call, result)| CallResult {
                id: call.id.clone(),
                name: call.name.clone(),
                text: shown(result.as_deref().unwrap_or(INTERRUPTED)),
            })
            .collect();
        if shorten {
            answer.calls.iter_mut().for_each(|call| shorten_texts(&mut call.arguments));
        }
        messages.push(Message::Assistant(answer));
        if !results.is_empty() {
            messages.push(Message::Results(results));
        }
    }
}

fn shorten_texts(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) => *text = middle_out(text, SHORTENED_BYTES),
        serde_json::Value::Array(list) => list.iter_mut().for_each(shorten_texts),
        serde_json::Value::Object(members) => members.values_mut().for_each(shorten_texts),
        _ => {}
    }
}

impl Fault {
    /// What the model is told about its answer.
    pub fn told(self) -> &'static str {
        match self {
            Self::Empty => "Your last answer was empty. Call a tool, or say in words that you have finished.",
            Self::Truncated => "Your last answer broke off before its end. Please continue.",
            Self::Malformed => "Your last answer could not be read. Please answer again, with well-formed tool calls.",
            Self::CutOff => "Your last answer hit the limit on its length. Please continue in smaller steps.",
            Self::Huge => "Your last answer was far too long and was not kept. Please continue in smaller steps.",
        }
    }
}

#[cfg(test)]
#[path = "conversation_tests.rs"]
mod tests;
