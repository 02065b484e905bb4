//! `muster diff`: what a mission or one of its tasks has changed, while it runs and after its end.

use super::{read, runtime};
use crate::{
    cli::DiffArgs,
    compared::Compared,
    outcome::{Error, Outcome},
    screen::{self, Terminal, visible},
};
use engine::view::{MissionView, TaskView, file_changes};
use std::path::Path;

/// Colours of added, removed and head lines (ECMA-48, section 8.3.117).
const COLOURS: [(char, &str); 3] = [('+', "32"), ('-', "31"), ('@', "36")];

pub(crate) fn run(home: &Path, args: &DiffArgs) -> Result<Outcome, Error> {
    let readings = read::open(home)?;
    let mission = readings.mission(&readings.find(&args.mission)?)?;
    let task = args.task.as_deref().map(|name| task(&mission, name)).transpose()?;
    runtime()?.block_on(async {
        let compared = match task {
            Some(task) => Compared::of_task(home, &mission, task).await,
            None => Compared::of_mission(home, &mission).await,
        };
        match compared.map_err(Error::failed)? {
            Some(compared) => show(args, &compared).await,
            None => nothing(args, &mission, task),
        }
    })
}

fn task<'a>(mission: &'a MissionView, name: &str) -> Result<&'a TaskView, Error> {
    let found = mission.tasks.iter().find(|task| task.name == name);
    found.ok_or_else(|| {
        let tasks: Vec<&str> = mission.tasks.iter().map(|task| task.name.as_str()).collect();
        Error::usage(format!("{} has no task '{name}'; its tasks: {}", mission.name, tasks.join(", ")))
    })
}

async fn show(args: &DiffArgs, compared: &Compared) -> Result<Outcome, Error> {
    if args.json || args.stat || args.name_only {
        let files = compared.files().await.map_err(Error::failed)?;
        match (args.json, args.name_only) {
            (true, _) => screen::json(&files)?,
            (false, true) => screen::out(&files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>().join("\n"))?,
            (false, false) => screen::out(&file_changes(&files))?,
        };
        return Ok(Outcome::Done);
    }
    let diff = compared.unified().await.map_err(Error::failed)?;
    let terminal = Terminal::stdout();
    match terminal.columns {
        Some(_) => screen::painted(&painted(&String::from_utf8_lossy(&diff), terminal))?,
        // Whoever applies it needs the files' own bytes.
        None => screen::bytes(&diff)?,
    };
    Ok(Outcome::Done)
}

fn painted(diff: &str, terminal: Terminal) -> String {
    let line = |line: &str| {
        let colour = COLOURS.iter().find(|(first, _)| line.starts_with(*first));
        let line = visible(line.strip_suffix('\r').unwrap_or(line));
        colour.map_or(line.clone(), |(_, code)| terminal.paint(code, &line))
    };
    diff.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// There is nothing to compare: that is no failure, and standard output stays a valid, empty diff.
fn nothing(args: &DiffArgs, mission: &MissionView, task: Option<&TaskView>) -> Result<Outcome, Error> {
    if args.json {
        screen::json(&[(); 0])?;
        return Ok(Outcome::Done);
    }
    screen::note(&match task {
        Some(task) => format!("{} has changed nothing yet: {}", task.name, task.state_line()),
        None => {
            let name = &mission.name;
            format!("nothing of {name} is merged; the work on a task: muster diff {name} TASK")
        }
    });
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_on_a_terminal_cannot_drive_it() {
        let diff = "@@ -1 +1 @@\n-a\u{1b}[2J\r\n+b\u{202e}\n c";
        assert_eq!(painted(diff, Terminal::plain(Some(80))), "@@ -1 +1 @@\n-a\u{fffd}[2J\n+b\u{fffd}\n c");
        let coloured = Terminal { colour: true, ..Terminal::plain(Some(80)) };
        assert!(painted("+b", coloured).starts_with("\u{1b}[32m+b"));
    }
}
