//! Sessions and their virtual keys.
//!
//! A key is 192 random bits, good for one session and only here. It is compared by its SHA-256, so that the time a
//! comparison takes tells nothing about the key.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use http::{HeaderMap, header};
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};

use crate::upstream::CREDENTIALS;

/// Whose calls a session makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The mission.
    pub mission: String,
    /// The agent.
    pub agent: String,
}

/// An agent's access to the gateway. Clones are the same session.
#[derive(Clone)]
pub struct Session(Arc<State>);

struct State {
    tag: Tag,
    number: u64,
    key: SecretString,
    key_hash: [u8; 32],
    bound: Mutex<Bound>,
}

#[derive(Clone, Default)]
struct Bound {
    attempt: Option<u32>,
    upstream: Option<String>,
    closed: bool,
}

impl Session {
    /// The virtual key, to be given to the agent.
    pub fn key(&self) -> &SecretString {
        &self.0.key
    }

    /// Whose session it is.
    pub fn tag(&self) -> &Tag {
        &self.0.tag
    }

    /// Counts the sessions of the gateway from 1.
    pub(crate) fn number(&self) -> u64 {
        self.0.number
    }

    /// Says on which attempt the calls from here on are made; `None`: on none.
    pub fn bind(&self, attempt: Option<u32>) {
        self.lock().attempt = attempt;
    }

    /// Sends the calls from here on to the upstream of that name only; `None`: to the first that has the model.
    pub fn pin(&self, upstream: Option<&str>) {
        self.lock().upstream = upstream.map(str::to_owned);
    }

    pub(crate) fn attempt(&self) -> Option<u32> {
        self.lock().attempt
    }

    pub(crate) fn pinned(&self) -> Option<String> {
        self.lock().upstream.clone()
    }

    /// Whether the request carries this session's key and the session is open.
    pub fn admits(&self, headers: &HeaderMap) -> bool {
        key_hashes(headers).any(|hash| hash == self.0.key_hash) && !self.lock().closed
    }

    /// Whether the session is open.
    pub(crate) fn is_open(&self) -> bool {
        !self.lock().closed
    }

    /// Takes this session's key out of headers that are sent on.
    pub(crate) fn withdraw_key(&self, headers: &mut HeaderMap) {
        if key_hashes(headers).any(|hash| hash == self.0.key_hash) {
            CREDENTIALS.iter().for_each(|name| drop(headers.remove(name)));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Bound> {
        self.0.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("tag", &self.0.tag).finish_non_exhaustive()
    }
}

/// The open sessions by the hash of their key.
#[derive(Default)]
pub(crate) struct Sessions {
    by_key: RwLock<BTreeMap<[u8; 32], Session>>,
    opened: AtomicU64,
}

impl Sessions {
    pub(crate) fn open(&self, tag: Tag) -> Result<Session, getrandom::Error> {
        let mut random = [0_u8; 24];
        getrandom::fill(&mut random)?;
        let key = random.iter().fold(String::from("muster-"), |key, byte| key + &format!("{byte:02x}"));
        let key_hash: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        let number = self.opened.fetch_add(1, Ordering::Relaxed) + 1;
        let session = Session(Arc::new(State { tag, number, key: key.into(), key_hash, bound: Mutex::default() }));
        self.by_key.write().unwrap_or_else(PoisonError::into_inner).insert(key_hash, session.clone());
        Ok(session)
    }

    pub(crate) fn close(&self, session: &Session) {
        session.lock().closed = true;
        self.by_key.write().unwrap_or_else(PoisonError::into_inner).remove(&session.0.key_hash);
    }

    /// The open session whose key the request carries.
    pub(crate) fn find(&self, headers: &HeaderMap) -> Option<Session> {
        let sessions = self.by_key.read().unwrap_or_else(PoisonError::into_inner);
        key_hashes(headers).find_map(|hash| sessions.get(&hash).cloned())
    }
}

/// The hashes of the keys in `Authorization: Bearer`, `x-api-key` and `x-goog-api-key`; some clients send several.
fn key_hashes(headers: &HeaderMap) -> impl Iterator<Item = [u8; 32]> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    });
    let api_keys = ["x-api-key", "x-goog-api-key"].into_iter();
    let api_keys = api_keys.filter_map(|name| headers.get(name).and_then(|value| value.to_str().ok()));
    bearer.into_iter().chain(api_keys).map(|key| Sha256::digest(key.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(http::HeaderName::from_static(name), value.parse().unwrap())])
    }

    #[test]
    fn a_key_opens_its_own_session_until_it_is_closed() {
        let sessions = Sessions::default();
        let tag = |agent: &str| Tag { mission: "m1".into(), agent: agent.into() };
        let (ada, bob) = (sessions.open(tag("ada")).unwrap(), sessions.open(tag("bob")).unwrap());
        let bearer = headers("authorization", &format!("Bearer {}", ada.key().expose_secret()));
        let api_key = headers("x-api-key", ada.key().expose_secret());

        let mut both = headers("authorization", "Bearer of-another-service");
        both.extend(api_key.clone());
        assert!(ada.admits(&bearer) && ada.admits(&api_key) && ada.admits(&both));
        assert!(!bob.admits(&bearer) && !ada.admits(&headers("authorization", "Bearer muster-")));
        assert_eq!(sessions.find(&api_key).map(|found| found.tag().agent.clone()), Some("ada".to_owned()));

        sessions.close(&ada);
        assert!(!ada.admits(&bearer) && sessions.find(&bearer).is_none());
    }

    #[test]
    fn a_session_does_not_print_its_key() {
        let session = Sessions::default().open(Tag { mission: "m1".into(), agent: "ada".into() }).unwrap();
        assert!(!format!("{session:?}").contains(session.key().expose_secret()));
    }
}
