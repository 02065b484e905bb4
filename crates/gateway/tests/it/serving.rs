//! The gateway served on its own, over loopback and over a Unix socket.

use std::io::{Read, Write};

use gateway::{Format, Listener, Tag, serve};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::mock::{Mock, Play, Reply};
use crate::support::{MODEL, Scene, passthrough, recorded, scripted};

#[tokio::test]
async fn sessions_are_told_apart_by_their_key() {
    let mock = Mock::start(|_| Reply::events(vec![Play::Send(recorded()[2].stream.into())])).await;
    let mut scene = Scene::of(passthrough(Format::Anthropic, &mock.url));
    let bob = scene.gateway.open_session(Tag { mission: "m1".into(), agent: "bob".into() }).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/messages?beta=true", listener.local_addr().unwrap());
    tokio::spawn(serve(scene.gateway.clone(), Listener::Tcp(listener)));

    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = |key: &str| {
        let body = format!(r#"{{"model":"{MODEL}","stream":true}}"#);
        client.post(&url).header("x-api-key", key).body(body).send()
    };
    for session in [&scene.session, &bob] {
        let answer = post(session.key().expose_secret()).await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert_eq!(answer.text().await.unwrap(), recorded()[2].stream);
        assert_eq!(scene.settlements.recv().await.unwrap().call.agent, session.tag().agent);
    }
    let refused = post("muster-wrong").await.unwrap();
    assert_eq!(refused.status(), 401);
    let body: Value = serde_json::from_slice(&refused.bytes().await.unwrap()).unwrap();
    assert_eq!(body["error"]["type"], "authentication_error");
}

#[tokio::test]
async fn an_agent_that_closes_its_connection_is_noticed() {
    let speak_on = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let (stream, closing) = (recorded()[0].stream, recorded()[0].closing);
    let plays = vec![
        Play::Send(stream[..closing].into()),
        Play::Wait(std::sync::Arc::clone(&speak_on)),
        Play::Send(stream[closing..].into()),
    ];
    let mock = Mock::start(move |_| Reply::events(plays.clone())).await;
    let mut scene = Scene::of(passthrough(Format::OpenAiChat, &mock.url));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/chat/completions", listener.local_addr().unwrap());
    tokio::spawn(serve(scene.gateway.clone(), Listener::Tcp(listener)));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let key = scene.session.key().expose_secret();
    let body = format!(r#"{{"model":"{MODEL}","stream":true}}"#);
    let mut answer = client.post(url).bearer_auth(key).body(body).send().await.unwrap();
    answer.chunk().await.unwrap().unwrap();
    drop(answer);
    drop(client);
    speak_on.add_permits(1);
    let settled = scene.settlements.recv().await.unwrap();
    assert_eq!(settled.answer.map(|answer| answer.body), Some(stream.into()));
}

#[tokio::test]
async fn a_unix_socket_serves_too() {
    let scene = Scene::of(scripted("version: 1\nmodel: m\nreplies:\n  - steps:\n      - text: hello\n"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    tokio::spawn(serve(scene.gateway.clone(), Listener::Unix(listener)));
    let key = scene.session.key().expose_secret().to_owned();
    let answer = tokio::task::spawn_blocking(move || {
        let mut socket = std::os::unix::net::UnixStream::connect(path).unwrap();
        let head =
            format!("GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n");
        socket.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    });
    let answer = answer.await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    let list: Value = serde_json::from_str(body).unwrap();
    assert_eq!((&list["data"][0]["id"], &list["object"]), (&json!("m"), &json!("list")));
}
