//! A request of Gemini's: model and way of answering are in the path. Google reads both spellings of a name.

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{OutputBound, Wanted, input_bound, not_json};
use crate::format::Format;
use crate::route::Named;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    #[serde(alias = "generation_config")]
    generation_config: Option<GenerationConfig>,
    #[serde(alias = "cached_content")]
    cached_content: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct GenerationConfig {
    #[serde(alias = "max_output_tokens")]
    max_output_tokens: Option<u64>,
    #[serde(alias = "candidate_count")]
    candidate_count: Option<u64>,
}

/// Names of parts that refer to files which the provider holds.
const FILES: [&[u8]; 2] = [b"\"fileData\"", b"\"file_data\""];

pub(super) fn read(named: Named<'_>, body: Bytes) -> Result<Wanted, String> {
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        return Err("The request's body has to be a JSON object.".to_owned());
    }
    let head: Head = serde_json::from_slice(&body).map_err(not_json)?;
    let files = FILES.iter().any(|name| memchr::memmem::find(&body, name).is_some());
    let config = head.generation_config.unwrap_or_default();
    Ok(Wanted {
        model: named.model.to_owned(),
        stream: named.stream,
        input_bound: (head.cached_content.is_none() && !files).then(|| input_bound(&body)),
        output_bound: OutputBound {
            tokens_max: config.max_output_tokens,
            answers: config.candidate_count.unwrap_or(1).max(1),
            lowers: super::output::lowers(Format::Gemini, config.max_output_tokens, &body),
        },
        service_tier: None,
        long_cache: false,
        body,
    })
}
