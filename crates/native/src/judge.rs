//! What an answer of the model is worth.
//!
//! Models answer with nothing, with half of something, with tools that do not exist and with arguments that are not
//! JSON. Whatever comes, the outcome is a record that can be shown to the model again: every call has an id, a name
//! that the API accepts and an object of arguments, and what cannot be run carries the reason.

use serde_json::{Value, json};

use crate::bounds::prefix;
use crate::model::{RawCall, Reply, ReplyEnd};
use crate::record::{Answer, Call, Fault, Offered, Record};
use crate::toolbox;

/// Calls of one answer that are run; more than this is a runaway.
const CALLS_MAX: usize = 32;
/// Longest text kept of an answer that is acted upon.
const TEXT_BYTES_MAX: usize = 64 * 1024;
/// Text kept of an answer that could not be used.
const FAULT_TEXT_BYTES_MAX: usize = 2048;

/// What to do about an answer.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// Record it; the conversation knows how to go on.
    Keep(Record),
    /// The model refused, with its words.
    Refused(String),
}

/// Judges an answer. `step` is its number in the session, for calls that came without an id.
pub fn judge(reply: Reply, step: usize, offered: &[Offered]) -> Verdict {
    let Reply { text, thoughts, calls, end, tokens } = reply;
    let fault = match end {
        ReplyEnd::Refused(words) => {
            let words = if words.is_empty() { text } else { words };
            return Verdict::Refused(prefix(&words, FAULT_TEXT_BYTES_MAX).to_owned());
        }
        ReplyEnd::Fault(fault) => Some(fault),
        ReplyEnd::CutOff if calls.is_empty() => Some(Fault::CutOff),
        ReplyEnd::Finished if calls.is_empty() && text.trim().is_empty() => Some(Fault::Empty),
        ReplyEnd::CutOff | ReplyEnd::Finished => None,
    };
    if let Some(fault) = fault {
        let text = prefix(text.trim(), FAULT_TEXT_BYTES_MAX).to_owned();
        return Verdict::Keep(Record::BadAnswer { fault, text, tokens });
    }
    let is_cut_off = end == ReplyEnd::CutOff;
    let mut kept: Vec<Call> = Vec::new();
    for (index, mut call) in calls.into_iter().take(CALLS_MAX).enumerate() {
        // Results find their calls by these ids, so they must be there and differ.
        if call.id.is_empty() || kept.iter().any(|other| other.id == call.id) {
            call.id = format!("call_{step}_{index}");
        }
        kept.push(read(call, is_cut_off, offered));
    }
    let text = prefix(&text, TEXT_BYTES_MAX).to_owned();
    Verdict::Keep(Record::Answer(Answer { text, thoughts, calls: kept, tokens }))
}

fn read(call: RawCall, is_cut_off: bool, offered: &[Offered]) -> Call {
    let name = toolbox::model_name(&call.name);
    let (arguments, problem) = match call.arguments {
        arguments @ Value::Object(_) => {
            let problem = toolbox::find(offered, &call.name, &arguments).err();
            (arguments, problem)
        }
        // Some models leave the arguments out when there are none.
        Value::Null => read_text(String::new(), &call.name, is_cut_off, offered),
        Value::String(text) => read_text(text, &call.name, is_cut_off, offered),
        other => (json!({ "unreadable": other }), Some(unreadable("they are not a JSON object", is_cut_off))),
    };
    Call { id: call.id, name, arguments, problem }
}

fn read_text(text: String, name: &str, is_cut_off: bool, offered: &[Offered]) -> (Value, Option<String>) {
    if text.trim().is_empty() && !is_cut_off {
        let arguments = json!({});
        let problem = toolbox::find(offered, name, &arguments).err();
        return (arguments, problem);
    }
    let why = match serde_json::from_str::<Value>(&text) {
        Err(error) => error.to_string(),
        Ok(_) => "they are not a JSON object".into(),
    };
    (json!({ "unreadable": prefix(&text, FAULT_TEXT_BYTES_MAX) }), Some(unreadable(&why, is_cut_off)))
}

fn unreadable(why: &str, is_cut_off: bool) -> String {
    let hint = if is_cut_off { " Your answer hit the limit on its length; write less at once." } else { "" };
    format!("The arguments could not be read: {why}.{hint} Nothing was done.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[test]
    fn usable_answers() {
        check(reply("Hello", &[]), expect!["text Hello"]);
        check(reply("", &[("1", "read_file", json!({"path": "a"}))]), expect![[r#"1 read_file {"path":"a"}"#]]);
        check(reply("", &[("", "list_files", json!(""))]), expect!["call_7_0 list_files {}"]);
        check(reply("", &[("1", "list_files", Value::Null)]), expect!["1 list_files {}"]);
        let twice = [("1", "list_files", json!({})), ("1", "list_files", json!({}))];
        check(reply("", &twice), expect!["1 list_files {}\ncall_7_1 list_files {}"]);
    }

    #[test]
    fn calls_that_cannot_be_run() {
        check(
            reply("", &[("1", "read_file", json!("{\"path\": "))]),
            expect![[
                r#"1 read_file {"unreadable":"{\"path\": "}: The arguments could not be read: EOF while parsing a value at line 1 column 9. Nothing was done."#
            ]],
        );
        check(
            reply("", &[("1", "read_file", json!([1]))]),
            expect![[
                r#"1 read_file {"unreadable":[1]}: The arguments could not be read: they are not a JSON object. Nothing was done."#
            ]],
        );
        check(
            reply("", &[("1", "rm -rf", json!({}))]),
            expect![[
                r#"1 rm_-rf {}: There is no tool "rm -rf". The tools are: read_file, list_files, search, write_file, apply_patch, run_command."#
            ]],
        );
        let cut = Reply { end: ReplyEnd::CutOff, ..reply("", &[("1", "write_file", json!("{\"content\": \"x"))]) };
        check(
            cut,
            expect![[
                r#"1 write_file {"unreadable":"{\"content\": \"x"}: The arguments could not be read: EOF while parsing a string at line 1 column 14. Your answer hit the limit on its length; write less at once. Nothing was done."#
            ]],
        );
    }

    #[test]
    fn bad_answers() {
        check(reply(" \n", &[]), expect!["Empty "]);
        check(Reply { end: ReplyEnd::CutOff, ..reply("half a", &[]) }, expect!["CutOff half a"]);
        check(Reply { end: ReplyEnd::Fault(Fault::Truncated), ..reply("ha", &[]) }, expect!["Truncated ha"]);
        check(Reply { end: ReplyEnd::Refused("I will not".into()), ..Reply::default() }, expect!["refused I will not"]);
        check(Reply { end: ReplyEnd::Refused(String::new()), ..reply("No.", &[]) }, expect!["refused No."]);
    }

    #[test]
    fn runaways_are_bounded() {
        let many: Vec<_> = (0..99).map(|_| ("1", "list_files", json!({}))).collect();
        let Verdict::Keep(Record::Answer(answer)) = judge(reply(&"x".repeat(99_999), &many), 0, &[]) else {
            panic!("it is usable");
        };
        assert_eq!((answer.calls.len(), answer.text.len()), (CALLS_MAX, TEXT_BYTES_MAX));
    }

    fn check(reply: Reply, expected: Expect) {
        let told = match judge(reply, 7, &[]) {
            Verdict::Refused(words) => format!("refused {words}"),
            Verdict::Keep(Record::BadAnswer { fault, text, .. }) => format!("{fault:?} {text}"),
            Verdict::Keep(Record::Answer(answer)) if answer.calls.is_empty() => format!("text {}", answer.text),
            Verdict::Keep(Record::Answer(answer)) => {
                let told = answer.calls.iter().map(|call| {
                    let problem = call.problem.as_ref().map(|problem| format!(": {problem}")).unwrap_or_default();
                    format!("{} {} {}{problem}", call.id, call.name, call.arguments)
                });
                told.collect::<Vec<_>>().join("\n")
            }
            Verdict::Keep(other) => format!("{other:?}"),
        };
        expected.assert_eq(&told);
    }

    fn reply(text: &str, calls: &[(&str, &str, Value)]) -> Reply {
        let calls = calls.iter().map(|(id, name, arguments)| RawCall {
            id: (*id).into(),
            name: (*name).into(),
            arguments: arguments.clone(),
        });
        Reply { text: text.into(), calls: calls.collect(), ..Reply::default() }
    }
}
