//! What a provider's error means: judged by its status, then by its codes and types, then by its words.
//!
//! The tables were read out of the vendors' references and of recorded errors (2026-11); each line of them is a test below.

use serde_json::Value;

/// What an error means for the turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// The gateway refused for want of money.
    Budget,
    /// The request is longer than the model takes: a shorter one may be answered.
    TooLong,
    /// It may work another time.
    Passing,
    /// It will not work until a person has changed something.
    Lasting,
}

/// What an error says.
#[derive(Debug, Default)]
pub struct Said {
    /// For a person.
    pub words: String,
    /// Codes, types and reasons, as they are written.
    codes: Vec<String>,
    /// A number in place of a status.
    status: Option<u16>,
    /// All of it in small letters.
    all: String,
}

/// Codes and types of a request that is too long.
const TOO_LONG_CODES: &[&str] = &[
    "context_length_exceeded",
    "exceed_context_size_error",
    "contextwindowexceedederror",
    "context_window_exceeded",
    "model_context_window_exceeded",
    "max_context_length_exceeded",
    "prompt_too_long",
    "input_too_long",
    "request_too_large",
    "tokens_limit_reached",
];

/// Words of a request that is too long, in small letters.
const TOO_LONG_WORDS: &[&str] = &[
    "context length",
    "context_length",
    "context window",
    "context_window",
    "context size",
    "contextwindowexceeded",
    "context limit",
    "maximum context",
    "available context",
    "prompt is too long",
    "prompt too long",
    "input is too long",
    "input too long",
    "inputs too long",
    "maximum prompt length",
    "max prompt length",
    "maximum allowed input length",
    "maximum input length",
    "maximum number of input tokens",
    "maximum number of tokens allowed",
    "max_new_tokens` must be",
    "too many input tokens",
    "too many tokens in",
    "reduce the length of",
    "reduce your prompt",
    "request too large for",
    "request body too large for",
    "exceeds the model's maximum",
    "exceeds the limit of the model",
    "longer than the maximum model length",
    "decoder prompt",
    "n_ctx",
    "input token count",
    "prompt tokens exceed",
    "prompt exceeds",
    "prompt contains too many",
    "range of input length",
];

/// Words of an answer, not a request, that is asked to be too long.
const ANSWER_TOO_LONG: &[&str] =
    &["max_tokens is too large", "max_completion_tokens is too large", "at most", "completion tokens, whereas"];

/// Codes of an account that does not pay any more.
const QUOTA_CODES: &[&str] = &[
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "billing_error",
    "insufficient_credits",
    "insufficient_balance",
    "insufficient_user_quota",
    "credit_balance_too_low",
    "exceeded_current_quota_error",
    "payment_required",
    "access_terminated",
    "account_deactivated",
    "quota_exhausted",
];

/// Words of it, in small letters.
const QUOTA_WORDS: &[&str] = &[
    "insufficient credits",
    "insufficient balance",
    "insufficient quota",
    "insufficient funds",
    "credit balance is too low",
    "exceeded your current quota",
    "quota of your key is exceeded",
    "check your plan and billing",
    "requires more credits",
    "out of credits",
    "no credits",
    "used all available credits",
    "monthly spending limit",
    "spend limit",
    "account is not active",
    "payment required",
    "overdue payment",
];

/// Words of a limit that is reset by itself, whatever else is said beside them: Google names its limits of the rate a quota.
const RESET_WORDS: &[&str] =
    &["retrydelay", "retry in", "try again in", "per minute", "per_minute", "perminute", "requests per", "tokens per"];

/// Words of a passing trouble where there is no status.
const LASTING_CODES: &[&str] = &[
    "invalid_api_key",
    "authentication_error",
    "permission_error",
    "permission_denied",
    "unauthenticated",
    "model_not_found",
    "not_found_error",
    "unsupported_country_region_territory",
    "unknown_price",
    "unknown_limit",
    "unbounded_request",
];

/// What it means. `status`: of the answer, if it is all an error; `ours`: the kind of a refusal of the gateway's own.
pub fn judge(status: Option<u16>, ours: Option<&str>, said: &Said) -> Means {
    let status = status.or(said.status);
    if ours == Some("budget") || said.has_code(&["budget"]) {
        return Means::Budget;
    }
    if ours.is_none() {
        if is_too_long(status, said) {
            return Means::TooLong;
        }
        if is_used_up(status, said) {
            return Means::Lasting;
        }
        match status {
            // Only the gateway says so without a word of credits.
            Some(402) => return Means::Budget,
            Some(403) if said.all.contains("budget") => return Means::Budget,
            _ => {}
        }
    }
    match status {
        Some(501 | 505) => Means::Lasting,
        Some(408 | 409 | 425 | 429 | 498 | 500..=599) => Means::Passing,
        Some(400..=499) => Means::Lasting,
        _ if said.has_code(LASTING_CODES) => Means::Lasting,
        _ => Means::Passing,
    }
}

fn is_too_long(status: Option<u16>, said: &Said) -> bool {
    if said.has_code(TOO_LONG_CODES) {
        return true;
    }
    let may_be = matches!(status, None | Some(200 | 400 | 413 | 422 | 429 | 500 | 503));
    let of_the_rate = status == Some(429) && !said.all.contains("request too large for");
    let of_the_answer = said.has_words(ANSWER_TOO_LONG) && !said.has_words(&["context", "prompt", "input"]);
    may_be && !of_the_rate && !of_the_answer && said.has_words(TOO_LONG_WORDS)
}

fn is_used_up(status: Option<u16>, said: &Said) -> bool {
    if said.has_code(QUOTA_CODES) {
        return true;
    }
    let may_be = matches!(status, None | Some(200 | 400 | 402 | 403 | 429));
    may_be && said.has_words(QUOTA_WORDS) && !said.has_words(RESET_WORDS)
}

impl Said {
    /// What a body says.
    pub fn read(body: &str) -> Self {
        match serde_json::from_str::<Value>(body.trim_start_matches('\u{feff}')) {
            Ok(read) => Self::of(&read),
            Err(_) => Self { words: body.trim().to_owned(), all: body.to_lowercase(), ..Self::default() },
        }
    }

    /// What an error says, be it the error itself or what it is wrapped in.
    pub fn of(body: &Value) -> Self {
        // Google puts the object into a list.
        let body = body.get(0).unwrap_or(body);
        let error = body.get("error").filter(|error| !error.is_null()).unwrap_or(body);
        let mut said = Self { all: body.to_string().to_lowercase(), ..Self::default() };
        let texts = ["message", "detail", "msg", "error_description", "Message"];
        let text =
            |value: &Value| texts.iter().find_map(|name| value.get(*name)).and_then(Value::as_str).map(str::to_owned);
        said.codes_of(body);
        said.codes_of(error);
        for detail in error.get("details").and_then(Value::as_array).into_iter().flatten() {
            said.codes_of(detail);
        }
        let words = text(error).or_else(|| error.as_str().map(str::to_owned)).or_else(|| text(body));
        said.words = words.or_else(|| said.codes.first().cloned()).unwrap_or_else(|| body.to_string());
        // What a proxy wraps is often the whole of another provider's error.
        if let Some(raw) = error.pointer("/metadata/raw").and_then(Value::as_str) {
            said.words = format!("{}: {raw}", said.words);
        }
        said
    }

    fn codes_of(&mut self, value: &Value) {
        for name in ["code", "type", "status", "reason", "__type", "error_type", "error_code", "errorCode"] {
            match value.get(name) {
                Some(Value::String(code)) => {
                    if let Ok(status) = code.parse() {
                        self.status = self.status.or(Some(status));
                    }
                    self.codes.push(code.clone());
                }
                Some(Value::Number(number)) => {
                    let status = number.as_u64().and_then(|number| u16::try_from(number).ok());
                    self.status = self.status.or(status.filter(|status| (400..=599).contains(status)));
                }
                _ => {}
            }
        }
    }

    fn has_code(&self, known: &[&str]) -> bool {
        self.codes.iter().any(|code| known.iter().any(|known| known.eq_ignore_ascii_case(code)))
    }

    fn has_words(&self, known: &[&str]) -> bool {
        known.iter().any(|words| self.all.contains(words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Means::{Budget, Lasting, Passing, TooLong};

    /// Status (0: inside an answer), body, and what it means.
    const SEEN: &[(u16, &str, Means)] = &[
        // Too long.
        (
            400,
            r#"{"error":{"message":"This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
            TooLong,
        ),
        (
            400,
            r#"{"error":{"code":400,"message":"request (9000 tokens) exceeds the available context size (8192 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":9000,"n_ctx":8192}}"#,
            TooLong,
        ),
        (400, r#"{"error":{"code":400,"message":"x","type":"exceed_context_size_error"}}"#, TooLong),
        (
            500,
            r#"{"error":{"code":500,"message":"the request exceeds the available context size. try increasing the context size or enable context shift","type":"server_error"}}"#,
            TooLong,
        ),
        (
            400,
            r#"{"object":"error","message":"This model's maximum context length is 8192 tokens. However, you requested 9000 tokens","type":"BadRequestError","code":400}"#,
            TooLong,
        ),
        (
            400,
            r#"{"error":{"message":"Input length 9000 exceeds the maximum allowed input length of 8192 tokens","type":"invalid_request_error"}}"#,
            TooLong,
        ),
        (
            422,
            r#"{"error":{"message":"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9000 `inputs` tokens and 1000 `max_new_tokens`","type":"invalid_request_error"}}"#,
            TooLong,
        ),
        (
            400,
            r#"{"error":{"message":"litellm.BadRequestError: BedrockException - Input is too long for requested model.","code":"400"}}"#,
            TooLong,
        ),
        (
            400,
            r#"{"error":{"message":"litellm.ContextWindowExceededError: x","type":null,"param":null,"code":"400"}}"#,
            TooLong,
        ),
        (400, r#"{"error":{"message":"x","type":"ContextWindowExceededError"}}"#, TooLong),
        (
            400,
            r#"{"error":"This model's maximum prompt length is 8192 but the request contains 9000 tokens.","code":"Client specified an invalid argument"}"#,
            TooLong,
        ),
        (
            400,
            r#"{"error":{"code":400,"message":"The input token count (9000) exceeds the maximum number of tokens allowed (8192).","status":"INVALID_ARGUMENT"}}"#,
            TooLong,
        ),
        (
            400,
            r#"[{"error":{"code":400,"message":"The input token count exceeds the maximum number of tokens allowed 1048576.","status":"INVALID_ARGUMENT"}}]"#,
            TooLong,
        ),
        (
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}"#,
            TooLong,
        ),
        (
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length or `max_tokens` and try again"}}"#,
            TooLong,
        ),
        (
            413,
            r#"{"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}"#,
            TooLong,
        ),
        (
            413,
            r#"{"error":{"code":"tokens_limit_reached","message":"Request body too large for gpt-4o model. Max size: 8000 tokens."}}"#,
            TooLong,
        ),
        (
            413,
            r#"{"error":{"message":"Request too large for model `llama` in organization `o` on tokens per minute (TPM): Limit 6000, Requested 9000","type":"tokens","code":"rate_limit_exceeded"}}"#,
            TooLong,
        ),
        (
            429,
            r#"{"error":{"message":"Request too large for gpt-4 on tokens per min (TPM): Limit 10000, Requested 12000.","type":"tokens","code":"rate_limit_exceeded"}}"#,
            TooLong,
        ),
        (
            400,
            r#"{"object":"error","message":"Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length","type":"invalid_request_prompt","code":"3051"}"#,
            TooLong,
        ),
        (
            400,
            r#"{"error":{"message":"Range of input length should be [1, 30720]","type":"invalid_request_error"}}"#,
            TooLong,
        ),
        (400, r#"{"message":"Input is too long for requested model.","__type":"ValidationException"}"#, TooLong),
        (
            0,
            r#"{"message":"Your input exceeds the context window of this model. Please adjust your input and try again.","code":"context_length_exceeded"}"#,
            TooLong,
        ),
        (
            400,
            r#"{"error":{"message":"The decoder prompt (length 9000) is longer than the maximum model length of 8192.","type":"BadRequestError"}}"#,
            TooLong,
        ),
        // Not the request, but the answer is too long.
        (
            400,
            r#"{"error":{"message":"max_tokens is too large: 100000. This model supports at most 16384 completion tokens, whereas you provided 100000.","type":"invalid_request_error","param":"max_tokens"}}"#,
            Lasting,
        ),
        // What was bought is used up.
        (
            429,
            r#"{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","code":"insufficient_quota"}}"#,
            Lasting,
        ),
        (
            429,
            r#"{"error":{"message":"Your account is suspended due to insufficient balance, please recharge","type":"exceeded_current_quota_error"}}"#,
            Lasting,
        ),
        (
            402,
            r#"{"error":{"message":"Insufficient credits. Add more using https://example.org/credits","code":402}}"#,
            Lasting,
        ),
        (
            402,
            r#"{"error":{"message":"Insufficient Balance","type":"unknown_error","code":"invalid_request_error"}}"#,
            Lasting,
        ),
        (
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."}}"#,
            Lasting,
        ),
        (
            403,
            r#"{"error":{"message":"Your team has used all available credits or reached its monthly spending limit.","code":"x"}}"#,
            Lasting,
        ),
        (0, r#"{"message":"quota of your key is exceeded","code":"insufficient_quota"}"#, Lasting),
        // A limit of the rate, though Google says quota.
        (
            429,
            r#"{"error":{"message":"Rate limit reached for gpt-5 on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000. Please try again in 2s.","type":"tokens","code":"rate_limit_exceeded"}}"#,
            Passing,
        ),
        (
            429,
            r#"{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details. Please retry in 22s.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"22s"}]}}"#,
            Passing,
        ),
        (429, "slow down", Passing),
        (529, r#"{"error":{"message":"Overloaded"}}"#, Passing),
        (503, "", Passing),
        (0, r#"{"message":"Overloaded","type":"overloaded_error","code":529}"#, Passing),
        (0, r#"{"code":502,"message":"Provider disconnected"}"#, Passing),
        // What stays until somebody changes something.
        (401, r#"{"error":{"message":"Incorrect API key provided","code":"invalid_api_key"}}"#, Lasting),
        (
            404,
            r#"{"error":{"message":"The model `m` does not exist or you do not have access to it.","code":"model_not_found"}}"#,
            Lasting,
        ),
        (403, "<!DOCTYPE html><html><title>Just a moment...</title></html>", Lasting),
        (400, r#"{"error":{"message":"Set a price.","code":"unknown_price"}}"#, Lasting),
        (0, r#"{"message":"Incorrect API key provided","code":"invalid_api_key"}"#, Lasting),
        // Ours.
        (402, r#"{"error":{"message":"the cap is reached"}}"#, Budget),
        (400, r#"{"error":{"message":"Nothing is left","code":"budget"}}"#, Budget),
    ];

    #[test]
    fn every_wording_that_was_seen() {
        for (status, body, means) in SEEN {
            let status = Some(*status).filter(|status| *status > 0);
            assert_eq!(judge(status, None, &Said::read(body)), *means, "{status:?} {body}");
        }
    }

    #[test]
    fn what_the_gateway_says_of_itself_comes_first() {
        let said = Said::read(
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"the context window is not known"}}"#,
        );
        assert_eq!(judge(Some(400), Some("unknown_limit"), &said), Lasting);
        assert_eq!(judge(Some(402), Some("budget"), &said), Budget);
        assert_eq!(judge(Some(503), Some("busy"), &said), Passing);
    }

    #[test]
    fn words_for_people_are_found_wherever_they_stand() {
        let words = |body: &str| Said::read(body).words;
        assert_eq!(words(r#"{"error":"who?"}"#), "who?");
        assert_eq!(words(r#"{"detail":"Not Found"}"#), "Not Found");
        assert_eq!(
            words(r#"{"error":{"message":"Provider returned error","metadata":{"raw":"too hot"}}}"#),
            "Provider returned error: too hot"
        );
        assert_eq!(words(r#"{"error":{"code":"x"}}"#), "x");
        assert_eq!(words(" plain "), "plain");
    }
}
