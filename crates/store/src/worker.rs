//! A thread with a bounded queue, ended by the last one who could ask it for something.

use std::{
    io,
    thread::{self, JoinHandle},
};
use tokio::sync::mpsc;

/// Dropping it waits until the thread has served its queue.
pub(crate) struct Worker<T> {
    queue: Option<mpsc::Sender<T>>,
    thread: Option<JoinHandle<()>>,
}

impl<T> Worker<T> {
    pub(crate) fn start(name: &str, queue: mpsc::Sender<T>, run: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run)?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Where to ask; `None` only while it is being dropped.
    pub(crate) fn queue(&self) -> Option<&mpsc::Sender<T>> {
        self.queue.as_ref()
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // The thread only panics on a bug of ours; whoever waits for an answer sees its queue closed.
            let _ = thread.join();
        }
    }
}
