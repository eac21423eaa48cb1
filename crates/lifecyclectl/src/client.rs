//! [`Client`]: requests to one host, each within a time.

use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response};
use lifecycle_adapters::tls::is_refusal;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::time::timeout;

use crate::answer::Answer;
use crate::endpoint::Endpoint;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::link::Trust;
use crate::text::span;

/// How long one request may take, unless the command line says otherwise.
pub(crate) const REQUEST: Duration = Duration::from_secs(10);

/// What of a name stands for itself in a path.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// A name as a part of a path or a query.
pub(crate) fn escaped(name: &str) -> String {
    utf8_percent_encode(name, IN_PATH).to_string()
}

/// What a host lets us in by. It is in no output: neither in errors nor in `Debug`.
#[derive(Clone, Debug)]
pub(crate) struct Token(HeaderValue);

impl Token {
    /// # Errors
    ///
    /// When `text` is empty or cannot stand in a header; the message does not quote it.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("the token is empty".to_owned());
        }
        let value = HeaderValue::from_str(&format!("Bearer {text}"));
        let mut value = value.map_err(|_| "the token cannot stand in a header".to_owned())?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

/// Requests to one host, each on a connection of its own: an operation that was sent is never sent twice.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    trust: Trust,
    endpoint: Endpoint,
    token: Option<Token>,
    limit: Duration,
}

/// Why there is no answer at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// Nobody listens there, or it cannot be reached.
    NoConnection(String),
    /// The connection ended before the answer did, or the answer is none.
    Broken(String),
    /// One side does not trust the other, or no TLS is spoken there.
    Untrusted(String),
    /// The time was over.
    TooLate(Duration),
}

impl Client {
    /// `limit` bounds each request.
    ///
    /// # Errors
    ///
    /// When TLS is spoken at `endpoint`, and nobody is trusted.
    pub(crate) fn new(
        endpoint: Endpoint,
        trust: Trust,
        token: Option<Token>,
        limit: Duration,
    ) -> Result<Self, Failure> {
        trust.check(&endpoint)?;
        Ok(Self {
            trust,
            endpoint,
            token,
            limit,
        })
    }

    /// The same for another host.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub(crate) fn to(&self, endpoint: Endpoint) -> Result<Self, Failure> {
        let Self {
            trust,
            token,
            limit,
            ..
        } = self.clone();
        Self::new(endpoint, trust, token, limit)
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether the token travels where others can read it.
    pub(crate) fn exposes_token(&self) -> bool {
        self.token.is_some() && !self.endpoint.is_local() && !self.endpoint.is_encrypted()
    }

    /// # Errors
    ///
    /// When there is no answer, or one that is no success.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.ask(Method::GET, path, None).await
    }

    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Answer, Failure> {
        self.ask(Method::POST, path, Some(body)).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let answer = self.send(method, path, body, self.limit).await;
        let answer = answer.map_err(|it| self.failure(&it))?;
        match answer.status.is_success() {
            true => Ok(answer),
            false => Err(answer.refusal(path)),
        }
    }

    /// What the host answers, whatever it says, within `limit` or what bounds each request.
    ///
    /// # Errors
    ///
    /// [`Silence`] when there is no answer.
    pub(crate) async fn look(&self, path: &str, limit: Duration) -> Result<Answer, Silence> {
        self.send(Method::GET, path, None, limit.min(self.limit))
            .await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        limit: Duration,
    ) -> Result<Answer, Silence> {
        let request = self.request(method, path, body, "application/json", None)?;
        let answered = async { Answer::read(self.exchange(request).await?).await };
        let answered = timeout(limit, answered).await;
        answered.unwrap_or(Err(Silence::TooLate(limit)))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Silence> {
        let mut requests = self.trust.connect(&self.endpoint).await?;
        let response = requests.send_request(request).await;
        response.map_err(|it| silence(&it))
    }

    /// Opens a stream of events, after the event `last` when that is given.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get); what comes later is not bounded in time.
    pub(crate) async fn stream(&self, path: &str, last: Option<&str>) -> Result<Incoming, Failure> {
        let request = self.request(Method::GET, path, None, "text/event-stream", last);
        let request = request.map_err(|it| self.failure(&it))?;
        let opened = timeout(self.limit, self.exchange(request)).await;
        let opened = opened.unwrap_or(Err(Silence::TooLate(self.limit)));
        let response = opened.map_err(|it| self.failure(&it))?;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        let answer = timeout(self.limit, Answer::read(response)).await;
        let answer = answer.unwrap_or(Err(Silence::TooLate(self.limit)));
        Err(answer.map_or_else(|it| self.failure(&it), |it| it.refusal(path)))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        accept: &'static str,
        last: Option<&str>,
    ) -> Result<Request<Full<Bytes>>, Silence> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.endpoint.path()))
            .header(HOST, self.endpoint.authority())
            .header(
                USER_AGENT,
                concat!("lifecyclectl/", env!("CARGO_PKG_VERSION")),
            )
            .header(ACCEPT, accept);
        if let Some(Token(token)) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = request.body(Full::from(body));
        request.map_err(|it| Silence::NoConnection(it.to_string()))
    }

    /// What silence of this host means to a command.
    pub(crate) fn failure(&self, silence: &Silence) -> Failure {
        let endpoint = &self.endpoint;
        match silence {
            Silence::NoConnection(why) => Failure::new(
                Exit::Failed,
                format!("{endpoint} cannot be reached: {why}"),
                "is the host up? --endpoint or LIFECYCLECTL_ENDPOINT names another one",
            ),
            Silence::Broken(why) => Failure::new(
                Exit::Failed,
                format!("{endpoint} gave no whole answer: {why}"),
                "is that a host's diagnostics address, http or https? ask again, and look at its log",
            ),
            Silence::Untrusted(why) if why.starts_with(ALERT) => Failure::new(
                Exit::Refused,
                format!("{endpoint} does not let us in: {why}"),
                "--cert and --key name a certificate that its client CA vouches for, and whose time is not over",
            ),
            Silence::Untrusted(why) => Failure::new(
                Exit::Refused,
                format!("{endpoint} is not trusted: {why}"),
                "--ca names the authority of its certificate; is it called by a name in that, and does it speak https?",
            ),
            Silence::TooLate(limit) => Failure::new(
                Exit::TimedOut,
                format!("{endpoint} did not answer within {}", span(*limit)),
                "--timeout allows more; what was asked may still happen",
            ),
        }
    }
}

/// How rustls begins to say that the other side has refused us.
const ALERT: &str = "received fatal alert";

pub(crate) fn silence(error: &hyper::Error) -> Silence {
    let why = deepest(error);
    // In TLS 1.3 a host looks at our certificate when we think that all is well.
    let source = error.source().and_then(|it| it.downcast_ref::<io::Error>());
    match source.is_some_and(is_refusal) {
        true => Silence::Untrusted(why),
        false => Silence::Broken(why),
    }
}

/// The error that all others only repeat.
pub(crate) fn deepest(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_in_debug_output_and_not_in_an_error() {
        let token = Token::new(" secret\n").unwrap();
        assert!(!format!("{token:?}").contains("secret"));
        let error = Token::new("sec\nret").unwrap_err();
        assert!(!error.contains("sec"), "{error}");
    }

    #[test]
    fn a_token_is_exposed_only_beyond_this_machine_and_in_clear_text() {
        let exposed = |text: &str, token: Option<Token>| {
            let client = Client {
                trust: Trust::default(),
                endpoint: text.parse().unwrap(),
                token,
                limit: REQUEST,
            };
            client.exposes_token()
        };
        let token = Token::new("t").unwrap();
        assert!(exposed("10.0.0.1", Some(token.clone())));
        assert!(!exposed("10.0.0.1", None));
        assert!(!exposed("https://10.0.0.1", Some(token.clone())));
        for local in ["127.0.0.1", "[::1]:5", "localhost"] {
            assert!(!exposed(local, Some(token.clone())), "{local}");
        }
    }

    #[test]
    fn names_are_escaped_in_paths() {
        assert_eq!(escaped("http-inbound:0/é"), "http-inbound%3A0%2F%C3%A9");
    }
}
