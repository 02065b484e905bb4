//! The container engine: asked over its socket, one request at a time for each container.
//!
//! The client is asynchronous and the rest of this crate is not, so the engine has one thread with a runtime of its own.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use bollard::Docker as Client;
use bollard::errors::Error as ClientError;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    CreateContainerOptions, LogsOptionsBuilder, RemoveContainerOptionsBuilder, WaitContainerOptions,
};
use futures::StreamExt;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Builder, Runtime};

use super::engine_error;
use super::facts::{Facts, HardLimits, Kind, User};
use crate::error::SandboxError;
use crate::policy::Identity;
use crate::sys::{self, HostIdentity};

/// How long the engine may take for one answer, in seconds. Creating a container from a large image takes a while.
const ANSWER_S: u64 = 60;
/// How long the end of the caller waits for containers to be removed; what is left then, the next sweep removes.
const REMOVAL: Duration = Duration::from_secs(10);
/// How long the engine may take to say why a container has ended.
const REASON: Duration = Duration::from_secs(5);
/// Bytes of a container's log that are shown.
const LOG_BYTES_MAX: usize = 4096;
/// Lines of a container's log that are asked for.
const LOG_LINES: &str = "20";

/// One engine that answers.
#[derive(Debug)]
pub(crate) struct Engine {
    client: Client,
    kind: Kind,
    /// Ends with the engine; none only while that happens.
    runtime: Option<Runtime>,
    removals: Arc<Removals>,
}

/// How many containers are still to be removed.
#[derive(Debug, Default)]
struct Removals {
    left: Mutex<usize>,
    done: Condvar,
}

/// A container that was started, and is removed when it ends or when this is dropped first.
#[derive(Debug)]
pub(super) struct Started {
    pub id: String,
    /// Becomes readable when the engine says that the container has ended.
    pub ended: OwnedFd,
}

/// What a running container needs of its engine, and what becomes known at its end.
#[derive(Debug)]
pub(crate) struct Ending {
    _engine: Arc<Engine>,
    /// None where there is no limit that the engine could have ended it for.
    out_of_memory: Option<Mutex<mpsc::Receiver<bool>>>,
}

impl Ending {
    /// Whether the container was ended for its memory. To be asked once it has ended; waits for the engine's answer.
    pub fn ran_out_of_memory(&self) -> bool {
        let told = self.out_of_memory.as_ref().map(|told| told.lock().unwrap_or_else(PoisonError::into_inner));
        told.is_some_and(|told| told.recv_timeout(REASON).unwrap_or(false))
    }
}

/// A container that the engine has.
pub(super) struct Labelled {
    pub id: String,
    pub labels: HashMap<String, String>,
    /// Nothing of it runs any more, or yet.
    pub is_over: bool,
}

impl Engine {
    /// Connects, and finds out whether this engine can be used.
    pub(super) fn connect(socket: &Path) -> Result<Self, SandboxError> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("sandbox-docker").enable_all().build();
        let runtime = runtime.map_err(SandboxError::launcher("starting the thread for the container engine"))?;
        let nobody = |error: ClientError| nobody_answers(socket, &error);
        let client = {
            let _entered = runtime.enter();
            Client::connect_with_unix(&socket.to_string_lossy(), ANSWER_S, bollard::API_DEFAULT_VERSION)
        };
        let client = client.map_err(nobody)?;
        let mut engine = Self {
            client,
            kind: Kind { podman: false, rootless: false, remaps: false },
            runtime: Some(runtime),
            removals: Arc::default(),
        };
        let version = engine.ask(|client| async move { client.version().await })?.map_err(nobody)?;
        let info = engine.ask(|client| async move { client.info().await })?.map_err(nobody)?;
        engine.kind = Kind::read(&version, &info)?;
        Ok(engine)
    }

    /// What a plan for this policy's identity depends on.
    pub(super) fn facts(&self, identity: Identity) -> Result<Facts, SandboxError> {
        let caller = HostIdentity::of_sandboxes().map_err(SandboxError::launcher("finding a user for it"))?.ids();
        let user = User::of(self.kind, caller, identity)?;
        Ok(Facts { kind: self.kind, user, hard_limits: HardLimits::of(self.kind) })
    }

    /// Makes a container and starts it.
    pub(super) fn start(&self, image: &str, body: ContainerCreateBody) -> Result<Started, SandboxError> {
        let created =
            self.ask(|client| async move { client.create_container(None::<CreateContainerOptions>, body).await })?;
        let created = created.map_err(|error| create_error(image, &error))?;
        let removed = RemoveUnlessStarted { engine: self, id: &created.id };
        if !created.warnings.is_empty() {
            let what = format!("it would leave out a part of the sandbox: {}", created.warnings.join("; "));
            return Err(engine_error(what, "Change the host's or the engine's settings, or use the kernel back end."));
        }
        let id = created.id.clone();
        let started = self.ask(|client| async move { client.start_container(&id, None).await })?;
        started.map_err(|error| engine_error(format!("it could not start the container: {}", words(&error)), ""))?;
        let ended = self.watch_end(created.id.clone())?;
        std::mem::forget(removed);
        Ok(Started { id: created.id, ended })
    }

    /// A pipe whose write end closes when the container has ended, or the engine cannot say any more.
    fn watch_end(&self, id: String) -> Result<OwnedFd, SandboxError> {
        let (ended, running) = sys::pipe().map_err(SandboxError::launcher("making pipes"))?;
        let client = self.client.clone();
        self.spawn(async move {
            let _ = client.wait_container(&id, None::<WaitContainerOptions>).next().await;
            drop(running);
        });
        Ok(ended)
    }

    /// What the container's first process said before it could say it to us.
    pub(super) fn log(&self, id: &str) -> String {
        let id = id.to_owned();
        let read = |client: Client| async move {
            let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail(LOG_LINES).build();
            let mut text = Vec::new();
            let mut lines = std::pin::pin!(client.logs(&id, Some(options)));
            while let Some(Ok(line)) = lines.next().await {
                text.extend_from_slice(&line.into_bytes());
                text.truncate(LOG_BYTES_MAX);
            }
            text
        };
        String::from_utf8_lossy(&self.ask(read).unwrap_or_default()).trim().to_owned()
    }

    /// The containers with a label of ours, running or not.
    pub(super) fn labelled(&self, label: &str) -> Result<Vec<Labelled>, SandboxError> {
        let options = bollard::query_parameters::ListContainersOptions {
            all: true,
            filters: Some(HashMap::from([("label".to_owned(), vec![label.to_owned()])])),
            ..Default::default()
        };
        let listed = self.ask(|client| async move { client.list_containers(Some(options)).await })?;
        let listed =
            listed.map_err(|error| engine_error(format!("it does not list containers: {}", words(&error)), ""))?;
        let over = |state| {
            use bollard::models::ContainerSummaryStateEnum::{CREATED, DEAD, EXITED};
            matches!(state, Some(CREATED | EXITED | DEAD))
        };
        let one = |summary: bollard::models::ContainerSummary| {
            let labels = summary.labels.unwrap_or_default();
            Some(Labelled { id: summary.id?, labels, is_over: over(summary.state) })
        };
        Ok(listed.into_iter().filter_map(one).collect())
    }

    /// Removes a container, running or not, and what the engine made for it; in the background.
    pub(super) fn remove(&self, id: String, then: impl FnOnce() + Send + 'static) {
        self.remove_after(std::future::ready(()), id, then);
    }

    /// The same when its first process, which this pidfd is of, is gone; `asks_why`: whether it could run out of memory.
    pub(super) fn remove_at_end(
        engine: &Arc<Self>,
        first: OwnedFd,
        id: String,
        asks_why: bool,
        then: impl FnOnce() + Send + 'static,
    ) -> Ending {
        let (why, told) = mpsc::channel();
        let (client, ended) = (engine.client.clone(), id.clone());
        let end = async move {
            gone(first).await;
            if asks_why {
                // The caller may not want to know any more.
                let _ = why.send(ran_out_of_memory(&client, &ended).await);
            }
        };
        engine.remove_after(end, id, then);
        Ending { _engine: Arc::clone(engine), out_of_memory: asks_why.then(|| Mutex::new(told)) }
    }

    fn remove_after(
        &self,
        end: impl Future<Output = ()> + Send + 'static,
        id: String,
        then: impl FnOnce() + Send + 'static,
    ) {
        let client = self.client.clone();
        let counted = Removals::one_more(&self.removals);
        self.spawn(async move {
            end.await;
            let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
            // What cannot be removed now, the next sweep removes.
            let _ = client.remove_container(&id, Some(options)).await;
            then();
            drop(counted);
        });
    }

    /// Asks and waits for the answer. The caller's thread may belong to another runtime.
    fn ask<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        question: impl FnOnce(Client) -> F,
    ) -> Result<T, SandboxError> {
        let (answer, answered) = mpsc::channel();
        let question = question(self.client.clone());
        self.spawn(async move { _ = answer.send(question.await) });
        answered.recv().map_err(|_| engine_error("its thread is gone", "Start again."))
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn(task);
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.removals.wait();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Removes what was created and will not be used.
struct RemoveUnlessStarted<'a> {
    engine: &'a Engine,
    id: &'a str,
}

impl Drop for RemoveUnlessStarted<'_> {
    fn drop(&mut self) {
        self.engine.remove(self.id.to_owned(), || ());
    }
}

/// One removal that is counted until it is dropped.
struct Counted(Arc<Removals>);

impl Removals {
    fn one_more(removals: &Arc<Self>) -> Counted {
        *removals.left() += 1;
        Counted(Arc::clone(removals))
    }

    fn left(&self) -> MutexGuard<'_, usize> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self) {
        // Whether it was in time makes no difference.
        let _ = self.done.wait_timeout_while(self.left(), REMOVAL, |left| *left > 0);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        *self.0.left() -= 1;
        self.0.done.notify_all();
    }
}

/// Asked when the engine has noticed the end itself: before, it does not know why.
async fn ran_out_of_memory(client: &Client, id: &str) -> bool {
    let _ = client.wait_container(id, None::<WaitContainerOptions>).next().await;
    let about = client.inspect_container(id, None).await.ok();
    about.and_then(|about| about.state?.oom_killed).unwrap_or(false)
}

#[expect(
    deprecated,
    reason = "unsound only for types whose descriptor can change; the safe-to-name replacement is unsafe to call"
)]
async fn gone(first: OwnedFd) {
    if let Ok(first) = AsyncFd::with_interest(first, Interest::READABLE) {
        let _ = first.readable().await;
    }
}

/// Where an engine listens by itself, in the order to look: Docker's, the user's own, Podman's of the system.
pub(super) fn usual_sockets(uid: u32) -> Vec<PathBuf> {
    let of_user = |name: &str| PathBuf::from(format!("/run/user/{uid}/{name}"));
    let docker = PathBuf::from("/var/run/docker.sock");
    vec![docker, of_user("docker.sock"), of_user("podman/podman.sock"), PathBuf::from("/run/podman/podman.sock")]
}

fn nobody_answers(socket: &Path, error: &ClientError) -> SandboxError {
    let refused = matches!(error, ClientError::DockerResponseServerError { .. });
    let what = match refused {
        true => format!("it refused a request at {}: {}", socket.display(), words(error)),
        false => format!("nobody answers at {}: {}", socket.display(), words(error)),
    };
    let advice = "Start Docker or Podman (`systemctl start docker`, `systemctl --user start podman.socket`) and see that \
                  you may use its socket, or use the kernel back end.";
    engine_error(what, advice)
}

fn create_error(image: &str, error: &ClientError) -> SandboxError {
    match error {
        ClientError::DockerResponseServerError { status_code: 404, .. } => engine_error(
            format!("the image `{image}` is not on this machine"),
            format!("Get it first (`docker pull {image}`) or name another one; muster fetches no images by itself."),
        ),
        error => engine_error(format!("it refused the container: {}", words(error)), ""),
    }
}

/// What the engine said, or what went wrong in reaching it, down to the first cause.
fn words(error: &ClientError) -> String {
    if let ClientError::DockerResponseServerError { message, .. } = error {
        return message.trim().to_owned();
    }
    let mut source: &dyn std::error::Error = error;
    while let Some(deeper) = source.source() {
        source = deeper;
    }
    match source.downcast_ref::<io::Error>() {
        Some(cause) => cause.to_string(),
        None => source.to_string(),
    }
}
