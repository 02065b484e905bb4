//! What the vendors send, as the agents' command lines accept it, passes byte for byte wherever it is cut.

use gateway::{Format, Outcome, Usage};

use crate::mock::{Mock, Play, Reply};
use crate::support::{MODEL, Scene, passthrough, path_of};

struct Transcript {
    name: &'static str,
    format: Format,
    bytes: &'static [u8],
    outcome: Outcome,
}

macro_rules! transcripts {
    ($($format:ident $name:literal $outcome:ident;)*) => {
        [$(Transcript {
            name: $name,
            format: Format::$format,
            bytes: include_bytes!(concat!("fixtures/", $name)),
            outcome: Outcome::$outcome,
        }),*]
    };
}

const TRANSCRIPTS: [Transcript; 11] = transcripts! {
    OpenAiResponses "responses-least.sse" Complete;
    OpenAiResponses "responses-full.sse" Complete;
    OpenAiResponses "responses-failed.sse" Failed;
    OpenAiResponses "responses.json" Complete;
    OpenAiChat "chat-tool.sse" Complete;
    OpenAiChat "chat.json" Complete;
    Anthropic "anthropic-tool.sse" Complete;
    Anthropic "anthropic.json" Complete;
    Gemini "gemini-tool.sse" Complete;
    Gemini "gemini-array.json" Complete;
    Gemini "gemini.json" Complete;
};

impl Transcript {
    fn content_type(&self) -> &'static str {
        if self.name.ends_with(".sse") { "text/event-stream; charset=utf-8" } else { "application/json" }
    }

    /// All tell of 800 input tokens, 200 cached and 50 of output; who tells reasoning apart tells of 10.
    fn usage(&self) -> Usage {
        let reasoning_tokens = if self.format == Format::Anthropic { 0 } else { 10 };
        Usage { input_tokens: 800, cache_read_tokens: 200, output_tokens: 50, reasoning_tokens, ..Usage::default() }
    }

    /// Asks for it in the parts that `cut` says: in two, or byte by byte when it is 0.
    async fn passes(&self, scene: &mut Scene, cut: usize) {
        let stream = self.name.ends_with(".sse");
        let body = format!(r#"{{"model":"{MODEL}","stream":{stream},"cut":{cut}}}"#);
        let answer = scene.ask(&path_of(self.format, stream), body).await;
        assert_eq!(answer.content_type, self.content_type());
        assert!(answer.body == self.bytes && answer.whole, "{} cut at {cut}: {}", self.name, answer.text());
        let settled = scene.settlements.recv().await.unwrap();
        assert_eq!((settled.outcome, settled.usage), (self.outcome, self.usage()), "{} cut at {cut}", self.name);
    }
}

#[tokio::test]
async fn every_transcript_passes_unchanged_at_every_byte_border() {
    for transcript in &TRANSCRIPTS {
        let bytes = transcript.bytes;
        let content_type = transcript.content_type();
        let mock = Mock::start(move |seen| {
            let request: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
            let cut = request["cut"].as_u64().unwrap() as usize;
            let parts: Vec<&[u8]> =
                if cut == 0 { bytes.chunks(1).collect() } else { vec![&bytes[..cut], &bytes[cut..]] };
            Reply::of(content_type, parts.into_iter().map(|part| Play::Send(part.to_vec())).collect())
        })
        .await;
        let mut scene = Scene::of(passthrough(transcript.format, &mock.url));
        for cut in 0..bytes.len() {
            transcript.passes(&mut scene, cut).await;
        }
    }
}
