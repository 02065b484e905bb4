//! The price table that missions of a home use: the built-in one, or a newer one of LiteLLM's that the user took.
//!
//! A taken table is kept packed as `prices.json.gz` in the home and is used from then on, by missions that are taken up
//! again too; each call in the ledger names the version that priced it.

use crate::setup::SetupError;
use gateway::{PriceSource, PriceTable, Prices, TableError};
use serde::Serialize;
use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A price as people read it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PriceLine {
    /// The model.
    pub model: String,
    /// USD per million tokens of input.
    pub input_usd: Option<f64>,
    /// USD per million tokens of output.
    pub output_usd: Option<f64>,
    /// USD per million tokens of input read from the cache; what other input costs, where it is not given.
    pub cache_read_usd: Option<f64>,
    /// USD per million tokens of input written to the cache, likewise.
    pub cache_write_usd: Option<f64>,
    /// The most input tokens of a call.
    pub input_tokens_max: Option<u64>,
    /// The most output tokens of a call.
    pub output_tokens_max: Option<u64>,
    /// Where the price is from.
    pub source: String,
}

/// The prices of a home.
#[derive(Clone, Debug, Serialize)]
pub struct PriceList {
    /// Whose table it is and which version.
    pub version: String,
    /// The models, by name.
    pub models: Vec<PriceLine>,
}

/// The prices of a home, of one model (by its name, as missions find it) or of all.
///
/// # Errors
/// [`SetupError::PriceTable`] when the table that was taken cannot be read.
pub fn show(home: &Path, model: Option<&str>) -> Result<PriceList, SetupError> {
    let prices = of_home(home)?;
    let models = match model {
        Some(name) => prices.of(name).map(|(price, source)| line(name, price, source)).into_iter().collect(),
        None => prices.all().into_iter().map(|(name, (price, source))| line(name, price, source)).collect(),
    };
    Ok(PriceList { version: prices.version(), models })
}

/// Takes LiteLLM's table from a file (`model_prices_and_context_window.json`); `version`: what to call it. Gives its version
/// and how many models it has.
///
/// # Errors
/// [`SetupError::PriceTable`] names the file, the place and the reason; the table that was used before stays.
pub fn refresh(home: &Path, file: &Path, version: &str) -> Result<(String, usize), SetupError> {
    let unreadable = |error: std::io::Error| wrong(file, error);
    let json = std::fs::read(file).map_err(unreadable)?;
    let table = PriceTable::from_litellm(&json, version).map_err(|error| wrong(file, error))?;
    let target = taken(home);
    let unwritable = |error: std::io::Error| wrong(&target, error);
    std::fs::create_dir_all(home).map_err(unwritable)?;
    let mut fresh = tempfile::NamedTempFile::new_in(home).map_err(unwritable)?;
    fresh.write_all(&table.pack().map_err(unwritable)?).map_err(unwritable)?;
    fresh.persist(&target).map_err(|error| wrong(&target, error))?;
    Ok((table.version(), table.models().count()))
}

/// The prices that missions of this home use, before those of their configuration.
pub(crate) fn of_home(home: &Path) -> Result<Prices, SetupError> {
    let path = taken(home);
    match std::fs::read(&path) {
        Ok(packed) => {
            let table = PriceTable::unpack(&packed).map_err(|error: TableError| wrong(&path, error))?;
            Ok(Prices::from_table(Arc::new(table)))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Prices::embedded()),
        Err(error) => Err(wrong(&path, error)),
    }
}

fn taken(home: &Path) -> PathBuf {
    home.join("prices.json.gz")
}

fn wrong(file: &Path, error: impl ToString) -> SetupError {
    SetupError::PriceTable { file: file.to_owned(), detail: error.to_string() }
}

fn line(model: &str, price: &gateway::ModelPrice, source: PriceSource) -> PriceLine {
    let [input_usd, output_usd, cache_read_usd, cache_write_usd] = price.usd_per_million();
    PriceLine {
        model: model.to_owned(),
        input_usd,
        output_usd,
        cache_read_usd,
        cache_write_usd,
        input_tokens_max: price.input_max(),
        output_tokens_max: price.output_max(),
        source: source.label().to_owned(),
    }
}
