//! What must not be written: the secret values that this process knows, and the covering of inputs and texts.
//!
//! There is one of these in a process. The program puts into it what its environment holds, the engine adds the keys of upstreams and
//! what a configuration names. Every sink asks for the masker as it then is. What a journal or a transcript holds already is never
//! rewritten.

use gateway::Masker;
use mission::Input;
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    borrow::Cow,
    sync::{Arc, PoisonError, RwLock},
};

/// A secret and the name that is said in its place.
pub type Named = (String, SecretString);

/// The secrets of this process. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Masking(Arc<RwLock<Known>>);

#[derive(Debug, Default)]
struct Known {
    secrets: Vec<Named>,
    masker: Arc<Masker>,
}

impl Masking {
    /// Adds secrets; a value that is known keeps its name.
    pub fn add(&self, secrets: impl IntoIterator<Item = Named>) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = known.secrets.len();
        for (name, value) in secrets {
            if known.secrets.iter().all(|(_, other)| other.expose_secret() != value.expose_secret()) {
                known.secrets.push((name, value));
            }
        }
        if known.secrets.len() > before {
            known.masker = Arc::new(Masker::new(known.secrets.iter().cloned()));
        }
    }

    /// The masker of what is known so far.
    pub fn masker(&self) -> Arc<Masker> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner).masker)
    }

    /// A text with every secret covered.
    pub fn text<'a>(&self, text: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
        let text = text.into();
        match self.masker().text(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(covered) => covered.into(),
        }
    }

    /// An input with every secret covered in every text of it, whatever input it is. A mission hears nothing else.
    pub(crate) fn input(&self, input: Input) -> Input {
        self.value(input)
    }

    /// A value with every secret covered in every text of it.
    pub(crate) fn value<T: Serialize + DeserializeOwned>(&self, value: T) -> T {
        let masker = self.masker();
        if masker.is_empty() {
            return value;
        }
        let Ok(json) = serde_json::to_vec(&value) else { return value };
        match masker.bytes(&json) {
            Cow::Borrowed(_) => value,
            // A cover has no character that JSON gives a meaning to inside a text, so that what was read before is read again.
            Cow::Owned(covered) => serde_json::from_slice(&covered).unwrap_or_else(|error| {
                tracing::error!(%error, "a secret could not be covered");
                value
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mission::AgentId;

    const SECRET: &str = "planted-\"key\"-0123456789";

    fn masking() -> Masking {
        let masking = Masking::default();
        masking.add([("PROVIDER_KEY".to_owned(), SECRET.into())]);
        masking.add([("again".to_owned(), SECRET.into()), ("short".to_owned(), "1".into())]);
        masking
    }

    #[test]
    fn inputs_are_covered_wherever_a_text_is() {
        let body = format!("the key is {SECRET}.");
        let question = |text: &str| Input::InterruptAsked {
            agent: AgentId(3),
            key: text.to_owned(),
            question: text.to_owned(),
            default: Some(text.to_owned()),
        };
        assert_eq!(masking().input(question(&body)), question("the key is [masked:PROVIDER_KEY]."));
        assert_eq!(masking().input(question("nothing")), question("nothing"));
    }

    #[test]
    fn texts_are_covered_under_the_first_name() {
        assert_eq!(masking().text(format!("{SECRET} 1")), "[masked:PROVIDER_KEY] 1");
        assert!(!format!("{:?}", masking()).contains("planted"));
    }
}
