//! Counting tokens: passed to the upstream and back. It costs nothing, so that no ledger is asked.

use std::borrow::Cow;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::Body as HttpBody;
use tokio::time::timeout;

use crate::body::Body;
use crate::format::Format;
use crate::gateway::{Gateway, not_found};
use crate::guard::Guard;
use crate::ledger::Ledger;
use crate::own::{json_response, problem};
use crate::request;
use crate::route;
use crate::scripted;
use crate::session::Session;
use crate::upstream::{Asker, IncomingBody, LineEnd, Outgoing};

/// The largest answer that is passed on: a number needs no more.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

impl<L: Ledger> Gateway<L> {
    /// Asks the upstream of the model. `model`: what the path said.
    pub(crate) async fn count<B>(
        &self,
        session: &Session,
        format: Format,
        model: Option<&str>,
        request: Request<B>,
    ) -> Result<Response<Body>, Box<Response<Body>>>
    where
        B: HttpBody,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (mut parts, body) = request.into_parts();
        let body = self.collect(format, body).await?;
        let asked = model.map_or_else(|| request::model_of(&body), |model| Ok(model.to_owned()));
        let asked = asked.map_err(|message| problem(format, StatusCode::BAD_REQUEST, "invalid_request", &message))?;
        let candidates = self.candidates(session, format, &asked)?;
        let Some((line, model)) =
            candidates.first().and_then(|first| Some((self.0.lines.get(first.line)?, &first.model)))
        else {
            return Err(failed(format, "The upstream").into());
        };
        // What answers in process keeps no tokenizer, and counts are not recorded.
        let LineEnd::Http { .. } = line.end else {
            return Ok(json_response(StatusCode::OK, scripted::count(format, &body)));
        };
        let path_and_query = parts.uri.path_and_query().map(|path| path.as_str().to_owned()).unwrap_or_default();
        let (path_and_query, body) = self.cleared(session, format, &mut parts, path_and_query, body)?;
        let path_and_query =
            route::upstream_path(&path_and_query).ok_or_else(|| not_found(format, parts.uri.path()))?;
        let tag = session.tag();
        let asker = Asker { mission: tag.mission.clone(), agent: tag.agent.clone(), attempt: session.attempt() };
        let mut outgoing = Outgoing {
            asker,
            format,
            model: asked.clone(),
            stream: false,
            path_and_query,
            headers: parts.headers,
            body,
        };
        session.withdraw_key(&mut outgoing.headers);
        outgoing.rename(&asked, model);
        let limits = &self.0.limits;
        let failed = || failed(format, &format!("The upstream {}", line.name));
        let head = timeout(line.rules.first_byte.unwrap_or(limits.head), line.ask(outgoing)).await;
        let mut incoming = head.map_err(|_| failed())?.map_err(|_| failed())?;
        let whole = timeout(line.rules.silence.unwrap_or(limits.idle), whole(incoming.body)).await;
        let body = whole.map_err(|_| failed())?.ok_or_else(failed)?;
        let masker = &self.0.secrets.masker;
        Guard::new(masker, false).head(&mut incoming.headers);
        let body = match masker.bytes(&body) {
            Cow::Borrowed(_) => body,
            Cow::Owned(covered) => covered.into(),
        };
        let mut response = Response::new(Body::whole(body));
        *response.status_mut() = incoming.status;
        *response.headers_mut() = incoming.headers;
        Ok(response)
    }
}

fn failed(format: Format, who: &str) -> Response<Body> {
    problem(format, StatusCode::BAD_GATEWAY, "upstream", &format!("{who} did not count the tokens."))
}

/// All bytes of an answer; `None` when it broke off or is too large.
async fn whole(mut body: IncomingBody) -> Option<Bytes> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.chunk().await.ok()? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > ANSWER_BYTES_MAX {
            return None;
        }
    }
    Some(bytes.into())
}
