//! How many calls an upstream gets at a time and in a minute. Who waits is served in turn, agent by agent, so that one
//! with many calls does not keep the others waiting.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);

/// What an upstream may be asked at most; `None`: as much as comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Calls under way at one time, from 1.
    pub concurrency: Option<u32>,
    /// Calls begun in any 60 seconds, from 1.
    pub requests_per_minute: Option<u32>,
}

/// The queue before one upstream.
pub(crate) struct Queue {
    pace: Pace,
    line: Mutex<InLine>,
    /// Told whenever a call ends.
    ended: Notify,
}

#[derive(Default)]
struct InLine {
    running: u32,
    /// When the calls of the last minute began.
    begun: VecDeque<Instant>,
    waiting: BTreeMap<String, VecDeque<oneshot::Sender<Place>>>,
    /// The agents that wait, next first.
    turns: VecDeque<String>,
}

/// The right to make one call, until it is dropped.
pub(crate) struct Place(Option<Arc<Queue>>);

impl Queue {
    pub(crate) fn new(pace: Pace) -> Arc<Self> {
        Arc::new(Queue { pace, line: Mutex::default(), ended: Notify::new() })
    }

    /// Waits until that agent may make a call.
    pub(crate) async fn enter(self: &Arc<Self>, agent: &str) -> Place {
        if self.pace == Pace::default() {
            return Place(None);
        }
        let (grant, mut granted) = oneshot::channel();
        self.lock().join(agent, grant);
        loop {
            let ended = self.ended.notified();
            let wait = self.serve(Instant::now());
            let turn = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                // The sender is dropped only after it has sent.
                Ok(place) = &mut granted => return place,
                () = ended => {}
                () = turn => {}
            }
        }
    }

    /// How many calls wait.
    pub(crate) fn waiting(&self) -> usize {
        self.lock().waiting.values().flatten().filter(|grant| !grant.is_closed()).count()
    }

    /// Lets in whoever may; says how long it is until the next may, when that is a matter of time.
    fn serve(self: &Arc<Self>, now: Instant) -> Option<Duration> {
        let mut line = self.lock();
        loop {
            if self.pace.concurrency.is_some_and(|most| line.running >= most.max(1)) {
                return None;
            }
            if let Some(wait) = self.pace.requests_per_minute.and_then(|most| line.full_for(most.max(1), now)) {
                return Some(wait);
            }
            let grant = line.next()?;
            line.running += 1;
            line.begun.push_back(now);
            if let Err(mut unused) = grant.send(Place(Some(Arc::clone(self)))) {
                // Who waited has gone. Dropped as it is the place would ask for the lock that is held here.
                unused.0 = None;
                line.running -= 1;
                line.begun.pop_back();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, InLine> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InLine {
    fn join(&mut self, agent: &str, grant: oneshot::Sender<Place>) {
        let queue = self.waiting.entry(agent.to_owned()).or_default();
        if queue.is_empty() {
            self.turns.push_back(agent.to_owned());
        }
        queue.retain(|waiting| !waiting.is_closed());
        queue.push_back(grant);
    }

    fn next(&mut self) -> Option<oneshot::Sender<Place>> {
        loop {
            let agent = self.turns.pop_front()?;
            let Some(queue) = self.waiting.get_mut(&agent) else { continue };
            let grant = queue.pop_front();
            if queue.is_empty() {
                self.waiting.remove(&agent);
            } else {
                self.turns.push_back(agent);
            }
            if grant.as_ref().is_some_and(|grant| !grant.is_closed()) {
                return grant;
            }
        }
    }

    /// How long the minute's calls are used up; `None`: they are not.
    fn full_for(&mut self, most: u32, now: Instant) -> Option<Duration> {
        while self.begun.front().is_some_and(|begun| now.duration_since(*begun) >= MINUTE) {
            self.begun.pop_front();
        }
        let oldest = *self.begun.front().filter(|_| self.begun.len() >= most as usize)?;
        Some(MINUTE - now.duration_since(oldest))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(queue) = self.0.take() {
            queue.lock().running -= 1;
            queue.serve(Instant::now());
            queue.ended.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn settle() {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    /// Lets each agent of `agents` queue up in that order; tells in which order they get in.
    fn join(
        queue: &Arc<Queue>,
        agents: &[&'static str],
        told: &tokio::sync::mpsc::UnboundedSender<(&'static str, Place)>,
    ) {
        for agent in agents {
            let (grant, granted) = oneshot::channel();
            queue.lock().join(agent, grant);
            let (told, agent) = (told.clone(), *agent);
            tokio::spawn(async move {
                let _ = told.send((agent, granted.await.unwrap()));
            });
        }
    }

    #[tokio::test]
    async fn agents_take_turns() {
        let queue = Queue::new(Pace { concurrency: Some(1), requests_per_minute: None });
        let first = queue.enter("ada").await;
        let (told, mut order) = tokio::sync::mpsc::unbounded_channel();
        join(&queue, &["ada", "ada", "ada", "bob", "cid", "bob"], &told);
        assert_eq!(queue.waiting(), 6);
        drop(first);
        let mut seen = Vec::new();
        for _ in 0..6 {
            let (agent, place) = order.recv().await.unwrap();
            seen.push(agent);
            settle().await;
            assert!(order.try_recv().is_err(), "one at a time");
            drop(place);
        }
        assert_eq!(seen, ["ada", "bob", "cid", "ada", "bob", "ada"]);
    }

    #[tokio::test]
    async fn a_minute_has_so_many_calls() {
        let queue = Queue::new(Pace { concurrency: None, requests_per_minute: Some(2) });
        let (told, mut order) = tokio::sync::mpsc::unbounded_channel();
        join(&queue, &["ada", "bob", "cid", "ada", "bob"], &told);
        let start = Instant::now();
        let seconds = Duration::from_secs;
        let mut let_in = async |after: u64| {
            let wait = queue.serve(start + seconds(after));
            settle().await;
            let mut agents = Vec::new();
            while let Ok((agent, _)) = order.try_recv() {
                agents.push(agent);
            }
            (wait, agents)
        };
        assert_eq!(let_in(0).await, (Some(seconds(60)), vec!["ada", "bob"]));
        assert_eq!(let_in(59).await, (Some(seconds(1)), vec![]));
        assert_eq!(let_in(60).await, (Some(seconds(60)), vec!["cid", "ada"]));
        assert_eq!(let_in(121).await, (None, vec!["bob"]));
    }

    #[tokio::test]
    async fn who_leaves_the_queue_keeps_no_place() {
        let queue = Queue::new(Pace { concurrency: Some(1), requests_per_minute: None });
        let held = queue.enter("ada").await;
        let gone = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { drop(queue.enter("bob").await) }
        });
        settle().await;
        gone.abort();
        let _ = gone.await;
        assert_eq!(queue.waiting(), 0);
        drop(held);
        drop(queue.enter("cid").await);
        assert_eq!(queue.lock().running, 0);
    }
}
