//! What a request may hold under a cap: a list of the fields of each format whose cost is known, and what each of them means for it.
//!
//! Whatever is in none of the lists is refused where money is bounded: a provider may read anything into a field that we do not know. Read one level at
//! a time, so that nothing of a request is held twice; a field that stands twice is refused always, for nobody can say which of the two a provider takes.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// What a field means for the cost.
pub(super) enum Rule {
    /// It costs no more than its bytes.
    Free,
    /// Nothing but these texts, in capitals or not, one or a list of them; or nothing at all.
    Only(&'static [&'static str]),
    /// Nothing at all: null, false, an empty text or list. An empty object may switch something on.
    Off,
    /// Input that the request does not hold, or that is no text: its bytes say nothing of its tokens.
    Elsewhere,
    /// How long what is written to the provider's cache stays there: a text, or an object with a `ttl`.
    Cache,
    /// Tokens to think with.
    Thinking,
    /// An object with these fields and no others.
    Object(&'static Fields),
    /// An object in which other fields than these cost no more than their bytes.
    Loose(&'static Fields),
    /// An object whose `type` says what it is, `""` where it has none; `*` at the end stands for any text.
    Typed(&'static Fields),
    /// The rule holds for each element of a list, or for what is no list; a text is free.
    Each(&'static Rule),
    /// As `Each`, for lists of tools: what the provider would run itself is left out of the request under a cap.
    Tools(&'static Rule),
    /// What the provider would run itself, and can be left out.
    Hosted,
    /// Each of these rules.
    All(&'static [Rule]),
    /// A type of media, as `image/png`: of these families, or nothing that is known.
    Media(&'static [&'static str]),
}

pub(super) type Fields = [(&'static str, Rule)];

/// What was found in a request.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The first field that nothing bounds, as a person finds it.
    pub(super) unbounded: Option<String>,
    /// The first field that stands for input which the request does not hold as text.
    pub(super) elsewhere: Option<String>,
    pub(super) long_cache: bool,
    /// The most tokens to think with that it names.
    pub(super) thinking: Option<u64>,
    /// Whether it lets the model think as long as it likes.
    pub(super) thinks_freely: bool,
    /// Whether it has tools that are left out under a cap.
    pub(super) hosted: bool,
    /// Whether names are compared without regard to `snake_case` and `camelCase`, as Google does.
    camel: bool,
    path: Vec<String>,
}

/// Most fields of an object that is looked into.
const FIELDS_MAX: usize = 200;

/// Reads a request by the rules of its format; the error is told to the agent.
pub(super) fn read(body: &[u8], fields: &'static Fields, camel: bool) -> Result<Found, String> {
    let body: &RawValue = serde_json::from_slice(body).map_err(super::not_json)?;
    let mut found = Found { camel, ..Found::default() };
    found.object(body, fields, false)?;
    Ok(found)
}

impl Found {
    fn rule(&mut self, rule: &'static Rule, value: &RawValue) -> Result<(), String> {
        match rule {
            Rule::Free => {}
            Rule::Only(texts) => {
                if !is_nothing(value) && !only(value, texts)? {
                    self.unbound(Some(shown(value)));
                }
            }
            Rule::Off if is_nothing(value) => {}
            Rule::Off => self.unbound(None),
            Rule::Hosted => self.unbound(None),
            Rule::Elsewhere if is_nothing(value) => {}
            Rule::Elsewhere => self.point_elsewhere(),
            Rule::Cache => self.cache(value)?,
            Rule::Thinking => match value.get().parse::<i64>() {
                Ok(tokens) if tokens >= 0 => self.thinking = self.thinking.max(Some(tokens.unsigned_abs())),
                _ if is_nothing(value) => {}
                _ => self.thinks_freely = true,
            },
            Rule::Object(fields) => self.whole_object(value, fields, false)?,
            Rule::Loose(fields) => self.whole_object(value, fields, true)?,
            Rule::Typed(types) => self.typed(value, types)?,
            Rule::Each(rule) => self.each(value, rule)?,
            Rule::Tools(rule) => self.tools(value, rule)?,
            Rule::All(rules) => return rules.iter().try_for_each(|rule| self.rule(rule, value)),
            Rule::Media(families) => {
                let given = text(value).unwrap_or_default().to_ascii_lowercase();
                if families.iter().any(|family| given.starts_with(family)) {
                    self.point_elsewhere();
                } else {
                    self.unbound(Some(shown(value)));
                }
            }
        }
        Ok(())
    }

    fn unbound(&mut self, value: Option<String>) {
        let value = value.map(|value| format!(" ({value})")).unwrap_or_default();
        let place = format!("`{}`{value}", self.path.join("."));
        self.unbounded.get_or_insert(place);
    }

    fn point_elsewhere(&mut self) {
        let place = format!("`{}`", self.path.join("."));
        self.elsewhere.get_or_insert(place);
    }

    fn whole_object(&mut self, value: &RawValue, fields: &'static Fields, loose: bool) -> Result<(), String> {
        if is_nothing(value) {
            return Ok(());
        }
        if !value.get().starts_with('{') {
            self.unbound(Some(shown(value)));
            return Ok(());
        }
        self.object(value, fields, loose)
    }

    fn object(&mut self, value: &RawValue, fields: &'static Fields, loose: bool) -> Result<(), String> {
        let mut seen: Vec<String> = Vec::new();
        each_field(value, &mut |name, value| {
            let name = if self.camel { camel(&name) } else { name };
            if seen.iter().any(|seen| *seen == name) {
                return Err(format!("The request has the field {name:?} twice in one object. Leave one of them out."));
            }
            if seen.len() < FIELDS_MAX {
                seen.push(name.to_string());
            } else {
                return Err(format!("The request has an object of more than {FIELDS_MAX} fields."));
            }
            let known = fields.iter().find(|(known, _)| *known == name);
            self.path.push(cut(&name));
            let read = match known {
                Some((_, rule)) => self.rule(rule, value),
                None if loose || value.get() == "null" => Ok(()),
                None => {
                    self.unbound(None);
                    Ok(())
                }
            };
            self.path.pop();
            read
        })
    }

    fn typed(&mut self, value: &RawValue, types: &'static Fields) -> Result<(), String> {
        if is_nothing(value) {
            return Ok(());
        }
        let kind = kind_of(value)?;
        match rule_of(types, &kind) {
            Some(rule) => self.rule(rule, value),
            None => {
                self.unbound(Some(format!("of the type {:?}", cut(&kind))));
                Ok(())
            }
        }
    }

    fn each(&mut self, value: &RawValue, rule: &'static Rule) -> Result<(), String> {
        match value.get().as_bytes().first() {
            Some(b'[') => each_element(value, &mut |element| {
                if element.get().starts_with('"') { Ok(()) } else { self.rule(rule, element) }
            }),
            Some(b'{') => self.rule(rule, value),
            _ => Ok(()),
        }
    }

    fn tools(&mut self, value: &RawValue, rule: &'static Rule) -> Result<(), String> {
        let Rule::Typed(types) = rule else { return self.each(value, rule) };
        if is_nothing(value) {
            return Ok(());
        }
        if !value.get().starts_with('[') {
            self.unbound(Some(shown(value)));
            return Ok(());
        }
        each_element(value, &mut |tool| {
            if matches!(rule_of(types, &kind_of(tool)?), Some(Rule::Hosted)) {
                self.hosted = true;
                return Ok(());
            }
            self.rule(rule, tool)
        })
    }

    fn cache(&mut self, value: &RawValue) -> Result<(), String> {
        let is_long =
            |value: &RawValue| !matches!(text(value).as_deref(), Some("5m" | "in-memory" | "in_memory" | "30m"));
        if is_nothing(value) {
            return Ok(());
        }
        if !value.get().starts_with('{') {
            self.long_cache |= is_long(value);
            return Ok(());
        }
        each_field(value, &mut |name, value| {
            self.long_cache |= name == "ttl" && !is_nothing(value) && is_long(value);
            Ok(())
        })
    }
}

/// The rule of a type.
fn rule_of(types: &'static Fields, kind: &str) -> Option<&'static Rule> {
    let fits = |known: &str| match known.strip_suffix('*') {
        Some(start) => kind.starts_with(start),
        None => known == kind,
    };
    types.iter().find(|(known, _)| fits(known)).map(|(_, rule)| rule)
}

/// What an object's `type` says; empty where it has none.
fn kind_of(value: &RawValue) -> Result<String, String> {
    let mut kind = None;
    if !value.get().starts_with('{') {
        return Ok(String::new());
    }
    each_field(value, &mut |name, value| {
        if name != "type" {
            return Ok(());
        }
        let twice = kind.replace(text(value).unwrap_or_else(|| Cow::Owned(shown(value))).into_owned()).is_some();
        if twice { Err("The request has the field \"type\" twice in one object.".to_owned()) } else { Ok(()) }
    })?;
    Ok(kind.unwrap_or_default())
}

/// The elements of a list of tools that stay under a cap.
pub(super) fn own_tools<'v>(value: &'v RawValue, types: &'static Fields) -> Vec<&'v str> {
    let elements: Vec<&RawValue> = serde_json::from_str(value.get()).unwrap_or_default();
    let hosted = |tool: &RawValue| matches!(kind_of(tool).map(|kind| rule_of(types, &kind)), Ok(Some(Rule::Hosted)));
    elements.into_iter().filter(|tool| !hosted(tool)).map(RawValue::get).collect()
}

fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Text<'_>>(value.get()).ok().map(|text| text.0)
}

#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Whether it is one of these texts, or a list of nothing else.
fn only(value: &RawValue, texts: &[&str]) -> Result<bool, String> {
    let is_one = |value: &RawValue| {
        text(value).is_some_and(|given| texts.iter().any(|known| known.eq_ignore_ascii_case(&given)))
    };
    if !value.get().starts_with('[') {
        return Ok(is_one(value));
    }
    let mut all = true;
    each_element(value, &mut |element| {
        all &= is_one(element);
        Ok(())
    })?;
    Ok(all)
}

fn is_nothing(value: &RawValue) -> bool {
    let bare: String = value.get().chars().filter(|c| !c.is_ascii_whitespace()).take(6).collect();
    matches!(bare.as_str(), "null" | "false" | "\"\"" | "[]")
}

fn shown(value: &RawValue) -> String {
    cut(value.get())
}

/// Short enough for a sentence.
fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}

/// `max_output_tokens` as `maxOutputTokens`.
fn camel(name: &str) -> Cow<'_, str> {
    if !name.contains('_') {
        return Cow::Borrowed(name);
    }
    let mut made = String::new();
    let mut parts = name.split('_');
    made.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let mut letters = part.chars();
        made.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        made.push_str(letters.as_str());
    }
    Cow::Owned(made)
}

type OnField<'f> = dyn for<'v> FnMut(Cow<'v, str>, &'v RawValue) -> Result<(), String> + 'f;
type OnElement<'f> = dyn FnMut(&RawValue) -> Result<(), String> + 'f;

fn each_field(value: &RawValue, on: &mut OnField<'_>) -> Result<(), String> {
    let mut told = None;
    let mut reader = serde_json::Deserializer::from_str(value.get());
    let read = FieldsOf { on, told: &mut told }.deserialize(&mut reader);
    match (told, read) {
        (Some(told), _) => Err(told),
        (None, read) => read.map_err(super::not_json),
    }
}

fn each_element(value: &RawValue, on: &mut OnElement<'_>) -> Result<(), String> {
    let mut told = None;
    let mut reader = serde_json::Deserializer::from_str(value.get());
    let read = ElementsOf { on, told: &mut told }.deserialize(&mut reader);
    match (told, read) {
        (Some(told), _) => Err(told),
        (None, read) => read.map_err(super::not_json),
    }
}

struct FieldsOf<'f, 'o> {
    on: &'f mut OnField<'o>,
    told: &'f mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for FieldsOf<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for FieldsOf<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Text(name)) = map.next_key::<Text<'de>>()? {
            let value = map.next_value::<&'de RawValue>()?;
            if let Err(wrong) = (self.on)(name, value) {
                *self.told = Some(wrong);
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                return Ok(());
            }
        }
        Ok(())
    }
}

struct ElementsOf<'f, 'o> {
    on: &'f mut OnElement<'o>,
    told: &'f mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for ElementsOf<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ElementsOf<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(value) = list.next_element::<&'de RawValue>()? {
            if let Err(wrong) = (self.on)(value) {
                *self.told = Some(wrong);
                while list.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(());
            }
        }
        Ok(())
    }
}
