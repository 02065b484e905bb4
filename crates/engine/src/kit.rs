//! The conformance kit: whether a program can be an agent here, found out by making it one.
//!
//! Each rule but one is a small mission of the real engine: the program in its sandbox and workspace, the gateway, the agent tools, the journal. What is
//! judged is what the journal and the transcript say, never what the program says of itself. A program that asks a model gets a scripted one. The
//! remaining rule (`garbage`) speaks to its pipes.

use crate::{
    engine::{Engine, EngineError, Request, Running},
    order::Order,
    settings::{PriceSettings, RoleSettings, RulesSettings, Settings, UpstreamSettings},
};
use mission::{AgentId, Fact, Limits, Plan, Role, RoleId, Standing, Stop, StopReason, TaskSpec, Writes};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};
use store::{Content, TranscriptReader};
use workspace::RepoFacts;

mod garbage;

/// How long a program may take for what takes an agent seconds.
const LIMIT: Duration = Duration::from_secs(90);
/// How long it may take until it is seen to be at work; what was not seen by then is tried all the same.
const AT_WORK: Duration = Duration::from_secs(60);
/// How long it may take to end a turn when it is asked to, in milliseconds: as long as in any mission.
const GRACE_MS: u64 = 10_000;

/// The texts that a program is given. A worker in a program's own language looks for the words in brackets.
const SUBMIT: &str = "This is a check of how you work together with muster [conformance submit]. Do nothing but this: call the tool submit_result \
                      with the summary \"It works.\", and end your turn.";
const HOLD: &str = "This is a check of how you work together with muster [conformance hold]. Do nothing but wait until you are asked to end your turn.";

/// The model that programs get which ask one: it calls the tool, or thinks for long.
const SCRIPT: &str = r#"version: 1
replies:
  - when: {contains: "[conformance hold]"}
    steps:
      - calls: [{tool: read_messages}]
      - {latency_ms: 600000, text: This comes too late.}
  - when: {contains: "[conformance submit]"}
    steps:
      - calls: [{tool: submit_result, args: {summary: It works.}}]
      - text: Submitted.
"#;

/// What the kit found of one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The rule.
    pub rule: &'static str,
    /// What it says.
    pub says: &'static str,
    /// What is wrong, and what to do; nothing when it holds.
    pub problem: Option<String>,
}

/// The rules, in the order in which they are checked.
const RULES: [(&str, &str); 9] = [
    ("start", "it answers `initialize` with protocol version 1 and offers MCP over HTTP"),
    ("turn", "`session/new` gives a session, and a prompt in it ends with a stop reason"),
    ("stream", "what it does in a turn is told in `session/update`"),
    ("tools", "it calls the agent tools: a result is submitted"),
    ("cancel", "a turn ends within 10 s of `session/cancel`"),
    ("kill", "killed in the middle of a turn, it starts again in the home and workspace that it left"),
    ("resume", "`session/load` takes the conversation up that the killed one had"),
    ("garbage", "a line that is no message and a method that it does not know do it no harm"),
    ("budget", "refused by the gateway for want of money, it ends its turn"),
];

/// Rules as they are found out.
struct Sheet(BTreeMap<&'static str, Option<String>>);

impl Sheet {
    fn holds(&mut self, rule: &'static str, holds: bool, problem: impl Into<String>) {
        self.0.insert(rule, (!holds).then(|| problem.into()));
    }

    fn keeps(&self, rule: &str) -> bool {
        self.0.get(rule).is_some_and(Option::is_none)
    }

    fn verdicts(mut self) -> Vec<Verdict> {
        let of = |(rule, says): (&'static str, &'static str)| Verdict {
            rule,
            says,
            problem: self
                .0
                .remove(rule)
                .unwrap_or_else(|| Some("could not be tried, because an earlier rule does not hold".to_owned())),
        };
        RULES.map(of).into()
    }
}

impl Engine {
    /// Checks the program of a role against every rule, in missions of this engine's home on a sample repository in `dir`, which must be empty.
    ///
    /// # Errors
    /// Whatever keeps missions from being run at all.
    pub async fn check_agent(&self, role: RoleSettings, dir: &Path) -> Result<Vec<Verdict>, EngineError> {
        let bench = Bench::prepare(self, role, dir).await?;
        let mut sheet = Sheet(BTreeMap::new());
        bench.works(&mut sheet).await?;
        if sheet.keeps("start") {
            let problem = garbage::check(self, &bench.role, &bench.dir.join("pipes")).await;
            sheet.0.insert("garbage", problem);
        }
        if sheet.keeps("turn") {
            bench.ends_when_asked(&mut sheet).await?;
            bench.goes_on_after_a_kill(&mut sheet).await?;
            bench.ends_without_money(&mut sheet).await?;
        }
        Ok(sheet.verdicts())
    }
}

/// What the missions of one check share.
struct Bench<'a> {
    engine: &'a Engine,
    role: RoleSettings,
    repository: RepoFacts,
    dir: PathBuf,
}

impl<'a> Bench<'a> {
    async fn prepare(engine: &'a Engine, role: RoleSettings, dir: &Path) -> Result<Self, EngineError> {
        let sample = dir.join("sample");
        let written = std::fs::create_dir_all(&sample)
            .and_then(|()| std::fs::write(sample.join("README"), "A sample to check an agent on.\n"))
            .and_then(|()| std::fs::write(dir.join("script.yaml"), SCRIPT));
        written.map_err(|error| EngineError::Sample(format!("{}: {error}", dir.display())))?;
        engine.make_repository(&sample, "A sample").await?;
        let repository = workspace::inspect(&sample).await?;
        Ok(Self { engine, role, repository, dir: dir.to_owned() })
    }

    async fn begin(&self, instructions: &str, budget_micros: Option<u64>) -> Result<Running, EngineError> {
        let upstream =
            UpstreamSettings::Scripted { file: self.dir.join("script.yaml"), rules: RulesSettings::default() };
        // A model that costs nothing has no budget to run out of.
        let dear = PriceSettings { input: 1_000_000_000, output: 1_000_000_000, cache_read: None, cache_write: None };
        let settings = Settings {
            roles: BTreeMap::from([("agent".to_owned(), self.role.clone())]),
            upstreams: BTreeMap::from([(self.role.upstream.clone(), upstream)]),
            prices: budget_micros.map(|_| (self.role.model.clone(), dear)).into_iter().collect(),
            checks: Default::default(),
            silence_ms: None,
            record: false,
            secrets: Default::default(),
        };
        let task = TaskSpec {
            name: "conformance".to_owned(),
            title: "conformance".to_owned(),
            role: RoleId(0),
            instructions: instructions.to_owned(),
            depends_on: Vec::new(),
            writes: Writes::Nothing,
            checks: Vec::new(),
            may_change_nothing: false,
            attempts_max: 1,
            budget: None,
            dispatch: mission::Dispatch::default(),
        };
        let roles = vec![Role { name: "agent".to_owned(), count: 1, ..Role::default() }];
        let limits = Limits {
            turn_ms_max: LIMIT.as_millis() as u64,
            cancel_grace_ms: GRACE_MS,
            nudges_max: 0,
            effect_retries_max: 0,
            losses_max: 1,
            ..Limits::default()
        };
        let request = Request {
            goal: "Check an agent.".to_owned(),
            repository: self.repository.clone(),
            plan: Plan { roles, tasks: vec![task], ..Plan::default() },
            settings,
            limits,
            budget_micros,
        };
        self.engine.begin(request).await
    }

    /// `start`, `turn`, `stream`, `tools`: one turn that does what it is asked for.
    async fn works(&self, sheet: &mut Sheet) -> Result<(), EngineError> {
        let mut running = self.begin(SUBMIT, None).await?;
        let facts = self.until(&mut running, |_| false).await?;
        let start = facts.iter().find_map(|fact| match fact {
            Fact::AgentStartFailed { error, .. } => Some(error.clone()),
            _ => None,
        });
        let up = facts.iter().any(|fact| matches!(fact, Fact::AgentUp { .. }));
        sheet.holds("start", up, start.unwrap_or_else(|| "it did not start in time".to_owned()));
        if !up {
            return Ok(());
        }
        // The first end counts: after a loss a result that was claimed is taken without another word of the agent.
        let end = facts.iter().find_map(|fact| match fact {
            Fact::TurnEnded { stop, .. } => Some((Some(*stop), None)),
            Fact::AgentLost { reason, .. } => Some((None, Some(reason.clone()))),
            _ => None,
        });
        let (ended, lost) = end.unwrap_or_default();
        let problem = match (ended, lost) {
            (Some(stop), _) => format!("the turn ended because {}", stop.tell()),
            (None, Some(reason)) => format!("no turn ended: {reason}"),
            (None, None) => format!("no turn ended within {} s", LIMIT.as_secs()),
        };
        sheet.holds("turn", ended == Some(Stop::Done), problem);
        self.engine.transcripts_kept().await;
        let told = self.told(running.handle.key())?;
        let bad = if told.bad_lines > 0 {
            format!("; {} lines on its standard output were no messages", told.bad_lines)
        } else {
            String::new()
        };
        sheet.holds(
            "stream",
            told.updates > 0 && told.bad_lines == 0,
            format!("{} updates of the session came in the turn{bad}; send `session/update` while you work, and nothing else on standard output", told.updates),
        );
        let submitted = facts.iter().any(|fact| matches!(fact, Fact::ResultClaimed { .. }));
        sheet.holds(
            "tools",
            submitted,
            "submit_result was not called; use the MCP server that comes with `session/new`",
        );
        Ok(())
    }

    /// `cancel`.
    async fn ends_when_asked(&self, sheet: &mut Sheet) -> Result<(), EngineError> {
        let mut running = self.begin(HOLD, None).await?;
        self.until_at_work(&running).await;
        self.settled(&mut running, Order::Pause).await?;
        let facts = self.facts(&running)?;
        let deaf =
            facts.iter().any(|fact| matches!(fact, Fact::AgentStopping { reason: StopReason::Unresponsive, .. }));
        let ended = facts.iter().any(|fact| matches!(fact, Fact::TurnEnded { .. }));
        sheet.holds(
            "cancel",
            ended && !deaf,
            "the turn went on; answer the prompt with the stop reason `cancelled` when `session/cancel` comes",
        );
        Ok(())
    }

    /// `kill`, `resume`: the engine lets go of the agent, which ends its sandbox, and takes the mission up again.
    async fn goes_on_after_a_kill(&self, sheet: &mut Sheet) -> Result<(), EngineError> {
        let running = self.begin(HOLD, None).await?;
        let key = running.handle.key().clone();
        self.until_at_work(&running).await;
        drop(running);
        let mut running = self.engine.resume(&key).await?;
        let again = |facts: &[Fact]| facts.iter().any(|fact| matches!(fact, Fact::TurnStarted { resumed: true, .. }));
        let facts = self.until(&mut running, again).await?;
        sheet.holds(
            "kill",
            again(&facts),
            "it did not start a second time in the home and workspace that the first one left",
        );
        if !again(&facts) {
            return Ok(());
        }
        self.until_it(LIMIT, || running.has_session(AgentId(0))).await;
        self.settled(&mut running, Order::Pause).await?;
        let facts = self.facts(&running)?;
        let sessions = facts.iter().filter(|fact| matches!(fact, Fact::SessionOpened { .. })).count();
        sheet.holds(
            "resume",
            sessions == 1,
            "a new session was begun: offer `loadSession`, keep what a session needs below $HOME, and take it up with `session/load`",
        );
        Ok(())
    }

    /// `budget`.
    async fn ends_without_money(&self, sheet: &mut Sheet) -> Result<(), EngineError> {
        let mut running = self.begin(SUBMIT, Some(1)).await?;
        let facts = self.until(&mut running, |_| false).await?;
        let ended = facts.iter().any(|fact| matches!(fact, Fact::TurnEnded { .. }));
        let cut = facts.iter().any(|fact| matches!(fact, Fact::TurnCancelling { .. }));
        sheet.holds(
            "budget",
            ended && !cut,
            "the turn went on until its time was up; end it when a model call is refused with status 400 or 402",
        );
        Ok(())
    }

    fn facts(&self, running: &Running) -> Result<Vec<Fact>, EngineError> {
        let reader = self.engine.reader()?;
        let stored = reader.facts(running.handle.key(), 0)?;
        let mut facts = Vec::new();
        for fact in stored {
            facts.push(fact?.decode()?.fact);
        }
        Ok(facts)
    }

    /// Follows a mission until it rests, or this holds of its facts, or the time is up.
    async fn until(&self, running: &mut Running, enough: impl Fn(&[Fact]) -> bool) -> Result<Vec<Fact>, EngineError> {
        let mut progress = running.progress.clone();
        let followed = async {
            loop {
                let standing = progress.borrow_and_update().standing;
                let facts = self.facts(running)?;
                if standing != Standing::Working || enough(&facts) || progress.changed().await.is_err() {
                    return Ok(facts);
                }
            }
        };
        match tokio::time::timeout(LIMIT + Duration::from_millis(GRACE_MS), followed).await {
            Ok(facts) => facts,
            Err(_) => self.facts(running),
        }
    }

    /// Waits until this holds; no fact tells of it.
    async fn until_it(&self, limit: Duration, holds: impl Fn() -> bool) {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        let waited = async {
            while !holds() {
                tick.tick().await;
            }
        };
        // What never comes is judged by what did.
        let _ = tokio::time::timeout(limit, waited).await;
    }

    /// Waits until the agent is at work in its turn: it has told something, or asks a model. Before that it may know nothing of the turn yet.
    async fn until_at_work(&self, running: &Running) {
        let (key, ended) = (running.handle.key(), || running.progress.borrow().standing != Standing::Working);
        let asked = || running.calls().upstreams.iter().map(|upstream| upstream.started).sum::<u64>();
        // Who asks a model is at work when it has used a tool and asks again.
        let works = || match asked() {
            // What it prints where it must not is judged elsewhere; here it shows that it works.
            0 => self.told(key).is_ok_and(|told| told.updates + told.bad_lines > 0),
            asked => asked > 1,
        };
        self.until_it(AT_WORK, || ended() || works()).await;
    }

    /// Gives an order and waits until the mission rests.
    async fn settled(&self, running: &mut Running, order: Order) -> Result<(), EngineError> {
        // One that has ended its turn by itself may have ended the mission too, and rests.
        let _ = running.handle.order(order).await;
        self.until(running, |_| false).await.map(drop)
    }

    fn told(&self, mission: &store::MissionKey) -> Result<Told, EngineError> {
        let reader = TranscriptReader::open(self.engine.home())?;
        let mut told = Told::default();
        for agent in reader.agents(mission)? {
            for entry in reader.entries(mission, &agent, 0, ENTRIES_MAX)? {
                let Content::Bytes { bytes, .. } = entry.content else { continue };
                let update: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
                match update.get("update").and_then(serde_json::Value::as_str) {
                    Some("session") => told.updates += 1,
                    Some("bad_line") => told.bad_lines += 1,
                    _ => {}
                }
            }
        }
        Ok(told)
    }
}

/// Entries of a transcript that are looked at.
const ENTRIES_MAX: usize = 10_000;

/// What a program told in its turns.
#[derive(Default)]
struct Told {
    updates: u64,
    bad_lines: u64,
}
