//! Looks after the health of the roles that say how: once before a mission begins, then again and again while it runs. The mission hears of changes.
//!
//! A command is run in a sandbox as the role's agents have it, in an empty folder: what does not work there would not work in a mission. It is
//! never run for a role whose check is an address; an address is asked from here.

use crate::{
    clock::Clock,
    driver::{Handle, TellError},
    host,
    settings::{HealthSettings, RoleSettings, Settings},
};
use mission::{HealthState, Input, Plan, Rejected, RoleId};
use std::{collections::BTreeMap, ffi::OsString, path::PathBuf, sync::Arc, time::Duration};
use tokio::task::JoinSet;
use workspace::{Exit, Launcher, Program};

/// The most that a check's words may be, in bytes.
const WORDS_BYTES_MAX: u64 = 16 * 1024;
/// Exit codes of a command that is neither well nor down, by their names in `sysexits.h`: EX_TEMPFAIL, EX_NOPERM.
const DEGRADED: i32 = 75;
const BLOCKED: i32 = 77;

/// How something is, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// How it is.
    pub(crate) state: HealthState,
    /// Why; empty when nothing is wrong.
    pub(crate) reason: String,
}

/// What a look needs.
#[derive(Clone)]
pub(crate) struct Look {
    pub(crate) launcher: Arc<Launcher>,
    /// Where sandboxes of checks have their empty folders.
    pub(crate) scratch: PathBuf,
}

impl Look {
    /// Asks once.
    pub(crate) async fn at(&self, name: &str, role: &RoleSettings, health: &HealthSettings) -> Finding {
        let limit = Duration::from_millis(health.timeout_ms);
        let asked = async {
            match (&health.url, health.command.split_first()) {
                (Some(url), _) => ask_url(url, limit).await,
                (None, Some((program, args))) => self.ask_command(name, role, program, args).await,
                (None, None) => Finding { state: HealthState::Active, reason: String::new() },
            }
        };
        let late =
            || Finding { state: HealthState::Down, reason: format!("no answer within {} ms", health.timeout_ms) };
        tokio::time::timeout(limit, asked).await.unwrap_or_else(|_| late())
    }

    async fn ask_command(&self, name: &str, role: &RoleSettings, program: &str, args: &[String]) -> Finding {
        let extras = role.extras.for_sandbox();
        let args = args.iter().map(OsString::from).collect();
        let program = Program { path: program.into(), args, extras, ..Program::default() };
        let label = format!("health-{name}");
        match host::ask(&self.launcher, &self.scratch, &label, program, WORDS_BYTES_MAX).await {
            Ok((Exit::Code(0), _)) => Finding { state: HealthState::Active, reason: String::new() },
            Ok((exit, words)) => {
                let state = match exit {
                    Exit::Code(DEGRADED) => HealthState::Degraded,
                    Exit::Code(BLOCKED) => HealthState::Blocked,
                    _ => HealthState::Down,
                };
                let last = words.trim().lines().next_back().map(view::first_line).unwrap_or_default();
                let reason = if last.is_empty() { format!("its health check ended with {exit:?}") } else { last };
                Finding { state, reason }
            }
            Err(problem) => {
                Finding { state: HealthState::Down, reason: format!("its health check could not be run: {problem}") }
            }
        }
    }
}

async fn ask_url(url: &str, limit: Duration) -> Finding {
    let client = reqwest::Client::builder().timeout(limit).redirect(reqwest::redirect::Policy::none()).build();
    let answered = match client {
        Ok(client) => client.get(url).send().await,
        Err(error) => Err(error),
    };
    match answered.map(|answer| answer.status()) {
        Ok(status) if status.is_success() => Finding { state: HealthState::Active, reason: String::new() },
        Ok(status) => {
            let state = match status.as_u16() {
                429 | 503 => HealthState::Degraded,
                401 | 403 => HealthState::Blocked,
                _ => HealthState::Down,
            };
            Finding { state, reason: format!("its health check answered {status}") }
        }
        // Without the address: it may hold what is nobody's business.
        Err(error) => Finding {
            state: HealthState::Down,
            reason: format!("its health check got no answer: {}", error.without_url()),
        },
    }
}

/// Looks at every role that says how, all at once, and notes in the plan what is found.
pub(crate) async fn note(plan: &mut Plan, settings: &Settings, look: &Look, clock: Clock) {
    for (name, finding) in look_at_all(&settings.roles, look).await {
        if let Some(role) = plan.roles.iter_mut().find(|role| role.name == name) {
            let since = clock.now();
            role.skills.found = Some(mission::Health { state: finding.state, reason: finding.reason, since });
        }
    }
}

/// How every role is that says how its health is looked after, by name.
pub(crate) async fn look_at_all(roles: &BTreeMap<String, RoleSettings>, look: &Look) -> BTreeMap<String, Finding> {
    let mut looks = JoinSet::new();
    for (name, role) in roles {
        if let Some(health) = role.health.clone() {
            let (look, name, role) = (look.clone(), name.clone(), role.clone());
            looks.spawn(async move { (name.clone(), look.at(&name, &role, &health).await) });
        }
    }
    looks.join_all().await.into_iter().collect()
}

/// Looks after the roles of a mission until it is over or this is dropped.
pub(crate) fn look_after(settings: &Settings, plan: &Plan, look: &Look, handle: &Handle) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for (id, role) in (0..).map(RoleId).zip(&plan.roles) {
        let Some(settings) = settings.roles.get(&role.name) else { continue };
        let Some(health) = settings.health.clone() else { continue };
        let (look, handle, settings, name) = (look.clone(), handle.clone(), settings.clone(), role.name.clone());
        tasks.spawn(async move {
            let mut pause = tokio::time::interval(Duration::from_millis(health.interval_ms.max(1)));
            pause.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            pause.tick().await;
            loop {
                pause.tick().await;
                let Finding { state, reason } = look.at(&name, &settings, &health).await;
                match handle.tell(Input::HealthChecked { role: id, state, reason }).await {
                    Err(TellError::Gone | TellError::Rejected(Rejected::Over)) => break,
                    // Nothing new, not planned yet, or no room to write it down: the next look tells it again.
                    Ok(_) | Err(TellError::NoSpace | TellError::Rejected(_) | TellError::Order(_)) => {}
                }
            }
        });
    }
    tasks
}
