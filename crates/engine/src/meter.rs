//! The books behind the gateway: money is set aside before a call and settled after it.
//!
//! The mission grants leases per attempt; within a lease the meter reserves the worst case of each call, so that calls that run at the same
//! time cannot pass it together. When a lease is short the mission is asked for more while the call waits. What a call has set aside is durable
//! before the call goes out ([`open`]), so that an end of the engine leaves nothing unbooked. The last bytes of an answer
//! reach the agent only when the call and its bill are durable, so that an answer that an agent has seen is never paid twice.
//!
//! A provider may bill more than its request allowed. That is booked as it is, people are told, and the next requests for that model are bounded by the
//! worst ratio seen.

use crate::{
    clock::Clock,
    driver::{Booking, FULL_DISK_PAUSE, Handle, TellError},
    fault::Faults,
    masking::Masking,
};
use accounts::Accounts;
use agents::acp::Update;
use allowed::Allowed;
use gateway::{Call, Cost, Format, Outcome, PriceSource, Refusal, Settled, StoredAnswer, Tag, Trouble, What, Worst};
use mission::{AttemptId, Input, Micros, Usage};
use open::Open;
pub(crate) use open::{Vault, unseen};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};
use store::{Answer, CallRow, Chunk, Transcripts};
use tokio::sync::Notify;
use troubles::Troubles;
use view::{CONSOLE, Console};

/// The engine's ledger for one mission.
pub struct Meter {
    vault: Vault,
    clock: Clock,
    faults: Arc<Faults>,
    /// Which price table the gateway uses.
    prices_version: String,
    handle: OnceLock<Handle>,
    accounts: Mutex<Accounts>,
    /// Calls that are on.
    open: Mutex<BTreeMap<u64, Open>>,
    /// The most input that was billed for a model, and the most that its request could hold.
    ratios: Mutex<BTreeMap<String, (u64, u64)>>,
    /// What calls that are on have set aside of allowances. Held while the mission says what is left, so that no two calls get the same.
    allowed: tokio::sync::Mutex<Allowed>,
    /// Attempts with a call in the turn that there was no money for.
    short: Mutex<BTreeSet<u32>>,
    /// What the calls of each attempt's turn met.
    troubles: Mutex<Troubles>,
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

impl Meter {
    pub(crate) fn new(vault: Vault, clock: Clock, faults: Arc<Faults>, prices_version: String, notes: Notes) -> Self {
        let (accounts, allowed, short, troubles, tokens, noted) = Default::default();
        let (handle, closed, open, ratios) = (OnceLock::new(), Notify::new(), Mutex::default(), Mutex::default());
        let meter = Self {
            vault,
            clock,
            faults,
            prices_version,
            handle,
            accounts,
            open,
            ratios,
            allowed,
            short,
            troubles,
            tokens,
            closed,
            notes,
            noted,
        };
        meter.remember_ratios();
        meter
    }

    /// Says which mission it keeps the books of; once.
    pub(crate) fn serve(&self, handle: Handle) {
        // A second time would be the same mission.
        let _ = self.handle.set(handle);
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

    /// A turn of the attempt begins: what it is refused from now on counts.
    pub(crate) fn turn_begins(&self, attempt: u32, resumed: bool, upstream: &str) {
        self.short().remove(&attempt);
        self.troubles().turn_begins(attempt, upstream);
        if !resumed {
            self.tokens().insert(attempt, [0, 0]);
        }
    }

    /// What the last call of the attempt's turn met, when it brought no answer.
    pub(crate) fn trouble(&self, attempt: u32) -> Option<Trouble> {
        self.troubles().of(attempt)
    }

    fn troubles(&self) -> std::sync::MutexGuard<'_, Troubles> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a call of the attempt is on.
    pub(crate) fn is_calling(&self, attempt: u32) -> bool {
        self.accounts().get(&attempt).is_some_and(|account| !account.reserved.is_empty())
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
        let all = async {
            loop {
                let closed = self.closed.notified();
                tokio::pin!(closed);
                // From here on no booking is missed.
                closed.as_mut().enable();
                if !self.is_calling(attempt) {
                    return;
                }
                closed.await;
            }
        };
        if tokio::time::timeout(most, all).await.is_err() {
            tracing::warn!(attempt, "a model call outlives its turn; its bill comes later");
        }
    }

    /// A rule of ours that holds for every call like this one.
    fn rule_refused(&self, call: &Call, refusal: &Refusal) {
        let lasting = LASTING_RULES.contains(&refusal.kind.as_str());
        let what = What::Refused { rule: refusal.kind.clone(), words: refusal.message.clone() };
        let (upstream, address) = (call.upstream.clone(), String::new());
        self.troubles().failed(call, Trouble { upstream, address, tries: 0, lasting, what });
    }

    /// Whether a call's answer filled all that it was lowered to: it would have gone on if there had been more.
    fn was_cut_short(&self, call: u64, attempt: u32, output_tokens: u64) -> bool {
        let accounts = self.accounts();
        let aside = accounts.get(&attempt).and_then(|account| account.reserved.get(&call));
        let lowered_to = aside.and_then(|aside| aside.lowered_to);
        lowered_to.is_some_and(|most| output_tokens >= most)
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
            process: call.process,
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
            bound_tokens: None,
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
        let (mission, digest) = (call.mission.as_str().into(), call.digest.to_string());
        let recalled = self.vault.store().recall(&mission, call.attempt?, &digest, call.process);
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
        if let Some(known) = self.troubles().known(call) {
            return Err(troubles::refusal(&known, status_at_the_cap(call.format)));
        }
        let bound = worst.input_tokens();
        let worst = self.stretched(&call.model, worst);
        let aside = self.set_aside(call.id, attempt, worst).await;
        if let Ok(worst) = &aside
            && let Err(refusal) = self.write_down(call, attempt, worst, bound).await
        {
            self.close(call.id, attempt, 0).await;
            return Err(refusal);
        }
        aside.map_err(|refusal| match refusal.kind == BUDGET {
            true => {
                self.short().insert(attempt);
                Refusal { status: status_at_the_cap(call.format), ..refusal }
            }
            false => {
                self.rule_refused(call, &refusal);
                refusal
            }
        })
    }

    async fn settle(&self, settled: Settled) -> Result<(), String> {
        let attempt = settled.call.attempt.ok_or("a call without an attempt was let through")?;
        // The engine ends and has booked it at its worst case.
        if settled.outcome == Outcome::Complete {
            self.troubles().answered(attempt);
        }
        let Some(open) = self.open().remove(&settled.call.id) else { return Ok(()) };
        let mut row = self.row(&settled);
        let cost = row.cost_micros.map(Micros);
        let mut usage = Usage {
            input_tokens: settled.usage.input_total(),
            cached_tokens: settled.usage.cache_read_tokens,
            output_tokens: settled.usage.output_tokens,
            cost,
            estimated: settled.usage.estimated,
            beyond: None,
        };
        self.compare(&open, &mut usage, &mut row);
        if let Some([input, output]) = self.tokens().get_mut(&attempt) {
            *input += usage.input_tokens;
            *output += usage.output_tokens;
        }
        let call = settled.call.id;
        if self.was_cut_short(call, attempt, settled.usage.output_tokens) {
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
            let reservation = Some(open.reservation.key);
            let booking = Booking { row: row.clone(), answer: answer.clone(), reservation };
            match handle.tell_with(input, Some(booking)).await {
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

    fn failed(&self, call: &Call, trouble: Trouble) {
        self.troubles().failed(call, trouble);
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

/// Refusals that what was set up leads to, and not what was spent.
const LASTING_RULES: [&str; 2] = ["unknown_price", "unknown_limit"];

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

mod accounts;
mod allowed;
mod beyond;
mod open;
mod troubles;

#[cfg(test)]
mod tests;
