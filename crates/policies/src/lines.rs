//! Lines of a policy as hints say them, put together into one file: what stands under the same key is one entry there.

use std::path::Path;

/// A value of such a line. The elements of a list are left as they are written.
enum Value {
    Plain(String),
    List(Vec<String>),
    Map(Vec<(String, Self)>),
}

/// A file of these lines, each `KEY: VALUE` with at most one entry in a map. Of two values that exclude each other, the
/// first stays.
pub(super) fn merged<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let mut file = Vec::new();
    for (key, value) in lines.flat_map(str::lines).filter_map(entry) {
        add(&mut file, key, value);
    }
    file.iter().map(|(key, value)| format!("{key}: {}\n", value.text())).collect()
}

/// A path as YAML takes it, in quotes where it needs them.
pub fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "''")) }
}

fn entry(line: &str) -> Option<(String, Value)> {
    let (key, value) = line.split_once(": ")?;
    Some((key.to_owned(), Value::of(value)))
}

fn add(entries: &mut Vec<(String, Value)>, key: String, value: Value) {
    match entries.iter_mut().find(|(known, _)| *known == key) {
        None => entries.push((key, value)),
        Some((_, known)) => known.join(value),
    }
}

impl Value {
    fn of(text: &str) -> Self {
        let within = |open: char, close: char| text.strip_prefix(open)?.strip_suffix(close);
        match (within('[', ']'), within('{', '}').and_then(entry)) {
            (Some(list), _) => Self::List(vec![list.to_owned()]),
            (None, Some(entry)) => Self::Map(vec![entry]),
            (None, None) => Self::Plain(text.to_owned()),
        }
    }

    fn join(&mut self, other: Self) {
        match (self, other) {
            (Self::List(known), Self::List(more)) => {
                known.extend(more);
                known.dedup();
            }
            (Self::Map(known), Self::Map(more)) => more.into_iter().for_each(|(key, value)| add(known, key, value)),
            _ => {}
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Plain(text) => text.clone(),
            Self::List(list) => format!("[{}]", list.join(", ")),
            Self::Map(map) => {
                let parts: Vec<_> = map.iter().map(|(key, value)| format!("{key}: {}", value.text())).collect();
                format!("{{{}}}", parts.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_entry_of_a_key_and_a_file_that_is_read() {
        let lines = [
            "preset: check",
            "files: {read: [/a]}",
            "files: {write: ['/b c']}",
            "files: {read: [{host: /tmp/x, inside: /data/x}]}",
            "network: {hosts: [\"a.org:443\"]}",
            "network: open",
            "limits: {memory: 16GiB}\nenv: {PATH: \"/x:/y\"}",
        ];
        let text = merged(lines.into_iter());
        assert_eq!(
            text,
            "preset: check\nfiles: {read: [/a, {host: /tmp/x, inside: /data/x}], write: ['/b c']}\n\
             network: {hosts: [\"a.org:443\"]}\nlimits: {memory: 16GiB}\nenv: {PATH: \"/x:/y\"}\n"
        );
        api::policy::load(&api::source::Source::new("p.yaml", text)).unwrap();
        assert_eq!(word(Path::new("/it's")), "'/it''s'");
    }
}
