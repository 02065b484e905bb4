//! Plays inputs against a mission of two builders and shows what the last one led to.

use expect_test::Expect;
use mission::*;
use serde_json::Value;
use std::fmt::Write as _;

/// A play: each input comes a second after the one before it, `Woke` when the core wants it.
pub struct Play {
    pub mission: Mission,
    pub now: At,
    pub journal: Vec<Fact>,
}

/// Tells the inputs, the last but one of which must be taken, and compares what the last one led to. Replaying must make the same state.
pub fn check(inputs: impl IntoIterator<Item = Input>, expect: Expect) {
    let mut play = Play { mission: Mission::default(), now: At(0), journal: Vec::new() };
    let mut shown = String::new();
    for input in inputs {
        let outcome = play.tell(input);
        shown = match &outcome {
            Ok(facts) => facts.iter().map(|fact| play.show(fact)).collect(),
            Err(why) => format!("refused: {why}\n"),
        };
    }
    assert_eq!(Mission::replay(&play.journal), play.mission);
    expect.assert_eq(&shown);
}

impl Play {
    pub fn new(inputs: impl IntoIterator<Item = Input>) -> Play {
        let mut play = Play { mission: Mission::default(), now: At(0), journal: Vec::new() };
        inputs.into_iter().for_each(|input| drop(play.tell(input).unwrap()));
        play
    }

    pub fn tell(&mut self, input: Input) -> Result<Vec<Fact>, Rejected> {
        self.now = match (&input, self.mission.next_wakeup()) {
            (Input::Woke, Some(at)) => self.now.max(at),
            _ => self.now.after(1_000),
        };
        let facts = self.mission.decide(self.now, input)?;
        self.journal.extend(facts.iter().cloned());
        Ok(facts)
    }

    /// One line: the fact, its plain fields, and the effect that it asks for.
    fn show(&self, fact: &Fact) -> String {
        let mut line = fact.kind().to_owned();
        let value = serde_json::to_value(fact).unwrap();
        if let Some(fields) = value.get(fact.kind()).and_then(Value::as_object) {
            for (name, value) in fields {
                let _ = write!(line, " {name}={}", short(value));
            }
        }
        if let Some(effect) = fact.effect().and_then(|effect| self.mission.effect(effect)) {
            let kind: &'static str = (&effect.kind).into();
            let _ = write!(line, " ✱ {kind}");
        }
        line + "\n"
    }
}

fn short(value: &Value) -> String {
    match value {
        Value::String(text) => text.chars().take(60).collect::<String>().trim_end().to_owned(),
        Value::Object(fields) => match fields.iter().next() {
            Some((name, value)) if fields.len() == 1 => format!("{name}({})", short(value)),
            _ => "…".into(),
        },
        Value::Array(items) => format!("[{}]", items.len()),
        plain => plain.to_string(),
    }
}

/// Opened with a dollar, or without a budget.
pub fn open(budget: Option<u64>) -> Input {
    Input::Open(Box::new(Opening {
        goal: "two files".into(),
        repository: "/r".into(),
        base: "base".into(),
        branch: "muster/m".into(),
        budget: budget.map(Micros),
        limits: Limits::default(),
        settings: String::new(),
    }))
}

/// A task of role 0 that may change anything and is tried twice.
pub fn task(name: &str, depends_on: &[u32]) -> TaskSpec {
    TaskSpec {
        name: name.into(),
        title: format!("Task {name}"),
        role: RoleId(0),
        instructions: "Do it.".into(),
        depends_on: depends_on.iter().map(|task| TaskId(*task)).collect(),
        writes: Writes::Anything,
        checks: vec![Check { run: "true".into(), timeout_ms: 1_000 }],
        may_change_nothing: false,
        attempts_max: 2,
        budget: None,
        dispatch: mission::Dispatch::default(),
    }
}

pub fn plan(agents: u32, tasks: Vec<TaskSpec>) -> Input {
    let roles = vec![Role { name: "builder".into(), count: agents, ..Role::default() }];
    Input::ProposePlan(Box::new(Plan { roles, tasks, ..Plan::default() }))
}

pub fn prepared() -> Input {
    Input::RepositoryPrepared { effect: EffectId(0), head: "base".into(), tried: Vec::new(), problem: None }
}

/// One builder, tasks `a` and `b` after it; the builder is in its first turn of `a`, which is effect 2.
pub fn at_work() -> Vec<Input> {
    vec![open(None), plan(1, vec![task("a", &[]), task("b", &[0])]), prepared(), ready(1)]
}

pub fn ready(effect: u64) -> Input {
    Input::AgentReady { effect: EffectId(effect) }
}

pub fn submitted(key: &str) -> Input {
    Input::ResultSubmitted { agent: AgentId(0), key: key.into(), summary: "It works.".into() }
}

pub fn asked(key: &str) -> Input {
    Input::InterruptAsked { agent: AgentId(0), key: key.into(), question: "Which one?".into(), default: None }
}

pub fn ended(effect: u64, stop: Stop) -> Input {
    Input::TurnEnded { effect: EffectId(effect), stop, work: changed(), said: None, problem: None }
}

pub fn changed() -> Work {
    Work::Changed { commit: "work".into(), paths: 1, outside: vec![], left_out: Default::default() }
}

pub fn passed(effect: u64) -> Input {
    let run =
        CheckRun { run: "true".into(), passed: true, ended: "exit status 0".into(), output: String::new(), ms: 5 };
    Input::ChangeChecked {
        effect: EffectId(effect),
        verdict: Verdict::Passed { commit: format!("merge{effect}"), checks: vec![run] },
    }
}

pub fn failed(effect: u64, failure: EffectFailure) -> Input {
    Input::EffectFailed { effect: EffectId(effect), failure, error: "it broke".into(), problem: None }
}

pub fn answer(interrupt: u32, answer: Answer) -> Input {
    Input::Answered { interrupt: InterruptId(interrupt), answer }
}

/// These inputs and then those.
pub fn and(mut first: Vec<Input>, then: impl IntoIterator<Item = Input>) -> Vec<Input> {
    first.extend(then);
    first
}
