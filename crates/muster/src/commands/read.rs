//! `muster list`, `show`, `explain`, `report`, `inbox`: readings of the journal. They need no engine and disturb none.

use super::{act, runtime};
use crate::{
    cli::{ExplainArgs, JsonArg, MissionJson, ReportArgs, ReportFormat},
    compared::Compared,
    outcome::{Error, Outcome},
    screen,
};
use engine::view::{self, Ending, Readings, Report, ViewError};
use jiff::{Timestamp, tz::TimeZone};
use std::path::Path;

pub(crate) fn list(home: &Path, args: JsonArg) -> Result<Outcome, Error> {
    let missions = unless_fresh(home, Readings::missions)?;
    if args.json {
        screen::json(&missions)?;
        return Ok(Outcome::Done);
    }
    let being_run = if missions.iter().all(|mission| mission.closed) { None } else { act::being_run(home)? };
    screen::out(&view::missions(&missions, now_ms(), being_run.as_deref()))?;
    Ok(Outcome::Done)
}

pub(crate) fn show(home: &Path, args: MissionJson) -> Result<Outcome, Error> {
    let readings = open(home)?;
    let mission = readings.mission(&readings.find(&args.mission.mission)?)?;
    if args.json {
        screen::json(&mission)?;
        return Ok(Outcome::Done);
    }
    let is_run = mission.ending() == Ending::Open && act::being_run(home)?.as_ref() == Some(&mission.name);
    screen::out(&mission.text(now_ms(), &local, is_run))?;
    Ok(Outcome::Done)
}

pub(crate) fn explain(home: &Path, args: ExplainArgs) -> Result<Outcome, Error> {
    let readings = open(home)?;
    let explanation = readings.explain(&readings.find(&args.mission)?, args.id.as_deref())?;
    match args.json {
        true => screen::json(&explanation)?,
        false => screen::out(&explanation.text(&local))?,
    };
    Ok(Outcome::Done)
}

pub(crate) fn report(home: &Path, args: ReportArgs) -> Result<Outcome, Error> {
    let readings = open(home)?;
    let report = readings.report(&readings.find(&args.mission.mission)?)?;
    let report = runtime()?.block_on(with_files(home, report));
    match if args.json { ReportFormat::Json } else { args.format } {
        ReportFormat::Md => screen::painted(&report.markdown())?,
        ReportFormat::Json => screen::json(&report)?,
        ReportFormat::Html => screen::painted(&report.html())?,
    };
    Ok(Outcome::Done)
}

/// The files that the mission and its tasks change. A mission whose stores are gone still has a report.
async fn with_files(home: &Path, mut report: Report) -> Report {
    for task in &mut report.tasks {
        if let Ok(Some(compared)) = Compared::of_task(home, &report.mission, &task.task).await {
            task.files = compared.files().await.ok();
        }
    }
    match Compared::of_mission(home, &report.mission).await {
        Ok(Some(compared)) => match compared.files().await {
            Ok(files) => report.with_files(files),
            Err(_) => report,
        },
        _ => report,
    }
}

pub(crate) fn inbox(home: &Path, args: JsonArg) -> Result<Outcome, Error> {
    let waiting = unless_fresh(home, Readings::inbox)?;
    match args.json {
        true => screen::json(&waiting)?,
        false => screen::out(&view::inbox(&waiting, &local))?,
    };
    Ok(Outcome::Done)
}

/// The full name of a mission: `last`, a whole name, or the beginning of exactly one.
pub(crate) fn mission_name(home: &Path, given: &str) -> Result<String, Error> {
    Ok(open(home)?.find(given)?)
}

/// The journal of a home.
pub(crate) fn open(home: &Path) -> Result<Readings, Error> {
    Ok(Readings::open(home)?)
}

/// A list from the journal; empty where nothing has run yet.
fn unless_fresh<T>(home: &Path, list: impl FnOnce(&Readings) -> Result<Vec<T>, ViewError>) -> Result<Vec<T>, Error> {
    match Readings::open(home) {
        Err(error) if error.is_fresh() => Ok(Vec::new()),
        readings => Ok(list(&readings?)?),
    }
}

/// A time as the user's clock shows it.
pub(crate) fn local(at_ms: u64) -> String {
    let at = i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.map_or_else(|| at_ms.to_string(), |at| at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string())
}

fn now_ms() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default()
}

impl From<ViewError> for Error {
    fn from(error: ViewError) -> Self {
        if error.is_usage() { Error::usage(error) } else { Error::failed(error) }
    }
}
