//! One call's account with the ledger: reserved, settled, and once more for a try that follows one which may have been
//! billed.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::{Response, StatusCode};

use crate::body::Body;
use crate::cassette::Heard;
use crate::gateway::{Candidate, Core};
use crate::ledger::{Again, Call, Ledger, Outcome, Settled, StoredAnswer};
use crate::meter::Meter;
use crate::own::problem;
use crate::price::PriceSource;
use crate::relay::{Order, millis};
use crate::request::Wanted;
use crate::trouble::{Trouble, What};
use crate::upstream::Line;
use crate::worst::Worst;
use tariff::{Cost, Usage};

/// What is needed to settle a call.
pub(crate) struct Books<'a, L: Ledger> {
    pub(crate) core: &'a Core<L>,
    /// The upstream that is asked.
    pub(crate) line: &'a Line,
    /// What it calls the model.
    pub(crate) model: &'a str,
    pub(crate) call: Call,
    pub(crate) started: Instant,
    /// How many times the upstream was asked.
    pub(crate) tries: u32,
    wanted: &'a Wanted,
    /// Path and query.
    path: &'a str,
    worst: Worst,
    /// What is set aside for it, while it is.
    reserved: Option<Worst>,
    /// What was set aside last: what goes out is bounded by it.
    granted: Option<Worst>,
}

impl<'a, L: Ledger> Books<'a, L> {
    /// `worst`: the most it can use, whoever answers. `None` when the order names no upstream.
    pub(crate) fn of(core: &'a Core<L>, order: &'a Order, worst: Worst) -> Option<Self> {
        let first = order.candidates.first()?;
        Some(Books {
            core,
            line: core.lines.get(first.line)?,
            model: &first.model,
            call: order.call.clone(),
            started: Instant::now(),
            tries: 0,
            wanted: &order.wanted,
            path: &order.path_and_query,
            worst,
            reserved: None,
            granted: None,
        })
    }

    /// Sets the money aside, unless it is already; a call that was settled before gets a number of its own. The error
    /// is the agent's answer.
    pub(crate) async fn open(&mut self) -> Result<(), Box<Response<Body>>> {
        if self.reserved.is_some() {
            return Ok(());
        }
        match self.core.ledger.reserve(&self.call, self.worst.clone()).await {
            Ok(granted) => {
                self.granted = Some(granted.clone());
                self.reserved = Some(granted);
                self.started = Instant::now();
                Ok(())
            }
            Err(refusal) => {
                self.core.refused.fetch_add(1, Ordering::Relaxed);
                let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::FORBIDDEN);
                Err(problem(self.call.format, status, &refusal.kind, &refusal.message).into())
            }
        }
    }

    /// What each answer may have at most, if the books granted less than the request asks for.
    pub(crate) fn lowered(&self) -> Option<u64> {
        self.granted.as_ref().and_then(Worst::lowered)
    }

    /// Whether what the provider would run itself is left out.
    pub(crate) fn without_hosted(&self) -> bool {
        self.granted.as_ref().is_some_and(|granted| granted.without_hosted)
    }

    /// Turns to another upstream.
    pub(crate) fn turn_to(&mut self, candidate: &'a Candidate) {
        if let Some(line) = self.core.lines.get(candidate.line) {
            self.line = line;
            self.tries = 0;
            self.model = &candidate.model;
            self.call.upstream.clone_from(&line.name);
        }
    }

    /// Settles a try that may have been billed and brought nothing. What follows is another call.
    pub(crate) async fn settle_lost(&mut self) {
        self.settle(Outcome::Cut, None, None, None).await;
        self.call.id = self.core.next_id();
    }

    /// Gives the money back, if any is set aside.
    pub(crate) async fn settle_unused(&mut self) {
        if self.reserved.is_some() {
            self.settle(Outcome::Unreachable, None, None, None).await;
        }
    }

    /// Tells the ledger of a further try.
    pub(crate) fn asked_again(&self, again: &Again) {
        self.core.ledger.asked_again(&self.call, again);
    }

    /// Tells the ledger that the call brought no answer.
    pub(crate) fn failed(&self, what: What, lasting: bool) {
        let trouble = Trouble {
            upstream: self.line.name.clone(),
            address: self.line.address(self.path),
            tries: self.tries,
            lasting: lasting || what.lasts(),
            what,
        };
        self.core.ledger.failed(&self.call, trouble);
    }

    /// Tells the ledger of a rate limit.
    pub(crate) async fn limited(&self, reset_in: Duration) {
        self.core.ledger.limited(&self.call, reset_in).await;
    }

    /// Keeps the call in the cassette, if there is one: before it is settled, so that no answer is used that is not kept.
    /// Of several tries the last is kept.
    pub(crate) async fn keep(&self, heard: Heard) {
        if let Some(recorder) = self.core.recorder.get() {
            recorder.keep(&self.call, self.path.to_owned(), self.wanted.body.clone(), heard).await;
        }
    }

    /// Settles; false when the ledger could not write.
    pub(crate) async fn settle(
        &mut self,
        outcome: Outcome,
        meter: Option<&Meter>,
        answer: Option<StoredAnswer>,
        ttfb_ms: Option<u64>,
    ) -> bool {
        if matches!(outcome, Outcome::Complete | Outcome::Failed | Outcome::Refused { .. }) {
            self.line.answered.fetch_add(1, Ordering::Relaxed);
        }
        self.reserved = None;
        let (usage, cost) = self.usage_and_cost(outcome, meter);
        let ms = millis(self.started.elapsed());
        let settled = Settled { call: self.call.clone(), usage, cost, answer, ms, ttfb_ms, outcome };
        let written = self.core.ledger.settle(settled).await;
        if let Err(error) = &written {
            tracing::error!(call = self.call.id, agent = %self.call.agent, %error, "a call could not be settled");
        }
        written.is_ok()
    }

    fn usage_and_cost(&self, outcome: Outcome, meter: Option<&Meter>) -> (Usage, Cost) {
        if matches!(outcome, Outcome::Refused { .. } | Outcome::Unreachable) {
            return (Usage::default(), Cost::Known { micros: 0, source: PriceSource::NotBilled });
        }
        let priced = self.core.price_for(self.line, self.model);
        let price = priced.as_ref().and_then(|priced| priced.price);
        let input_max = self.wanted.input_max(price).unwrap_or(0);
        let granted = self.granted.as_ref().and_then(Worst::output_tokens);
        let output_max = self.wanted.output_max(price).into_iter().chain(granted).min();
        let reading = meter.map(|meter| meter.reading.clone()).unwrap_or_default();
        let usage = match meter {
            Some(_) => reading.usage(input_max, output_max),
            // Nothing of the answer was seen: it may have been written in full.
            None => Usage {
                input_tokens: input_max,
                output_tokens: output_max.unwrap_or(0),
                estimated: true,
                ..Usage::default()
            },
        };
        // Your own price comes first, then what the provider says, then the table.
        let listed = priced.as_ref().is_none_or(|priced| priced.is_listed());
        let billed = reading.billed.filter(|_| listed && !usage.estimated);
        let cost = match billed {
            Some(micros) => Some(Cost::Known { micros, source: PriceSource::Provider }),
            None => priced.and_then(|priced| priced.cost(&usage, reading.service_tier.as_deref())),
        };
        (usage, cost.unwrap_or(Cost::Unknown))
    }
}
