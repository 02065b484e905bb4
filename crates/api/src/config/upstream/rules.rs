//! How an upstream is treated: its models, who stands in for it, how it is asked again, and how much.

use super::UpstreamSpec;
use crate::{
    source::{
        checker::{Checker, quote},
        shape::{At, DurationText, Entries, List, NameText, Text},
        suggest::instead_of,
    },
    value::Name,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most names, aliases or stand-ins of one upstream.
const LIST_MAX: usize = 256;

/// How an upstream is treated. Where nothing is set, the gateway's own default holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UpstreamRules {
    /// The models it serves, `*` standing for any text; empty: any.
    pub models: Vec<String>,
    /// Our name for a model, and the upstream's.
    pub aliases: BTreeMap<String, String>,
    /// The upstreams that are asked in this order when it cannot answer.
    pub fallback: Vec<Name>,
    /// Further tries of one call.
    pub retries: Option<u32>,
    /// The most that one call waits between its tries, in milliseconds.
    pub retry_wait_ms: Option<u64>,
    /// Calls under way at one time.
    pub concurrency: Option<u32>,
    /// Calls begun in any minute.
    pub requests_per_minute: Option<u32>,
    /// How long a connection may take, in milliseconds.
    pub connect_ms: Option<u64>,
    /// How long the head of an answer may take, in milliseconds.
    pub first_byte_ms: Option<u64>,
    /// How long an answer may be silent, in milliseconds.
    pub silence_ms: Option<u64>,
}

/// How long an upstream may take.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TimeoutsSpec {
    /// To be connected; `10s` when left out.
    pub(crate) connect: Option<At<DurationText>>,
    /// To begin its answer; `10m` when left out.
    pub(crate) first_byte: Option<At<DurationText>>,
    /// Between two pieces of its answer; `5m` when left out.
    pub(crate) silence: Option<At<DurationText>>,
}

pub(super) fn rules(checker: &mut Checker, spec: &mut UpstreamSpec) -> UpstreamRules {
    let timeouts = spec.timeouts.take().unwrap_or_default();
    let models = spec.models.take().map(|models| models.value).unwrap_or_default();
    let fallback = spec.fallback.take().map(|names| names.value).unwrap_or_default();
    UpstreamRules {
        models: texts(checker, models),
        aliases: aliases(checker, std::mem::take(&mut spec.aliases)),
        fallback: names(checker, fallback),
        retries: checker.number("the number of retries", spec.retries.take(), 0..=10),
        retry_wait_ms: spec.retry_wait.take().map(|text| checker.duration(text)),
        concurrency: checker.number("the number of calls", spec.concurrency.take(), 1..=10_000),
        requests_per_minute: checker.number("the number of calls", spec.requests_per_minute.take(), 1..=100_000),
        connect_ms: timeouts.connect.map(|text| checker.duration(text)),
        first_byte_ms: timeouts.first_byte.map(|text| checker.duration(text)),
        silence_ms: timeouts.silence.map(|text| checker.duration(text)),
    }
}

fn texts(checker: &mut Checker, list: List<Text>) -> Vec<String> {
    list.0.into_iter().take(LIST_MAX).map(|text| checker.text("the name of a model", text)).collect()
}

fn names(checker: &mut Checker, list: List<NameText>) -> Vec<Name> {
    let name = |name: At<NameText>| checker.take(name.place, Name::parse(&name.value.0), Name::stand_in(&name.value.0));
    list.0.into_iter().take(LIST_MAX).map(name).collect()
}

fn aliases(checker: &mut Checker, aliases: Entries<Text>) -> BTreeMap<String, String> {
    let alias = |(name, model): (At<String>, At<Text>)| {
        if name.value.is_empty() || name.value.contains('*') {
            let what = format!("{} is not a name for a model", quote(&name.value));
            checker.wrong(name.place, what, "write a name without `*`, for example `fast`");
        }
        (name.value, checker.text("the name of a model", model))
    };
    aliases.0.into_iter().take(LIST_MAX).map(alias).collect()
}

/// What can be wrong with a stand-in once all upstreams are known. `asked`: the places of each upstream's fallbacks.
pub(super) fn check_fallbacks(
    checker: &mut Checker,
    asked: &[(Name, Vec<At<String>>)],
    upstreams: &BTreeMap<Name, super::Upstream>,
) {
    for (own, names) in asked {
        for name in names {
            let other = upstreams.iter().find(|(known, _)| known.as_str() == name.value);
            match other {
                None => {
                    let fix = instead_of(&name.value, upstreams.keys().map(Name::as_str));
                    checker.wrong(name.place, format!("there is no upstream {}", quote(&name.value)), fix);
                }
                Some((known, _)) if known == own => {
                    checker.wrong(name.place, "this upstream stands in for itself", "name another, or remove it");
                }
                Some((_, upstream)) if upstream.passes_credentials() => {
                    let what = "an upstream with `pass_through` can stand in for no other";
                    checker.wrong(name.place, what, "name an upstream that has a key of its own");
                }
                Some(_) => {}
            }
        }
    }
}
