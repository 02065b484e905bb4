//! What a call costs, in whole numbers.
//!
//! Prices are pico-dollars (1e-12 USD) per token, so that every published price is a whole number; a call's cost is
//! micro-dollars, rounded up once. A model without a price has no cost: *unknown*, never nothing. A model that the
//! user priced costs what the user said; the rest is in the table built into the program (see `data/README.md`).

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use crate::usage::{Cost, Usage};

mod table;

pub use table::{PriceTable, TableError};

/// The built-in price table: whose it is and which version.
pub const TABLE_VERSION: &str = "litellm 1.109.1";

static TABLE_GZ: &[u8] = include_bytes!("../data/prices.json.gz");
const PICOS_PER_MICRO: u128 = 1_000_000;

/// The prices that a gateway uses: the user's own, then a table, the built-in one unless another is given. The built-in
/// table is unpacked at its first use.
#[derive(Clone, Debug, Default)]
pub struct Prices {
    configured: BTreeMap<String, ModelPrice>,
    table: Option<Arc<PriceTable>>,
}

/// Where a price is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PriceSource {
    /// The built-in table.
    Table,
    /// A newer table that the user took.
    Refreshed,
    /// The user's configuration.
    Configured,
    /// What the provider said that the call cost.
    Provider,
    /// A scripted upstream, which costs nothing unless its model is priced.
    Scripted,
    /// A recorded call, which was paid for when it was made.
    Replayed,
    /// The provider refused, or was not reached, and bills nothing.
    NotBilled,
}

impl PriceSource {
    /// One phrase for the books, with the table's version where the table was used.
    pub fn label(self) -> &'static str {
        match self {
            PriceSource::Table => TABLE_VERSION,
            PriceSource::Refreshed => "refreshed table",
            PriceSource::Configured => "configured",
            PriceSource::Provider => "the provider's bill",
            PriceSource::Scripted => "scripted",
            PriceSource::Replayed => "replayed",
            PriceSource::NotBilled => "not billed",
        }
    }

    /// Whether it is the price of a table that nobody here has chosen.
    pub fn is_listed(self) -> bool {
        matches!(self, PriceSource::Table | PriceSource::Refreshed)
    }

    /// One word for the books: `list-price`, whichever table the price stands in, or why there is none.
    pub fn word(self) -> &'static str {
        match self {
            PriceSource::Table | PriceSource::Refreshed | PriceSource::Configured => "list-price",
            PriceSource::Provider => "provider",
            PriceSource::Scripted => "scripted",
            PriceSource::Replayed => "replayed",
            PriceSource::NotBilled => "not-billed",
        }
    }
}

/// The price of one model and the limits that the worst case of a call needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelPrice {
    /// Most input tokens and most output tokens of a call.
    limits: (Option<u64>, Option<u64>),
    standard: Vec<Step>,
    /// Prices of other service tiers (`priority`, `flex`, ..).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tiers: BTreeMap<String, Vec<Step>>,
}

/// Prices that hold for the whole call once its input exceeds so many tokens:
/// (above, input, output, cache read, cache write, long cache write).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Step(u64, u64, u64, Option<u64>, Option<u64>, Option<u64>);

impl Step {
    fn cache_read(&self) -> u64 {
        self.3.unwrap_or(self.1)
    }

    fn cache_write(&self) -> u64 {
        self.4.unwrap_or(self.1)
    }

    fn cache_write_long(&self) -> u64 {
        self.5.unwrap_or_else(|| self.cache_write())
    }
}

/// A price that is not one.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("a price is a number of USD per million tokens from 0 to 1,000,000, not {0}")]
pub struct PriceError(pub f64);

impl Prices {
    /// The built-in table alone.
    pub fn embedded() -> Self {
        Prices::default()
    }

    /// Another table in place of the built-in one.
    pub fn from_table(table: Arc<PriceTable>) -> Self {
        Prices { table: Some(table), ..Prices::default() }
    }

    /// Whose table it is and which version.
    pub fn version(&self) -> String {
        self.table.as_ref().map_or_else(|| TABLE_VERSION.to_owned(), |table| table.version())
    }

    /// Every model that has a price, with it, by name.
    pub fn all(&self) -> BTreeMap<&str, (&ModelPrice, PriceSource)> {
        let (table, source) = self.table();
        let listed = table.map(PriceTable::models).into_iter().flatten();
        let mut all: BTreeMap<_, _> = listed.map(|(name, price)| (name, (price, source))).collect();
        all.extend(self.configured.iter().map(|(name, price)| (name.as_str(), (price, PriceSource::Configured))));
        all
    }

    /// The same with a price of the user's for one model. The table's limits of the model are kept.
    #[must_use]
    pub fn with(mut self, model: impl Into<String>, mut price: ModelPrice) -> Self {
        let model = model.into();
        if let Some((known, _)) = self.listed(&model) {
            price.limits = (price.limits.0.or(known.limits.0), price.limits.1.or(known.limits.1));
        }
        self.configured.insert(model, price);
        self
    }

    /// The price of a model, by its exact name; `openai/` and `anthropic/` before a name are ignored.
    pub fn of(&self, model: &str) -> Option<(&ModelPrice, PriceSource)> {
        if let Some(price) = self.configured.get(model) {
            return Some((price, PriceSource::Configured));
        }
        self.listed(model)
    }

    /// What that usage of that model costs at the provider's standard tier.
    pub fn cost(&self, model: &str, usage: &Usage) -> Cost {
        match self.of(model) {
            Some((price, source)) => {
                price.cost(usage, None).map_or(Cost::Unknown, |micros| Cost::Known { micros, source })
            }
            None => Cost::Unknown,
        }
    }

    fn listed(&self, model: &str) -> Option<(&ModelPrice, PriceSource)> {
        let (table, source) = self.table();
        let bare = || model.strip_prefix("openai/").or_else(|| model.strip_prefix("anthropic/"));
        let price = table.and_then(|table| table.get(model).or_else(|| table.get(bare()?)));
        price.map(|price| (price, source))
    }

    fn table(&self) -> (Option<&PriceTable>, PriceSource) {
        match &self.table {
            Some(table) => (Some(table), PriceSource::Refreshed),
            None => (embedded(), PriceSource::Table),
        }
    }
}

impl ModelPrice {
    /// A price of the user's, in USD per million tokens. Cached input without a price of its own costs what other
    /// input costs.
    pub fn per_million(
        input: f64,
        output: f64,
        cache_read: Option<f64>,
        cache_write: Option<f64>,
    ) -> Result<ModelPrice, PriceError> {
        let optional = |usd: Option<f64>| usd.map(picos_per_token).transpose();
        let write = optional(cache_write)?;
        let step = Step(0, picos_per_token(input)?, picos_per_token(output)?, optional(cache_read)?, write, write);
        Ok(ModelPrice { standard: vec![step], ..ModelPrice::default() })
    }

    /// The same with the most input and output tokens of a call.
    #[must_use]
    pub fn with_limits(mut self, input_max: Option<u64>, output_max: Option<u64>) -> Self {
        self.limits = (input_max.or(self.limits.0), output_max.or(self.limits.1));
        self
    }

    /// The most input tokens that the model takes.
    pub fn input_max(&self) -> Option<u64> {
        self.limits.0
    }

    /// The most output tokens that the model gives.
    pub fn output_max(&self) -> Option<u64> {
        self.limits.1
    }

    /// USD per million tokens at the standard tier and a short input: input, output, cache read, cache write. `None` for a
    /// price that is not known.
    pub fn usd_per_million(&self) -> [Option<f64>; 4] {
        // Below 2^53 for every price that is one, so exact but for the division.
        let usd = |picos: u64| picos as f64 / 1e6;
        let step = self.standard.first();
        let of = |price: fn(&Step) -> Option<u64>| step.and_then(price).map(usd);
        [of(|step| Some(step.1)), of(|step| Some(step.2)), of(|step| step.3), of(|step| step.4)]
    }

    /// Micro-dollars for that usage; `None` when the service tier has no price here.
    pub fn cost(&self, usage: &Usage, tier: Option<&str>) -> Option<u64> {
        let step = step_for(self.tier(tier)?, usage.input_total())?;
        let picos = product(usage.input_tokens, step.1)
            + product(usage.cache_read_tokens, step.cache_read())
            + product(usage.cache_write_tokens, step.cache_write())
            + product(usage.cache_write_long_tokens, step.cache_write_long())
            + product(usage.output_tokens, step.2);
        Some(micros_up(picos))
    }

    /// Pico-dollars for at most so much input and for one token of output, whichever way the input is cached, at each step that it
    /// can fall on; `long_cache`: whether the request may write to the cache for the longer time.
    pub fn worst(&self, input_max: u64, tier: Option<&str>, long_cache: bool) -> Option<Vec<(u128, u64)>> {
        // A provider may answer at its ordinary price what was asked for at a cheaper one.
        let steps = self.tier(tier)?.iter().chain(&self.standard);
        let reachable = steps.filter(|step| step.0 == 0 || step.0 < input_max);
        let worst = reachable.map(|step| {
            let write = if long_cache { step.cache_write_long() } else { step.cache_write() };
            (product(input_max, step.1.max(write).max(step.cache_read())), step.2)
        });
        let worst: Vec<_> = worst.collect();
        (!worst.is_empty()).then_some(worst)
    }

    /// Whether that service tier has a price here.
    pub fn has_tier(&self, tier: Option<&str>) -> bool {
        self.tier(tier).is_some()
    }

    /// OpenAI says `default`, Anthropic `standard` and Groq `on_demand` for the ordinary tier; `auto` and `scale` bill
    /// like it.
    fn tier(&self, tier: Option<&str>) -> Option<&[Step]> {
        match tier {
            None | Some("default" | "standard" | "standard_only" | "auto" | "scale" | "on_demand" | "") => {
                Some(&self.standard)
            }
            Some(other) => self.tiers.get(other).map(Vec::as_slice),
        }
    }
}

fn step_for(steps: &[Step], input_total: u64) -> Option<&Step> {
    steps.iter().rev().find(|step| step.0 == 0 || step.0 < input_total)
}

fn product(tokens: u64, picos: u64) -> u128 {
    u128::from(tokens) * u128::from(picos)
}

fn micros_up(picos: u128) -> u64 {
    u64::try_from(picos.div_ceil(PICOS_PER_MICRO)).unwrap_or(u64::MAX)
}

/// USD per million tokens are micro-dollars per token.
fn picos_per_token(usd_per_million: f64) -> Result<u64, PriceError> {
    if !(0.0..=1_000_000.0).contains(&usd_per_million) {
        return Err(PriceError(usd_per_million));
    }
    let picos = (usd_per_million * 1e6).round();
    // In range by the check above: 0 to 1e12.
    Ok(if usd_per_million > 0.0 { (picos as u64).max(1) } else { 0 })
}

/// The built-in table; `None` if it cannot be read.
fn embedded() -> Option<&'static PriceTable> {
    static TABLE: OnceLock<Option<PriceTable>> = OnceLock::new();
    let unpacked = || {
        let unreadable = |error: &TableError| {
            tracing::error!(%error, "the built-in price table cannot be read; every price is unknown");
        };
        PriceTable::unpack(TABLE_GZ).inspect_err(unreadable).ok()
    };
    TABLE.get_or_init(unpacked).as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worst::Worst;

    fn usage(input: u64, read: u64, write: u64, long: u64, output: u64) -> Usage {
        Usage {
            input_tokens: input,
            cache_read_tokens: read,
            cache_write_tokens: write,
            cache_write_long_tokens: long,
            output_tokens: output,
            ..Usage::default()
        }
    }

    fn table_cost(model: &str, usage: &Usage) -> Option<u64> {
        match Prices::embedded().cost(model, usage) {
            Cost::Known { micros, source } => {
                assert_eq!(source, PriceSource::Table);
                Some(micros)
            }
            Cost::Unknown => None,
        }
    }

    #[test]
    fn the_table_is_whole_and_says_its_version() {
        let table = PriceTable::unpack(TABLE_GZ).unwrap();
        assert_eq!(table.version(), TABLE_VERSION);
        assert!(table.models().count() > 1000);
        assert!(table.pack().unwrap() == TABLE_GZ, "it is packed another way than `cargo xtask prices` does");
        for (name, price) in table.models() {
            let tiers = price.tiers.values().chain([&price.standard]);
            for steps in tiers {
                assert_eq!(steps.first().map(|step| step.0), Some(0), "{name}");
                assert!(steps.is_sorted_by(|a, b| a.0 < b.0), "{name}");
                assert!(steps.iter().any(|step| step.1 > 0 || step.2 > 0), "{name} is free");
            }
        }
    }

    #[test]
    fn every_kind_of_token_has_its_price() {
        // claude-sonnet-4-5: $3 in, $15 out, $0.30 read, $3.75 and $6 written, per million tokens.
        assert_eq!(table_cost("claude-sonnet-4-5", &usage(1000, 0, 0, 0, 0)), Some(3000));
        assert_eq!(table_cost("claude-sonnet-4-5", &usage(0, 1000, 0, 0, 0)), Some(300));
        assert_eq!(table_cost("claude-sonnet-4-5", &usage(0, 0, 1000, 0, 0)), Some(3750));
        assert_eq!(table_cost("claude-sonnet-4-5", &usage(0, 0, 0, 1000, 0)), Some(6000));
        assert_eq!(table_cost("claude-sonnet-4-5", &usage(0, 0, 0, 0, 1000)), Some(15_000));
        assert_eq!(table_cost("anthropic/claude-sonnet-4-5", &usage(1000, 0, 0, 0, 0)), Some(3000));
    }

    #[test]
    fn a_cost_is_rounded_up_once() {
        // gpt-5: $1.25 in, $0.125 cached: 1.25 + 0.125 micro-dollars are 2, not 2 + 1.
        assert_eq!(table_cost("gpt-5", &usage(1, 1, 0, 0, 0)), Some(2));
        assert_eq!(table_cost("gpt-5", &usage(0, 0, 0, 0, 0)), Some(0));
        assert_eq!(table_cost("gpt-5", &usage(0, 1, 0, 0, 0)), Some(1));
    }

    #[test]
    fn a_long_input_costs_more_for_the_whole_call() {
        // gpt-5.6: $4 in, $20 out; above 272,000 input tokens $8 and $30.
        assert_eq!(table_cost("gpt-5.6", &usage(272_000, 0, 0, 0, 1)), Some(1_088_020));
        assert_eq!(table_cost("gpt-5.6", &usage(200_000, 72_001, 0, 0, 1)), Some(1_600_000 + 57_601 + 30));
    }

    #[test]
    fn unknown_is_unknown() {
        assert_eq!(table_cost("no-such-model", &usage(1, 0, 0, 0, 1)), None);
        let (gpt5, _) = Prices::embedded().of("gpt-5").map(|(price, source)| (price.clone(), source)).unwrap();
        assert_eq!(gpt5.cost(&usage(1000, 0, 0, 0, 0), Some("priority")), Some(2500));
        assert_eq!(gpt5.cost(&usage(1000, 0, 0, 0, 0), Some("platinum")), None);
    }

    #[test]
    fn the_users_price_goes_first_and_keeps_the_limits() {
        let mine = ModelPrice::per_million(0.1, 2.0, None, None).unwrap();
        let prices = Prices::embedded().with("gpt-5", mine);
        let cost = prices.cost("gpt-5", &usage(5, 5, 0, 0, 1));
        assert_eq!(cost, Cost::Known { micros: 3, source: PriceSource::Configured });
        assert_eq!(prices.of("gpt-5").unwrap().0.output_max(), Some(128_000));
        assert_eq!(ModelPrice::per_million(-1.0, 0.0, None, None).unwrap_err(), PriceError(-1.0));
        assert!(ModelPrice::per_million(f64::NAN, 0.0, None, None).is_err());
    }

    proptest::proptest! {
        #[test]
        fn the_worst_case_is_never_below_the_cost(
            model in proptest::sample::select(vec!["gpt-5", "gpt-5.6", "claude-sonnet-4-5", "gemini/gemini-2.5-pro"]),
            parts in proptest::array::uniform5(0_u64..400_000),
            slack in 0_u64..10_000,
        ) {
            let [input, read, write, long, output] = parts;
            let usage = usage(input, read, write, long, output);
            let prices = Prices::embedded();
            let (price, _) = prices.of(model).unwrap();
            let lines = price.worst(usage.input_total() + slack, None, long > 0);
            let worst = Worst::new(None, Some(output + slack), 1, false).at(lines).micros().unwrap();
            proptest::prop_assert!(price.cost(&usage, None).unwrap() <= worst);
        }
    }
}
