//! `muster pause`, `cancel`, `retry`, `answer`: what a person says to a mission.
//!
//! Whoever runs the mission is told over the home's socket. When nobody does, what was said is put into the journal, and what follows from it is
//! carried out when the mission is taken up again. Either way it is durable when the command ends.

use super::{engine, follow, read, run, runtime};
use crate::{
    cli::{AnswerArgs, MissionArg, RetryArgs},
    outcome::{Error, Outcome},
    screen::{self, Detail, Screen},
};
use engine::{
    Engine, EngineError, Order, Reply,
    control::{self, ControlError},
    view::{Ending, InterruptView, offered},
};
use std::{path::Path, time::Duration};

/// How long an engine may take to say which mission it runs.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

pub(crate) fn pause(home: &Path, args: MissionArg) -> Result<Outcome, Error> {
    let name = read::mission_name(home, &args.mission)?;
    runtime()?.block_on(async {
        match control::tell(home, &name, Order::Pause).await {
            Ok(_) => {
                say(&format!("{name} pauses: its agents are asked to end their turns; to go on: muster resume {name}"))
            }
            Err(ControlError::Nobody | ControlError::Another(_)) => {
                Err(Error::failed(format!("{name} is not running; there is nothing to pause")))
            }
            Err(error) => Err(Error::failed(error)),
        }
    })
}

pub(crate) fn cancel(home: &Path, args: MissionArg) -> Result<Outcome, Error> {
    let name = read::mission_name(home, &args.mission)?;
    runtime()?.block_on(async {
        match deliver(home, &name, Order::Cancel).await? {
            Delivered::Live => say(&format!("{name} ends; what is merged is put into your repository")),
            Delivered::Noted(engine) => put_away(&engine, &name).await,
        }
    })
}

/// Carries out what a cancelled mission still owes: its result goes into the user's repository.
async fn put_away(engine: &Engine, name: &str) -> Result<Outcome, Error> {
    let manner = follow::Manner { wait: false, json: false };
    match run::resume_in(engine, name, &Screen::new(Detail::Steps), manner).await {
        Ok(Outcome::Cancelled) => Ok(Outcome::Done),
        Ok(other) => Ok(other),
        Err(Error::Usage(why) | Error::Failed(why)) => Err(Error::failed(format!(
            "it is recorded that {name} ends, but it could not be put away: {why}\n  help: mend that, then: muster resume {name}"
        ))),
    }
}

pub(crate) fn retry(home: &Path, args: RetryArgs) -> Result<Outcome, Error> {
    let readings = read::open(home)?;
    let name = readings.find(&args.mission)?;
    let mission = readings.mission(&name)?;
    let Some(task) = mission.tasks.iter().find(|task| task.name == args.task) else {
        return Err(Error::usage(format!("{name} has no task '{}'; `muster show {name}` lists its tasks", args.task)));
    };
    if mission.ending() == Ending::Open && !task.can_be_retried() {
        return Err(Error::failed(format!("the task '{}' has not failed: {}", args.task, task.state_line())));
    }
    runtime()?.block_on(async {
        match deliver(home, &name, Order::Retry { task: args.task.clone() }).await? {
            Delivered::Live => say(&format!("{} gets another round of attempts", args.task)),
            Delivered::Noted(_) => say(&recorded(&name)),
        }
    })
}

pub(crate) fn answer(home: &Path, args: AnswerArgs) -> Result<Outcome, Error> {
    let (mission, id) = addressed(&args)?;
    let readings = read::open(home)?;
    let name = match mission {
        Some(given) => readings.find(&given)?,
        None => {
            let waiting = readings.inbox()?.into_iter().find(|interrupt| interrupt.id == id);
            let none =
                || Error::usage(format!("no mission waits for an answer to {id}; `muster inbox` lists what waits"));
            waiting.ok_or_else(none)?.mission
        }
    };
    let waiting = readings.mission(&name)?.interrupts.into_iter().find(|interrupt| interrupt.id == id);
    let args = AnswerArgs { text: args.text.map(|text| one_of(waiting.as_ref(), &id, text)).transpose()?, ..args };
    runtime()?.block_on(async {
        match deliver(home, &name, Order::Answer { interrupt: id.clone(), reply: reply(args) }).await? {
            Delivered::Live => say(&format!("{id} of {name} is answered")),
            Delivered::Noted(_) => say(&recorded(&name)),
        }
    })
}

/// The answer, as it was offered where answers are offered: what is none of them is a slip of the pen more often than a wish.
fn one_of(waiting: Option<&InterruptView>, id: &str, text: String) -> Result<String, Error> {
    let Some(options) = waiting.map(|waiting| &waiting.options).filter(|options| !options.is_empty()) else {
        return Ok(text);
    };
    offered(options, &text).cloned().ok_or_else(|| {
        let known = options.join(" | ");
        Error::usage(format!(
            "'{text}' is not one of the options: {known}\n  help: to answer in other words: muster answer {id} --amend \"YOUR ANSWER\""
        ))
    })
}

/// The mission and the interrupt that are meant; without a mission, the newest that waits for it.
fn addressed(args: &AnswerArgs) -> Result<(Option<String>, String), Error> {
    match (args.id.rsplit_once('/'), &args.mission) {
        (None, mission) => Ok((mission.clone(), args.id.clone())),
        (Some((mission, id)), None) => Ok((Some(mission.to_owned()), id.to_owned())),
        (Some(_), Some(_)) => {
            Err(Error::usage("the mission is named twice: in the id and with --mission; name it once"))
        }
    }
}

fn reply(args: AnswerArgs) -> Reply {
    match args.text.or(args.amend) {
        Some(text) => Reply::Text(text),
        None if args.approve => Reply::Approve,
        None => Reply::Deny,
    }
}

/// How an order reached its mission.
enum Delivered {
    /// Whoever runs it was told.
    Live,
    /// Nobody runs it; it stands in the journal. The engine of the home is open.
    Noted(Box<Engine>),
}

async fn deliver(home: &Path, name: &str, order: Order) -> Result<Delivered, Error> {
    match control::tell(home, name, order.clone()).await {
        Ok(_) => return Ok(Delivered::Live),
        Err(ControlError::Nobody) => {}
        Err(ControlError::Another(other)) => {
            return Err(Error::failed(format!(
                "this home is busy with mission {other}, so nothing can be said to {name}\n  help: wait for it, or `muster pause {other}`, then say it again"
            )));
        }
        Err(error) => return Err(Error::failed(error)),
    }
    let engine = engine(home)?;
    let key = engine.mission(name)?;
    engine.note(&key, order).await.map_err(|error| match error {
        EngineError::Tell(refused) => Error::failed(refused),
        other => other.into(),
    })?;
    Ok(Delivered::Noted(Box::new(engine)))
}

fn recorded(name: &str) -> String {
    format!("recorded; nobody runs {name} at the moment, to go on: muster resume {name}")
}

fn say(text: &str) -> Result<Outcome, Error> {
    screen::out(text)?;
    Ok(Outcome::Done)
}

/// The mission that an engine runs in this home at the moment, if there is one that answers.
pub(crate) fn being_run(home: &Path) -> Result<Option<String>, Error> {
    runtime()?.block_on(async {
        // No mission is named so: whoever listens answers with the name of its own, and nothing is told to it.
        let asked = control::tell(home, "", Order::Resume);
        Ok(match tokio::time::timeout(ANSWER_LIMIT, asked).await {
            Ok(Err(ControlError::Another(name))) => Some(name),
            Ok(_) | Err(_) => None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(id: &str, mission: Option<&str>) -> AnswerArgs {
        AnswerArgs {
            id: id.to_owned(),
            text: None,
            approve: true,
            deny: false,
            amend: None,
            mission: mission.map(str::to_owned),
        }
    }

    #[test]
    fn an_interrupt_is_named_with_or_without_its_mission() {
        let meant = |id, mission| addressed(&given(id, mission)).map_err(|error| format!("{error:?}"));
        assert_eq!(meant("i0", None), Ok((None, "i0".to_owned())));
        assert_eq!(meant("fix-a1/i0", None), Ok((Some("fix-a1".to_owned()), "i0".to_owned())));
        assert_eq!(meant("i0", Some("fix-a1")), Ok((Some("fix-a1".to_owned()), "i0".to_owned())));
        assert!(meant("fix-a1/i0", Some("fix-a1")).is_err());
    }

    #[test]
    fn words_count_before_yes_and_no() {
        assert_eq!(reply(given("i0", None)), Reply::Approve);
        assert_eq!(reply(AnswerArgs { approve: false, deny: true, ..given("i0", None) }), Reply::Deny);
        let text = AnswerArgs { approve: false, text: Some("half up".to_owned()), ..given("i0", None) };
        assert_eq!(reply(text), Reply::Text("half up".to_owned()));
        let amend = AnswerArgs { approve: false, amend: Some("yes, but".to_owned()), ..given("i0", None) };
        assert_eq!(reply(amend), Reply::Text("yes, but".to_owned()));
    }
}
