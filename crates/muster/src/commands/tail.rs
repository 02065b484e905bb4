//! `muster tail`: a mission's facts as they become durable, from another process than the one that runs it.

use super::{read, runtime};
use crate::{
    cli::TailArgs,
    outcome::{Error, Outcome},
    screen,
};
use engine::view::Told;
use std::{io::IsTerminal, path::Path};

/// Ends when the mission is over, at Ctrl-C, when nobody reads any more, or, with `--no-follow`, at the last fact.
pub(crate) fn run(home: &Path, args: TailArgs) -> Result<Outcome, Error> {
    let readings = read::open(home)?;
    let name = readings.find(&args.mission.mission)?;
    let colour = screen::colours(std::io::stdout().is_terminal());
    runtime()?.block_on(async {
        let mut follow = readings.follow(&name)?;
        while !(follow.caught_up() && (args.no_follow || follow.ended())) {
            let told = tokio::select! {
                told = follow.next() => told?,
                _ = tokio::signal::ctrl_c() => break,
            };
            if told.seq > args.after && !screen::out(&render(&told, args.json, colour)?)? {
                break;
            }
        }
        Ok(Outcome::Done)
    })
}

fn render(told: &Told, json: bool, colour: bool) -> Result<String, Error> {
    if json {
        return serde_json::to_string(told).map_err(Error::failed);
    }
    let at = read::local(told.at_ms);
    let line = screen::render(&told.line, colour).replace('\n', &format!("\n{:1$}", "", at.len() + 2));
    Ok(format!("{at}  {line}"))
}
