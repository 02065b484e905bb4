//! Whatever a program writes, nothing breaks.

use bridge::{
    claude, codex,
    talk::{Opening, Out, Talk},
};
use proptest::prelude::*;

fn conversations() -> [Box<dyn Talk>; 2] {
    let opening = Opening { session: "s".into(), cwd: "/w".into(), ..Opening::default() };
    [Box::new(codex::Conversation::new(opening, "m".into())), Box::new(claude::Conversation::new("s".into()))]
}

/// Something like a message, with members of the wrong kind.
fn twisted() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "turn/completed",
        "item/started",
        "item/completed",
        "error",
        "thread/tokenUsage/updated",
        "control_request",
        "control_response",
        "assistant",
        "user",
        "result",
        "system",
        "item/commandExecution/requestApproval",
    ]);
    let value = prop::sample::select(vec!["null", "-1", "1e400", "\"x\"", "[]", "{}", "[[1]]", "{\"type\":7}", "true"]);
    (word, value.clone(), value.clone(), value).prop_map(|(word, a, b, c)| {
        format!(
            r#"{{"type":"{word}","method":"{word}","id":{a},"params":{b},"message":{c},"request":{a},"response":{b},"usage":{c},"result":{a}}}"#
        )
    })
}

proptest! {
    #[test]
    fn lines_of_any_kind_are_put_up_with(lines in prop::collection::vec(prop_oneof![any::<String>(), twisted()], 0..20)) {
        for mut talk in conversations() {
            talk.open();
            for line in &lines {
                talk.line(line.as_bytes());
            }
            talk.prompt("go");
            for line in &lines {
                talk.line(line.as_bytes());
            }
            talk.cancel();
            talk.permit("7", true);
            talk.ended(false, "exit status: 1");
        }
    }
}

#[test]
fn what_is_no_message_is_noted() {
    for mut talk in conversations() {
        let outs = talk.line(b"Segmentation fault");
        assert!(matches!(&outs[..], [Out::Note(text)] if text.contains("Segmentation fault")), "{outs:?}");
    }
}

#[test]
fn what_is_not_offered_is_refused_and_said() {
    let [mut codex, mut claude] = conversations();
    let outs = codex.line(br#"{"id":0,"method":"item/tool/requestUserInput","params":{}}"#);
    assert!(matches!(&outs[..], [Out::Write(line), Out::Note(_)] if line.contains("-32601")), "{outs:?}");
    let outs = claude.line(br#"{"type":"control_request","request_id":"r","request":{"subtype":"hook_callback"}}"#);
    assert!(matches!(&outs[..], [Out::Write(line), Out::Note(_)] if line.contains("not offered")), "{outs:?}");
}

#[test]
fn a_program_that_ends_before_it_is_ready_is_refused_and_after_that_it_is_a_loss() {
    for mut talk in conversations() {
        talk.open();
        assert!(
            matches!(&talk.ended(false, "exit status: 1")[..], [Out::Refused(why)] if why.contains("exit status: 1"))
        );
    }
    let [mut codex, _] = conversations();
    codex.open();
    codex.line(br#"{"id":1,"result":{}}"#);
    codex.line(br#"{"id":2,"result":{"thread":{"id":"t"}}}"#);
    assert_eq!(codex.ended(true, "exit status: 0"), []);
}

#[test]
fn a_turn_that_is_cancelled_before_it_has_an_id_is_interrupted_when_it_has() {
    let [mut codex, _] = conversations();
    codex.open();
    codex.line(br#"{"id":1,"result":{}}"#);
    codex.line(br#"{"id":2,"result":{"thread":{"id":"t"}}}"#);
    codex.prompt("go");
    assert_eq!(codex.cancel(), []);
    let outs = codex.line(br#"{"id":3,"result":{"turn":{"id":"u"}}}"#);
    let written: String = outs.iter().map(|out| format!("{out:?}")).collect();
    assert!(written.contains("turn/interrupt") && written.contains("backgroundTerminals/clean"), "{written}");
}
