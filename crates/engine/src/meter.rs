//! The books behind the gateway: money is set aside before a call and settled after it.
//!
//! The mission grants leases per attempt; within a lease the meter reserves the worst case of each call, so that calls that run at the same
//! time cannot pass it together. When a lease is short the mission is asked for more while the call waits. The last bytes of an answer
//! reach the agent only when the call and its bill are durable, so that an answer that an agent has seen is never paid twice.

use crate::{
    clock::Clock,
    driver::{FULL_DISK_PAUSE, Handle, TellError},
    masking::Masking,
};
use agents::acp::Update;
use allowed::Allowed;
use gateway::{Call, Cost, Format, Outcome, PriceSource, Refusal, Settled, StoredAnswer, Tag, Worst};
use mission::{AttemptId, Fact, Input, Micros, PauseReason, Usage};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};
use store::{Answer, CallRow, Chunk, Store, Transcripts};
use tokio::sync::Notify;
use view::{CONSOLE, Console};

/// The engine's ledger for one mission.
pub struct Meter {
    store: Store,
    clock: Clock,
    /// Which price table the gateway uses.
    prices_version: String,
    handle: OnceLock<Handle>,
    accounts: Mutex<BTreeMap<u32, Arc<tokio::sync::Mutex<Account>>>>,
    /// What calls that are on have set aside of allowances. Held while the mission says what is left, so that no two calls get the same.
    allowed: tokio::sync::Mutex<Allowed>,
    /// Attempts with a call in the turn that there was no money for.
    short: Mutex<BTreeSet<u32>>,
    /// Tokens that the calls of each attempt's turn have used.
    tokens: Mutex<BTreeMap<u32, [u64; 2]>>,
    /// Told whenever a call is booked.
    closed: Notify,
    notes: Notes,
    /// What transcripts were told of secrets in requests, once each.
    noted: Mutex<BTreeSet<(String, String)>>,
}

/// Where the meter notes what people should know, and what must not stand there.
pub(crate) struct Notes {
    pub(crate) transcripts: Transcripts,
    pub(crate) masking: Masking,
}

/// One attempt's money as the meter sees it.
#[derive(Default)]
struct Account {
    /// Left of the lease, reservations not subtracted; `None` until the mission was asked.
    left: Option<Left>,
    /// Set aside by call.
    reserved: BTreeMap<u64, Aside>,
}

/// What a call has set aside of its attempt's lease.
#[derive(Clone, Copy)]
struct Aside {
    micros: u64,
    /// The output to which its answer was lowered, if it was.
    lowered_to: Option<u64>,
}

#[derive(Clone, Copy)]
enum Left {
    Unlimited,
    Micros(u64),
}

impl Meter {
    pub(crate) fn new(store: Store, clock: Clock, prices_version: String, notes: Notes) -> Self {
        let (accounts, allowed, short, tokens, noted) = Default::default();
        let (handle, closed) = (OnceLock::new(), Notify::new());
        Self { store, clock, prices_version, handle, accounts, allowed, short, tokens, closed, notes, noted }
    }

    /// Says which mission it keeps the books of; once.
    pub(crate) fn serve(&self, handle: Handle) {
        // A second time would be the same mission.
        let _ = self.handle.set(handle);
    }

    fn account(&self, attempt: u32) -> Arc<tokio::sync::Mutex<Account>> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(accounts.entry(attempt).or_default())
    }

    fn mission(&self) -> Result<&Handle, Refusal> {
        self.handle.get().ok_or_else(|| refusal(503, "engine", "The engine is starting. Try again."))
    }

    /// Sets aside what a call can use at most, of the allowances and of its attempt's lease. Where that is too much, but a shorter answer
    /// would fit, its answer is bounded to what fits.
    async fn set_aside(&self, call: u64, attempt: u32, worst: Worst) -> Result<Worst, Refusal> {
        let worst = self.allow(call, attempt, worst).await?;
        let leased = self.lease(call, attempt, worst).await;
        if leased.is_err() {
            self.allowed.lock().await.free(call);
            self.closed.notify_waiters();
        }
        leased
    }

    /// Of the lease; the mission is asked for more when it is short.
    async fn lease(&self, call: u64, attempt: u32, worst: Worst) -> Result<Worst, Refusal> {
        let account = self.account(attempt);
        let mut account = account.lock().await;
        let left = self.left(&mut account, attempt).await?;
        let aside = |worst: &Worst, micros| Aside { micros, lowered_to: worst.lowered().and(worst.output_tokens()) };
        let Left::Micros(left) = left else {
            account.reserved.insert(call, aside(&worst, 0));
            return Ok(worst);
        };
        let worst = worst.for_money()?;
        let most = worst.micros().unwrap_or(u64::MAX);
        let least = worst.least().micros().unwrap_or(most);
        let free = left.saturating_sub(account.reserved.values().map(|aside| aside.micros).sum());
        let worst = if free < most {
            let asked = Input::LeaseAsked {
                attempt: AttemptId(attempt),
                micros: Micros(most - free),
                least: Micros(least.saturating_sub(free)),
            };
            let more = self.ask(asked, free >= least).await?;
            account.left = Some(Left::Micros(left.saturating_add(more)));
            worst.within(Some(free.saturating_add(more)), None).unwrap_or(worst)
        } else {
            worst
        };
        let micros = worst.micros().unwrap_or(most);
        account.reserved.insert(call, aside(&worst, micros));
        Ok(worst)
    }

    /// A turn of the attempt begins: what it is refused from now on counts.
    pub(crate) fn turn_begins(&self, attempt: u32, resumed: bool) {
        self.short().remove(&attempt);
        if !resumed {
            self.tokens().insert(attempt, [0, 0]);
        }
    }

    /// Whether a call of the attempt is on.
    pub(crate) async fn is_calling(&self, attempt: u32) -> bool {
        !self.account(attempt).lock().await.reserved.is_empty()
    }

    /// Tokens, input and output, that the calls of the attempt's turn have used so far; nothing when another engine began it.
    pub(crate) fn of_turn(&self, attempt: u32) -> Option<[u64; 2]> {
        self.tokens().get(&attempt).copied()
    }

    fn tokens(&self) -> std::sync::MutexGuard<'_, BTreeMap<u32, [u64; 2]>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the attempt was refused money since its turn began. How the turn ended is then known, whatever the agent makes of the refusal:
    /// some say that it went wrong, some that they are done.
    pub(crate) fn ran_short(&self, attempt: u32) -> bool {
        self.short().contains(&attempt)
    }

    fn short(&self) -> std::sync::MutexGuard<'_, BTreeSet<u32>> {
        self.short.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until every call of an attempt is booked, but not longer than `most`: a turn's end gives money back, and what is still to be billed
    /// must not be given to somebody else.
    pub(crate) async fn booked(&self, attempt: u32, most: Duration) {
        let account = self.account(attempt);
        let all = async {
            loop {
                let closed = self.closed.notified();
                if account.lock().await.reserved.is_empty() {
                    return;
                }
                closed.await;
            }
        };
        if tokio::time::timeout(most, all).await.is_err() {
            tracing::warn!(attempt, "a model call outlives its turn; its bill comes later");
        }
    }

    async fn left(&self, account: &mut Account, attempt: u32) -> Result<Left, Refusal> {
        if let Some(left) = account.left {
            return Ok(left);
        }
        let look = move |mission: &mission::Mission| {
            let known = mission.attempt(AttemptId(attempt)).is_some();
            (known, mission.lease_left(AttemptId(attempt)))
        };
        let (known, lease) =
            self.mission()?.read(look).await.map_err(|error| refusal(503, "engine", &error.to_string()))?;
        if !known {
            return Err(refusal(403, "attempt_over", "This attempt is over; its key is worth nothing any more."));
        }
        let left = lease.map_or(Left::Unlimited, |lease| Left::Micros(lease.0));
        account.left = Some(left);
        Ok(left)
    }

    /// What the mission grants. `optional`: without more the call goes out with a shorter answer.
    async fn ask(&self, asked: Input, optional: bool) -> Result<u64, Refusal> {
        let told = self.mission()?.tell(asked).await;
        let facts = match told {
            Err(TellError::Rejected(_)) if optional => return Ok(0),
            told => told.map_err(|error| refused(&error.to_string()))?,
        };
        let granted = facts.iter().find_map(|fact| match fact {
            Fact::LeaseGranted { micros, .. } => Some(micros.0),
            _ => None,
        });
        let asked = facts.iter().any(|fact| matches!(fact, Fact::Paused { why: PauseReason::Budget }));
        granted
            .or(optional.then_some(0))
            .ok_or_else(|| refused(if asked { "a person is asked for more" } else { "the budget is used up" }))
    }

    /// Whether a call's answer filled all that it was lowered to: it would have gone on if there had been more.
    async fn was_cut_short(&self, call: u64, attempt: u32, output_tokens: u64) -> bool {
        let account = self.account(attempt);
        let account = account.lock().await;
        let lowered_to = account.reserved.get(&call).and_then(|aside| aside.lowered_to);
        lowered_to.is_some_and(|most| output_tokens >= most)
    }

    /// Takes a settled call off the reservations and what it cost off the lease.
    async fn close(&self, call: u64, attempt: u32, cost: u64) {
        self.allowed.lock().await.free(call);
        let account = self.account(attempt);
        let mut account = account.lock().await;
        account.reserved.remove(&call);
        self.closed.notify_waiters();
        if let Some(Left::Micros(left)) = account.left {
            account.left = Some(Left::Micros(left.saturating_sub(cost)));
        }
    }

    /// Which prices a cost was computed with.
    fn prices_of(&self, source: PriceSource) -> &str {
        match source {
            PriceSource::Table | PriceSource::Refreshed => &self.prices_version,
            PriceSource::Configured => "configured",
            PriceSource::Provider | PriceSource::Scripted | PriceSource::Replayed | PriceSource::NotBilled => "",
        }
    }

    fn row(&self, settled: &Settled) -> CallRow {
        let Settled { call, usage, .. } = settled;
        let (cost_micros, cost_source, prices) = match settled.cost {
            Cost::Known { micros, source } => (Some(micros), source.word(), self.prices_of(source)),
            Cost::Unknown => (None, "unknown", ""),
        };
        let (status, outcome) = match settled.outcome {
            Outcome::Complete => (settled.answer.as_ref().map_or(200, |answer| answer.status), "complete"),
            Outcome::Refused { status } => (status, "refused"),
            Outcome::Failed => (200, "failed"),
            Outcome::Cut => (200, "cut"),
            Outcome::Unreachable => (0, "unreachable"),
        };
        CallRow {
            mission: call.mission.as_str().into(),
            agent: call.agent.clone(),
            attempt: call.attempt,
            digest: call.digest.to_string(),
            model: self.notes.masking.text(&call.model).into_owned(),
            upstream: call.upstream.clone(),
            format: call.format.name().to_owned(),
            input_tokens: Some(usage.input_tokens),
            output_tokens: Some(usage.output_tokens),
            reasoning_tokens: Some(usage.reasoning_tokens),
            cache_read_tokens: Some(usage.cache_read_tokens),
            cache_write_tokens: Some(usage.cache_write_tokens.saturating_add(usage.cache_write_long_tokens)),
            cost_micros,
            cost_source: if usage.estimated { "estimated".to_owned() } else { cost_source.to_owned() },
            prices_version: prices.to_owned(),
            status,
            outcome: outcome.to_owned(),
            duration_ms: settled.ms,
            first_byte_ms: settled.ttfb_ms,
            at_ms: self.clock.now().0,
        }
    }
}

impl gateway::Ledger for Meter {
    async fn recall(&self, call: &Call) -> Option<StoredAnswer> {
        let recalled = self.store.recall(&call.mission.as_str().into(), call.attempt?, &call.digest.to_string());
        match recalled {
            Ok(answer) => answer.map(|answer| StoredAnswer {
                status: answer.status,
                content_type: answer.content_type,
                body: answer.body.into(),
            }),
            Err(error) => {
                tracing::error!(%error, "stored answers cannot be read; the call is made anew");
                None
            }
        }
    }

    async fn reserve(&self, call: &Call, worst: Worst) -> Result<Worst, Refusal> {
        let none =
            || refusal(403, "no_task", "You have no task at the moment, so there is nothing to call a model for.");
        let attempt = call.attempt.ok_or_else(none)?;
        let aside = self.set_aside(call.id, attempt, worst).await;
        aside.map_err(|refusal| match refusal.kind == BUDGET {
            true => {
                self.short().insert(attempt);
                Refusal { status: status_at_the_cap(call.format), ..refusal }
            }
            false => refusal,
        })
    }

    async fn settle(&self, settled: Settled) -> Result<(), String> {
        let attempt = settled.call.attempt.ok_or("a call without an attempt was let through")?;
        let row = self.row(&settled);
        let cost = row.cost_micros.map(Micros);
        let usage = Usage {
            input_tokens: settled.usage.input_total(),
            cached_tokens: settled.usage.cache_read_tokens,
            output_tokens: settled.usage.output_tokens,
            cost,
        };
        if let Some([input, output]) = self.tokens().get_mut(&attempt) {
            *input += usage.input_tokens;
            *output += usage.output_tokens;
        }
        let call = settled.call.id;
        if self.was_cut_short(call, attempt, settled.usage.output_tokens).await {
            self.short().insert(attempt);
        }
        let answer = settled.answer.map(|answer| Answer {
            status: answer.status,
            content_type: answer.content_type,
            body: answer.body.to_vec(),
        });
        let handle = self.mission().map_err(|refusal| refusal.message)?;
        let told = loop {
            let input = Input::UsageSettled { attempt: AttemptId(attempt), usage };
            match handle.tell_with(input, Some((row.clone(), answer.clone()))).await {
                // The money is spent: the bill waits for room on the disk, and the end of the answer with it.
                Err(TellError::NoSpace) => tokio::time::sleep(FULL_DISK_PAUSE).await,
                told => break told,
            }
        };
        self.close(call, attempt, cost.unwrap_or_default().0).await;
        told.map(drop).map_err(|error| error.to_string())
    }

    fn asked_again(&self, call: &Call, again: &gateway::Again) {
        let gateway::Again { next, of, why, pause } = again;
        let again = Console::Again {
            upstream: call.upstream.clone(),
            next: *next,
            of: *of,
            why: why.clone(),
            pause_ms: u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
        };
        self.notes.transcripts.push(Chunk {
            mission: call.mission.as_str().into(),
            agent: call.agent.clone(),
            attempt: None,
            at_ms: self.clock.now().0,
            kind: CONSOLE.to_owned(),
            bytes: serde_json::to_vec(&again).unwrap_or_default(),
        });
    }

    async fn limited(&self, call: &Call, reset_in: Duration) {
        let Some(attempt) = call.attempt.map(AttemptId) else { return };
        let until = self.clock.now().after(u64::try_from(reset_in.as_millis()).unwrap_or(u64::MAX));
        // The mission refuses what it knows already; and an attempt that is over waits for nothing.
        if let Ok(mission) = self.mission() {
            let _ = mission.tell(Input::RateLimited { attempt, until }).await;
        }
    }

    fn secret_found(&self, by: &Tag, name: &str, refused: bool) {
        let what = if refused { "the call was refused" } else { "it was masked" };
        let text = format!("a request to the model held the secret {name}; {what}");
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if !noted.insert((by.agent.clone(), text.clone())) {
            return;
        }
        self.notes.transcripts.push(Chunk {
            mission: by.mission.as_str().into(),
            agent: by.agent.clone(),
            attempt: None,
            at_ms: self.clock.now().0,
            kind: "note".to_owned(),
            bytes: serde_json::to_vec(&Update::Note { text }).unwrap_or_default(),
        });
    }
}

fn refused(text: &str) -> Refusal {
    let message =
        format!("Nothing is left for this call: {text}. End your turn now; you will be asked to go on when there is.");
    refusal(402, BUDGET, &message)
}

/// The kind of a refusal for want of money.
const BUDGET: &str = "budget";

/// What makes a client end its turn instead of trying again, as measured with the vendors' own programs: Codex (Responses) posts 402 and 403 six times
/// and 400 once; Claude Code (Messages) posts 402 once. `docs/budgets.md` has the table.
fn status_at_the_cap(format: Format) -> u16 {
    match format {
        Format::OpenAiResponses => 400,
        Format::OpenAiChat | Format::Anthropic | Format::Gemini => 402,
    }
}

fn refusal(status: u16, kind: &str, message: &str) -> Refusal {
    Refusal { status, message: message.to_owned(), kind: kind.to_owned() }
}

mod allowed;

#[cfg(test)]
mod tests;
