//! What a path asks for.

use crate::format::Format;

/// What is served on a path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Route<'a> {
    /// A model call. `named`: what the path says of it, where the format puts that into the path.
    Call { format: Format, named: Option<Named<'a>> },
    /// How many tokens a request has; costs nothing.
    Count { format: Format, model: Option<&'a str> },
    /// The list of models, in the shape of that format.
    Models(Format),
}

/// The model and the way of answering, as a Gemini path names them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Named<'a> {
    pub(crate) model: &'a str,
    pub(crate) stream: bool,
}

impl<'a> Route<'a> {
    /// What that path (without query) asks for; `None`: nothing is served there.
    pub(crate) fn of(path: &'a str) -> Option<Route<'a>> {
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
        let (model, verb) = gemini(path)?;
        let call = |stream| Some(Route::Call { format: Format::Gemini, named: Some(Named { model, stream }) });
        match verb {
            "generateContent" => call(false),
            "streamGenerateContent" => call(true),
            "countTokens" => Some(Route::Count { format: Format::Gemini, model: Some(model) }),
            _ => None,
        }
    }

    pub(crate) fn format(self) -> Format {
        match self {
            Route::Call { format, .. } | Route::Count { format, .. } | Route::Models(format) => format,
        }
    }
}

/// Model and verb of a path of Gemini's.
fn gemini(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix("/v1beta/models/").or_else(|| path.strip_prefix("/v1/models/"))?;
    rest.rsplit_once(':').filter(|(model, _)| !model.is_empty())
}

/// A path of Gemini's with another model in it; any other path is left as it is.
pub(crate) fn with_model(path_and_query: &str, name: &str) -> String {
    let (path, query) =
        path_and_query.split_once('?').map_or((path_and_query, None), |(path, query)| (path, Some(query)));
    let Some((model, verb)) = gemini(path) else { return path_and_query.to_owned() };
    let before = &path[..path.len() - model.len() - 1 - verb.len()];
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{before}{name}:{verb}{query}")
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
        assert_eq!(Route::of("/v1/models/a/b:streamGenerateContent"), gemini("a/b", true));
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
}
