//! A future driven by the calling thread, for tools and threads without a runtime.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

/// Blocks the calling thread until `future` is done. Works on any thread; on a thread of an async runtime it holds up that
/// thread's other tasks, but never for ever: what this crate waits for is done by its own threads.
pub fn wait<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    // Without `unconstrained`, a task that has used up its turn would be told to come back later, for ever.
    let mut future = pin!(tokio::task::unconstrained(future));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::wait;

    #[test]
    fn waits_for_another_thread() {
        let (send, receive) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || send.send(7));
        assert_eq!(wait(receive), Ok(7));
        thread.join().unwrap().unwrap();
    }

    #[tokio::test]
    async fn waits_inside_a_task_that_has_used_up_its_turn() {
        for n in 0..1000 {
            let (send, receive) = tokio::sync::oneshot::channel();
            let thread = std::thread::spawn(move || send.send(n));
            assert_eq!(wait(receive), Ok(n));
            thread.join().unwrap().unwrap();
        }
    }
}
