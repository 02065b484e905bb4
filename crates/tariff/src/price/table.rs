//! Price tables: LiteLLM's published one pruned to what the gateway needs, and the packed form that is built in.
//!
//! LiteLLM's table (`model_prices_and_context_window.json`) is an object of objects: for each model a vendor
//! (`litellm_provider`), a kind (`mode`), limits, and prices in USD per token whose names say what is priced, from which
//! length of the input on and in which service tier: `input_cost_per_token_above_200k_tokens_priority`. Kept are models
//! that speak chat or responses of the main vendors. Prices become pico-dollars per token, rounded up from the decimal
//! digits of the file, never through a float. A model that the table calls free is left out: there it mostly means that
//! the price is not known.
//!
//! Packed: gzip of `{"source", "version", "sha256", "models": {NAME: {"limits", "standard", "tiers"}}}`, see
//! [`ModelPrice`]; the same table always packs to the same bytes.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::{ModelPrice, Step};

const VENDORS: [&str; 21] = [
    "anthropic",
    "azure",
    "azure_ai",
    "bedrock",
    "bedrock_converse",
    "cerebras",
    "cohere_chat",
    "dashscope",
    "deepseek",
    "gemini",
    "groq",
    "minimax",
    "mistral",
    "moonshot",
    "openai",
    "openrouter",
    "perplexity",
    "vertex_ai-anthropic_models",
    "vertex_ai-language-models",
    "xai",
    "zai",
];
const TIERS: [&str; 4] = ["priority", "flex", "ultrafast", "balanced"];
/// Names of prices, the longer before those that they begin with, and their place in a step.
const FIELDS: [(&str, usize); 6] = [
    ("cache_creation_input_token_cost_above_12hr", 4),
    ("cache_creation_input_token_cost_above_1hr", 4),
    ("cache_creation_input_token_cost", 3),
    ("cache_read_input_token_cost", 2),
    ("output_cost_per_token", 1),
    ("input_cost_per_token", 0),
];
/// The most that a token can cost for a price to be one: a dollar.
const PICOS_MAX: u64 = 1_000_000_000_000;
/// Fewer models than this are no price table but another file.
const MODELS_MIN: usize = 10;
/// The largest table that is read, in bytes; the published one has 2 MB.
const TABLE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Prices of many models, and where they are from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PriceTable {
    source: String,
    version: String,
    /// Of the file that it was made from.
    sha256: String,
    models: BTreeMap<String, ModelPrice>,
}

/// A file that is no price table: where, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// It is not JSON of the right shape.
    #[error("line {line}, column {column}: {reason}")]
    Json {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong.
        reason: String,
    },
    /// A model has a price or a limit that is none.
    #[error("model {model}, {field}: {value} is not {what}")]
    Field {
        /// The model's name.
        model: String,
        /// The field.
        field: String,
        /// What stands there.
        value: String,
        /// What would be right.
        what: &'static str,
    },
    /// It has hardly any models.
    #[error("only {0} models have a price; this is not LiteLLM's table (model_prices_and_context_window.json)")]
    FewModels(usize),
    /// It is packed and cannot be unpacked.
    #[error("it cannot be unpacked: {0}")]
    Packed(String),
}

impl PriceTable {
    /// Prunes LiteLLM's table. `version`: what to call it, for example the version of the package.
    ///
    /// # Errors
    /// [`TableError`] says where the file is wrong.
    pub fn from_litellm(json: &[u8], version: &str) -> Result<PriceTable, TableError> {
        type Entries = BTreeMap<String, Box<RawValue>>;
        let entries: Entries = serde_json::from_slice(json).map_err(json_error)?;
        let mut models = BTreeMap::new();
        for (model, entry) in entries {
            // What is not an object is no model (the file has one that describes the others).
            let Ok(fields) = serde_json::from_str::<Entries>(entry.get()) else { continue };
            let word = |name: &str| fields.get(name).and_then(|value| serde_json::from_str::<&str>(value.get()).ok());
            let vendor = word("litellm_provider").is_some_and(|vendor| VENDORS.contains(&vendor));
            if vendor
                && matches!(word("mode"), Some("chat" | "responses"))
                && let Some(price) = prune(&model, &fields)?
            {
                models.insert(model, price);
            }
        }
        if models.len() < MODELS_MIN {
            return Err(TableError::FewModels(models.len()));
        }
        let sha256 = Sha256::digest(json).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(PriceTable { source: "litellm".to_owned(), version: version.to_owned(), sha256, models })
    }

    /// The packed form. The same table gives the same bytes.
    ///
    /// # Errors
    /// Only when memory cannot be had.
    pub fn pack(&self) -> std::io::Result<Vec<u8>> {
        let mut gz = flate2::GzBuilder::new().mtime(0).write(Vec::new(), flate2::Compression::best());
        gz.write_all(&serde_json::to_vec(self)?)?;
        gz.finish()
    }

    /// Reads the packed form.
    ///
    /// # Errors
    /// [`TableError::Packed`], [`TableError::Json`].
    pub fn unpack(packed: &[u8]) -> Result<PriceTable, TableError> {
        let mut json = Vec::new();
        let unpacked = flate2::read::GzDecoder::new(packed).take(TABLE_BYTES_MAX).read_to_end(&mut json);
        unpacked.map_err(|error| TableError::Packed(error.to_string()))?;
        serde_json::from_slice(&json).map_err(json_error)
    }

    /// Whose it is and which version: `litellm 1.109.1`.
    pub fn version(&self) -> String {
        format!("{} {}", self.source, self.version)
    }

    /// The SHA-256 of the file that it was made from, in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Every model with its price, by name.
    pub fn models(&self) -> impl Iterator<Item = (&str, &ModelPrice)> {
        self.models.iter().map(|(name, price)| (name.as_str(), price))
    }

    /// The price of a model by its name in the table.
    pub(super) fn get(&self, model: &str) -> Option<&ModelPrice> {
        self.models.get(model)
    }
}

fn json_error(error: serde_json::Error) -> TableError {
    let text = error.to_string();
    let reason = text.split(" at line ").next().unwrap_or(&text).to_owned();
    TableError::Json { line: error.line(), column: error.column(), reason }
}

/// The price of a model; `None` where text has none, or where it is said to be free.
fn prune(model: &str, fields: &BTreeMap<String, Box<RawValue>>) -> Result<Option<ModelPrice>, TableError> {
    let mut tiers: BTreeMap<&str, BTreeMap<u64, [Option<u64>; 5]>> = BTreeMap::new();
    for (name, value) in fields {
        let Some((place, above, tier)) = priced(name) else { continue };
        // A price of another kind (null, a text, a table of hours) or a credit is no price per token.
        let Some(picos) = picos(value.get()) else { continue };
        if picos > PICOS_MAX {
            let (model, field, value) = (model.to_owned(), name.clone(), value.get().to_owned());
            return Err(TableError::Field { model, field, value, what: "a price in USD per token, below a dollar" });
        }
        tiers.entry(tier).or_default().entry(above).or_default()[place] = Some(picos);
    }
    let mut steps: BTreeMap<String, Vec<Step>> =
        tiers.into_iter().filter_map(|(tier, rows)| Some((tier.to_owned(), steps_of(rows)?))).collect();
    let Some(standard) = steps.remove("standard").filter(|steps| steps[0].1 > 0 || steps[0].2 > 0) else {
        return Ok(None);
    };
    let limits = (limit(fields, "max_input_tokens"), limit(fields, "max_output_tokens"));
    Ok(Some(ModelPrice { limits, standard, tiers: steps }))
}

/// What a field prices: its place in a step, from how many input tokens on, in which tier.
fn priced(name: &str) -> Option<(usize, u64, &str)> {
    let (field, place) = FIELDS.iter().find(|(field, _)| name.starts_with(field))?;
    let mut rest = &name[field.len()..];
    let mut above = 0;
    if let Some(after) = rest.strip_prefix("_above_") {
        let (thousands, after) = after.split_once("k_tokens")?;
        above = thousands.parse::<u64>().ok()?.checked_mul(1000)?;
        rest = after;
    }
    match rest.strip_prefix('_') {
        None if rest.is_empty() => Some((*place, above, "standard")),
        Some(tier) => TIERS.contains(&tier).then_some((*place, above, tier)),
        None => None,
    }
}

/// Steps in rising order; a step that leaves a price out keeps that of the step below. `None` without a first step that
/// prices both what goes in and what comes out.
fn steps_of(rows: BTreeMap<u64, [Option<u64>; 5]>) -> Option<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    let mut below = [None; 5];
    for (above, row) in rows {
        for (price, known) in row.iter().zip(&mut below) {
            *known = price.or(*known);
        }
        let [input, output, read, write, long] = below;
        if steps.is_empty() && above != 0 {
            return None;
        }
        steps.push(Step(above, input?, output?, read, write, long));
    }
    (!steps.is_empty()).then_some(steps)
}

/// A limit in tokens, given as a number or as a text with a number in it.
fn limit(fields: &BTreeMap<String, Box<RawValue>>, name: &str) -> Option<u64> {
    let text = fields.get(name)?.get().trim_matches('"');
    text.parse().ok().or_else(|| text.parse::<f64>().ok().filter(|limit| *limit >= 0.0).map(|limit| limit as u64))
}

/// USD as a JSON number in pico-dollars, rounded up; `None` for what is no number or below zero.
fn picos(text: &str) -> Option<u64> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: String = [whole, part].concat();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits: u128 = digits.trim_start_matches('0').parse().or_else(|_| "0".parse()).ok()?;
    let shift = exponent.checked_add(12)?.checked_sub(i32::try_from(part.len()).ok()?)?;
    let scale = 10_u128.checked_pow(shift.unsigned_abs());
    let picos = match (shift >= 0, scale) {
        (true, Some(scale)) => digits.checked_mul(scale)?,
        (false, Some(scale)) => digits.div_ceil(scale),
        (true, None) => return None,
        (false, None) => u128::from(digits > 0),
    };
    u64::try_from(picos).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_digits_become_picos_exactly() {
        for (text, expected) in [
            ("1.25e-06", Some(1_250_000)),
            ("0.00000125", Some(1_250_000)),
            ("3e-06", Some(3_000_000)),
            ("0", Some(0)),
            ("0.0", Some(0)),
            ("1.0000000000000001e-12", Some(2)),
            ("1e-40", Some(1)),
            ("1", Some(1_000_000_000_000)),
            ("-1e-06", None),
            ("null", None),
            ("\"free\"", None),
            ("1e400", None),
        ] {
            assert_eq!(picos(text), expected, "{text}");
        }
    }

    #[test]
    fn names_of_prices_are_read() {
        assert_eq!(priced("input_cost_per_token"), Some((0, 0, "standard")));
        assert_eq!(priced("output_cost_per_token_above_200k_tokens_priority"), Some((1, 200_000, "priority")));
        assert_eq!(priced("cache_creation_input_token_cost_above_1hr"), Some((4, 0, "standard")));
        assert_eq!(
            priced("cache_creation_input_token_cost_above_1hr_above_200k_tokens"),
            Some((4, 200_000, "standard"))
        );
        for other in ["input_cost_per_token_batches", "output_cost_per_image", "input_cost_per_token_above_tokens"] {
            assert_eq!(priced(other), None, "{other}");
        }
    }

    fn table(of_first: &str) -> Vec<u8> {
        let entry = r#"{"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 1e-06,
            "output_cost_per_token": 2e-06, "max_input_tokens": 1000, "max_output_tokens": "100"}"#;
        let others: Vec<String> = (0..10).map(|number| format!("\"m{number}\": {entry}")).collect();
        format!("{{\"first\": {of_first},\n {}}}", others.join(",\n")).into_bytes()
    }

    #[test]
    fn a_table_is_pruned_and_packs_the_same_way_each_time() {
        let first = r#"{"litellm_provider": "anthropic", "mode": "chat", "input_cost_per_token": 3e-06,
            "output_cost_per_token": 1.5e-05, "cache_read_input_token_cost": 3e-07,
            "input_cost_per_token_above_200k_tokens": 6e-06, "input_cost_per_token_flex": 1e-06,
            "output_cost_per_token_flex": 2e-06}"#;
        let made = PriceTable::from_litellm(&table(first), "1.2.3").unwrap();
        let first = made.get("first").unwrap();
        let steps: Vec<_> = first.standard.iter().map(|step| (step.0, step.1, step.2, step.3)).collect();
        let read = Some(300_000);
        assert_eq!(steps, [(0, 3_000_000, 15_000_000, read), (200_000, 6_000_000, 15_000_000, read)]);
        assert_eq!(first.tiers.keys().collect::<Vec<_>>(), ["flex"]);
        assert_eq!(made.get("m0").unwrap().limits, (Some(1000), Some(100)));
        let packed = made.pack().unwrap();
        assert_eq!(PriceTable::unpack(&packed).unwrap().pack().unwrap(), packed);
        assert_eq!(made.version(), "litellm 1.2.3");
    }

    #[test]
    fn a_wrong_file_is_told_with_its_place() {
        let wrong = |json: &[u8]| PriceTable::from_litellm(json, "1").unwrap_err().to_string();
        assert_eq!(wrong(b"{\n  \"a\": }"), "line 2, column 8: expected value");
        assert_eq!(
            wrong(b"{\"a\": {}}"),
            "only 0 models have a price; this is not LiteLLM's table (model_prices_and_context_window.json)"
        );
        let dear = r#"{"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 3.5}"#;
        assert_eq!(
            wrong(&table(dear)),
            "model first, input_cost_per_token: 3.5 is not a price in USD per token, below a dollar"
        );
        assert!(PriceTable::unpack(b"no gzip").unwrap_err().to_string().starts_with("it cannot be unpacked: "));
    }
}
