//! What the gateway reads from a request: the model, whether it streams, and how much it can cost at most.
//!
//! The body goes upstream as it came, with two exceptions. When what is left does not pay for the answer that a request allows, the number that bounds it is
//! lowered ([`output`]). And OpenAI's chat streams report usage only when asked to, so
//! a streaming chat request that does not ask gets `"stream_options":{"include_usage":true}` written in. The agent
//! then sees one chunk more, with `"choices":[]` and the usage; the format's own clients know it.
//!
//! Upper bound of the input: no tokenizer of any vendor is at hand, so bytes are counted. A lower-case letter or a
//! space counts half a token, every other byte a whole one, and 1,024 tokens are added for what the provider adds
//! (tool preambles and the like). Prose and code stay well below it (a token is three to four bytes); digits, base64,
//! punctuation and scripts that take a token per character are covered by the whole token per byte. The bound never
//! exceeds the model's own input limit. A text made to beat it would be booked at what the provider reports.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::format::Format;
use crate::price::ModelPrice;
use crate::route::Named;
use crate::worst::Worst;

mod gemini;
mod hosted;
mod known;
mod output;
mod rules;

pub use output::with_output;

/// Tokens that providers add to what was sent.
const INPUT_OVERHEAD_TOKENS: u64 = 1024;

/// The fields of a request that decide where it goes and what it can cost.
#[derive(Debug)]
pub struct Wanted {
    /// The model that is asked for.
    pub model: String,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// What goes upstream.
    pub body: Bytes,
    /// Upper bound of the input tokens as far as the request holds them.
    input_bound: u64,
    /// What bounds its cost, and what does not.
    found: rules::Found,
    /// The most output tokens that the request asks for, over all its answers.
    pub output_bound: OutputBound,
    /// The service tier that is asked for.
    pub service_tier: Option<String>,
    format: Format,
}

/// What bounds the output.
#[derive(Clone, Copy, Debug)]
pub struct OutputBound {
    tokens_max: Option<u64>,
    answers: u64,
    /// Whether [`with_output`] can lower it.
    lowers: bool,
}

#[derive(Deserialize)]
struct Head<'a> {
    model: Option<String>,
    stream: Option<bool>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    max_output_tokens: Option<u64>,
    n: Option<u64>,
    service_tier: Option<String>,
    background: Option<bool>,
    #[serde(borrow, default, deserialize_with = "even_null")]
    stream_options: Option<&'a RawValue>,
}

/// Reads a request's body; the error is told to the agent. `named`: what its path said.
pub fn read(format: Format, named: Option<Named<'_>>, body: Bytes) -> Result<Wanted, String> {
    if let Some(named) = named {
        return gemini::read(named, body);
    }
    let head: Head<'_> = serde_json::from_slice(&body).map_err(not_json)?;
    let model = head.model.ok_or("The request names no model.")?;
    if head.background == Some(true) {
        return Err("Responses in the background are not carried: their cost would never be seen. \
                    Leave out \"background\"."
            .to_owned());
    }
    let stream = head.stream.unwrap_or(false);
    let mut found = rules::read(&body, known::fields(format), false)?;
    found.long_cache |= asks_for_long_cache(&body);
    let tokens_max = match format {
        // Which of the two counts is the provider's to say.
        Format::OpenAiChat => head.max_completion_tokens.max(head.max_tokens),
        Format::OpenAiResponses => head.max_output_tokens,
        Format::Anthropic | Format::Gemini => head.max_tokens,
    };
    let answers = if format == Format::OpenAiChat { head.n.unwrap_or(1).max(1) } else { 1 };
    let asking = (format == Format::OpenAiChat && stream).then(|| with_usage(&body, head.stream_options)).flatten();
    Ok(Wanted {
        model,
        stream,
        input_bound: input_bound(&body),
        output_bound: OutputBound::of(format, tokens_max, answers, &found),
        service_tier: head.service_tier,
        found,
        body: asking.unwrap_or(body),
        format,
    })
}

impl OutputBound {
    fn of(format: Format, tokens_max: Option<u64>, answers: u64, found: &rules::Found) -> Self {
        // Some servers take nothing for no bound at all.
        let asked = tokens_max.filter(|tokens| *tokens > 0 && !found.thinks_freely);
        let thinking = found.thinking.unwrap_or(0);
        let apart = format == Format::Gemini || asked.is_some_and(|asked| asked <= thinking);
        let tokens_max = asked.map(|asked| if apart { asked.saturating_add(thinking) } else { asked });
        // Providers want the bound to stay above what is thought, so that such a request is left as it is.
        let lowers = thinking == 0 && !found.thinks_freely && output::lowers(format, tokens_max);
        OutputBound { tokens_max, answers, lowers }
    }
}

impl Wanted {
    /// The most input tokens that the call can be billed for; `None` when nothing bounds them.
    pub fn input_max(&self, price: Option<&ModelPrice>) -> Option<u64> {
        let held = self.found.elsewhere.is_none().then_some(self.input_bound);
        least(held, price.and_then(ModelPrice::input_max))
    }

    /// The most output tokens that the call can be billed for; `None` when nothing bounds them.
    pub fn output_max(&self, price: Option<&ModelPrice>) -> Option<u64> {
        let bound = self.output_bound;
        let per_answer = least(bound.tokens_max, price.and_then(ModelPrice::output_max))?;
        Some(per_answer.saturating_mul(bound.answers))
    }

    /// The most that the call can use at this price; without one nothing is billed.
    pub fn worst(&self, price: Option<&ModelPrice>) -> Worst {
        let input = self.input_max(price);
        let worst = Worst::new(input, self.output_max(price), self.output_bound.answers, self.output_bound.lowers);
        let worst = worst.open(self.open(price), self.found.hosted);
        let Some(price) = price else { return worst.at(Some(Vec::new())) };
        worst.at(input.and_then(|input| price.worst(input, self.service_tier.as_deref(), self.found.long_cache)))
    }

    /// What of it nothing bounds, told to the agent.
    fn open(&self, price: Option<&ModelPrice>) -> Option<String> {
        let model = &self.model;
        if let Some(field) = &self.found.unbounded {
            return Some(format!(
                "Under a budget, {field} is not sent: what it can cost is not bounded by this request. Leave it out."
            ));
        }
        if let Some(word) = known::COSTLY_MODELS.iter().find(|word| model.to_ascii_lowercase().contains(**word)) {
            return Some(format!(
                "Under a budget, the model {model} is not asked ({word:?} in its name): such models cost more than their tokens. Ask another one."
            ));
        }
        if let (None, Some(field)) = (self.input_max(price), &self.found.elsewhere) {
            return Some(format!(
                "Under a budget, {field} is not sent: it stands for input whose size this request does not tell, and the most input of the model {model} is not known. Send it as text, or ask a model of the price table."
            ));
        }
        let tier = self.service_tier.as_deref();
        if price.is_some_and(|price| !price.has_tier(tier)) {
            return Some(format!(
                "Under a budget, `service_tier` {:?} is not sent: its price for the model {model} is not known. Leave it out.",
                tier.unwrap_or_default()
            ));
        }
        None
    }

    /// The body without what the provider would run itself of its own accord.
    pub fn without_hosted(&self) -> Bytes {
        if self.format == Format::OpenAiResponses { hosted::without(&self.body) } else { self.body.clone() }
    }
}

/// The body with another model in it and every other byte as it was; as it was altogether, when it names none.
pub fn with_model(body: &Bytes, name: &str) -> Bytes {
    let changed = || {
        let head: ModelOnly<'_> = serde_json::from_slice(body).ok()?;
        let (start, end) = place(body, head.model)?;
        Some([body.get(..start)?, &serde_json::to_vec(name).ok()?, body.get(end..)?].concat().into())
    };
    changed().unwrap_or_else(|| body.clone())
}

/// The model that a body names, if it does.
pub fn model_of(body: &[u8]) -> Result<String, String> {
    let head: ModelOnly<'_> = serde_json::from_slice(body).map_err(not_json)?;
    serde_json::from_str(head.model.get()).map_err(|_| "The request's model is not a text.".to_owned())
}

#[derive(Deserialize)]
struct ModelOnly<'a> {
    #[serde(borrow)]
    model: &'a RawValue,
}

fn not_json(error: serde_json::Error) -> String {
    format!("The request's body cannot be read as JSON: {error}")
}

/// Where a value that was borrowed from `body` stands in it.
fn place(body: &Bytes, value: &RawValue) -> Option<(usize, usize)> {
    let start = (value.get().as_ptr() as usize).checked_sub(body.as_ptr() as usize)?;
    Some((start, start + value.get().len()))
}

fn least(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a.into_iter().chain(b).min()
}

fn input_bound(body: &[u8]) -> u64 {
    let cheap = body.iter().filter(|byte| matches!(byte, b'a'..=b'z' | b' ')).count() as u64;
    (body.len() as u64 - cheap) + cheap.div_ceil(2) + INPUT_OVERHEAD_TOKENS
}

/// Anthropic's `"ttl": "1h"`, OpenAI's `"prompt_cache_retention": "24h"` and kin.
fn asks_for_long_cache(body: &[u8]) -> bool {
    [&b"\"1h\""[..], b"\"12h\"", b"\"24h\""].iter().any(|ttl| memchr::memmem::find(body, ttl).is_some())
}

/// The body with `include_usage` switched on; `None` when it is on already.
fn with_usage(body: &Bytes, options: Option<&RawValue>) -> Option<Bytes> {
    const ON: &str = r#""stream_options":{"include_usage":true}"#;
    let Some(options) = options else {
        let start = body.iter().position(|byte| *byte == b'{')? + 1;
        // `{}` never gets here: a request has a model, so that something follows the comma.
        return Some([&body[..start], ON.as_bytes(), b",", &body[start..]].concat().into());
    };
    let given: Option<serde_json::Map<String, serde_json::Value>> = serde_json::from_str(options.get()).ok()?;
    let mut fields = given.unwrap_or_default();
    if fields.insert("include_usage".to_owned(), true.into()) == Some(true.into()) {
        return None;
    }
    let (start, end) = place(body, options)?;
    Some([body.get(..start)?, &serde_json::to_vec(&fields).ok()?, body.get(end..)?].concat().into())
}

/// A field that is there and `null` is `Some`, unlike serde's habit.
fn even_null<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod bounds_tests;
#[cfg(test)]
mod tests {
    use super::*;
    use crate::price::Prices;

    fn chat(body: &str) -> Wanted {
        read(Format::OpenAiChat, None, Bytes::copy_from_slice(body.as_bytes())).unwrap()
    }

    fn sent(body: &str) -> String {
        String::from_utf8(chat(body).body.to_vec()).unwrap()
    }

    #[test]
    fn a_chat_stream_always_asks_for_usage() {
        assert_eq!(
            sent(r#" {"model":"m","stream":true}"#),
            r#" {"stream_options":{"include_usage":true},"model":"m","stream":true}"#
        );
        assert_eq!(
            sent(r#"{"stream_options": {"include_obfuscation":false} ,"model":"m","stream":true}"#),
            r#"{"stream_options": {"include_obfuscation":false,"include_usage":true} ,"model":"m","stream":true}"#
        );
        assert_eq!(
            sent(r#"{"model":"m","stream":true,"stream_options":{"include_usage":false}}"#),
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#
        );
    }

    #[test]
    fn every_other_body_goes_unchanged() {
        for body in [
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#,
            r#"{"model":"m","stream":false}"#,
            r#"{ "model" : "m" }"#,
        ] {
            assert_eq!(sent(body), body);
        }
        let responses = Bytes::from_static(br#"{"model":"m","stream":true}"#);
        assert_eq!(read(Format::OpenAiResponses, None, responses.clone()).unwrap().body, responses);
    }

    #[test]
    fn the_null_stream_options_of_some_clients_are_filled_too() {
        let body = sent(r#"{"model":"m","stream":true,"stream_options":null}"#);
        let fields: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(fields["stream_options"]["include_usage"], true);
        assert_eq!(body.matches("stream_options").count(), 1);
    }

    #[test]
    fn an_alias_changes_the_model_alone() {
        let body = Bytes::from_static(b" {\"n\" : 1.50,\"model\": \"fa\\u0073t\" , \"x\":{\"model\":\"fast\"}}\n");
        assert_eq!(model_of(&body).unwrap(), "fast");
        let sent = with_model(&body, "gpt-\"5\"");
        assert_eq!(sent, &b" {\"n\" : 1.50,\"model\": \"gpt-\\\"5\\\"\" , \"x\":{\"model\":\"fast\"}}\n"[..]);
        let without = Bytes::from_static(b"{}");
        assert_eq!(with_model(&without, "m"), without);
    }

    #[test]
    fn gemini_names_its_model_in_the_path() {
        let named = Named { model: "gemini-2.5-pro", stream: true };
        let body = Bytes::from_static(
            br#"{"contents":[],"generationConfig":{"maxOutputTokens":10,"candidateCount":2,"stopSequences":["x"]}}"#,
        );
        let wanted = read(Format::Gemini, Some(named), body.clone()).unwrap();
        assert_eq!((wanted.model.as_str(), wanted.stream, wanted.body.clone()), ("gemini-2.5-pro", true, body));
        assert_eq!(wanted.output_max(None), Some(20));
        assert!(wanted.input_max(None).is_some());
        for elsewhere in [r#"{"cachedContent":"cachedContents/1"}"#, r#"{"contents":[{"parts":[{"fileData":{}}]}]}"#] {
            let wanted = read(Format::Gemini, Some(named), Bytes::from_static(elsewhere.as_bytes())).unwrap();
            assert_eq!(wanted.input_max(None), None, "{elsewhere}");
        }
        assert!(read(Format::Gemini, Some(named), Bytes::from_static(b"[]")).is_err());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |body: &str| read(Format::OpenAiChat, None, Bytes::copy_from_slice(body.as_bytes())).unwrap_err();
        assert!(error("{").contains("line 1 column 1"), "{}", error("{"));
        assert_eq!(error("{}"), "The request names no model.");
        assert!(error(r#"{"model":"a","model":"b"}"#).contains("duplicate field `model`"));
        assert!(error(r#"{"model":"a","background":true}"#).contains("background"));
    }

    #[test]
    fn the_worst_case_counts_bytes_and_the_most_output() {
        let prices = Prices::embedded();
        let (gpt5, _) = prices.of("gpt-5").unwrap();
        let wanted = chat(r#"{"model":"gpt-5","max_completion_tokens":1000,"n":2}"#);
        // 52 bytes, 29 of them lower-case letters: 23 + 15 + 1024 input tokens at $1.25, 2000 output tokens at $10.
        assert_eq!(wanted.input_max(Some(gpt5)), Some(1062));
        assert_eq!(wanted.worst(Some(gpt5)).micros(), Some(1328 + 20_000));
        // Without a limit of its own the model's holds: 128,000 tokens.
        assert_eq!(chat(r#"{"model":"gpt-5"}"#).output_max(Some(gpt5)), Some(128_000));
        assert_eq!(chat(r#"{"model":"gpt-5"}"#).output_max(None), None);
    }

    #[test]
    fn input_kept_by_the_provider_is_bounded_by_the_model_alone() {
        let body = Bytes::from_static(br#"{"model":"gpt-5","previous_response_id":"resp_1"}"#);
        let wanted = read(Format::OpenAiResponses, None, body).unwrap();
        let prices = Prices::embedded();
        assert_eq!(wanted.input_max(prices.of("gpt-5").map(|(price, _)| price)), Some(272_000));
        assert_eq!(wanted.input_max(None), None);
    }
}
