//! Where a request differs from the one that was recorded.

use std::fmt;

use serde_json::Value;

/// Places that are told at most.
const SPOTS_MAX: usize = 8;
/// Characters that are shown of each side.
const SHOWN_CHARS_MAX: usize = 160;
/// Characters before the first difference of two texts that are shown.
const BEFORE_CHARS: usize = 40;

/// A request that was not recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The agent that asked.
    pub agent: String,
    /// Its attempt.
    pub attempt: Option<u32>,
    /// Which call of the attempt it is, from 1.
    pub number: usize,
    /// Where it differs from the call that was recorded in its place, the first eight places; empty when there was none.
    pub spots: Vec<Spot>,
}

/// One place of two bodies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The place, as a JSON pointer (RFC 6901).
    pub path: String,
    /// What was recorded there; `None`: nothing.
    pub recorded: Option<String>,
    /// What is asked there.
    pub asked: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call {} of {}", self.number, self.agent)?;
        if let Some(attempt) = self.attempt {
            write!(f, " in attempt {attempt}")?;
        }
        if self.spots.is_empty() {
            return f.write_str(" was not recorded: its attempt had fewer calls");
        }
        f.write_str(" differs from the recorded one:")?;
        self.spots.iter().try_for_each(|spot| write!(f, "\n  {spot}"))
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "nothing".to_owned());
        write!(f, "{}: recorded {}, asked {}", self.path, side(&self.recorded), side(&self.asked))
    }
}

/// The places at which two bodies differ, the first [`SPOTS_MAX`].
pub(super) fn spots(recorded: &Value, asked: &Value) -> Vec<Spot> {
    let mut spots = Vec::new();
    walk("", Some(recorded), Some(asked), &mut spots);
    spots
}

fn walk(path: &str, recorded: Option<&Value>, asked: Option<&Value>, spots: &mut Vec<Spot>) {
    if recorded == asked || spots.len() >= SPOTS_MAX {
        return;
    }
    match (recorded, asked) {
        (Some(Value::Object(ours)), Some(Value::Object(theirs))) => {
            let new = theirs.keys().filter(|name| !ours.contains_key(*name));
            for name in ours.keys().chain(new) {
                let step = name.replace('~', "~0").replace('/', "~1");
                walk(&format!("{path}/{step}"), ours.get(name), theirs.get(name), spots);
            }
        }
        (Some(Value::Array(ours)), Some(Value::Array(theirs))) => {
            for at in 0..ours.len().max(theirs.len()) {
                walk(&format!("{path}/{at}"), ours.get(at), theirs.get(at), spots);
            }
        }
        (Some(Value::String(ours)), Some(Value::String(theirs))) => {
            let common = ours.chars().zip(theirs.chars()).take_while(|(one, other)| one == other).count();
            let show = |text: &str| Some(excerpt(text, common.saturating_sub(BEFORE_CHARS)));
            spots.push(Spot { path: path.to_owned(), recorded: show(ours), asked: show(theirs) });
        }
        (recorded, asked) => {
            let show = |value: Option<&Value>| value.map(|value| cut(&value.to_string()));
            spots.push(Spot { path: path.to_owned(), recorded: show(recorded), asked: show(asked) });
        }
    }
}

/// A part of a text, quoted, with marks where more of it is.
fn excerpt(text: &str, from: usize) -> String {
    let part: String = text.chars().skip(from).take(SHOWN_CHARS_MAX).collect();
    let before = if from > 0 { "…" } else { "" };
    let after = if text.chars().nth(from + SHOWN_CHARS_MAX).is_some() { "…" } else { "" };
    format!("{before}{}{after}", Value::from(part))
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn each_place_is_told() {
        let long = "x".repeat(500);
        let recorded =
            json!({"model": "m", "a/b": 1, "messages": [{"content": "one"}, {"content": format!("{long}y")}]});
        let asked =
            json!({"model": "m", "n": null, "messages": [{"content": "two"}, {"content": format!("{long}z")}, 5]});
        let difference =
            Difference { agent: "ada".into(), attempt: Some(3), number: 2, spots: spots(&recorded, &asked) };
        expect![[r#"
            call 2 of ada in attempt 3 differs from the recorded one:
              /a~1b: recorded 1, asked nothing
              /messages/0/content: recorded "one", asked "two"
              /messages/1/content: recorded …"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxy", asked …"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxz"
              /messages/2: recorded nothing, asked 5
              /n: recorded nothing, asked null"#]]
        .assert_eq(&difference.to_string());
    }

    #[test]
    fn what_is_told_is_bounded() {
        let of = |word: &str| Value::from(vec![Value::from(word.repeat(10_000)); 1000]);
        let spots = spots(&of("ä"), &of("ö"));
        assert_eq!(spots.len(), SPOTS_MAX);
        assert!(spots.iter().all(|spot| spot.to_string().chars().count() < 2 * SHOWN_CHARS_MAX + 60));
    }
}
