use super::*;
use serde_json::json;

#[test]
fn a_turn_asks_runs_asks_and_ends() {
    let mut talk = Conversation::default();
    assert_eq!(talk.next(9), None);
    talk.apply(prompt("fix it")).unwrap();
    assert_eq!(talk.next(9), Some(Next::Ask));
    talk.apply(calls(&["a", "b"])).unwrap();
    assert_eq!(talk.next(9), Some(Next::Run(0)));
    talk.apply(result(0, "A")).unwrap();
    assert_eq!(talk.next(9), Some(Next::Run(1)));
    talk.apply(result(1, "B")).unwrap();
    assert_eq!(talk.next(9), Some(Next::Ask));
    talk.apply(says("done")).unwrap();
    assert_eq!(talk.next(9), Some(Next::End(Stop::Done)));
    talk.apply(ended(Stop::Done)).unwrap();
    assert_eq!(talk.next(9), None);
    assert_eq!(talk.ended().unwrap().tokens.input, 20);
}

#[test]
fn bad_answers_end_the_turn_only_in_a_row() {
    let mut talk = Conversation::default();
    talk.apply(prompt("x")).unwrap();
    for _ in 0..2 {
        talk.apply(bad(Fault::Empty)).unwrap();
    }
    talk.apply(calls(&["a"])).unwrap();
    talk.apply(result(0, "A")).unwrap();
    for _ in 0..2 {
        talk.apply(bad(Fault::Empty)).unwrap();
        assert_eq!(talk.next(99), Some(Next::Ask));
    }
    let mut unknown = answer(&["a"], "");
    unknown.calls[0].problem = Some("no such tool".into());
    talk.apply(Record::Answer(unknown)).unwrap();
    talk.apply(result(0, "no such tool")).unwrap();
    assert_eq!(talk.next(99), Some(Next::End(Stop::BadAnswers)));
}

#[test]
fn the_limit_on_length_has_its_own_stop() {
    let mut talk = Conversation::default();
    talk.apply(prompt("x")).unwrap();
    for _ in 0..3 {
        talk.apply(bad(Fault::CutOff)).unwrap();
    }
    assert_eq!(talk.next(99), Some(Next::End(Stop::MaxTokens)));
}

#[test]
fn steps_are_limited_per_turn_and_counted_per_session() {
    let mut talk = Conversation::default();
    for _ in 0..2 {
        talk.apply(prompt("x")).unwrap();
        talk.apply(calls(&["a"])).unwrap();
        talk.apply(result(0, "A")).unwrap();
        assert_eq!(talk.next(1), Some(Next::End(Stop::MaxSteps)));
        talk.apply(ended(Stop::MaxSteps)).unwrap();
    }
    assert_eq!(talk.steps(), 2);
}

#[test]
fn the_past_is_shortened_and_dropped_but_prompts_stay() {
    let mut talk = Conversation::default();
    talk.apply(prompt("the brief")).unwrap();
    for name in ["a", "b", "c"] {
        talk.apply(calls(&[name])).unwrap();
        talk.apply(result(0, &name.repeat(1000))).unwrap();
    }
    let messages = talk.messages(Cut { drop_before: 1, shorten_before: 2 });
    let shown: Vec<usize> = messages
        .iter()
        .map(|message| match message {
            Message::User(text) => text.len(),
            Message::Assistant(answer) => answer.calls.len(),
            Message::Results(results) => results[0].text.len(),
        })
        .collect();
    assert_eq!(shown, [9, DROPPED.len(), 1, 400 + "\n[... 600 bytes left out ...]\n".len(), 1, 1000]);
}

#[test]
fn an_answer_that_could_not_be_used_is_told_to_the_model() {
    let mut talk = Conversation::default();
    talk.apply(prompt("x")).unwrap();
    talk.apply(bad(Fault::Empty)).unwrap();
    let messages = talk.messages(Cut::default());
    assert!(matches!(&messages[1], Message::Assistant(answer) if answer.text == "[no usable answer]"));
    assert_eq!(messages[2], Message::User(Fault::Empty.told().into()));
}

#[test]
fn an_interrupted_call_still_has_a_result_to_show() {
    let mut talk = Conversation::default();
    talk.apply(prompt("x")).unwrap();
    talk.apply(calls(&["a"])).unwrap();
    talk.apply(ended(Stop::Cancelled)).unwrap();
    talk.apply(prompt("y")).unwrap();
    let messages = talk.messages(Cut::default());
    assert!(matches!(&messages[2], Message::Results(results) if results[0].text == INTERRUPTED));
    assert_eq!(talk.next(9), Some(Next::Ask));
}

#[test]
fn records_out_of_order_are_refused() {
    for record in [calls(&["a"]), result(0, "A"), ended(Stop::Done), bad(Fault::Empty)] {
        assert!(Conversation::default().apply(record).is_err());
    }
    assert!(Conversation::default().apply(Record::Opened { version: 2, cwd: "/".into(), servers: vec![] }).is_err());
}

fn prompt(text: &str) -> Record {
    Record::Prompt { text: text.into(), turn: None }
}

fn result(index: usize, text: &str) -> Record {
    Record::Result { index, text: text.into(), failed: false }
}

fn ended(stop: Stop) -> Record {
    Record::Ended { stop, why: String::new() }
}

fn bad(fault: Fault) -> Record {
    Record::BadAnswer { fault, text: String::new(), tokens: Tokens::default() }
}

fn says(text: &str) -> Record {
    Record::Answer(answer(&[], text))
}

fn calls(names: &[&str]) -> Record {
    Record::Answer(answer(names, ""))
}

fn answer(names: &[&str], text: &str) -> Answer {
    let calls = names
        .iter()
        .map(|name| Call { id: format!("id-{name}"), name: (*name).into(), arguments: json!({}), problem: None })
        .collect();
    Answer { text: text.into(), calls, tokens: Tokens { input: 10, ..Tokens::default() }, ..Answer::default() }
}
