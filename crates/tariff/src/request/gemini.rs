//! A request of Gemini's: model and way of answering are in the path. Google reads both spellings of a name.

use bytes::Bytes;
use serde::Deserialize;

use super::{OutputBound, Wanted, input_bound, known, not_json, rules};
use crate::format::Format;
use crate::route::Named;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    #[serde(alias = "generation_config")]
    generation_config: Option<GenerationConfig>,
    #[serde(alias = "service_tier")]
    service_tier: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct GenerationConfig {
    #[serde(alias = "max_output_tokens")]
    max_output_tokens: Option<u64>,
    #[serde(alias = "candidate_count")]
    candidate_count: Option<u64>,
}

pub(super) fn read(named: Named<'_>, body: Bytes) -> Result<Wanted, String> {
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        return Err("The request's body has to be a JSON object.".to_owned());
    }
    let head: Head = serde_json::from_slice(&body).map_err(not_json)?;
    let found = rules::read(&body, known::fields(Format::Gemini), true)?;
    let config = head.generation_config.unwrap_or_default();
    let answers = config.candidate_count.unwrap_or(1).max(1);
    Ok(Wanted {
        model: named.model.to_owned(),
        stream: named.stream,
        input_bound: input_bound(&body),
        output_bound: OutputBound::of(Format::Gemini, config.max_output_tokens, answers, &found),
        service_tier: head.service_tier.map(|tier| tier.to_ascii_lowercase()),
        found,
        body,
        format: Format::Gemini,
    })
}
