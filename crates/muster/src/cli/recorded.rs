//! Arguments of what is about model calls: their prices, and recorded ones.

use super::MissionArg;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `muster prices`.
#[derive(Debug, Subcommand)]
pub(crate) enum PricesCommand {
    /// Show prices per million tokens, limits, and which table they are from.
    Show(PricesShow),
    /// Use a newer price table of LiteLLM's from here on, for every mission of this home.
    Refresh(PricesRefresh),
}

/// `muster prices show`.
#[derive(Debug, Args)]
pub(crate) struct PricesShow {
    /// The model's name (default: all).
    pub(crate) model: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `muster prices refresh`.
#[derive(Debug, Args)]
pub(crate) struct PricesRefresh {
    /// LiteLLM's table: model_prices_and_context_window.json.
    #[arg(long, value_name = "FILE")]
    pub(crate) from: PathBuf,
    /// What to call it in the ledger (default: the file's name).
    #[arg(long, value_name = "VERSION")]
    pub(crate) version: Option<String>,
}

/// `muster replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    pub(crate) mission: MissionArg,
    /// Show everything that happens.
    #[arg(long)]
    pub(crate) all: bool,
    /// Print the comparison as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
