//! Whom a message is for, written as one plain text because models get nested choices wrong.

use super::NAME_BYTES_MAX;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

const TOPIC_PREFIX: &str = "topic:";

/// Whom a message is for. A name is resolved by the mission: an agent of that name first, then a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Recipient {
    /// An agent or a role.
    Name(String),
    /// Whoever follows the mission.
    Topic(Topic),
}

/// The topics that people and programs follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// How it goes.
    Status,
    /// What needs eyes.
    Alerts,
    /// What was made.
    Artifacts,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 3] = [Self::Status, Self::Alerts, Self::Artifacts];

    /// The word after `topic:`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Alerts => "alerts",
            Self::Artifacts => "artifacts",
        }
    }
}

impl TryFrom<String> for Recipient {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let name = text.trim();
        if let Some(word) = name.strip_prefix(TOPIC_PREFIX) {
            let topic = Topic::ALL.into_iter().find(|topic| topic.as_str() == word);
            return topic.map(Self::Topic).ok_or_else(|| {
                "there is no such topic; write topic:status, topic:alerts or topic:artifacts".to_owned()
            });
        }
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(format!("a recipient's name has 1 to {NAME_BYTES_MAX} bytes; list_agents shows the names"));
        }
        Ok(Self::Name(name.to_owned()))
    }
}

impl From<Recipient> for String {
    fn from(recipient: Recipient) -> Self {
        recipient.to_string()
    }
}

impl std::fmt::Display for Recipient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Topic(topic) => write!(f, "{TOPIC_PREFIX}{}", topic.as_str()),
        }
    }
}

impl JsonSchema for Recipient {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Recipient".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 1, "maxLength": NAME_BYTES_MAX})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_topics_survive_the_wire() {
        for text in ["parser-1", "topic:status", "topic:alerts", "topic:artifacts"] {
            let recipient: Recipient = serde_json::from_value(text.into()).unwrap();
            assert_eq!(matches!(recipient, Recipient::Topic(_)), text.starts_with(TOPIC_PREFIX));
            assert_eq!(serde_json::to_value(recipient).unwrap(), text);
        }
    }

    #[test]
    fn nobody_and_unknown_topics_are_refused() {
        for text in ["", "  ", "topic:", "topic:news", &"x".repeat(NAME_BYTES_MAX + 1)] {
            assert!(serde_json::from_value::<Recipient>(text.into()).is_err(), "{text}");
        }
    }
}
