//! From a granted call to the head of an answer: upstreams in their order, each as often as its rules say.
//!
//! Money: a try that certainly was not billed (no connection, an answer with an error status) keeps the reservation for
//! the next. One that may have been (sent, and nothing came back) is settled at its worst, and the next is reserved anew.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use tokio::time::{Instant, timeout};

use crate::body::Body;
use crate::books::Books;
use crate::cassette::{Ending, Heard};
use crate::format::Format;
use crate::gateway::Candidate;
use crate::health::Unwell;
use crate::joined;
use crate::ledger::{Again, Ledger};
use crate::own::problem;
use crate::pace::Place;
use crate::relay::{HeadSender, Order};
use crate::request::with_output;
use crate::retry::{Failure, Next};
use crate::trouble::{Unreached, What};
use crate::upstream::{Asker, Incoming, Outgoing, Unanswered};

/// How much of an answer with status 429 is read, and for how long, before it is known what kind of limit it is.
const PEEK_BYTES: usize = 64 * 1024;
const PEEK_PATIENCE: Duration = Duration::from_secs(5);

/// A status that the vendors' clients do not try again, for what will not change: Codex (Responses) gives up on 400 alone.
fn status_of_the_end(format: Format) -> StatusCode {
    match format {
        Format::OpenAiResponses => StatusCode::BAD_REQUEST,
        Format::OpenAiChat | Format::Anthropic | Format::Gemini => StatusCode::FAILED_DEPENDENCY,
    }
}

/// What came of all tries. The books are settled, unless there is an answer.
pub(crate) enum Tried {
    /// The upstream that the books have turned to answers; it keeps the place until its end.
    Answered(Box<Incoming>, Place),
    /// This is the agent's answer.
    Refused(Box<Response<Body>>),
    /// The agent hung up.
    Gone,
}

/// Why an upstream is done with.
enum Left<'a> {
    /// Its answer is an error, which is passed on if nobody has a better one.
    Error(&'a Candidate, Box<Incoming>, Place, Option<Duration>),
    Unanswered(String, Failure, Unreached),
    Unwell(String, Unwell),
    Full(String),
}

/// One upstream's end of it.
enum Ended<'a> {
    Answered(Box<Incoming>, Place),
    Left(Left<'a>),
    Refused(Box<Response<Body>>),
    Gone,
}

/// Asks until somebody answers.
pub(crate) async fn answer<'a, L: Ledger>(
    books: &mut Books<'a, L>,
    order: &'a Order,
    head: &mut HeadSender,
    asked: &joined::Place<'_>,
) -> Tried {
    let mut waited = Duration::ZERO;
    let mut best = None;
    for (number, candidate) in order.candidates.iter().enumerate() {
        books.turn_to(candidate);
        let others = number + 1 < order.candidates.len();
        match ask(books, order, candidate, (&mut *head, asked), others, &mut waited).await {
            Ended::Answered(incoming, place) => return Tried::Answered(incoming, place),
            Ended::Refused(response) => return Tried::Refused(response),
            Ended::Gone => {
                books.settle_unused().await;
                return Tried::Gone;
            }
            Ended::Left(left) => {
                best = Some(match best {
                    Some(best) => better(best, left),
                    None => left,
                });
            }
        }
    }
    match best {
        Some(left) => give_up(books, left).await,
        None => Tried::Gone,
    }
}

/// A provider's own words are worth more than ours, and what went wrong more than what was not tried.
fn better<'a>(earlier: Left<'a>, later: Left<'a>) -> Left<'a> {
    let rank = |left: &Left<'_>| match left {
        Left::Error(..) => 3,
        Left::Unanswered(..) => 2,
        Left::Unwell(..) => 1,
        Left::Full(_) => 0,
    };
    if rank(&later) > rank(&earlier) { later } else { earlier }
}

/// Asks one upstream as often as its rules say.
async fn ask<'a, L: Ledger>(
    books: &mut Books<'a, L>,
    order: &'a Order,
    candidate: &'a Candidate,
    (head, asked): (&mut HeadSender, &joined::Place<'_>),
    others: bool,
    waited: &mut Duration,
) -> Ended<'a> {
    let line = books.line;
    let mut tries = 0;
    loop {
        let place = tokio::select! {
            place = timeout(books.core.limits.head, line.queue.enter(&order.call.agent)) => place,
            () = head.closed() => return Ended::Gone,
        };
        let Ok(place) = place else { return Ended::Left(Left::Full(line.name.clone())) };
        // What was recorded is answered as it was recorded, however bad.
        let watched = line.cassette().is_none();
        let admitted = if watched { line.health().admit(&candidate.model, Instant::now()) } else { Ok(()) };
        if let Err(unwell) = admitted {
            return Ended::Left(Left::Unwell(line.name.clone(), unwell));
        }
        if let Err(response) = books.open().await {
            line.health().undecided();
            return Ended::Refused(response);
        }
        tries += 1;
        books.tries = tries;
        let mut answered = answer_head(books, outgoing(order, candidate, books), head, asked).await;
        let failure = judge(books, &answered);
        let Some(failure) = failure else {
            match answered {
                Ok(incoming) => return Ended::Answered(Box::new(incoming), place),
                Err(_) => return Ended::Gone,
            }
        };
        let reset_in = line.rules.retries.beyond_waiting(failure);
        if let Some(reset_in) = reset_in.filter(|_| watched) {
            line.health().limit(&candidate.model, reset_in, Instant::now());
        }
        if failure == Failure::Lost {
            books.settle_lost().await;
        }
        let next = match is_used_up(&mut answered).await {
            true if others => Next::Elsewhere,
            true => Next::GiveUp,
            false => line.rules.retries.next(failure, tries, *waited, others),
        };
        let Next::Again(pause) = next else {
            return Ended::Left(match answered {
                Ok(incoming) => Left::Error(candidate, Box::new(incoming), place, reset_in),
                Err(Unanswered::Unreachable(why)) => Left::Unanswered(line.name.clone(), failure, why),
                Err(Unanswered::Lost) => Left::Unanswered(line.name.clone(), failure, Unreached::default()),
            });
        };
        let why = match &answered {
            Ok(incoming) => incoming.status.to_string(),
            Err(Unanswered::Unreachable(_)) => "no connection".to_owned(),
            Err(Unanswered::Lost) => "no answer".to_owned(),
        };
        books.asked_again(&Again { next: tries + 1, of: line.rules.retries.count + 1, why, pause });
        // Neither the broken answer nor the place is held while nothing is done.
        drop((answered, place));
        *waited += pause;
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = head.closed() => return Ended::Gone,
        }
    }
}

/// What kind of failure it is, if it is one; keeps the upstream's health.
fn judge<L: Ledger>(books: &Books<'_, L>, answered: &Result<Incoming, Unanswered>) -> Option<Failure> {
    let failure = match answered {
        Ok(incoming) => Failure::of(incoming.status, &incoming.headers),
        Err(Unanswered::Unreachable(_)) => Some(Failure::Unreachable),
        Err(Unanswered::Lost) => Some(Failure::Lost),
    };
    if books.line.cassette().is_some() {
        return failure;
    }
    let mut health = books.line.health();
    match failure {
        None | Some(Failure::Limited(_)) => health.answered(),
        Some(_) => health.failed(Instant::now()),
    }
    failure
}

/// Whether the answer says that what was bought is used up: no pause helps, unlike against a limit of the rate, though both have status 429.
async fn is_used_up(answered: &mut Result<Incoming, Unanswered>) -> bool {
    match answered {
        Ok(incoming) if incoming.status == StatusCode::TOO_MANY_REQUESTS => {
            let read = incoming.peek(PEEK_BYTES, PEEK_PATIENCE).await;
            What::answered(incoming.status.as_u16(), &read).lasts()
        }
        _ => false,
    }
}

fn outgoing<L: Ledger>(order: &Order, candidate: &Candidate, books: &Books<'_, L>) -> Outgoing {
    let call = &order.call;
    let body = if books.without_hosted() { order.wanted.without_hosted() } else { order.wanted.body.clone() };
    let mut outgoing = Outgoing {
        asker: Asker { mission: call.mission.clone(), agent: call.agent.clone(), attempt: call.attempt },
        format: call.format,
        model: call.model.clone(),
        stream: call.stream,
        path_and_query: order.path_and_query.clone(),
        headers: order.headers.clone(),
        body: match books.lowered() {
            Some(tokens) => with_output(call.format, &body, tokens),
            None => body,
        },
    };
    outgoing.rename(&call.model, &candidate.model);
    outgoing
}

/// Waits for the head of the answer: as long as the limits allow, less when the agent has gone.
async fn answer_head<L: Ledger>(
    books: &Books<'_, L>,
    outgoing: Outgoing,
    head: &mut HeadSender,
    asked: &joined::Place<'_>,
) -> Result<Incoming, Unanswered> {
    let (line, limits) = (books.line, &books.core.limits);
    let asking = timeout(line.rules.first_byte.unwrap_or(limits.head), line.ask(outgoing));
    tokio::pin!(asking);
    let answered = tokio::select! {
        answered = &mut asking => answered,
        () = head.closed() => {
            asked.leave();
            timeout(limits.drain, asking).await.map_err(|_| Unanswered::Lost)?
        }
    };
    answered.map_err(|_| Unanswered::Lost)?
}

/// Nobody answers: what is known is told.
async fn give_up<'a, L: Ledger>(books: &mut Books<'a, L>, left: Left<'a>) -> Tried {
    let format = books.call.format;
    let ending = match &left {
        Left::Unanswered(_, Failure::Lost, _) => Some(Ending::Lost),
        Left::Unanswered(..) => Some(Ending::Unreachable),
        _ => None,
    };
    if let Some(ending) = ending {
        books.keep(Heard { ending, status: None, headers: HeaderMap::new(), body: None }).await;
    }
    let (status, code, message, wait) = match left {
        Left::Error(candidate, incoming, place, reset_in) => {
            books.turn_to(candidate);
            if let Some(reset_in) = reset_in {
                books.limited(reset_in).await;
            }
            if let Err(response) = books.open().await {
                return Tried::Refused(response);
            }
            return Tried::Answered(incoming, place);
        }
        Left::Unanswered(name, Failure::Lost, _) => {
            books.failed(What::Unanswered { words: "took the request and did not answer".to_owned() }, false);
            let message = format!("The upstream {name} took the request and did not answer.");
            (StatusCode::GATEWAY_TIMEOUT, "upstream", message, None)
        }
        Left::Unanswered(name, _, why) => {
            let message = format!("The upstream {name} cannot be reached. Is it running, and is its base_url right?");
            let status = if why.lasting { status_of_the_end(format) } else { StatusCode::BAD_GATEWAY };
            books.failed(What::Unreachable { words: why.words }, why.lasting);
            (status, "upstream", message, None)
        }
        Left::Unwell(name, Unwell::Limited(wait)) => {
            let message = format!("The upstream {name} takes no calls of this model until its rate limit is reset.");
            (StatusCode::TOO_MANY_REQUESTS, "rate_limit", message, Some(wait))
        }
        Left::Unwell(name, Unwell::Broken(wait)) => {
            let message = format!("The upstream {name} failed again and again; it is left alone for a while.");
            books.failed(
                What::Unanswered { words: "failed again and again and is left alone for a while".to_owned() },
                false,
            );
            (StatusCode::SERVICE_UNAVAILABLE, "upstream", message, Some(wait))
        }
        Left::Full(name) => {
            let message = format!("The upstream {name} is busy with other calls.");
            books.failed(What::Unanswered { words: "was busy with other calls for too long".to_owned() }, false);
            (StatusCode::SERVICE_UNAVAILABLE, "busy", message, None)
        }
    };
    books.settle_unused().await;
    if let (StatusCode::TOO_MANY_REQUESTS, Some(wait)) = (status, wait) {
        books.limited(wait).await;
    }
    let mut response = problem(format, status, code, &message);
    if let Some(wait) = wait {
        let seconds = wait.as_millis().div_ceil(1000).min(u128::from(u32::MAX)) as u64;
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    Tried::Refused(response.into())
}
