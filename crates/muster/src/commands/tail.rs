//! `muster tail`: a mission's facts as they become durable, from another process than the one that runs it, and what its agents do.

use super::{read, runtime};
use crate::{
    cli::TailArgs,
    outcome::{Error, Outcome},
    screen::{self, Terminal},
};
use engine::view::{Consoles, Heard, Line, MissionView, Told};
use std::{collections::BTreeMap, path::Path, time::Duration};

/// How long what is printed in a sandbox may stay unseen.
const CONSOLE_PAUSE: Duration = Duration::from_millis(250);

/// Ends when the mission is over, at Ctrl-C, when nobody reads any more, or, with `--no-follow`, at the last fact.
pub(crate) fn run(home: &Path, args: TailArgs) -> Result<Outcome, Error> {
    let readings = read::open(home)?;
    let name = readings.find(&args.mission.mission)?;
    are_known(&readings.mission(&name)?, &args)?;
    let mut consoles = args.all.then(|| Consoles::open(home, &name)).transpose()?;
    let mut look = Look {
        after: args.after,
        json: args.json,
        terminal: Terminal::stdout(),
        agent: args.agent,
        task: args.task,
        tasks: BTreeMap::new(),
    };
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
        let rest = consoles.as_mut().map(Consoles::rest).transpose()?.unwrap_or_default();
        look.show(&rest, None)?;
        Ok(Outcome::Done)
    })
}

/// A name that nothing has would be followed for ever.
fn are_known(mission: &MissionView, args: &TailArgs) -> Result<(), Error> {
    let unknown = |what: &str, name: &str, known: Vec<&str>| {
        Error::usage(format!("{} has no {what} '{name}'; it has: {}", mission.name, known.join(", ")))
    };
    let agents: Vec<&str> = mission.agents.iter().map(|agent| agent.name.as_str()).collect();
    let tasks: Vec<&str> = mission.tasks.iter().map(|task| task.name.as_str()).collect();
    match (&args.agent, &args.task) {
        (Some(agent), _) if !agents.contains(&agent.as_str()) => Err(unknown("agent", agent, agents)),
        (_, Some(task)) if !tasks.contains(&task.as_str()) => Err(unknown("task", task, tasks)),
        _ => Ok(()),
    }
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
    /// Only what is about this agent.
    agent: Option<String>,
    /// Only what is about this task.
    task: Option<String>,
    /// Which task each agent is on, as far as it has been told.
    tasks: BTreeMap<String, String>,
}

impl Look {
    /// Shows what was heard, and then a fact. Says whether anybody still reads.
    fn show(&mut self, heard: &[Heard], told: Option<&Told>) -> Result<bool, Error> {
        for heard in heard {
            let task = self.tasks.get(&heard.agent).map(String::as_str);
            if !self.wants(Some(&heard.agent), task) {
                continue;
            }
            let reads = match self.json {
                true => screen::json_line(heard)?,
                false => self.print(heard.at_ms, &heard.line())?,
            };
            if !reads {
                return Ok(false);
            }
        }
        let Some(told) = told else { return Ok(true) };
        let Line { agent, task, .. } = &told.line;
        if let (Some(agent), Some(task)) = (agent, task) {
            self.tasks.insert(agent.clone(), task.clone());
        }
        if told.seq <= self.after || !self.wants(agent.as_deref(), task.as_deref()) {
            return Ok(true);
        }
        if self.json { screen::json_line(told) } else { self.print(told.at_ms, &told.line) }
    }

    fn wants(&self, agent: Option<&str>, task: Option<&str>) -> bool {
        let asked = [(&self.agent, agent), (&self.task, task)];
        asked.iter().all(|(wanted, given)| wanted.is_none() || wanted.as_deref() == *given)
    }

    fn print(&self, at_ms: u64, line: &Line) -> Result<bool, Error> {
        let at = read::local(at_ms);
        screen::painted(&format!("{at}  {}", screen::render(line, self.terminal.now(), at.len() + 2)))
    }
}
