//! [`Client`]: requests to one host, each within a time.

use std::error::Error;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::{SignedDuration, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::timeout;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::text::{plain, span};

/// How long one request may take, unless the command line says otherwise.
pub(crate) const REQUEST: Duration = Duration::from_secs(10);

/// The port of a host that is named without one.
const PORT: u16 = 9180;

/// How large an answer may be: that of a hundred thousand components is half of it.
const LARGEST: usize = 256 * 1024 * 1024;

/// What of a name stands for itself in a path.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// A name as a part of a path or a query.
pub(crate) fn escaped(name: &str) -> String {
    utf8_percent_encode(name, IN_PATH).to_string()
}

/// Where a host answers: `http://HOST:PORT`, perhaps with a path in front of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Endpoint {
    /// Without a slash at its end.
    base: String,
    host: String,
    port: u16,
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let complete = match text.split_once("://") {
            Some(("http", _)) => text.to_owned(),
            Some(("https", _)) => return Err("https is not spoken yet; write http://…".to_owned()),
            Some((scheme, _)) => return Err(format!("{scheme} is not spoken; write http://…")),
            None => format!("http://{text}"),
        };
        let wrong = || format!("{text:?} is no address; write HOST:PORT or http://HOST:PORT");
        let uri: Uri = complete.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        if authority.as_str().contains('@') || uri.query().is_some() || authority.host().is_empty()
        {
            return Err(wrong());
        }
        let default = if complete == text { 80 } else { PORT };
        let port = authority.port_u16().unwrap_or(default);
        let host = authority.host().to_owned();
        let path = uri.path().trim_end_matches('/');
        Ok(Self {
            base: format!("http://{host}:{port}{path}"),
            host,
            port,
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

impl TryFrom<String> for Endpoint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.base
    }
}

impl Endpoint {
    /// Without the brackets of IPv6.
    pub(crate) fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Whether it has a path of its own.
    pub(crate) fn has_path(&self) -> bool {
        self.base.matches('/').count() > 2
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Whether what is sent there stays on this machine.
    fn is_local(&self) -> bool {
        let loopback = self.host().parse::<IpAddr>().map(|it| it.is_loopback());
        self.host() == "localhost" || loopback.unwrap_or(false)
    }
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

/// Requests to one host.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: Http<HttpConnector, Full<Bytes>>,
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
    /// The time was over.
    TooLate(Duration),
}

impl Client {
    /// `limit` bounds each request.
    pub(crate) fn new(endpoint: Endpoint, token: Option<Token>, limit: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            // An operation that was sent is never sent twice.
            http: Http::builder(TokioExecutor::new())
                .retry_canceled_requests(false)
                .pool_max_idle_per_host(0)
                .build(connector),
            endpoint,
            token,
            limit,
        }
    }

    /// The same for another host.
    pub(crate) fn to(&self, endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            ..self.clone()
        }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether the token travels where others can read it.
    pub(crate) fn exposes_token(&self) -> bool {
        self.token.is_some() && !self.endpoint.is_local()
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
        let answered = async {
            let response = self
                .http
                .request(request)
                .await
                .map_err(|it| silence(&it))?;
            Answer::read(response).await
        };
        let answered = timeout(limit, answered).await;
        answered.unwrap_or(Err(Silence::TooLate(limit)))
    }

    /// Opens a stream of events, after the event `last` when that is given.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get); what comes later is not bounded in time.
    pub(crate) async fn stream(&self, path: &str, last: Option<&str>) -> Result<Incoming, Failure> {
        let request = self.request(Method::GET, path, None, "text/event-stream", last);
        let request = request.map_err(|it| self.failure(&it))?;
        let opened = timeout(self.limit, self.http.request(request)).await;
        let opened = opened.map_err(|_| self.failure(&Silence::TooLate(self.limit)))?;
        let response = opened.map_err(|it| self.failure(&silence(&it)))?;
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
            .uri(format!("{}{path}", self.endpoint))
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
                "is that a host's diagnostics address? ask again, and look at its log",
            ),
            Silence::TooLate(limit) => Failure::new(
                Exit::TimedOut,
                format!("{endpoint} did not answer within {}", span(*limit)),
                "--timeout allows more; what was asked may still happen",
            ),
        }
    }
}

fn silence(error: &hyper_util::client::legacy::Error) -> Silence {
    let why = deepest(error);
    match error.is_connect() {
        true => Silence::NoConnection(why),
        false => Silence::Broken(why),
    }
}

/// The error that all others only repeat.
fn deepest(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// What a host has said.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// When, by the host's own clock: ours may be wrong.
    pub(crate) now: Timestamp,
    body: Bytes,
}

/// An RFC 9457 document, as far as it is read.
#[derive(Debug, Default, Deserialize)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Schema {
    schema_version: Option<String>,
}

impl Answer {
    async fn read(response: Response<Incoming>) -> Result<Self, Silence> {
        let (head, body) = response.into_parts();
        let date = head.headers.get(DATE).and_then(|it| it.to_str().ok());
        let date = date.and_then(|it| jiff::fmt::rfc2822::parse(it).ok());
        let date = date.map(|it| it.timestamp());
        let collected = Limited::new(body, LARGEST).collect().await;
        let collected = collected.map_err(|it| Silence::Broken(deepest(&*it)))?;
        Ok(Self {
            status: head.status,
            now: clock(date, Timestamp::now()),
            body: collected.to_bytes(),
        })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as a document of the schema that this client knows.
    ///
    /// # Errors
    ///
    /// When it is another one, or none.
    pub(crate) fn document<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let strange = |why: &dyn fmt::Display| {
            Failure::new(
                Exit::Failed,
                format!("the answer is no document that this client knows: {why}"),
                "use the lifecyclectl of the host's version, or --output json where it is only shown",
            )
        };
        let schema: Schema = serde_json::from_slice(&self.body).map_err(|it| strange(&it))?;
        match schema.schema_version.as_deref() {
            Some("v1") | None => serde_json::from_slice(&self.body).map_err(|it| strange(&it)),
            Some(other) => Err(strange(&format_args!("its schema is {other:?}"))),
        }
    }

    /// What an answer that is no success means to a command.
    pub(crate) fn refusal(&self, path: &str) -> Failure {
        let problem: Problem = serde_json::from_slice(&self.body).unwrap_or_default();
        let title = problem.title.unwrap_or_else(|| self.title());
        let what = match problem.detail {
            Some(detail) => format!("{title}: {detail}"),
            None => format!("{title}: the host says no more"),
        };
        let path = path.split('?').next().unwrap_or_default();
        let (exit, remedy) = remedy(self.status, path);
        Failure::new(exit, plain(&what), remedy)
    }

    fn title(&self) -> String {
        let words = self.status.canonical_reason().unwrap_or("status");
        format!("{words} ({})", self.status.as_u16())
    }
}

/// The host's clock. It is told in whole seconds: where ours is not further from it than that, ours says more.
fn clock(date: Option<Timestamp>, own: Timestamp) -> Timestamp {
    let agrees = |date: &Timestamp| own.duration_since(*date).abs() <= SignedDuration::from_secs(1);
    date.filter(|it| !agrees(it)).unwrap_or(own)
}

fn remedy(status: StatusCode, path: &str) -> (Exit, String) {
    match status {
        StatusCode::UNAUTHORIZED => (
            Exit::Refused,
            "give a token by --token-file, or LIFECYCLECTL_TOKEN".to_owned(),
        ),
        StatusCode::FORBIDDEN => (
            Exit::Refused,
            "use a token with the scope: mesh.read to look, mesh.operate to act".to_owned(),
        ),
        StatusCode::NOT_FOUND if path.starts_with("/control/lifecycle/components/") => (
            Exit::NotFound,
            "`lifecyclectl tree` lists the names".to_owned(),
        ),
        StatusCode::NOT_FOUND => (
            Exit::NotFound,
            format!("{path} may be on another listener of the host: --endpoint names it"),
        ),
        StatusCode::CONFLICT => (
            Exit::Refused,
            "`lifecyclectl status` says how it is now".to_owned(),
        ),
        StatusCode::PRECONDITION_FAILED => (
            Exit::Refused,
            "the graph has changed: ask for the plan again".to_owned(),
        ),
        StatusCode::SERVICE_UNAVAILABLE => (
            Exit::Failed,
            "ask again; the host may be on its way up or down".to_owned(),
        ),
        _ => (Exit::Failed, "the host's log may say more".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_may_leave_out_its_scheme_and_port() {
        let written = [
            ("a", "http://a:9180"),
            ("a:80", "http://a:80"),
            ("http://a", "http://a:80"),
            ("http://a:1/x/", "http://a:1/x"),
            ("[::1]:5", "http://[::1]:5"),
        ];
        for (text, base) in written {
            assert_eq!(
                text.parse::<Endpoint>().unwrap().to_string(),
                base,
                "{text}"
            );
        }
    }

    #[test]
    fn an_endpoint_that_makes_no_sense_is_refused() {
        for text in [
            "",
            "https://a",
            "ftp://a",
            "http://",
            "a b",
            "u:p@a",
            "a?b=c",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_token_is_not_in_debug_output_and_not_in_an_error() {
        let token = Token::new(" secret\n").unwrap();
        assert!(!format!("{token:?}").contains("secret"));
        let error = Token::new("sec\nret").unwrap_err();
        assert!(!error.contains("sec"), "{error}");
    }

    #[test]
    fn a_token_is_exposed_only_beyond_this_machine() {
        let exposed = |text: &str, token: Option<Token>| {
            Client::new(text.parse().unwrap(), token, REQUEST).exposes_token()
        };
        let token = Token::new("t").unwrap();
        assert!(exposed("10.0.0.1", Some(token.clone())));
        assert!(!exposed("10.0.0.1", None));
        for local in ["127.0.0.1", "[::1]:5", "localhost"] {
            assert!(!exposed(local, Some(token.clone())), "{local}");
        }
    }

    #[test]
    fn times_are_told_by_the_clock_of_the_host_unless_ours_agrees() {
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let own = at("2026-11-28T06:50:12.700Z");
        let agreeing = Some(at("2026-11-28T06:50:12Z"));
        let other = at("2026-11-28T06:50:10Z");
        assert_eq!(clock(agreeing, own), own);
        assert_eq!(clock(Some(other), own), other);
        assert_eq!(clock(None, own), own);
    }

    #[test]
    fn names_are_escaped_in_paths() {
        assert_eq!(escaped("http-inbound:0/é"), "http-inbound%3A0%2F%C3%A9");
    }
}
