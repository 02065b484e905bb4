//! All mistakes of shape at once. A text of the wrong shape stops its reader at the first mistake; so that a person need not run again for
//! each, the text is taken apart into a tree, written out with every piece on a line of its own, and read again and again, each time with
//! what was complained of taken out or filled in. What is told are the mistakes, each at its own place in the person's text; nothing of the
//! mended text is ever used.

use super::{PROBLEMS_SHOWN, Place, Problem, Problems, Source, shape::At, syntax};
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, MapAccess, SeqAccess, Visitor},
};
use std::{collections::BTreeSet, fmt};

/// Largest text that is taken apart: what people write by hand.
const BYTES_MAX: usize = 1 << 20;

/// Every mistake of shape of a text that was refused for the first of them, and what else `judge` finds in what is left.
pub(crate) fn every_problem<T: DeserializeOwned>(
    source: &Source,
    first: Problems,
    judge: impl FnOnce(&Source) -> Option<Problems>,
) -> Problems {
    let tree = (source.text.len() <= BYTES_MAX).then(|| syntax::parse::<At<Piece>>(source).ok()).flatten();
    let Some(mut tree) = tree else { return first };
    let mut told: Vec<Problem> = Vec::new();
    loop {
        let written = Written::of(source, &tree);
        let Err(problem) = syntax::parse::<T>(&written.source) else {
            let rest = judge(&written.source).map(|problems| problems.list).unwrap_or_default();
            told.extend(rest.into_iter().filter_map(|problem| written.placed(problem)));
            break;
        };
        let Some(line) = written.lines.get((problem.place.line as usize).wrapping_sub(1)).cloned() else { break };
        let mended = mend(&mut tree, &line, &problem);
        told.extend(written.placed(problem));
        if !mended || told.len() > PROBLEMS_SHOWN {
            break;
        }
    }
    let mut seen = BTreeSet::new();
    told.retain(|problem| seen.insert((problem.place, problem.what.clone())));
    if told.is_empty() { first } else { Problems::of(told, 0) }
}

/// A piece of a text.
#[derive(Clone, Debug)]
enum Piece {
    /// As JSON has it.
    Scalar(String),
    List(Vec<At<Piece>>),
    Map(Vec<(At<String>, At<Piece>)>),
}

impl<'de> Deserialize<'de> for Piece {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PieceVisitor;
        impl<'de> Visitor<'de> for PieceVisitor {
            type Value = Piece;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Piece, E> {
                Ok(Piece::Scalar(value.to_string()))
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Piece, E> {
                Ok(Piece::Scalar(value.to_string()))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Piece, E> {
                Ok(Piece::Scalar(value.to_string()))
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Piece, E> {
                Ok(Piece::Scalar(format!("{value:?}")))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Piece, E> {
                Ok(Piece::Scalar(quoted(text)))
            }
            fn visit_unit<E: de::Error>(self) -> Result<Piece, E> {
                Ok(Piece::Scalar("null".into()))
            }
            fn visit_none<E: de::Error>(self) -> Result<Piece, E> {
                Ok(Piece::Scalar("null".into()))
            }
            fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<Piece, D::Error> {
                Piece::deserialize(value)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Piece, A::Error> {
                let mut list = Vec::new();
                while let Some(entry) = entries.next_element()? {
                    list.push(entry);
                }
                Ok(Piece::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Piece, A::Error> {
                let mut map = Vec::new();
                while let Some(entry) = entries.next_entry()? {
                    map.push(entry);
                }
                Ok(Piece::Map(map))
            }
        }
        deserializer.deserialize_any(PieceVisitor)
    }
}

/// A text in YAML's double quotes, which understand what JSON's do.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The way from the outermost piece to one: the number of the entry in each.
type Way = Vec<usize>;

/// What stands in a line.
#[derive(Clone, Debug)]
struct Line {
    way: Way,
    place: Place,
}

/// A tree written out.
struct Written {
    source: Source,
    lines: Vec<Line>,
}

impl Written {
    fn of(source: &Source, tree: &At<Piece>) -> Self {
        let mut written = Self { source: Source::new(source.name(), ""), lines: Vec::new() };
        written.piece(tree, &mut Vec::new());
        written
    }

    fn line(&mut self, text: &str, way: &Way, place: Place) {
        self.source.text.push_str(text);
        self.source.text.push('\n');
        self.lines.push(Line { way: way.clone(), place });
    }

    fn piece(&mut self, At { value, place }: &At<Piece>, way: &mut Way) {
        match value {
            Piece::Scalar(text) => self.line(text, way, *place),
            Piece::List(list) => {
                self.line("[", way, *place);
                for (number, entry) in list.iter().enumerate() {
                    way.push(number);
                    self.piece(entry, way);
                    self.line(",", way, entry.place);
                    way.pop();
                }
                self.line("]", way, *place);
            }
            Piece::Map(map) => {
                self.line("{", way, *place);
                for (number, (key, entry)) in map.iter().enumerate() {
                    way.push(number);
                    self.line(&format!("{}:", quoted(&key.value)), way, key.place);
                    self.piece(entry, way);
                    self.line(",", way, entry.place);
                    way.pop();
                }
                self.line("}", way, *place);
            }
        }
    }

    /// A problem of the written text at its place in the person's; nothing when it is about what was filled in.
    fn placed(&self, problem: Problem) -> Option<Problem> {
        if problem.place.line == 0 {
            return Some(problem);
        }
        let line = self.lines.get((problem.place.line as usize).wrapping_sub(1))?;
        (line.place.line > 0).then_some(Problem { place: line.place, ..problem })
    }
}

/// Takes out or fills in what is complained of; whether anything was done.
fn mend(tree: &mut At<Piece>, line: &Line, problem: &Problem) -> bool {
    if let Some(field) = between(&problem.what, "the key `", "` is missing") {
        return fill(tree, &line.way, field);
    }
    let Some((number, above)) = line.way.split_last() else { return false };
    let Some(outer) = at(tree, above) else { return false };
    if problem.what.starts_with("unknown key")
        && let Some(meant) = between(&problem.fix, "did you mean `", "`?")
        && let Piece::Map(map) = &mut outer.value
        && !map.iter().any(|(key, _)| key.value == meant)
        && let Some((key, _)) = map.get_mut(*number)
    {
        key.value = meant.to_owned();
        return true;
    }
    let instead = match &problem.what {
        what if what.starts_with("unknown key") => None,
        what if what.ends_with("not a map") => Some(Piece::Map(Vec::new())),
        what if what.ends_with("not a list") => Some(Piece::List(Vec::new())),
        what if what.ends_with("not a text") || what.ends_with("is not one of the choices") => {
            Some(Piece::Scalar(quoted("stand-in")))
        }
        _ => None,
    };
    match (&mut outer.value, instead) {
        (Piece::Map(map), Some(piece)) if *number < map.len() => {
            let (key, entry) = &mut map[*number];
            // Filled in a second time: what it is to be is not known.
            if entry.place.line == 0 {
                map.remove(*number);
                return true;
            }
            *entry = stand_in(usual(&key.value).unwrap_or(piece));
        }
        (Piece::Map(map), None) if *number < map.len() => _ = map.remove(*number),
        (Piece::List(list), Some(piece)) if *number < list.len() => list[*number] = stand_in(piece),
        (Piece::List(list), None) if *number < list.len() => _ = list.remove(*number),
        _ => return false,
    }
    true
}

fn at<'a>(tree: &'a mut At<Piece>, way: &[usize]) -> Option<&'a mut At<Piece>> {
    way.iter().try_fold(tree, |piece, number| match &mut piece.value {
        Piece::Scalar(_) => None,
        Piece::List(list) => list.get_mut(*number),
        Piece::Map(map) => map.get_mut(*number).map(|(_, entry)| entry),
    })
}

/// Fills a key in, in the map at the end of the way or the nearest around it.
fn fill(tree: &mut At<Piece>, way: &[usize], field: &str) -> bool {
    for length in (0..=way.len()).rev() {
        let Some(At { value: Piece::Map(map), .. }) = at(tree, &way[..length]) else { continue };
        if map.iter().any(|(key, _)| key.value == field) {
            continue;
        }
        let has = |name: &str| map.iter().any(|(key, _)| key.value == name);
        let value = match field {
            "runtime" if has("command") => Piece::Scalar(quoted("acp")),
            _ => usual(field).unwrap_or_else(|| Piece::Scalar(quoted("stand-in"))),
        };
        map.push((At { value: field.to_owned(), place: Place::default() }, stand_in(value)));
        return true;
    }
    false
}

/// What a key can be about which nothing else is known, so that nothing follows from it.
fn usual(field: &str) -> Option<Piece> {
    let scalar = |text: &str| Piece::Scalar(quoted(text));
    let word = |key: &str, value: Piece| (At { value: key.to_owned(), place: Place::default() }, stand_in(value));
    Some(match field {
        "runtime" => scalar("native"),
        "tasks" | "hosts" | "exec" => Piece::List(Vec::new()),
        "checks" => Piece::List(vec![stand_in(Piece::Map(vec![word("run", scalar("true"))]))]),
        "docker" => Piece::Map(vec![word("image", scalar("stand-in"))]),
        "input" | "output" => Piece::Scalar("0".into()),
        "host" | "inside" => scalar("/stand-in"),
        _ => return None,
    })
}

/// What nobody wrote stands nowhere: line 0.
fn stand_in(value: Piece) -> At<Piece> {
    At { value, place: Place::default() }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.strip_prefix(before)?.strip_suffix(after)
}
