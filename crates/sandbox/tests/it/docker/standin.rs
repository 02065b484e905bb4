//! A container engine as strict as none is: whatever is not exactly what the documents of the API ask for is an error of
//! the test. Containers are real processes in namespaces of their own, made by the kit.
//!
//! Format: Docker Engine API 1.45 (`ContainerCreate`, `ContainerStart`, `ContainerWait`, `ContainerLogs`, `ContainerDelete`,
//! `ContainerList`, `SystemVersion`, `SystemInfo`).

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::process::Command;
use tokio::sync::watch;

use super::shape;
use crate::KIT;

/// The image that the engine has.
pub const IMAGE: &str = "muster/test:1";

/// What an engine is like, and how it misbehaves.
#[derive(Clone)]
pub struct Manner {
    pub api: &'static str,
    pub security_options: Vec<&'static str>,
    /// The answer to every create, in place of a container.
    pub refuses: Option<(u16, &'static str)>,
    /// What it warns of on every create.
    pub warnings: Vec<&'static str>,
    /// The answer to every start.
    pub start_fails: Option<&'static str>,
    /// Says of every container that it was ended for its memory.
    pub out_of_memory: bool,
    /// Takes this out of every description before it makes the container, silently.
    pub leaves_out: Option<fn(&mut Value)>,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            api: "1.45",
            security_options: vec!["name=seccomp,profile=builtin", "name=cgroupns"],
            refuses: None,
            warnings: vec![],
            start_fails: None,
            out_of_memory: false,
            leaves_out: None,
        }
    }
}

/// A running stand-in. It ends, with its containers, when dropped.
pub struct Engine {
    pub socket: PathBuf,
    shared: Arc<Shared>,
    runtime: Option<tokio::runtime::Runtime>,
}

struct Shared {
    dir: PathBuf,
    manner: Manner,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    containers: BTreeMap<String, Container>,
    /// `METHOD /path` of every request, with `ID` for a container's id.
    requests: Vec<String>,
    /// What was wrong with requests.
    wrong: Vec<String>,
    made: u32,
}

struct Container {
    description: Value,
    phase: watch::Sender<Phase>,
    kill: Arc<tokio::sync::Notify>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Created,
    Running,
    Exited(i32),
    Removed,
}

impl Engine {
    pub fn start(dir: &Path, manner: Manner) -> Self {
        fs::create_dir_all(dir).unwrap();
        let socket = dir.join("engine.sock");
        let _ = fs::remove_file(&socket);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let shared = Arc::new(Shared { dir: dir.to_owned(), manner, state: Mutex::default() });
        let listener = runtime.block_on(async { UnixListener::bind(&socket).unwrap() });
        runtime.spawn(serve(listener, Arc::clone(&shared)));
        Self { socket, shared, runtime: Some(runtime) }
    }

    /// A container of somebody else, of which only the labels matter.
    pub fn add(&self, id: &str, labels: Value, is_running: bool) {
        let phase = watch::Sender::new(if is_running { Phase::Running } else { Phase::Exited(0) });
        let container = Container { description: json!({ "Labels": labels }), phase, kill: Arc::default() };
        self.state().containers.insert(id.to_owned(), container);
    }

    pub fn descriptions(&self) -> Vec<Value> {
        self.state().containers.values().map(|container| container.description.clone()).collect()
    }

    /// The ids of the containers that have not been removed.
    pub fn ids(&self) -> Vec<String> {
        let state = self.state();
        let there = state.containers.iter().filter(|(_, container)| *container.phase.borrow() != Phase::Removed);
        there.map(|(id, _)| id.clone()).collect()
    }

    pub fn requests(&self) -> Vec<String> {
        self.state().requests.clone()
    }

    /// Ends every container as the engine's own end does.
    pub fn kill_all(&self) {
        self.state().containers.values().for_each(|container| container.kill.notify_one());
    }

    /// Waits until every container has been removed.
    pub fn wait_removed(&self) {
        self.wait_all(|phase| phase == Phase::Removed);
    }

    /// Waits until no container runs.
    pub fn wait_exited(&self) {
        self.wait_all(|phase| matches!(phase, Phase::Exited(_) | Phase::Removed));
    }

    fn wait_all(&self, holds: impl Fn(Phase) -> bool) {
        let phases: Vec<_> = self.state().containers.values().map(|one| one.phase.subscribe()).collect();
        self.runtime.as_ref().unwrap().block_on(async {
            for mut phase in phases {
                let reached = phase.wait_for(|phase| holds(*phase));
                tokio::time::timeout(std::time::Duration::from_secs(20), reached).await.unwrap().unwrap();
            }
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
        if !std::thread::panicking() {
            assert_eq!(self.state().wrong, Vec::<String>::new());
        }
    }
}

async fn serve(listener: UnixListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let answer = service_fn(|request| answer(Arc::clone(&shared), request));
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

/// A status and a body.
type Answer = (u16, Bytes);

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let path = head.uri.path();
    let prefix = format!("/v{}", shared.manner.api);
    // Without a version the newest is meant.
    let path = path.strip_prefix(prefix.as_str()).unwrap_or(path).to_owned();
    let query = head.uri.query().unwrap_or_default().to_owned();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let noted = match parts.as_slice() {
        ["containers", id, rest @ ..] if id.len() == 64 => format!("containers/ID/{}", rest.join("/")),
        parts => parts.join("/"),
    };
    shared.state.lock().unwrap().requests.push(format!("{} /{}", head.method, noted.trim_end_matches('/')));
    let (status, body) = match (head.method.as_str(), parts.as_slice()) {
        ("GET", ["version"]) => version(&shared),
        ("GET", ["info"]) => ok(json!({ "ID": "stand-in", "SecurityOptions": shared.manner.security_options })),
        ("GET", ["containers", "json"]) => list(&shared, &query),
        ("POST", ["containers", "create"]) => create(&shared, &query, &body),
        ("POST", ["containers", id, "start"]) => start(&shared, id, &query),
        ("POST", ["containers", id, "wait"]) => wait(&shared, id).await,
        ("GET", ["containers", id, "json"]) if query.is_empty() => inspect(&shared, id),
        ("GET", ["containers", id, "logs"]) => logs(&shared, id, &query),
        ("DELETE", ["containers", id]) => remove(&shared, id, &query).await,
        _ => wrong(&shared, format!("there is no {} {path}", head.method)),
    };
    Ok(Response::builder().status(status).header("Content-Type", "application/json").body(Full::new(body)).unwrap())
}

fn ok(value: Value) -> Answer {
    (200, value.to_string().into())
}

fn said(status: u16, message: &str) -> Answer {
    (status, json!({ "message": message }).to_string().into())
}

fn wrong(shared: &Shared, what: String) -> Answer {
    shared.state.lock().unwrap().wrong.push(what.clone());
    said(400, &what)
}

fn version(shared: &Shared) -> Answer {
    ok(json!({
        "Version": "27.0.0",
        "ApiVersion": shared.manner.api,
        "MinAPIVersion": "1.24",
        "Os": "linux",
        "Components": [{ "Name": "Engine", "Version": "27.0.0" }],
    }))
}

fn list(shared: &Shared, query: &str) -> Answer {
    let label = "dev.muster.owner";
    let expected = format!("all=true&size=false&filters=%7B%22label%22%3A%5B%22{label}%22%5D%7D");
    if query != expected {
        return wrong(shared, format!("a list of containers was asked for with {query}"));
    }
    let state = shared.state.lock().unwrap();
    let one = |(id, container): (&String, &Container)| {
        let phase = match *container.phase.borrow() {
            Phase::Created => "created",
            Phase::Running => "running",
            Phase::Exited(_) => "exited",
            Phase::Removed => return None,
        };
        let labels = &container.description["Labels"];
        labels.get(label).map(|_| json!({ "Id": id, "Labels": labels, "State": phase }))
    };
    ok(state.containers.iter().filter_map(one).collect())
}

fn create(shared: &Shared, query: &str, body: &[u8]) -> Answer {
    let mut description: Value = match serde_json::from_slice(body) {
        Ok(description) => description,
        Err(error) => return wrong(shared, format!("a container's description is no JSON: {error}")),
    };
    let mut problems = shape::problems(&description);
    if !query.is_empty() && query != "platform=" {
        problems.push(format!("it was created with {query}"));
    }
    if !problems.is_empty() {
        return wrong(shared, problems.join("; "));
    }
    if let Some((status, message)) = shared.manner.refuses {
        return said(status, message);
    }
    if description["Image"] != IMAGE {
        return said(404, &format!("No such image: {}", description["Image"].as_str().unwrap()));
    }
    if let Some(leave_out) = shared.manner.leaves_out {
        leave_out(&mut description);
    }
    let mut state = shared.state.lock().unwrap();
    state.made += 1;
    let id = format!("{:064x}", state.made);
    let phase = watch::Sender::new(Phase::Created);
    state.containers.insert(id.clone(), Container { description, phase, kill: Arc::default() });
    (201, json!({ "Id": id, "Warnings": shared.manner.warnings }).to_string().into())
}

fn start(shared: &Arc<Shared>, id: &str, query: &str) -> Answer {
    if !query.is_empty() {
        return wrong(shared, format!("a container was started with {query}"));
    }
    if let Some(message) = shared.manner.start_fails {
        return said(500, message);
    }
    let state = shared.state.lock().unwrap();
    let Some(container) = state.containers.get(id) else {
        drop(state);
        return wrong(shared, format!("{id} was started and is not there"));
    };
    if *container.phase.borrow() != Phase::Created {
        return said(304, "it runs already");
    }
    let dir = shared.dir.join(id);
    fs::create_dir_all(dir.join("root")).unwrap();
    fs::write(dir.join("description"), container.description.to_string()).unwrap();
    let log = File::create(dir.join("log")).unwrap();
    let mut command = Command::new(KIT);
    command.arg("container").arg(dir.join("description")).arg(dir.join("root")).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let mut child = command.spawn().unwrap();
    container.phase.send_replace(Phase::Running);
    let (phase, kill) = (container.phase.clone(), Arc::clone(&container.kill));
    tokio::spawn(async move {
        let status = tokio::select! {
            status = child.wait() => status.unwrap(),
            () = kill.notified() => {
                child.start_kill().unwrap();
                child.wait().await.unwrap()
            }
        };
        phase.send_replace(Phase::Exited(status.code().unwrap_or(137)));
    });
    (204, Bytes::new())
}

async fn wait(shared: &Shared, id: &str) -> Answer {
    let Some(mut phase) = shared.phase(id) else { return said(404, "No such container") };
    let over = phase.wait_for(|phase| matches!(phase, Phase::Exited(_) | Phase::Removed)).await.map(|phase| *phase);
    let code = if let Ok(Phase::Exited(code)) = over { code } else { 137 };
    ok(json!({ "StatusCode": code }))
}

fn inspect(shared: &Shared, id: &str) -> Answer {
    match shared.phase(id).map(|phase| *phase.borrow()) {
        Some(Phase::Exited(_)) => ok(json!({ "Id": id, "State": { "OOMKilled": shared.manner.out_of_memory } })),
        phase => wrong(shared, format!("{id} was looked at while it was {phase:?}")),
    }
}

fn logs(shared: &Shared, id: &str, query: &str) -> Answer {
    let expected = "follow=false&stdout=true&stderr=true&since=0&until=0&timestamps=false&tail=20";
    if query != expected {
        return wrong(shared, format!("logs were asked for with {query}"));
    }
    let text = fs::read(shared.dir.join(id).join("log")).unwrap_or_default();
    let frame = |text: &[u8]| [&[2, 0, 0, 0][..], &u32::try_from(text.len()).unwrap().to_be_bytes(), text].concat();
    (200, text.split_inclusive(|byte| *byte == b'\n').flat_map(frame).collect::<Vec<u8>>().into())
}

async fn remove(shared: &Shared, id: &str, query: &str) -> Answer {
    if query != "v=true&force=true&link=false" {
        return wrong(shared, format!("a container was removed with {query}"));
    }
    let Some(mut phase) = shared.phase(id) else { return said(404, "No such container") };
    let sender = {
        let state = shared.state.lock().unwrap();
        let container = &state.containers[id];
        container.kill.notify_one();
        container.phase.clone()
    };
    if shared.dir.join(id).exists() {
        let _ = phase.wait_for(|phase| *phase != Phase::Running).await;
    }
    sender.send_replace(Phase::Removed);
    (204, Bytes::new())
}

impl Shared {
    fn phase(&self, id: &str) -> Option<watch::Receiver<Phase>> {
        self.state.lock().unwrap().containers.get(id).map(|container| container.phase.subscribe())
    }
}
