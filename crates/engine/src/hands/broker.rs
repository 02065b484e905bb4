//! Commands that are run for an agent that may start no process itself.
//!
//! A command belongs to a turn: it runs while the turn runs, and ends with it, whether the turn ends, is cancelled, or loses its agent. A
//! call's key counts once: a call that is repeated while its command runs waits for the same command, and one that is repeated after it is
//! answered from what is kept. That is kept as long as the engine lives. After an engine's death the command is dead too; an agent that has
//! its answer in its log does not ask again, and one that has not has its command run again, in the workspace as the first run left it: a
//! command is run at least once, and never twice at the same time.

use super::{Hands, agent::Live};
use crate::console::{Recording, Scribe, end_words};
use api::tools::{COMMAND_S, RunCommand};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;
use view::RunBy;
use workspace::{CheckEnd, CommandOrder, CommandRun};

/// Answers that are kept for calls that are repeated.
const ANSWERS_MAX: usize = 32;

/// Commands of one agent that run or wait for their turn. Each holds a task and its command line; no agent needs more.
const PENDING_MAX: usize = 64;

/// What the agent is told: the result, or what went wrong.
type Answer = Result<String, String>;
type Answered = watch::Receiver<Option<Answer>>;

/// The commands of one agent.
#[derive(Default)]
pub(crate) struct Broker(Mutex<State>);

#[derive(Default)]
struct State {
    /// Set when the open turn's commands are to end. None: there is no turn.
    turn: Option<watch::Sender<bool>>,
    running: BTreeMap<String, Answered>,
    /// The oldest first.
    answers: VecDeque<(String, Answer)>,
}

impl Broker {
    /// A turn begins.
    pub(crate) fn open(&self) {
        self.stop();
        self.state().turn = Some(watch::Sender::new(false));
    }

    /// Whether the call with this key was taken already.
    fn knows(&self, key: &str) -> bool {
        let state = self.state();
        state.running.contains_key(key) || state.answers.iter().any(|(known, _)| known == key)
    }

    /// The turn's commands are to end; no more are taken.
    pub(crate) fn stop(&self) {
        if let Some(turn) = self.state().turn.take() {
            turn.send_replace(true);
        }
    }

    /// The same, and waits until they are gone.
    pub(crate) async fn close(&self) {
        self.stop();
        loop {
            let next = self.state().running.first_key_value().map(|(key, answered)| (key.clone(), answered.clone()));
            let Some((key, mut answered)) = next else { return };
            let ended = answered.wait_for(Option::is_some).await.is_ok();
            if !ended {
                // Its task was lost with its runtime.
                self.state().running.remove(&key);
            }
        }
    }

    /// The answer to the call with this key: kept, awaited, or that of a new command.
    async fn call<R>(self: &Arc<Self>, key: String, run: impl FnOnce(watch::Receiver<bool>) -> R) -> Answer
    where
        R: Future<Output = Answer> + Send + 'static,
    {
        let mut answered = {
            let mut state = self.state();
            if let Some((_, answer)) = state.answers.iter().find(|(known, _)| *known == key) {
                return answer.clone();
            }
            match state.running.get(&key) {
                Some(answered) => answered.clone(),
                None => {
                    let Some(stop) = state.turn.as_ref().map(watch::Sender::subscribe) else {
                        return Err("There is no turn to run a command in.".to_owned());
                    };
                    if state.running.len() >= PENDING_MAX {
                        return Err(format!(
                            "{PENDING_MAX} commands run or wait already; wait for their answers first."
                        ));
                    }
                    let (work, (tell, answered)) = (run(stop.clone()), watch::channel(None));
                    state.running.insert(key.clone(), answered.clone());
                    tokio::spawn(Arc::clone(self).carry_out(key, stop, work, tell));
                    answered
                }
            }
        };
        let lost = || Err("The command was lost.".to_owned());
        answered.wait_for(Option::is_some).await.map_or_else(|_| lost(), |answer| answer.clone().unwrap_or_else(lost))
    }

    async fn carry_out(
        self: Arc<Self>,
        key: String,
        stopped: watch::Receiver<bool>,
        work: impl Future<Output = Answer>,
        tell: watch::Sender<Option<Answer>>,
    ) {
        let answer = work.await;
        let mut state = self.state();
        state.running.remove(&key);
        // A command that was cut short has no result: whoever asks again wants it run.
        if !*stopped.borrow() {
            state.answers.push_back((key, answer.clone()));
            let surplus = state.answers.len().saturating_sub(ANSWERS_MAX);
            state.answers.drain(..surplus);
        }
        drop(state);
        tell.send_replace(Some(answer));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hands {
    /// Runs a command for an agent and answers with what it came to.
    pub(crate) async fn run_command(&self, live: &Arc<Live>, key: String, call: RunCommand) -> Answer {
        let _runs = live.activity.begins();
        // The same call again meets its own answer, or the question that is open.
        if !live.broker.knows(&key) {
            let request = format!("run: {}", call.command);
            if !self.permit(live.id, &live.approvals, request).await {
                return Err(
                    "The command was not allowed. Do without it, or say in your result what is missing.".to_owned()
                );
            }
        }
        let order = CommandOrder {
            command: call.command,
            cwd: call.cwd.unwrap_or_default().into(),
            timeout: Duration::from_secs(call.timeout_s.unwrap_or(COMMAND_S).into()),
            extras: live.extras.clone(),
        };
        let (live_there, scribe) = (Arc::clone(live), self.scribe(live.name.as_str()));
        live.broker.call(key, move |stop| command(live_there, scribe, order, stop)).await
    }

    pub(crate) fn scribe(&self, agent: &str) -> Scribe {
        let tools = self.tools();
        Scribe {
            transcripts: tools.transcripts.clone(),
            mission: tools.key.clone(),
            agent: agent.to_owned(),
            clock: tools.clock,
            masking: tools.masking.clone(),
        }
    }
}

async fn command(live: Arc<Live>, scribe: Scribe, order: CommandOrder, mut stop: watch::Receiver<bool>) -> Answer {
    let cwd = order.cwd.to_string_lossy();
    let masking = scribe.masking.clone();
    let covered = |text: String| masking.text(text).into_owned();
    let mut recording: Recording =
        scribe.begin(RunBy::Agent, &order.command, Some(&*cwd).filter(|cwd| !cwd.is_empty()));
    let stopped = async move {
        // The end of the turn's sender is the end of the turn too.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let ran = live.workspace.run_command(&order, stopped, &mut |spoken| recording.said(spoken)).await;
    match ran {
        Ok(run) => {
            recording.ended(run.end, run.ms, run.stdout_bytes + run.stderr_bytes, run.hints.clone());
            told(&run, order.timeout).map(covered).map_err(covered)
        }
        Err(error) => {
            recording.failed(&error.message);
            Err(covered(format!("The command was not run: {error}")))
        }
    }
}

/// What the model is told. A command that failed by itself is a result; one that was cut short is not.
fn told(run: &CommandRun, timeout: Duration) -> Answer {
    let printed = printed(run);
    match run.end {
        CheckEnd::Exit(code) => Ok(format!("Exit code {code}.\n{printed}")),
        CheckEnd::Signal(signal) => Ok(format!("Killed by signal {signal}.\n{printed}")),
        CheckEnd::TimedOut => Err(format!("The command was killed after {} s.\n{printed}", timeout.as_secs())),
        CheckEnd::Stopped => Err(format!("The command was stopped, because the turn is over.\n{printed}")),
        end @ (CheckEnd::CpuLimit | CheckEnd::FileSizeLimit | CheckEnd::MemoryLimit | CheckEnd::DiskLimit) => {
            Err(format!("{}.\n{printed}", end_words(end)))
        }
    }
}

fn printed(run: &CommandRun) -> String {
    let mut text = match (run.stdout_tail.as_str(), run.stderr_tail.as_str()) {
        ("", "") => "[No output.]".to_owned(),
        (out, "") => out.to_owned(),
        ("", err) => err.to_owned(),
        (out, err) => format!("{}\n[standard error]\n{err}", out.trim_end_matches('\n')),
    };
    for hint in &run.hints {
        text = format!("{}\nHint: {hint}", text.trim_end_matches('\n'));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    fn run(end: CheckEnd, out: &str, err: &str) -> CommandRun {
        CommandRun {
            end,
            stdout_tail: out.into(),
            stderr_tail: err.into(),
            stdout_bytes: 0,
            stderr_bytes: 0,
            ms: 0,
            hints: Vec::new(),
        }
    }

    #[test]
    fn what_the_model_is_told() {
        let s = Duration::from_secs(5);
        assert_eq!(told(&run(CheckEnd::Exit(0), "", ""), s), Ok("Exit code 0.\n[No output.]".into()));
        assert_eq!(
            told(&run(CheckEnd::Exit(1), "out\n", "err\n"), s),
            Ok("Exit code 1.\nout\n[standard error]\nerr\n".into())
        );
        assert_eq!(
            told(&run(CheckEnd::TimedOut, "begun\n", ""), s),
            Err("The command was killed after 5 s.\nbegun\n".into())
        );
        let hinted = CommandRun { hints: vec!["No network.".into()], ..run(CheckEnd::Exit(6), "", "curl: (6)\n") };
        assert_eq!(told(&hinted, s), Ok("Exit code 6.\ncurl: (6)\nHint: No network.".into()));
    }

    #[tokio::test]
    async fn a_key_counts_once() {
        let broker = Arc::new(Broker::default());
        let never = |_| async { Ok("never".to_owned()) };
        assert!(broker.call("a".into(), never).await.unwrap_err().contains("no turn"));
        broker.open();
        let (go, going) = oneshot::channel::<()>();
        let first = broker.call("a".into(), |_| async move {
            drop(going.await);
            Ok("once".to_owned())
        });
        let second = async {
            let call = broker.call("a".into(), never);
            drop(go);
            call.await
        };
        let (first, second) = tokio::join!(first, second);
        assert_eq!((first.as_deref(), second.as_deref()), (Ok("once"), Ok("once")));
        assert_eq!(broker.call("a".into(), never).await.as_deref(), Ok("once"), "kept");
        broker.close().await;
        assert_eq!(broker.call("a".into(), never).await.as_deref(), Ok("once"), "beyond its turn");
    }

    #[tokio::test]
    async fn only_so_many_commands_wait() {
        let broker = Arc::new(Broker::default());
        broker.open();
        let until_stopped = |mut stop: watch::Receiver<bool>| async move {
            drop(stop.wait_for(|stop| *stop).await);
            Err("stopped".to_owned())
        };
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..PENDING_MAX {
            let broker = Arc::clone(&broker);
            calls.spawn(async move { broker.call(number.to_string(), until_stopped).await });
        }
        while broker.state().running.len() < PENDING_MAX {
            tokio::task::yield_now().await;
        }
        let refused = broker.call("further".into(), until_stopped).await.unwrap_err();
        assert!(refused.starts_with("64 commands run or wait"), "{refused}");
        let again = Arc::clone(&broker);
        calls.spawn(async move { again.call("0".into(), until_stopped).await });
        broker.close().await;
        assert!(calls.join_all().await.iter().all(|answer| *answer == Err("stopped".to_owned())));
    }

    #[tokio::test]
    async fn the_end_of_a_turn_ends_its_commands_and_their_keys_are_free() {
        let broker = Arc::new(Broker::default());
        broker.open();
        let until_stopped = |mut stop: watch::Receiver<bool>| async move {
            stop.wait_for(|stop| *stop).await.unwrap();
            Err("stopped".to_owned())
        };
        let call = broker.call("a".into(), until_stopped);
        let close = async {
            while broker.state().running.is_empty() {
                tokio::task::yield_now().await;
            }
            broker.close().await;
            assert!(broker.state().running.is_empty());
        };
        let (answer, ()) = tokio::join!(call, close);
        assert_eq!(answer, Err("stopped".to_owned()));
        broker.open();
        assert_eq!(broker.call("a".into(), |_| async { Ok("again".to_owned()) }).await.as_deref(), Ok("again"));
    }
}
