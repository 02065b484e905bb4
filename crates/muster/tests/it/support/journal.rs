//! A mission's facts as `muster tail --json` prints them, and what must hold of any journal.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// All facts of a mission, in order.
pub struct Journal {
    pub lines: Vec<String>,
    pub facts: Vec<(String, Value)>,
}

impl Journal {
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let facts = lines.iter().enumerate().map(|(index, line)| {
            let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert_eq!(value["seq"], index as u64 + 1, "facts are numbered without a gap");
            let kind = value["kind"].as_str().unwrap().to_owned();
            let body = value["fact"].get(&kind).cloned().unwrap_or(Value::Null);
            (kind, body)
        });
        let facts = facts.collect();
        Self { lines, facts }
    }

    pub fn kinds(&self) -> BTreeSet<&str> {
        self.facts.iter().map(|(kind, _)| kind.as_str()).collect()
    }

    pub fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.facts.iter().filter(move |(known, _)| known == kind).map(|(_, body)| body)
    }

    pub fn count(&self, kind: &str) -> usize {
        self.of(kind).count()
    }

    /// How often each task was merged.
    pub fn merges(&self) -> BTreeMap<u64, u32> {
        let number = |value: &Value| value.as_u64().unwrap();
        let task_of: BTreeMap<u64, u64> =
            self.of("assigned").map(|fact| (number(&fact["attempt"]), number(&fact["task"]))).collect();
        let attempt_of: BTreeMap<u64, u64> =
            self.of("change_queued").map(|fact| (number(&fact["change"]), number(&fact["attempt"]))).collect();
        let mut merges = BTreeMap::new();
        for merged in self.of("merged") {
            *merges.entry(task_of[&attempt_of[&number(&merged["change"])]]).or_default() += 1;
        }
        merges
    }

    /// Messages as who sent what to whom, sorted.
    pub fn messages(&self) -> Vec<String> {
        let mut messages: Vec<String> = self
            .of("message_sent")
            .map(|fact| format!("{} to {}: {}", fact["from"], fact["to"], fact["body"]))
            .collect();
        messages.sort();
        messages
    }

    /// What holds of every journal, however often its engine was killed.
    #[track_caller]
    pub fn check(&self) {
        self.no_task_has_two_agents();
        for (task, times) in self.merges() {
            assert_eq!(times, 1, "task {task} was merged {times} times");
        }
        for (kind, field) in [
            ("message_sent", "key"),
            ("message_sent", "message"),
            ("result_claimed", "key"),
            ("checkpoint_taken", "key"),
            ("interrupt_raised", "interrupt"),
            ("interrupt_answered", "interrupt"),
            ("change_queued", "change"),
            ("merged", "change"),
            ("assigned", "attempt"),
            ("session_opened", "attempt"),
        ] {
            let mut seen = BTreeSet::new();
            for fact in self.of(kind) {
                assert!(seen.insert(fact[field].to_string()), "{kind}: {field} {} stands twice", fact[field]);
            }
        }
        for once in ["opened", "planned", "repository_ready", "published", "closed"] {
            assert!(self.count(once) <= 1, "{once} stands {} times", self.count(once));
        }
    }

    /// A task is given to an agent only when no attempt of it is under way, an agent has one task at a time, and what an agent says
    /// belongs to an attempt that is under way.
    fn no_task_has_two_agents(&self) {
        let number = |value: &Value| value.as_u64().unwrap();
        let mut under_way: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
        let mut attempt_of = BTreeMap::new();
        for (kind, fact) in &self.facts {
            match kind.as_str() {
                "assigned" => {
                    let (attempt, task, agent) =
                        (number(&fact["attempt"]), number(&fact["task"]), number(&fact["agent"]));
                    let double = under_way.values().any(|(other, busy)| *other == task || *busy == agent);
                    assert!(!double, "task {task} is given to agent {agent} while {under_way:?} are under way");
                    under_way.insert(attempt, (task, agent));
                }
                "change_queued" => {
                    attempt_of.insert(number(&fact["change"]), number(&fact["attempt"]));
                }
                "merged" => drop(under_way.remove(&attempt_of[&number(&fact["change"])])),
                "task_done" | "attempt_failed" => drop(under_way.remove(&number(&fact["attempt"]))),
                "turn_started" | "result_claimed" | "change_verified" | "session_opened" => {
                    if let Some(attempt) = fact["attempt"].as_u64() {
                        assert!(under_way.contains_key(&attempt), "{kind} of attempt {attempt}, which is over");
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether this journal goes on where the other one ends, byte for byte.
    #[track_caller]
    pub fn continues(&self, before: &Journal) {
        for (index, line) in before.lines.iter().enumerate() {
            assert_eq!(self.lines.get(index), Some(line), "fact {} is not what it was", index + 1);
        }
    }
}
