//! What a person reads of files that ask for something.

use super::{Needs, VARIABLE};
use crate::screen::visible;
use std::{collections::BTreeMap, fmt::Write as _};

/// Most lines of one kind; the rest is counted.
const LINES_MAX: usize = 40;

/// What files ask for, by kind, each with its place. It is made visible: no word of a file drives a terminal.
pub(crate) fn asked(open: &[Needs<'_>]) -> String {
    let names: Vec<String> = open.iter().map(|(given, _)| visible(given.source.name())).collect();
    let verb = if names.len() == 1 { "asks" } else { "ask" };
    let mut text = format!("{} {verb} for more than a project's file gets before you trust it:", names.join(" and "));
    let mut kinds: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for ask in open.iter().flat_map(|(_, asks)| asks) {
        let line = match ask.place.line {
            0 => format!("{}: {}", ask.file, ask.what),
            line => format!("{}:{line}:{}: {}", ask.file, ask.place.column, ask.what),
        };
        kinds.entry(ask.kind).or_default().push(one_line(&line));
    }
    for (kind, lines) in kinds {
        let _ = write!(text, "\n  {}", kind.title());
        for line in lines.iter().take(LINES_MAX) {
            let _ = write!(text, "\n    {line}");
        }
        if lines.len() > LINES_MAX {
            let _ = write!(text, "\n    and {} more", lines.len() - LINES_MAX);
        }
    }
    text
}

/// What can be done without a person at a terminal.
pub(super) fn what_to_do(open: &[Needs<'_>]) -> String {
    let mut files = Vec::new();
    let mut sums = Vec::new();
    for (given, _) in open {
        files.push(format!("muster trust {}", visible(given.source.name())));
        sums.extend(given.entry().map(|entry| entry.sha256));
    }
    format!(
        "  it lies in a repository and may have come with it; nothing was begun\n  help: read it, and if you trust this exact content: {}\n  \
         in CI, where the content is known: {VARIABLE}={}",
        files.join(" && "),
        sums.join(",")
    )
}

/// What files ask for that no trust gives them.
pub(super) fn never(files: &[Needs<'_>]) -> Option<String> {
    let asks = files.iter().flat_map(|(_, asks)| asks).filter(|ask| ask.never);
    let lines: Vec<String> = asks
        .map(|ask| {
            let (file, line, column) = (&ask.file, ask.place.line, ask.place.column);
            format!("{file}:{line}:{column}: {}", one_line(&ask.what))
        })
        .collect();
    (!lines.is_empty()).then(|| {
        format!(
            "{}\n  that is not for a file of a repository to ask for, trusted or not\n  help: put this upstream into your own \
             configuration, ~/.config/muster/config.yaml, and name it from the project's roles",
            visible(&lines.join("\n"))
        )
    })
}

fn one_line(text: &str) -> String {
    visible(text).replace(['\n', '\t'], "\u{fffd}")
}
