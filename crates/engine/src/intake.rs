//! How much of what agents send is held in memory at a time, by one agent and by all, and for how long.
//!
//! A request's body is taken in whole before anything is done with it, so whoever sends it decides what is held. Room is
//! set aside before the first byte is read; what finds none waits in the kernel's buffers, at the sender's cost. A body
//! that does not come to its end in time gives its room back.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::{
    pin::Pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Sleep,
};

/// The largest body that is taken in, in bytes; what the gateway takes, which says so itself.
const BODY_BYTES_MAX: u64 = 32 << 20;
/// Bodies up to here need no room: the number of connections bounds them.
const SMALL_BYTES: u64 = 64 << 10;
/// What one agent may have taken in at a time, in bytes: two of the largest.
const OF_ONE_BYTES: u64 = 2 * BODY_BYTES_MAX;
/// What all of them together may.
const OF_ALL_BYTES: u64 = 512 << 20;
/// Room is counted in these.
const UNIT_BYTES: u64 = 16 << 10;
/// How long a request waits for room.
const WAIT: Duration = Duration::from_secs(120);
/// How long a body may take however small it is, and how long each MiB more. It comes over loopback.
const ARRIVAL: Duration = Duration::from_secs(20);
const ARRIVAL_OF_MIB: Duration = Duration::from_secs(1);

/// The room of all agents of this process.
static ALL: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(units(OF_ALL_BYTES) as usize)));

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The room of one agent.
pub(crate) struct Intake {
    own: Arc<Semaphore>,
    all: Arc<Semaphore>,
}

/// Room that a body takes up until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Held {
    _own: Option<OwnedSemaphorePermit>,
    _all: Option<OwnedSemaphorePermit>,
}

/// There was no room in time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl Intake {
    pub(crate) fn new() -> Self {
        Self { own: Arc::new(Semaphore::new(units(OF_ONE_BYTES) as usize)), all: Arc::clone(&ALL) }
    }

    /// Waits for room for this body; it takes up the room until what comes with it is dropped.
    pub(crate) async fn admit(&self, body: Incoming) -> Result<(Timely<Incoming>, Held), NoRoom> {
        let bytes = body.size_hint().upper().unwrap_or(BODY_BYTES_MAX).min(BODY_BYTES_MAX);
        Ok((Timely::new(body, bytes), self.hold(bytes).await?))
    }

    async fn hold(&self, bytes: u64) -> Result<Held, NoRoom> {
        if bytes <= SMALL_BYTES {
            return Ok(Held::default());
        }
        let (own, all, wanted) = (Arc::clone(&self.own), Arc::clone(&self.all), units(bytes));
        let both = async {
            let own = own.acquire_many_owned(wanted).await.ok()?;
            Some(Held { _own: Some(own), _all: Some(all.acquire_many_owned(wanted).await.ok()?) })
        };
        tokio::time::timeout(WAIT, both).await.ok().flatten().ok_or(NoRoom)
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

/// A body that fails when it does not come to its end in time.
pub(crate) struct Timely<B> {
    body: B,
    bytes: u64,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<B> Timely<B> {
    fn new(body: B, bytes: u64) -> Self {
        Self { body, bytes, deadline: None }
    }

    /// From when it is first asked for: what waits in a queue of ours is not the sender's doing.
    fn late(&mut self, context: &mut Context<'_>) -> bool {
        let mib = u32::try_from(self.bytes >> 20).unwrap_or(u32::MAX);
        let limit = ARRIVAL + ARRIVAL_OF_MIB.saturating_mul(mib);
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        deadline.as_mut().poll(context).is_ready()
    }
}

impl<B> Body for Timely<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Failure>,
{
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(frame) => Poll::Ready(frame.map(|frame| frame.map_err(Into::into))),
            Poll::Pending if this.late(context) => Poll::Ready(Some(Err("the body did not come in time".into()))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A response that takes up the room of its request until it is sent.
pub(crate) fn holding<B>(body: B, held: Held) -> impl Body<Data = B::Data, Error = B::Error>
where
    B: Body,
{
    body.map_frame(move |frame| {
        let _until_then = &held;
        frame
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intake(own: u64, all: &Arc<Semaphore>) -> Intake {
        Intake { own: Arc::new(Semaphore::new(units(own) as usize)), all: Arc::clone(all) }
    }

    #[tokio::test(start_paused = true)]
    async fn one_agent_and_all_of_them_hold_so_much() {
        let all = Arc::new(Semaphore::new(units(3 << 20) as usize));
        let (one, other) = (intake(2 << 20, &all), intake(2 << 20, &all));
        let first = one.hold(2 << 20).await.unwrap();
        assert_eq!(one.hold(1 << 20).await.unwrap_err(), NoRoom);
        let second = other.hold(1 << 20).await.unwrap();
        assert_eq!(other.hold(1 << 20).await.unwrap_err(), NoRoom);
        // What needs no room gets through.
        one.hold(SMALL_BYTES).await.unwrap();
        drop(first);
        one.hold(1 << 20).await.unwrap();
        drop(second);
        other.hold(2 << 20).await.unwrap();
        assert_eq!(all.available_permits(), units(3 << 20) as usize);
    }

    /// Gives one piece and then nothing for ever.
    struct Stuck(Option<Bytes>);

    impl Body for Stuck {
        type Data = Bytes;
        type Error = Failure;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            self.0.take().map_or(Poll::Pending, |piece| Poll::Ready(Some(Ok(Frame::data(piece)))))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_coming_fails_in_time() {
        let began = tokio::time::Instant::now();
        let body = Timely::new(Stuck(Some(Bytes::from_static(b"begin"))), 10 << 20);
        assert!(body.collect().await.is_err());
        assert_eq!(began.elapsed().as_secs(), 30);
    }
}
