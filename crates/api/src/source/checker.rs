//! Collects what is wrong while values are judged, so that a person sees all of it at once.

use super::{
    PROBLEMS_SHOWN, Place, Problem, Problems, Source, TEXT_BYTES_MAX,
    shape::{At, Text, Value, Whole},
};
use std::ops::RangeInclusive;

/// Why one value is refused, and what would be right; the place is known to whoever asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) what: String,
    pub(crate) fix: String,
}

impl Wrong {
    pub(crate) fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what: what.into(), fix: fix.into() }
    }
}

/// The problems of one file so far. A refused value is replaced by a stand-in and judging goes on;
/// [`Checker::finish`] gives the result out only if nothing was refused, so that no stand-in ever leaves.
pub(crate) struct Checker<'a> {
    source: &'a Source,
    problems: Vec<Problem>,
    more: usize,
}

/// How many problems are worked out; further ones are counted. More than are shown, since they are found in another
/// order than the file's; not all, since to look for a likely name among ten thousand takes a while.
const KEPT_MAX: usize = 5 * PROBLEMS_SHOWN;

impl<'a> Checker<'a> {
    pub(crate) fn new(source: &'a Source) -> Self {
        Self { source, problems: Vec::new(), more: 0 }
    }

    pub(crate) fn wrong(&mut self, place: Place, what: impl Into<String>, fix: impl Into<String>) {
        self.wrong_with(place, || Wrong::new(what, fix));
    }

    /// The same for a problem that takes a while to put into words.
    pub(crate) fn wrong_with(&mut self, place: Place, words: impl FnOnce() -> Wrong) {
        if self.problems.len() == KEPT_MAX {
            self.more += 1;
            return;
        }
        let Wrong { what, fix } = words();
        self.problems.push(Problem { file: self.source.name().into(), place, what, fix });
    }

    /// The value, or `stand_in` and a problem.
    pub(crate) fn take<T>(&mut self, place: Place, verdict: Result<T, Wrong>, stand_in: T) -> T {
        verdict.unwrap_or_else(|wrong| {
            self.wrong(place, wrong.what, wrong.fix);
            stand_in
        })
    }

    /// A text that says something, with its whitespace at the end removed.
    pub(crate) fn text(&mut self, what: &str, text: At<Text>) -> String {
        if text.value.0.trim().is_empty() {
            self.wrong(text.place, format!("{what} must not be empty"), format!("write {what}"));
        }
        let trimmed = text.value.0.trim_end().into();
        self.value(what, At { value: Value(trimmed), place: text.place })
    }

    /// A text of bounded length that no C string would cut short; it may be empty.
    pub(crate) fn value(&mut self, what: &str, text: At<Value>) -> String {
        let At { value: Value(text), place } = text;
        if text.len() > TEXT_BYTES_MAX {
            let fix = "shorten it, or put it into a file of the repository and name that file";
            self.wrong(place, format!("{what}: {} bytes, at most {TEXT_BYTES_MAX} are allowed", text.len()), fix);
        }
        if text.contains('\0') {
            self.wrong(place, format!("{what}: there is a zero byte in it"), "remove it");
        }
        text
    }

    /// A number within its limits; `None` stays `None`.
    pub(crate) fn number(&mut self, what: &str, number: Option<At<Whole>>, within: RangeInclusive<u32>) -> Option<u32> {
        let At { value: Whole(number), place } = number?;
        match u32::try_from(number).ok().filter(|number| within.contains(number)) {
            Some(number) => Some(number),
            None => {
                let fix = match within.start() == within.end() {
                    true => format!("write {}", within.start()),
                    false => format!("write a number from {} to {}", within.start(), within.end()),
                };
                self.wrong(place, format!("{what} is {number}"), fix);
                None
            }
        }
    }

    /// The only version of our files that exists.
    pub(crate) fn version(&mut self, version: Option<At<Whole>>) {
        self.number("the version of this file's format", version, 1..=1);
    }

    /// The problems so far, beside a value in which stand-ins are left: for judging another file that depends on it, and for
    /// nothing else.
    pub(crate) fn told(self) -> Option<Problems> {
        (!self.problems.is_empty()).then(|| Problems::of(self.problems, self.more))
    }

    pub(crate) fn finish<T>(self, value: T) -> Result<T, Problems> {
        if self.problems.is_empty() { Ok(value) } else { Err(Problems::of(self.problems, self.more)) }
    }
}

/// What a person wrote, in quotation marks, short and on one line.
pub(crate) fn quote(text: &str) -> String {
    const SHOWN: usize = 48;
    let shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    let rest = if text.chars().nth(SHOWN).is_some() { "…" } else { "" };
    format!("`{shown}{rest}`")
}
