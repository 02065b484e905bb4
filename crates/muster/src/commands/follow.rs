//! Following a mission in the foreground: its facts on the screen as they become durable, and the way it ends as an exit code.

use crate::{
    outcome::{Error, Outcome},
    screen::{self, Screen},
};
use engine::{
    Engine, Micros, Order, Running, Standing,
    view::{Consoles, Readings, Teller, Weight},
};
use std::{
    path::Path,
    time::{Duration, Instant},
};

mod alive;
mod signals;

use alive::Alive;
use signals::Signals;

/// How long the bills of model calls that outlive their turn are waited for at the end; what is on then is booked at its worst case.
const BILLS_LIMIT: Duration = Duration::from_secs(60);
/// How long an end at once may take to book what is on. What it does not manage is booked when the mission is taken up.
const BOOKING_LIMIT: Duration = Duration::from_secs(5);

/// How long what is printed in a sandbox may stay unseen.
const CONSOLE_PAUSE: Duration = Duration::from_millis(250);
/// The same where nobody watches it: only calls that are made again are told.
const QUIET_PAUSE: Duration = Duration::from_secs(2);

/// How a mission is followed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// Whether to stay when a person is waited for.
    pub(crate) wait: bool,
    /// Whether the result is JSON on standard output.
    pub(crate) json: bool,
}

/// Follows until the mission is over, or waits for a person. The first Ctrl-C, SIGTERM or SIGHUP pauses it, the second ends this process at once;
/// either way it can be resumed, and every model call that went out is booked.
pub(crate) async fn to_the_end(
    engine: &Engine,
    running: Running,
    screen: &Screen,
    manner: Manner,
) -> Result<Outcome, Error> {
    let name = running.handle.key().to_string();
    let watched = watch(engine, running, screen, manner.wait).await;
    screen::live::draw(Vec::new());
    match watched? {
        Some(story) => conclude(&story.readings, &name, manner),
        None => Ok(Outcome::Waiting),
    }
}

/// The same without a word about how it ended.
pub(crate) async fn quietly(engine: &Engine, running: Running, screen: &Screen) -> Result<Outcome, Error> {
    let name = running.handle.key().to_string();
    let watched = watch(engine, running, screen, false).await;
    screen::live::draw(Vec::new());
    match watched? {
        Some(story) => Ok(outcome(&story.readings.mission(&name).map_err(Error::failed)?)),
        None => Ok(Outcome::Waiting),
    }
}

/// What happened; nothing when it was ended at once.
async fn watch(engine: &Engine, mut running: Running, screen: &Screen, wait: bool) -> Result<Option<Story>, Error> {
    let name = running.handle.key().to_string();
    screen.say(&format!("mission {name}"));
    let _control = engine::control::listen(engine.home(), running.handle.clone())
        .map_err(|error| screen.say(&format!("other processes cannot speak to this mission: {error}")));
    let mut story = Story::after(&running, engine.home())?;
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
    let mut signals = Signals::listen()?;
    let mut tick = tokio::time::interval(pause(screen));
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
            _ = tick.tick() => {}
            () = signals.next() => {
                if interrupted {
                    end_at_once(&running, &name, screen).await;
                    return Ok(None);
                }
                interrupted = true;
                screen.say(&format!(
                    "pausing: agents are asked to end their turns and their work is kept (Ctrl-C again to end at once); to go on later: muster resume {name}"
                ));
                // A mission that is paused or over already needs no pausing.
                let _ = running.handle.order(Order::Pause).await;
            }
        }
    }
    wait_for_bills(&running, &mut signals, screen).await;
    engine.transcripts_kept().await;
    story.show_new(&name, screen)?;
    Ok(Some(story))
}

/// An agent that was cut short leaves calls that are paid for: their bills and answers are still to be kept.
async fn wait_for_bills(running: &Running, signals: &mut Signals, screen: &Screen) {
    let (calls, micros) = running.calls_under_way();
    if calls > 0 {
        screen.say(&format!(
            "waiting for the {} on, up to {} in all: at most {} s, then booked as estimated (Ctrl-C to book now)",
            if calls == 1 {
                "bill of the model call that is".to_owned()
            } else {
                format!("bills of {calls} model calls that are")
            },
            Micros(micros),
            BILLS_LIMIT.as_secs()
        ));
    }
    let settled = tokio::select! {
        settled = tokio::time::timeout(BILLS_LIMIT, running.calls_settled()) => settled.is_ok(),
        () = signals.next() => false,
    };
    if !settled {
        book_the_rest(running, screen).await;
    }
}

/// Ends without waiting for anybody.
async fn end_at_once(running: &Running, name: &str, screen: &Screen) {
    book_the_rest(running, screen).await;
    screen.say(&format!("ended at once; it goes on where it was with: muster resume {name}"));
}

async fn book_the_rest(running: &Running, screen: &Screen) {
    let (calls, micros) = running.calls_under_way();
    if calls == 0 {
        return;
    }
    let booked = tokio::time::timeout(BOOKING_LIMIT, running.book_the_rest()).await.is_ok();
    let when = if booked { "booked" } else { "to be booked when the mission is taken up" };
    let calls = if calls == 1 {
        "1 model call whose bill was".to_owned()
    } else {
        format!("{calls} model calls whose bills were")
    };
    screen.say(&format!("{calls} not seen: {when} as estimated, at {}", Micros(micros)));
}

/// How long what agents do may stay unseen.
fn pause(screen: &Screen) -> Duration {
    if screen.shows_all() || screen.redraws().is_some() { CONSOLE_PAUSE } else { QUIET_PAUSE }
}

/// The facts shown so far.
struct Story {
    readings: Readings,
    /// What the agents do.
    consoles: Consoles,
    teller: Teller,
    alive: Alive,
    looked: Option<Instant>,
    seq: u64,
}

impl Story {
    /// What happens from here on. What happened before is known, not shown again.
    fn after(running: &Running, home: &Path) -> Result<Self, Error> {
        let readings = Readings::open(home).map_err(Error::failed)?;
        let mut consoles = Consoles::open(home, running.handle.key().as_str())?;
        consoles.skip()?;
        let mut story =
            Self { readings, consoles, teller: Teller::default(), alive: Alive::new(), looked: None, seq: 0 };
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
            let line = self.teller.tell(&recorded.fact);
            self.alive.told(&recorded, &line);
            screen.show(&line);
        }
        self.show_heard(None, screen)?;
        if let Some(columns) = screen.redraws() {
            screen::live::draw(self.alive.lines(&self.teller, columns));
        }
        Ok(())
    }

    fn show_heard(&mut self, until: Option<u64>, screen: &Screen) -> Result<(), Error> {
        // Between two facts there is nothing to see unless everything is shown.
        if !screen.shows_all() && self.looked.is_some_and(|at| at.elapsed() < pause(screen)) {
            return Ok(());
        }
        self.looked = Some(Instant::now());
        for heard in self.consoles.until(until)? {
            self.alive.heard(&heard);
            let mut line = heard.line();
            // Where nothing is drawn over it is the only sign of life.
            if heard.is_again() && screen.redraws().is_none() {
                line.weight = Weight::Step;
            }
            screen.show(&line);
        }
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
