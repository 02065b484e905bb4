//! One journal of each release, replayed: facts are forever. It is one simulated mission (`sim --seed N --journal`), rich in kinds of facts; a file once
//! released is never written again.

use expect_test::expect;
use mission::*;

#[test]
fn the_journal_of_0_1_0_still_reads_the_same() {
    let lines = include_str!("../golden/v0.1.0.jsonl");
    let facts: Vec<Fact> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mission = Mission::replay(&facts);
    expect![[r#"
        216 facts of 42 kinds
        Closed(Failed)
        head Some("ad1e0c9fefb11774")
        Tally {
            open: 0,
            done: 5,
            failed: 1,
            skipped: 0,
            superseded: 0,
        }
        Ledger {
            cap: None,
            settled: Micros(
                1608,
            ),
            warned: false,
            leased: Micros(
                0,
            ),
            calls: 17,
            unknown: 4,
            estimated_calls: 0,
            estimated: Micros(
                0,
            ),
            beyond: Micros(
                0,
            ),
            input_tokens: 170,
            output_tokens: 34,
        }
        Done after 1
        Failed after 1
        Done after 1
        Done after 1
        Done after 1
        Done after 1
    "#]]
    .assert_eq(&summary(&facts, &mission));
    for fact in &facts {
        let written = serde_json::to_string(fact).unwrap();
        assert_eq!(serde_json::from_str::<Fact>(&written).unwrap(), *fact);
    }
}

fn summary(facts: &[Fact], mission: &Mission) -> String {
    let kinds: std::collections::BTreeSet<&str> = facts.iter().map(Fact::kind).collect();
    let tasks: Vec<String> = (0..mission.plan().tasks.len() as u32)
        .filter_map(|id| mission.task(TaskId(id)))
        .map(|task| format!("{:?} after {}", task.state, task.tries))
        .collect();
    format!(
        "{} facts of {} kinds\n{:?}\nhead {:?}\n{:#?}\n{:#?}\n{}\n",
        facts.len(),
        kinds.len(),
        mission.status(),
        mission.head(),
        mission.tally(),
        mission.ledger(),
        tasks.join("\n")
    )
}
