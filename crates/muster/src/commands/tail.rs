//! `muster tail`: a mission's facts as they become durable, from another process than the one that runs it, and what its sandboxes print.

use super::{read, runtime};
use crate::{
    cli::TailArgs,
    outcome::{Error, Outcome},
    screen::{self, Terminal},
};
use engine::view::{Consoles, Heard, Line, Told};
use std::{path::Path, time::Duration};

/// How long what is printed in a sandbox may stay unseen.
const CONSOLE_PAUSE: Duration = Duration::from_millis(250);

/// Ends when the mission is over, at Ctrl-C, when nobody reads any more, or, with `--no-follow`, at the last fact.
pub(crate) fn run(home: &Path, args: TailArgs) -> Result<Outcome, Error> {
    let readings = read::open(home)?;
    let name = readings.find(&args.mission.mission)?;
    let mut consoles = args.all.then(|| Consoles::open(home, &name)).transpose()?;
    let look = Look { after: args.after, json: args.json, terminal: Terminal::stdout() };
    runtime()?.block_on(async {
        let mut follow = readings.follow(&name)?;
        let mut tick = tokio::time::interval(CONSOLE_PAUSE);
        while !(follow.caught_up() && (args.no_follow || follow.ended())) {
            let told = tokio::select! {
                // Facts that are there already come before what has no fact after it.
                biased;
                told = follow.next() => Some(told?),
                _ = tokio::signal::ctrl_c() => break,
                _ = tick.tick(), if consoles.is_some() && follow.caught_up() => None,
            };
            let heard = heard(&mut consoles, told.as_ref().map(|told| told.at_ms))?;
            if !look.show(&heard, told.as_ref())? {
                return Ok(Outcome::Done);
            }
        }
        look.show(&heard(&mut consoles, None)?, None)?;
        Ok(Outcome::Done)
    })
}

fn heard(consoles: &mut Option<Consoles>, until: Option<u64>) -> Result<Vec<Heard>, Error> {
    Ok(consoles.as_mut().map(|consoles| consoles.until(until)).transpose()?.unwrap_or_default())
}

/// How things are shown.
struct Look {
    /// Facts up to this one are not.
    after: u64,
    json: bool,
    terminal: Terminal,
}

impl Look {
    /// Shows what was heard, and then a fact. Says whether anybody still reads.
    fn show(&self, heard: &[Heard], told: Option<&Told>) -> Result<bool, Error> {
        for heard in heard {
            let reads = match self.json {
                true => screen::json_line(heard)?,
                false => self.print(heard.at_ms, &heard.line())?,
            };
            if !reads {
                return Ok(false);
            }
        }
        let Some(told) = told.filter(|told| told.seq > self.after) else { return Ok(true) };
        if self.json { screen::json_line(told) } else { self.print(told.at_ms, &told.line) }
    }

    fn print(&self, at_ms: u64, line: &Line) -> Result<bool, Error> {
        let at = read::local(at_ms);
        screen::painted(&format!("{at}  {}", screen::render(line, self.terminal.now(), at.len() + 2)))
    }
}
