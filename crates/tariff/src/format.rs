//! The four wire formats that agents speak, where they are served, and how each says no.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// A wire format of model calls. An agent's request goes to an upstream of the same format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Format {
    /// OpenAI Chat Completions: `POST /v1/chat/completions`.
    #[serde(rename = "openai-chat")]
    OpenAiChat,
    /// OpenAI Responses: `POST /v1/responses`.
    #[serde(rename = "openai-responses")]
    OpenAiResponses,
    /// Anthropic Messages: `POST /v1/messages`.
    #[serde(rename = "anthropic")]
    Anthropic,
    /// Gemini: `POST /v1beta/models/MODEL:generateContent` and `:streamGenerateContent`, the same below `/v1`.
    #[serde(rename = "gemini")]
    Gemini,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 4] = [Format::OpenAiChat, Format::OpenAiResponses, Format::Anthropic, Format::Gemini];

    /// The name used in configuration files: `openai-chat`, `openai-responses`, `anthropic` or `gemini`.
    pub fn name(self) -> &'static str {
        match self {
            Format::OpenAiChat => "openai-chat",
            Format::OpenAiResponses => "openai-responses",
            Format::Anthropic => "anthropic",
            Format::Gemini => "gemini",
        }
    }

    /// The format with that configuration name.
    pub fn from_name(name: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.name() == name)
    }

    /// The path that the gateway serves it on; of Gemini, whose paths hold the model, what most of them begin with.
    pub fn path(self) -> &'static str {
        match self {
            Format::OpenAiChat => "/v1/chat/completions",
            Format::OpenAiResponses => "/v1/responses",
            Format::Anthropic => "/v1/messages",
            Format::Gemini => "/v1beta/models",
        }
    }

    /// The shape in which an error on `path` is told: that of the API that the path belongs to, OpenAI's elsewhere.
    pub fn of_errors_on(path: &str) -> Format {
        if path.starts_with(Format::Anthropic.path()) {
            Format::Anthropic
        } else if path.starts_with("/v1beta/") || (path.starts_with("/v1/models/") && path.contains(':')) {
            Format::Gemini
        } else {
            Format::OpenAiChat
        }
    }

    /// An error body in the format's own shape, as the vendors' API references document it: OpenAI's
    /// `{"error":{message,type,param,code}}`, Anthropic's `{"type":"error","error":{type,message}}`, Gemini's
    /// `{"error":{code,message,status,details}}`.
    pub fn error_body(self, status: u16, code: &str, message: &str) -> Bytes {
        let body = match self {
            Format::OpenAiChat | Format::OpenAiResponses => {
                json!({"error": {"message": message, "type": openai_type(status), "param": null, "code": code}})
            }
            Format::Anthropic => {
                json!({"type": "error", "error": {"type": anthropic_type(status), "message": message}})
            }
            Format::Gemini => {
                let info = json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": code,
                    "domain": "muster"});
                json!({"error": {"code": status, "message": message, "status": gemini_status(status),
                    "details": [info]}})
            }
        };
        Bytes::from(body.to_string())
    }
}

fn openai_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "insufficient_quota",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    }
}

fn anthropic_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        504 => "timeout_error",
        _ => "api_error",
    }
}

/// The names of `google.rpc.Code` for HTTP's numbers.
fn gemini_status(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        402 => "FAILED_PRECONDITION",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        400..=499 => "INVALID_ARGUMENT",
        501 => "UNIMPLEMENTED",
        502 | 503 | 529 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "INTERNAL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_the_format() {
        for format in Format::ALL {
            assert_eq!(Format::from_name(format.name()), Some(format));
            assert_eq!(serde_json::to_value(format).unwrap(), format.name());
        }
    }

    #[test]
    fn each_format_says_no_in_its_own_shape() {
        let openai = Format::OpenAiResponses.error_body(429, "budget", "wait");
        expect_test::expect![[
            r#"{"error":{"message":"wait","type":"rate_limit_error","param":null,"code":"budget"}}"#
        ]]
        .assert_eq(std::str::from_utf8(&openai).unwrap());
        let anthropic = Format::Anthropic.error_body(413, "request_too_large", "too big");
        expect_test::expect![[r#"{"type":"error","error":{"type":"request_too_large","message":"too big"}}"#]]
            .assert_eq(std::str::from_utf8(&anthropic).unwrap());
        let gemini = Format::Gemini.error_body(429, "busy", "later");
        expect_test::expect![[
            r#"{"error":{"code":429,"message":"later","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"busy","domain":"muster"}]}}"#
        ]]
        .assert_eq(std::str::from_utf8(&gemini).unwrap());
    }
}
