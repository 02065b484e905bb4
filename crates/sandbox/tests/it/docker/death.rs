//! Containers die with their caller, and what is left of them is removed by the next one.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use sandbox::Exit;
use serde_json::json;

use super::Fixture;
use super::standin::IMAGE;
use crate::KIT;

#[test]
fn the_callers_death_is_the_death_of_its_containers_and_the_next_caller_removes_them() {
    let fixture = Fixture::standin();
    let engine = fixture.engine();
    let mut caller = Command::new(KIT)
        .arg("docker-engine")
        .arg(&engine.socket)
        .arg(IMAGE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(caller.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    assert_eq!(engine.ids().len(), 1);
    caller.kill().unwrap();
    caller.wait().unwrap();
    engine.wait_exited();
    // Nobody is there to remove it.
    let left = engine.ids();
    assert_eq!(left.len(), 1);
    assert_eq!(fixture.host.run(fixture.policy(), &["true"]).exit, Exit::Code(0));
    engine.wait_removed();
}

#[test]
fn only_what_outlived_its_caller_is_removed() {
    let fixture = Fixture::standin();
    let engine = fixture.engine();
    assert_eq!(fixture.host.run(fixture.policy(), &["true"]).exit, Exit::Code(0));
    engine.wait_removed();
    let labels = engine.descriptions()[0]["Labels"].clone();
    let of = |owner: &str| json!({ "dev.muster.owner": owner, "dev.muster.world": labels["dev.muster.world"] });
    engine.add(&"a".repeat(64), labels.clone(), true);
    engine.add(&"b".repeat(64), of("1-0"), true);
    engine.add(&"c".repeat(64), json!({ "dev.muster.owner": "1-0", "dev.muster.world": "elsewhere" }), true);
    engine.add(&"d".repeat(64), json!({ "somebody": "else" }), false);
    // A second caller, which looks when it needs the engine first.
    let second = Fixture::new(IMAGE, &engine.socket);
    assert_eq!(second.host.run(second.policy(), &["true"]).exit, Exit::Code(0));
    // The caller's end waits for what is being removed.
    drop(second);
    assert_eq!(engine.ids(), ["a".repeat(64), "c".repeat(64), "d".repeat(64)]);
}

#[test]
fn the_end_of_a_caller_waits_for_its_containers() {
    let fixture = Fixture::standin();
    let second = Fixture::new(IMAGE, &fixture.engine().socket);
    let sandboxed = second.host.launch(second.policy(), &["sleep", "1000"]).unwrap();
    drop((sandboxed, second));
    assert_eq!(fixture.engine().ids(), Vec::<String>::new());
}
