//! Following a mission in the foreground: its facts on the screen as they become durable, and the way it ends as an exit code.

use crate::{
    outcome::{Error, Outcome},
    screen::{self, Screen},
};
use engine::{
    Engine, Order, Running, Standing,
    view::{Consoles, Heard, Readings, Teller},
};
use std::{path::Path, time::Duration};
use tokio::signal::unix::{SignalKind, signal};

/// How long model calls that outlive their turn are waited for at the end.
const CALLS_LIMIT: Duration = Duration::from_secs(10);

/// How long what is printed in a sandbox may stay unseen.
const CONSOLE_PAUSE: Duration = Duration::from_millis(250);

/// How a mission is followed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// Whether to stay when a person is waited for.
    pub(crate) wait: bool,
    /// Whether the result is JSON on standard output.
    pub(crate) json: bool,
}

/// Follows until the mission is over, or waits for a person. The first Ctrl-C pauses it, the second ends this process at once; either way
/// it can be resumed.
pub(crate) async fn to_the_end(
    engine: &Engine,
    running: Running,
    screen: &Screen,
    manner: Manner,
) -> Result<Outcome, Error> {
    let name = running.handle.key().to_string();
    match watch(engine, running, screen, manner.wait).await? {
        Some(story) => conclude(&story.readings, &name, manner),
        None => Ok(Outcome::Waiting),
    }
}

/// The same without a word about how it ended.
pub(crate) async fn quietly(engine: &Engine, running: Running, screen: &Screen) -> Result<Outcome, Error> {
    let name = running.handle.key().to_string();
    match watch(engine, running, screen, false).await? {
        Some(story) => Ok(outcome(&story.readings.mission(&name).map_err(Error::failed)?)),
        None => Ok(Outcome::Waiting),
    }
}

/// What happened; nothing when Ctrl-C was pressed twice.
async fn watch(engine: &Engine, mut running: Running, screen: &Screen, wait: bool) -> Result<Option<Story>, Error> {
    let name = running.handle.key().to_string();
    screen.say(&format!("mission {name}"));
    let _control = engine::control::listen(engine.home(), running.handle.clone())
        .map_err(|error| screen.say(&format!("other processes cannot speak to this mission: {error}")));
    let mut story = Story::after(&running, engine.home(), screen)?;
    if running.progress.borrow().standing == Standing::Closed {
        screen.say(&format!(
            "it is over already, so there is nothing to take up; what happened: muster tail {name} --no-follow"
        ));
    } else if running.history > 0 {
        screen.say(&format!(
            "taken up after {} facts; what happened before: muster tail {name} --no-follow",
            running.history
        ));
    }
    let mut progress = running.progress.clone();
    // Made once: a signal that came between two of them would be lost.
    let mut ctrl_c = signal(SignalKind::interrupt()).map_err(Error::failed)?;
    let mut tick = tokio::time::interval(CONSOLE_PAUSE);
    let mut interrupted = false;
    let mut told_full = false;
    loop {
        story.show_new(&name, screen)?;
        let (standing, full) = {
            let now = progress.borrow_and_update();
            (now.standing, now.disk_full)
        };
        if full && !told_full {
            screen
                .say("the disk is full; nothing is lost, and it goes on by itself within a minute of there being room");
        }
        told_full = full;
        match standing {
            Standing::Closed => break,
            Standing::WaitingForPerson if !wait || interrupted => break,
            Standing::WaitingForPerson | Standing::Working => {}
        }
        tokio::select! {
            changed = progress.changed() => if changed.is_err() { return Err(running.failure().await.into()) },
            _ = tick.tick(), if screen.shows_all() => {}
            _ = ctrl_c.recv() => {
                if interrupted { return Ok(None) }
                interrupted = true;
                screen.say("pausing: agents are asked to end their turns and their work is kept (Ctrl-C again to end at once)");
                // A mission that is paused or over already needs no pausing.
                let _ = running.handle.order(Order::Pause).await;
            }
        }
    }
    // An agent that was cut short leaves calls that are paid for: their bills and answers are still to be kept.
    tokio::select! {
        _ = tokio::time::timeout(CALLS_LIMIT, running.calls_settled()) => {}
        _ = ctrl_c.recv() => {}
    }
    engine.transcripts_kept().await;
    story.show_new(&name, screen)?;
    Ok(Some(story))
}

/// The facts shown so far.
struct Story {
    readings: Readings,
    /// What the sandboxes print, when everything is shown.
    consoles: Option<Consoles>,
    teller: Teller,
    seq: u64,
}

impl Story {
    /// What happens from here on. What happened before is known, not shown again.
    fn after(running: &Running, home: &Path, screen: &Screen) -> Result<Self, Error> {
        let readings = Readings::open(home).map_err(Error::failed)?;
        let mut consoles =
            screen.shows_all().then(|| Consoles::open(home, running.handle.key().as_str())).transpose()?;
        consoles.as_mut().map(Consoles::skip).transpose()?;
        let mut story = Self { readings, consoles, teller: Teller::default(), seq: 0 };
        for recorded in story.readings.facts_after(running.handle.key().as_str(), 0).map_err(Error::failed)? {
            if recorded.seq <= running.history {
                story.seq = recorded.seq;
                story.teller.tell(&recorded.fact);
            }
        }
        Ok(story)
    }

    fn show_new(&mut self, name: &str, screen: &Screen) -> Result<(), Error> {
        for recorded in self.readings.facts_after(name, self.seq).map_err(Error::failed)? {
            self.seq = recorded.seq;
            self.show_heard(Some(recorded.at_ms), screen)?;
            screen.show(&self.teller.tell(&recorded.fact));
        }
        self.show_heard(None, screen)
    }

    fn show_heard(&mut self, until: Option<u64>, screen: &Screen) -> Result<(), Error> {
        let heard = self.consoles.as_mut().map(|consoles| consoles.until(until)).transpose()?.unwrap_or_default();
        heard.iter().map(Heard::line).for_each(|line| screen.show(&line));
        Ok(())
    }
}

/// Says how it ended and what to do next.
fn conclude(readings: &Readings, name: &str, manner: Manner) -> Result<Outcome, Error> {
    let view = readings.mission(name).map_err(Error::failed)?;
    match manner.json {
        true => screen::json(&view)?,
        // It holds the words of agents.
        false => screen::out(&view.summary())?,
    };
    Ok(outcome(&view))
}

fn outcome(view: &engine::view::MissionView) -> Outcome {
    match view.ending() {
        engine::view::Ending::Done => Outcome::Done,
        engine::view::Ending::Failed => Outcome::Failed,
        engine::view::Ending::Cancelled => Outcome::Cancelled,
        engine::view::Ending::Open => Outcome::Waiting,
    }
}
