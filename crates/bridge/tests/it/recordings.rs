//! What came out of the real programs in a mission on a scripted model: Codex 0.169.0 and Claude Code 2.1.329, one turn that goes well and one whose model call
//! is refused. The programs' own lists of commands and our brief are left out of the recordings.

use bridge::{
    claude, codex,
    talk::{Opening, Out, Talk},
};
use expect_test::{Expect, expect};

/// Plays a recording; the turn begins when the session stands, and what is asked is allowed.
fn played(mut talk: Box<dyn Talk>, recording: &str) -> String {
    let mut shown = String::new();
    let mut waiting = talk.open();
    let mut lines = recording.lines();
    loop {
        for out in std::mem::take(&mut waiting) {
            shown.push_str(&show(&out));
            match out {
                Out::Opened(_) => waiting.extend(talk.prompt("go")),
                Out::Ask { key, .. } => waiting.extend(talk.permit(&key, true)),
                _ => {}
            }
        }
        if waiting.is_empty() {
            let Some(line) = lines.next() else { return shown };
            waiting = talk.line(line.as_bytes());
        }
    }
}

fn show(out: &Out) -> String {
    match out {
        Out::Write(line) => {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            let what = ["/method", "/request/subtype", "/type"].iter().find_map(|at| value.pointer(at)?.as_str());
            format!("-> {}\n", what.unwrap_or("an answer"))
        }
        Out::Opened(name) => format!("opened {name}\n"),
        Out::Update(update) => {
            let kind = update["sessionUpdate"].as_str().unwrap();
            let text = ["/title", "/content/text", "/content/0/content/text", "/used"]
                .iter()
                .find_map(|at| update.pointer(at));
            let status = update["status"].as_str().unwrap_or_default();
            let text: String = text.map(ToString::to_string).unwrap_or_default().chars().take(70).collect();
            format!("{kind} {status} {text}\n")
        }
        Out::Ask { title, .. } => format!("may I? {title}\n"),
        Out::Over(end) => format!("over: {} {:?} {:?}\n", end.stop, end.usage, end.problem),
        other => format!("{other:?}\n"),
    }
}

fn check(talk: impl Talk + 'static, recording: &str, expected: Expect) {
    expected.assert_eq(&played(Box::new(talk), recording));
}

fn opening() -> Opening {
    Opening { session: "ours".into(), cwd: "/workspace".into(), ..Opening::default() }
}

#[test]
fn codex() {
    let talk = || codex::Conversation::new(opening(), "scripted-1".into());
    check(
        talk(),
        include_str!("recordings/codex-0.169.0-done.jsonl"),
        expect![[r#"
        -> initialize
        -> initialized
        -> thread/start
        opened 01a218c8-8c3b-7de3-9e5b-1cf4b9c968ad
        -> turn/start
        agent_message_chunk  "I write the file"
        agent_message_chunk  "."
        tool_call in_progress "/bin/sh -lc 'echo done > codex.txt'"
        tool_call_update completed ""
        usage_update  8734
        tool_call in_progress "/bin/sh -lc 'cat missing.txt'"
        tool_call_update failed "cat: missing.txt: No such file or directory\n(exit 1)"
        usage_update  8863
        tool_call in_progress "submit_result (muster)"
        tool_call_update completed "{\"note\":\"Recorded. End your turn now. Your change is then merged w
        usage_update  8968
        agent_message_chunk  "All done."
        usage_update  9108
        over: done Some(Usage { input: 35644, cached: 0, output: 29, reasoning: 0 }) None
    "#]],
    );
    check(
        talk(),
        include_str!("recordings/codex-0.169.0-refused.jsonl"),
        expect![[r#"
        -> initialize
        -> initialized
        -> thread/start
        opened 01a218c8-8ea2-7f21-8247-f2dc18f744ca
        -> turn/start
        Note("No money is left.")
        over: model_error None Some("No money is left.")
    "#]],
    );
}

#[test]
fn claude() {
    let talk = || claude::Conversation::new("ours".into());
    check(
        talk(),
        include_str!("recordings/claude-2.1.329-done.jsonl"),
        expect![[r#"
        -> initialize
        opened ours
        -> user
        agent_message_chunk  "I write the file."
        tool_call in_progress "Bash: echo done > claude.txt"
        may I? Bash: echo done > claude.txt
        -> control_response
        tool_call_update completed "(Bash completed with no output)"
        tool_call in_progress "Bash: cat missing.txt"
        tool_call_update failed "Exit code 1\ncat: missing.txt: No such file or directory"
        tool_call in_progress "mcp__muster__submit_result"
        may I? mcp__muster__submit_result
        -> control_response
        tool_call_update completed "{\"note\":\"Recorded. End your turn now. Your change is then merged w
        agent_message_chunk  "All done."
        over: done Some(Usage { input: 55029, cached: 0, output: 42, reasoning: 0 }) None
    "#]],
    );
    check(
        talk(),
        include_str!("recordings/claude-2.1.329-refused.jsonl"),
        expect![[r#"
        -> initialize
        opened ours
        -> user
        agent_message_chunk  "API Error: 400 No money is left."
        over: model_error None Some("API Error: 400 No money is left.")
    "#]],
    );
}

/// Cut anywhere, a recording neither breaks the conversation nor ends its turn.
#[test]
fn half_a_recording_ends_nothing() {
    let whole = include_str!("recordings/codex-0.169.0-done.jsonl");
    let before_the_end = whole.trim_end().rfind('\n').unwrap();
    for cut in (0..before_the_end).step_by(97) {
        let Some(part) = whole.get(..cut) else { continue };
        let shown = played(Box::new(codex::Conversation::new(opening(), "m".into())), part);
        assert!(!shown.contains("over:"), "{shown}");
    }
}
