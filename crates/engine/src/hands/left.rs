//! What a checkpoint lacks, in the mission's terms: fewer, and with what the task was to write.

use api::globs::Globs;
use mission::{LEFT_OUT_MAX, LeftOut, LeftOuts, WhyLeftOut};
use workspace::WhyLeftOut as Why;

/// Turns what a workspace left out into what a fact keeps: first what should have been saved, then what the task was to write,
/// then the rest. `writes` is the task's write-set; without one nothing in particular was to be written.
pub(crate) fn told(left: &workspace::LeftOuts, writes: Option<&Globs>) -> LeftOuts {
    let mut shown: Vec<LeftOut> = left.shown.iter().map(|one| entry(one, writes)).collect();
    shown.sort_by_key(|one| (matches!(one.why, WhyLeftOut::Ignored(_) | WhyLeftOut::Special), !one.wanted));
    let more = left.more + shown.len().saturating_sub(LEFT_OUT_MAX);
    shown.truncate(LEFT_OUT_MAX);
    LeftOuts { shown, more: u32::try_from(more).unwrap_or(u32::MAX) }
}

fn entry(one: &workspace::LeftOut, writes: Option<&Globs>) -> LeftOut {
    let is_wanted = |globs: &Globs| globs.cover(&one.path) || one.inside.as_ref().is_some_and(|path| globs.cover(path));
    let why = match one.why.clone() {
        Why::Ignored { rule } => WhyLeftOut::Ignored(rule),
        Why::Unreadable(error) => WhyLeftOut::Unreadable(error),
        Why::TooLong => WhyLeftOut::TooLong,
        Why::Name => WhyLeftOut::Name,
        Why::Conversion(said) => WhyLeftOut::Conversion(said),
        Why::Repository => WhyLeftOut::Repository,
        Why::Special => WhyLeftOut::Special,
        Why::Other(said) => WhyLeftOut::Other(said),
    };
    LeftOut { path: one.path.clone(), inside: one.inside.clone(), why, wanted: writes.is_some_and(is_wanted) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_task_was_to_write_is_known_by_a_file_in_an_ignored_folder() {
        let ignored = |path: &str, inside: Option<&str>| workspace::LeftOut {
            path: path.into(),
            inside: inside.map(str::to_owned),
            why: Why::Ignored { rule: ".gitignore:1 (x)".into() },
        };
        let mut left = workspace::LeftOuts {
            shown: vec![ignored("target/", Some("target/a.o")), ignored("dist/", Some("dist/bundle.js"))],
            more: 7,
        };
        left.shown.push(workspace::LeftOut { why: Why::Special, ..ignored("pipe", None) });
        left.shown.extend((0..30).map(|n| ignored(&format!("{n}.o"), None)));
        left.shown.push(workspace::LeftOut { why: Why::Name, ..ignored(".GIT/config", None) });
        let globs = Globs::compile(&["dist/*.js"]).unwrap();
        let told = told(&left, Some(&globs));
        let names: Vec<(&str, bool)> = told.shown.iter().map(|one| (one.path.as_str(), one.wanted)).collect();
        assert_eq!(names[..3], [(".GIT/config", false), ("dist/", true), ("target/", false)]);
        assert_eq!((told.shown.len(), told.more), (LEFT_OUT_MAX, 7 + 14));
        assert!(told.matters());
    }
}
