//! What a path asks for.

use crate::format::Format;

/// What is served on a path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Route<'a> {
    /// A model call. `named`: what the path says of it, where the format puts that into the path.
    Call {
        /// The format that is spoken.
        format: Format,
        /// What the path says of it.
        named: Option<Named<'a>>,
    },
    /// How many tokens a request has; costs nothing.
    Count {
        /// The format that is spoken.
        format: Format,
        /// The model, where the path names it.
        model: Option<&'a str>,
    },
    /// The list of models, in the shape of that format.
    Models(Format),
}

/// The model and the way of answering, as a Gemini path names them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Named<'a> {
    /// The model's name.
    pub model: &'a str,
    /// Whether the answer is to be streamed.
    pub stream: bool,
}

impl<'a> Route<'a> {
    /// What that path (without query) asks for; `None`: nothing is served there.
    pub fn of(path: &'a str) -> Option<Route<'a>> {
        match path {
            "/v1/models" => return Some(Route::Models(Format::OpenAiChat)),
            "/v1beta/models" => return Some(Route::Models(Format::Gemini)),
            "/v1/messages/count_tokens" => return Some(Route::Count { format: Format::Anthropic, model: None }),
            _ => {}
        }
        let fixed = [Format::OpenAiChat, Format::OpenAiResponses, Format::Anthropic];
        if let Some(format) = fixed.into_iter().find(|format| format.path() == path) {
            return Some(Route::Call { format, named: None });
        }
        let (_, model, verb) = gemini(path)?;
        let call = |stream| Some(Route::Call { format: Format::Gemini, named: Some(Named { model, stream }) });
        match verb {
            "generateContent" => call(false),
            "streamGenerateContent" => call(true),
            "countTokens" => Some(Route::Count { format: Format::Gemini, model: Some(model) }),
            _ => None,
        }
    }

    /// The format whose shape answers there have.
    pub fn format(self) -> Format {
        match self {
            Route::Call { format, .. } | Route::Count { format, .. } | Route::Models(format) => format,
        }
    }
}

/// Prefix, model and verb of a path of Gemini's. A model is one piece of a path and nothing that leads out of it.
fn gemini(path: &str) -> Option<(&'static str, &str, &str)> {
    let prefixes = ["/v1beta/models/", "/v1/models/"];
    let (prefix, rest) = prefixes.iter().find_map(|prefix| Some((*prefix, path.strip_prefix(prefix)?)))?;
    let (model, verb) = rest.rsplit_once(':')?;
    is_piece(model).then_some((prefix, model, verb))
}

/// Whether it stands for itself in a path: letters and digits, and `.`, `-`, `_`, `@` and `:` after the first of them.
fn is_piece(text: &str) -> bool {
    text.len() <= MODEL_BYTES_MAX && text.bytes().all(plain) && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'@' | b':')
}

/// Longest name of a model in a path.
const MODEL_BYTES_MAX: usize = 256;

/// What of a query does not go on, though it is plain: what Google takes for a key, for who is billed, for another way of asking or answering.
const NOT_SENT: [&str; 12] = [
    "key",
    "access_token",
    "oauth_token",
    "quotaUser",
    "userProject",
    "uploadType",
    "upload_protocol",
    "callback",
    "fields",
    "passwordKey",
    "method",
    "_method",
];

/// The path and query with which the upstream is asked, made of known pieces only; `None`: nothing is served there.
pub fn upstream_path(path_and_query: &str) -> Option<String> {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let mut made = match Route::of(path)? {
        Route::Call { format, named: None } => format.path().to_owned(),
        Route::Count { model: None, .. } => "/v1/messages/count_tokens".to_owned(),
        Route::Call { .. } | Route::Count { .. } => {
            let (prefix, model, verb) = gemini(path)?;
            format!("{prefix}{model}:{verb}")
        }
        Route::Models(_) => return None,
    };
    let plain = |pair: &&str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        is_piece(name) && !NOT_SENT.contains(&name) && (value.is_empty() || is_piece(value))
    };
    for (number, pair) in query.split('&').filter(plain).enumerate() {
        made.push(if number == 0 { '?' } else { '&' });
        made.push_str(pair);
    }
    Some(made)
}

/// A path of Gemini's with another model in it, which the configuration names; any other path is left as it is.
pub fn with_model(path_and_query: &str, name: &str) -> String {
    let (path, query) =
        path_and_query.split_once('?').map_or((path_and_query, None), |(path, query)| (path, Some(query)));
    let Some((prefix, _, verb)) = gemini(path) else { return path_and_query.to_owned() };
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{prefix}{}:{verb}{query}", escaped(name))
}

/// Every byte that does not stand for itself as `%XX`, so that the name is one piece of the path.
fn escaped(name: &str) -> String {
    let mut made = String::new();
    for byte in name.bytes() {
        if plain(byte) {
            made.push(char::from(byte));
        } else {
            made.push_str(&format!("%{byte:02X}"));
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_say_what_is_asked() {
        let call = |format| Some(Route::Call { format, named: None });
        assert_eq!(Route::of("/v1/chat/completions"), call(Format::OpenAiChat));
        assert_eq!(Route::of("/v1/responses"), call(Format::OpenAiResponses));
        assert_eq!(Route::of("/v1/messages"), call(Format::Anthropic));
        let gemini = |model, stream| Some(Route::Call { format: Format::Gemini, named: Some(Named { model, stream }) });
        assert_eq!(Route::of("/v1beta/models/gemini-2.5-pro:generateContent"), gemini("gemini-2.5-pro", false));
        assert_eq!(Route::of("/v1/models/a-b:c:streamGenerateContent"), gemini("a-b:c", true));
        let count = |format, model| Some(Route::Count { format, model });
        assert_eq!(Route::of("/v1/messages/count_tokens"), count(Format::Anthropic, None));
        assert_eq!(Route::of("/v1beta/models/g:countTokens"), count(Format::Gemini, Some("g")));
        for nothing in ["/", "/v1", "/v1/models/gpt-5", "/v1beta/models/:generateContent", "/v1beta/models/g:embed"] {
            assert_eq!(Route::of(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn only_the_model_of_a_path_is_replaced() {
        let changed = with_model("/v1beta/models/fast:streamGenerateContent?alt=sse", "gemini-2.5-flash");
        assert_eq!(changed, "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse");
        assert_eq!(with_model("/v1/messages?beta=true", "x"), "/v1/messages?beta=true");
    }

    #[test]
    fn an_alias_stays_one_piece_of_the_path() {
        let aliased = |name| with_model("/v1beta/models/x:generateContent", name);
        assert_eq!(aliased("a/../b?c"), "/v1beta/models/a%2F..%2Fb%3Fc:generateContent");
    }

    #[test]
    fn of_a_query_only_what_is_plain_goes_on() {
        let path = |path: &str| upstream_path(path).unwrap();
        assert_eq!(path("/v1/messages?beta=true"), "/v1/messages?beta=true");
        assert_eq!(path("/v1/messages?x=1&key=a&$httpHeaders=a:b&beta=%2e%2e&method=DELETE&"), "/v1/messages?x=1");
        let gemini = path("/v1beta/models/g:streamGenerateContent?alt=sse&key=k");
        assert_eq!(gemini, "/v1beta/models/g:streamGenerateContent?alt=sse");
        assert_eq!(upstream_path("/v1/models"), None);
    }

    #[test]
    fn what_leads_elsewhere_or_costs_apart_is_not_served() {
        for path in [
            "/v1beta/models/gemini-/../../../../team-b/v1beta/corpora/private:countTokens",
            "/v1beta/models/gemini-x/%2e%2e/%2e%2e/admin/keys:countTokens",
            "/v1beta/models/../x:countTokens",
            "/v1beta/models/..:countTokens",
            "/v1beta/models/%2e%2e:generateContent",
            "/v1beta/models/a\\b:generateContent",
            "/v1beta/models/a%00b:generateContent",
            "/v1beta/models/\u{202e}g:generateContent",
            "/v1beta/models/g:generateContent/",
            "/v1beta/models/g:batchGenerateContent",
            "/v1beta/models/g:embedContent",
            "/v1beta/models/g:predict",
            "/v1beta/cachedContents",
            "/v1/embeddings",
            "/v1/images/generations",
            "/v1/audio/speech",
            "/v1/batches",
            "/v1/files",
            "/v1/messages/batches",
            "/v1/responses/resp_1",
            "/v1/responses/compact",
            "/v1/responses/input_tokens",
            "/v1/chat/completions/",
            "//v1/chat/completions",
            "/V1/chat/completions",
        ] {
            assert_eq!(upstream_path(path), None, "{path}");
        }
    }

    /// What hostile paths are made of.
    const PIECES: &[&str] = &[
        "/",
        "..",
        ".",
        "%2e%2e",
        "%2E",
        "%2f",
        "\\",
        "?",
        "#",
        "%23",
        "%3f",
        ";",
        "@",
        ":",
        "//",
        "\0",
        "\t",
        " ",
        "\u{ff0e}\u{ff0e}",
        "\u{2025}",
        "v1",
        "v1beta",
        "models",
        "admin",
        "keys",
        "gemini-2.5-pro",
        "countTokens",
        "generateContent",
        "streamGenerateContent",
        "messages",
        "count_tokens",
        "chat/completions",
        "responses",
        "alt=sse",
        "key=x",
        "&",
        "=",
        "http://evil.example",
    ];

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(20_000))]
        #[test]
        fn nothing_but_the_served_places_is_reached(
            start in proptest::sample::select(vec!["/v1beta/models/", "/v1/models/", "/v1/", "/v1beta/", ""]),
            pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..8),
            verb in proptest::sample::select(vec![":countTokens", ":generateContent", ":streamGenerateContent", ""]),
        ) {
            let path = format!("{start}{}{verb}", pieces.concat());
            if let Some(made) = upstream_path(&path) {
                // As the client of the upstream reads it: dots are resolved there.
                let url = reqwest::Url::parse(&format!("http://provider.example/team-a{made}")).unwrap();
                proptest::prop_assert_eq!(url.host_str(), Some("provider.example"));
                let read = url.path().strip_prefix("/team-a").unwrap_or("outside").to_owned();
                let fixed = ["/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/messages/count_tokens"];
                let verbs = ["countTokens", "generateContent", "streamGenerateContent"];
                let of_gemini = ["/v1beta/models/", "/v1/models/"].iter().any(|prefix| {
                    let named = read.strip_prefix(prefix).and_then(|rest| rest.rsplit_once(':'));
                    named.is_some_and(|(model, verb)| !model.contains(['/', '%', '?', '\\']) && verbs.contains(&verb))
                });
                proptest::prop_assert!(fixed.contains(&read.as_str()) || of_gemini, "{path:?} leads to {read:?}");
                proptest::prop_assert!(url.query().is_none_or(|query| !query.contains(['$', '%', '#'])));
            }
        }
    }
}
