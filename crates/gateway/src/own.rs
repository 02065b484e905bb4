//! Answers of the gateway's own.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};

use crate::body::Body;
use crate::format::Format;

pub(crate) fn unauthorized(shape: Format) -> Response<Body> {
    let message = "This key opens no session here. Use the key that the session was started with.";
    problem(shape, StatusCode::UNAUTHORIZED, "invalid_api_key", message)
}

/// Says of which kind a refusal of our own is; of no other answer does it reach an agent. Not every format has a place for it in its body.
pub(crate) const REFUSAL: HeaderName = HeaderName::from_static("x-muster-refusal");

/// An error of our own in a format's shape. Clients are told not to repeat what would be refused again.
pub(crate) fn problem(format: Format, status: StatusCode, code: &str, message: &str) -> Response<Body> {
    let mut response = json_response(status, format.error_body(status.as_u16(), code, message));
    if let Ok(code) = HeaderValue::from_str(code) {
        response.headers_mut().insert(REFUSAL, code);
    }
    if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert("x-should-retry", HeaderValue::from_static("false"));
    }
    response
}

pub(crate) fn json_response(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
