//! What stands before every route of a [`server`](crate::server): checks of the request, limits, and headers of answers.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use lifecycle_adapters::tls::PeerCertificate;

use crate::audit::Entry;
use crate::credentials::{ANONYMOUS, Accepted, Caller, Credentials, Refusal, Scope, Shown};
use crate::mutation::peer;
use crate::problem::Problem;
use crate::server::{Limits, Options};

/// The checks of one server.
#[derive(Debug)]
pub(crate) struct Guard {
    limits: Limits,
    /// `None` lets every name in.
    hosts: Option<Vec<String>>,
    credentials: Credentials,
    on_loopback: bool,
    metrics_are_open: bool,
}

/// Probes: open to all, always.
const PROBES: [&str; 4] = ["/livez", "/healthz", "/readyz", "/startupz"];

/// What is posted and changes nothing.
const DRY_RUN: &str = "/control/lifecycle/plan";

/// How long who shows a wrong token waits for the answer; so many connections may each try ten a second.
const WRONG_TOKEN: Duration = Duration::from_millis(100);

impl Guard {
    pub(crate) fn new(options: &Options) -> Self {
        let on_loopback = is_loopback(options.bind.ip());
        let open = !on_loopback && options.hosts.is_empty();
        let names = || options.hosts.iter().map(|it| it.to_ascii_lowercase());
        Self {
            limits: options.limits,
            hosts: (!open).then(|| names().collect()),
            credentials: options.credentials.clone(),
            on_loopback,
            metrics_are_open: options.metrics_are_open,
        }
    }

    fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        self.check_host(uri, headers)?;
        if !method.is_safe() {
            check_origin(uri, headers)?;
        }
        self.check_length(headers)
    }

    /// Who asks, if somebody must say so.
    fn authorize(&self, request: &Request) -> Result<Option<Caller>, Refusal> {
        let Some(wanted) = self.wanted(request.method(), request.uri().path()) else {
            return Ok(None);
        };
        let certificate = request.extensions().get::<PeerCertificate>();
        let shown = Shown {
            authorization: request.headers().get(AUTHORIZATION),
            certificate: certificate.map(PeerCertificate::der),
        };
        let caller = self.credentials.judge(shown, wanted, self.on_loopback)?;
        Ok(Some(caller))
    }

    /// What somebody must be allowed to do to ask this; `None` where nobody is asked.
    fn wanted(&self, method: &Method, path: &str) -> Option<Scope> {
        let is_open = PROBES.contains(&path) || path == "/metrics" && self.metrics_are_open;
        match method.is_safe() || path == DRY_RUN {
            _ if is_open => None,
            true => Some(Scope::Read),
            false => Some(Scope::Operate),
        }
    }

    fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(hosts) = &self.hosts else {
            return Ok(());
        };
        let Some(named) = named_host(uri, headers)? else {
            // Only HTTP/1.0 checks of load balancers leave it out; no browser does.
            return Ok(());
        };
        let name = without_port(&named).to_ascii_lowercase();
        if names_loopback(&name) || hosts.contains(&name) {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            format!(
                "the host {named:?} is not one of this server; use a loopback address or \"localhost\""
            ),
        ))
    }

    fn check_length(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let declared = headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok());
        let length = declared.and_then(|it| it.parse::<u64>().ok()).unwrap_or(0);
        if length <= self.limits.body as u64 {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("a body may have {} bytes", self.limits.body),
        ))
    }
}

/// Puts `guard` before `router`, and refusals behind it for what it does not know.
pub(crate) fn wrap(router: Router, guard: Guard) -> Router {
    let body = guard.limits.body;
    router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(body))
        .layer(middleware::from_fn_with_state(Arc::new(guard), pass))
}

async fn pass(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let mut response = match let_in(&guard, &mut request) {
        Ok(()) => answer(&guard, request, next).await,
        Err(turned_away) => turned_away.answer().await,
    };
    let headers = response.headers_mut();
    set_default(headers, X_CONTENT_TYPE_OPTIONS, "nosniff");
    set_default(headers, CACHE_CONTROL, "no-store");
    response
}

/// What somebody is told who is not let in.
struct TurnedAway {
    problem: Problem,
    /// What they could have shown, where that is what they lack.
    challenge: Option<&'static str>,
    /// How long they wait for it.
    wait: Option<Duration>,
}

impl TurnedAway {
    async fn answer(self) -> Response {
        if let Some(wait) = self.wait {
            tokio::time::sleep(wait).await;
        }
        let mut response = self.problem.into_response();
        if let Some(challenge) = self.challenge {
            let challenge = HeaderValue::from_static(challenge);
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// Writes into `request` who asks. Whoever wants to change something and is not let in leaves a line in the log.
fn let_in(guard: &Guard, request: &mut Request) -> Result<(), TurnedAway> {
    let checked = guard.check(request.method(), request.uri(), request.headers());
    if let Err(problem) = checked {
        audit(request, ANONYMOUS, &problem);
        return Err(TurnedAway {
            problem,
            challenge: None,
            wait: None,
        });
    }
    match guard.authorize(request) {
        Ok(caller) => {
            // Whatever a listener in front may have written there is not ours.
            request.extensions_mut().remove::<Caller>();
            caller.map(|it| request.extensions_mut().insert(it));
            Ok(())
        }
        Err(refusal) => Err(turn_away(request, &refusal)),
    }
}

fn turn_away(request: &Request, refusal: &Refusal) -> TurnedAway {
    let problem = problem_of(refusal);
    let who = match refusal {
        Refusal::NotAllowed { who, .. } | Refusal::UnknownCertificate { who } => who,
        Refusal::NobodyMay
        | Refusal::NothingShown(_)
        | Refusal::WrongToken
        | Refusal::NamelessCertificate => ANONYMOUS,
    };
    audit(request, who, &problem);
    TurnedAway {
        problem,
        challenge: Some(challenge(refusal)),
        wait: (*refusal == Refusal::WrongToken).then_some(WRONG_TOKEN),
    }
}

fn problem_of(refusal: &Refusal) -> Problem {
    let (status, detail) = match refusal {
        Refusal::NobodyMay => (
            StatusCode::UNAUTHORIZED,
            "no credentials are configured, so only the probes are answered beyond loopback; configure some".to_owned(),
        ),
        Refusal::NothingShown(accepted) => {
            (StatusCode::UNAUTHORIZED, format!("say who you are: {}", means(*accepted)))
        }
        Refusal::WrongToken => (
            StatusCode::UNAUTHORIZED,
            "this is none of the tokens of this host (any more)".to_owned(),
        ),
        Refusal::NamelessCertificate => (
            StatusCode::FORBIDDEN,
            "the client certificate has neither a common name nor an alternative name that could be used".to_owned(),
        ),
        Refusal::UnknownCertificate { who } => (
            StatusCode::FORBIDDEN,
            format!("\"{who}\" may do nothing here: none of the names in the client certificate has a scope"),
        ),
        Refusal::NotAllowed { who, wanted } => (
            StatusCode::FORBIDDEN,
            format!("\"{who}\" does not have the scope {}", wanted.as_str()),
        ),
    };
    Problem::new(status, detail)
}

const fn means(accepted: Accepted) -> &'static str {
    match accepted {
        Accepted::Tokens => "Authorization: Bearer TOKEN",
        Accepted::Certificates => "show a client certificate",
        Accepted::Both => "Authorization: Bearer TOKEN, or a client certificate",
    }
}

/// What RFC 6750 wants to be said.
const fn challenge(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NobodyMay
        | Refusal::NothingShown(_)
        | Refusal::NamelessCertificate
        | Refusal::UnknownCertificate { .. } => "Bearer realm=\"lifecycle\"",
        Refusal::WrongToken => "Bearer realm=\"lifecycle\", error=\"invalid_token\"",
        Refusal::NotAllowed {
            wanted: Scope::Read,
            ..
        } => "Bearer realm=\"lifecycle\", error=\"insufficient_scope\", scope=\"mesh.read\"",
        Refusal::NotAllowed {
            wanted: Scope::Operate,
            ..
        } => "Bearer realm=\"lifecycle\", error=\"insufficient_scope\", scope=\"mesh.operate\"",
    }
}

fn audit(request: &Request, who: &str, problem: &Problem) {
    let (method, path) = (request.method(), request.uri().path());
    if method.is_safe() || path == DRY_RUN {
        return;
    }
    let entry = Entry {
        who: who.to_owned(),
        peer: peer(request.extensions()),
        what: format!("{method} {path}").into(),
        component: None,
        reason: None,
    };
    entry.refused(problem);
}

async fn answer(guard: &Guard, request: Request, next: Next) -> Response {
    let limit = guard.limits.request;
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            format!("no answer within {} ms", limit.as_millis()),
        )
        .into_response(),
    }
}

async fn not_found(uri: Uri) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        format!("there is nothing at {}", uri.path()),
    )
}

async fn method_not_allowed(request: Request) -> Problem {
    let (method, path) = (request.method(), request.uri().path());
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{path} does not answer {method}"),
    )
}

fn set_default(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers
        .entry(name)
        .or_insert(HeaderValue::from_static(value));
}

/// The host that a request is for; a target in absolute form wins over the header (RFC 9112, 3.2.2).
fn named_host(uri: &Uri, headers: &HeaderMap) -> Result<Option<String>, Problem> {
    if let Some(authority) = uri.authority() {
        return Ok(Some(authority.as_str().to_owned()));
    }
    let Some(header) = headers.get(HOST) else {
        return Ok(None);
    };
    match header.to_str() {
        Ok(name) => Ok(Some(name.to_owned())),
        Err(_) => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "the Host header cannot be read",
        )),
    }
}

/// A page may change only what it came from: a browser says where a page is from whenever it sends something.
fn check_origin(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(origin) = headers.get(ORIGIN) else {
        return Ok(());
    };
    let origin = origin.to_str().unwrap_or("");
    let named = named_host(uri, headers)?.unwrap_or_default();
    let (scheme, from) = origin.split_once("://").unwrap_or_default();
    let port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => "",
    };
    let bare = |it: &str| it.strip_suffix(port).unwrap_or(it).to_ascii_lowercase();
    if !port.is_empty() && !from.is_empty() && bare(from) == bare(&named) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        format!("a page of {origin:?} may change nothing here"),
    ))
}

fn without_port(host: &str) -> &str {
    // The last colon of a bare IPv6 address is no port; in brackets it is.
    match host.rsplit_once(':') {
        Some((name, _)) if name.ends_with(']') || !name.contains(':') => name,
        _ => host,
    }
}

/// Whether `name`, in lower case, can only mean this machine.
fn names_loopback(name: &str) -> bool {
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(address) => is_loopback(address),
        Err(_) => matches!(name, "localhost" | "localhost."),
    }
}

pub(crate) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(options: &Options, host: &str) -> Option<u16> {
        let guard = Guard::new(options);
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        let checked = guard.check(&Method::GET, &Uri::from_static("/livez"), &headers);
        checked.err().map(|it| it.into_response().status().as_u16())
    }

    fn on(bind: &str) -> Options {
        Options::new(bind.parse().unwrap())
    }

    #[test]
    fn on_loopback_only_names_of_loopback_are_let_in() {
        for host in [
            "localhost",
            "LOCALHOST:9180",
            "localhost.",
            "127.0.0.1:9180",
            "127.1.2.3",
            "[::1]:9180",
            "[::1]",
            "::1",
        ] {
            assert_eq!(verdict(&on("127.0.0.1:9180"), host), None, "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:9180",
            "127.0.0.1.evil.example",
            "192.0.2.1",
            "",
            ":80",
        ] {
            assert_eq!(verdict(&on("127.0.0.1:9180"), host), Some(421), "{host}");
        }
    }

    #[test]
    fn names_that_were_given_are_let_in_too() {
        let mut options = on("127.0.0.1:9180");
        options.hosts.push("Node-1.mesh".into());
        assert_eq!(verdict(&options, "node-1.MESH:80"), None);
        assert_eq!(verdict(&options, "node-2.mesh"), Some(421));
    }

    #[test]
    fn beyond_loopback_every_name_is_let_in_unless_some_were_given() {
        let mut options = on("192.0.2.1:9180");
        assert_eq!(verdict(&options, "anything.example"), None);
        options.hosts.push("node-1".into());
        assert_eq!(verdict(&options, "anything.example"), Some(421));
    }

    #[test]
    fn a_request_in_absolute_form_is_checked_by_its_target() {
        let options = on("127.0.0.1:9180");
        let guard = Guard::new(&options);
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("localhost"));
        let uri = Uri::from_static("http://evil.example/livez");
        assert!(guard.check(&Method::GET, &uri, &headers).is_err());
    }

    #[test]
    fn a_check_without_a_host_is_let_in() {
        let options = on("127.0.0.1:9180");
        let guard = Guard::new(&options);
        let checked = guard.check(&Method::GET, &Uri::from_static("/livez"), &HeaderMap::new());
        assert_eq!(checked, Ok(()));
    }

    #[test]
    fn a_body_beyond_the_limit_is_refused_before_it_is_read() {
        let options = on("127.0.0.1:9180");
        let guard = Guard::new(&options);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("65537"));
        let refused = guard
            .check(&Method::GET, &Uri::from_static("/"), &headers)
            .unwrap_err();
        assert_eq!(refused.into_response().status(), 413);
    }

    fn posted_from(origin: &str, host: &str) -> Option<u16> {
        let guard = Guard::new(&on("192.0.2.1:9180"));
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        headers.insert(ORIGIN, origin.parse().unwrap());
        let uri = Uri::from_static("/control/upgrade/drain");
        let checked = guard.check(&Method::POST, &uri, &headers);
        checked.err().map(|it| it.into_response().status().as_u16())
    }

    #[test]
    fn only_a_page_of_the_same_host_and_port_may_change_something() {
        for (origin, host) in [
            ("http://node-1:9180", "node-1:9180"),
            ("http://NODE-1:9180", "node-1:9180"),
            ("http://node-1", "node-1:80"),
            ("https://node-1:443", "node-1"),
            ("http://[::1]:9180", "[::1]:9180"),
        ] {
            assert_eq!(posted_from(origin, host), None, "{origin}");
        }
        for (origin, host) in [
            ("http://evil.example", "node-1:9180"),
            ("http://node-1:9181", "node-1:9180"),
            ("http://node-1", "node-1:9180"),
            ("null", "node-1:9180"),
            ("", ""),
            ("http://", ""),
            ("file://node-1", "node-1"),
        ] {
            assert_eq!(posted_from(origin, host), Some(403), "{origin}");
        }
    }

    #[test]
    fn who_reads_needs_less_than_who_changes_and_probes_need_nothing() {
        let mut options = on("127.0.0.1:9180");
        let wanted = |options: &Options, method, path| Guard::new(options).wanted(&method, path);
        for path in ["/livez", "/healthz", "/readyz", "/startupz", "/metrics"] {
            assert_eq!(wanted(&options, Method::GET, path), None, "{path}");
        }
        options.metrics_are_open = false;
        let read = Some(Scope::Read);
        assert_eq!(wanted(&options, Method::GET, "/metrics"), read);
        assert_eq!(wanted(&options, Method::HEAD, "/anything"), read);
        assert_eq!(wanted(&options, Method::POST, DRY_RUN), read);
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            assert_eq!(wanted(&options, method, "/anything"), Some(Scope::Operate));
        }
    }
}
