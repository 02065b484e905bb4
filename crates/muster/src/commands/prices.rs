//! `muster prices`: what models cost, and a newer table of it.

use crate::{
    cli::{PricesCommand, PricesRefresh, PricesShow},
    outcome::{Error, Outcome},
    screen,
};
use engine::prices::{self, PriceLine};
use std::{fmt::Write as _, path::Path};

pub(crate) fn run(home: &Path, command: PricesCommand) -> Result<Outcome, Error> {
    match command {
        PricesCommand::Show(args) => show(home, &args),
        PricesCommand::Refresh(args) => refresh(home, &args),
    }
}

fn show(home: &Path, args: &PricesShow) -> Result<Outcome, Error> {
    let list = prices::show(home, args.model.as_deref()).map_err(Error::usage)?;
    if let (Some(model), true) = (&args.model, list.models.is_empty()) {
        return Err(Error::usage(format!(
            "{model}: {} has no price for this model; set one under `prices:` in muster.yaml",
            list.version
        )));
    }
    if args.json {
        screen::json(&list)?;
        return Ok(Outcome::Done);
    }
    let mut text = format!("{} (US dollars per million tokens)\n", list.version);
    let _ = writeln!(
        text,
        "{:>10} {:>10} {:>10} {:>10} {:>10} {:>10}  model",
        "input", "output", "read", "write", "in max", "out max"
    );
    list.models.iter().for_each(|line| row(&mut text, line));
    screen::out(&text)?;
    Ok(Outcome::Done)
}

fn row(text: &mut String, line: &PriceLine) {
    let usd = |price: Option<f64>| price.map_or_else(|| "-".to_owned(), |usd| usd.to_string());
    let tokens = |limit: Option<u64>| limit.map_or_else(|| "-".to_owned(), |tokens| tokens.to_string());
    let _ = writeln!(
        text,
        "{:>10} {:>10} {:>10} {:>10} {:>10} {:>10}  {}",
        usd(line.input_usd),
        usd(line.output_usd),
        usd(line.cache_read_usd),
        usd(line.cache_write_usd),
        tokens(line.input_tokens_max),
        tokens(line.output_tokens_max),
        line.model
    );
}

fn refresh(home: &Path, args: &PricesRefresh) -> Result<Outcome, Error> {
    let version = args.version.clone().unwrap_or_else(|| {
        let name = args.from.file_name().map(|name| name.to_string_lossy().into_owned());
        name.unwrap_or_else(|| "of a file".to_owned())
    });
    let (version, models) = prices::refresh(home, &args.from, &version).map_err(Error::usage)?;
    screen::out(&format!("{version}: {models} models; used from here on (muster prices show)"))?;
    Ok(Outcome::Done)
}
