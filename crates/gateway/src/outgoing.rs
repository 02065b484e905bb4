//! Requests on their way to an upstream: known secrets do not leave with them.
//!
//! The provider's key in our own header is put in after this. The credentials that a client sends to us are not looked at:
//! they are taken out, or they are the client's own to send.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, Response, StatusCode, header};
use serde::de::IgnoredAny;

use crate::body::Body;
use crate::format::Format;
use crate::gateway::Gateway;
use crate::guard::headers_covered;
use crate::ledger::Ledger;
use crate::mask::Masker;
use crate::own::problem;
use crate::session::Session;

/// What is known to be secret, and what becomes of it in requests.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// Finds them.
    pub masker: Arc<Masker>,
    /// When one is found in a request.
    pub leaving: Leaving,
}

/// What becomes of a known secret in a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leaving {
    /// It is covered.
    #[default]
    Mask,
    /// The call is refused.
    Refuse,
    /// It leaves.
    Allow,
}

/// A request as it may leave.
pub(crate) struct Cleared {
    pub(crate) path_and_query: String,
    pub(crate) body: Bytes,
    /// The cover of a secret that was found.
    pub(crate) found: Option<String>,
}

impl Secrets {
    /// Covers what must not leave; the error is the cover of the secret for which the call is refused.
    pub(crate) fn clear(&self, parts: &mut Parts, path_and_query: String, body: Bytes) -> Result<Cleared, String> {
        if self.leaving == Leaving::Allow || self.masker.is_empty() {
            return Ok(Cleared { path_and_query, body, found: None });
        }
        let in_headers = headers_covered(&self.masker, &mut parts.headers, |name| !is_credential(name));
        let in_path = self.masker.find(path_and_query.as_bytes());
        let covered = self.masker.bytes(&body);
        let in_body = if matches!(covered, Cow::Owned(_)) { self.masker.find(&body) } else { None };
        let found = in_body.or(in_path).or(in_headers).map(str::to_owned);
        let sound = |covered: &[u8]| serde_json::from_slice::<IgnoredAny>(covered).is_ok();
        let body = match covered {
            Cow::Borrowed(_) => body.clone(),
            // A cover that breaks the text (a secret that begins inside an escape) must not go out as it is.
            Cow::Owned(covered) if sound(&covered) || !sound(&body) => covered.into(),
            Cow::Owned(_) => return Err(found.unwrap_or_default()),
        };
        match found {
            Some(found) if self.leaving == Leaving::Refuse => Err(found),
            // A cover in a path is no place that is served.
            found => Ok(Cleared { path_and_query: self.masker.text(&path_and_query).into_owned(), body, found }),
        }
    }
}

impl<L: Ledger> Gateway<L> {
    /// The request without known secrets, or the refusal of one that has some.
    pub(crate) fn cleared(
        &self,
        session: &Session,
        format: Format,
        parts: &mut Parts,
        path_and_query: String,
        body: Bytes,
    ) -> Result<(String, Bytes), Box<Response<Body>>> {
        match self.0.secrets.clear(parts, path_and_query, body) {
            Ok(cleared) => {
                if let Some(cover) = &cleared.found {
                    self.0.ledger.secret_found(session.tag(), name_in(cover), false);
                }
                Ok((cleared.path_and_query, cleared.body))
            }
            Err(cover) => {
                let name = name_in(&cover);
                self.0.ledger.secret_found(session.tag(), name, true);
                let message = format!("The request holds the value of {name}, which must not leave. Take it out.");
                Err(problem(format, StatusCode::FORBIDDEN, "secret", &message).into())
            }
        }
    }
}

/// The name in a cover.
fn name_in(cover: &str) -> &str {
    cover.strip_prefix("[masked:").and_then(|rest| rest.strip_suffix(']')).unwrap_or(cover)
}

fn is_credential(name: &HeaderName) -> bool {
    *name == header::AUTHORIZATION || matches!(name.as_str(), "x-api-key" | "x-goog-api-key" | "api-key")
}
