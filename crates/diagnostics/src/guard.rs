//! What stands before every route of a [`server`](crate::server): checks of the request, limits, and headers of answers.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;
use crate::server::{Limits, Options};

/// The checks of one server.
#[derive(Debug)]
pub(crate) struct Guard {
    limits: Limits,
    /// `None` lets every name in.
    hosts: Option<Vec<String>>,
}

impl Guard {
    pub(crate) fn new(options: &Options) -> Self {
        let open = !is_loopback(options.bind.ip()) && options.hosts.is_empty();
        let names = || options.hosts.iter().map(|it| it.to_ascii_lowercase());
        Self {
            limits: options.limits,
            hosts: (!open).then(|| names().collect()),
        }
    }

    fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        self.check_host(uri, headers)?;
        self.check_length(headers)
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

async fn pass(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let mut response = match guard.check(request.uri(), request.headers()) {
        Ok(()) => answer(&guard, request, next).await,
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    set_default(headers, X_CONTENT_TYPE_OPTIONS, "nosniff");
    set_default(headers, CACHE_CONTROL, "no-store");
    response
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

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(options: &Options, host: &str) -> Option<u16> {
        let guard = Guard::new(options);
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        let checked = guard.check(&Uri::from_static("/livez"), &headers);
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
        assert!(guard.check(&uri, &headers).is_err());
    }

    #[test]
    fn a_check_without_a_host_is_let_in() {
        let options = on("127.0.0.1:9180");
        let guard = Guard::new(&options);
        let checked = guard.check(&Uri::from_static("/livez"), &HeaderMap::new());
        assert_eq!(checked, Ok(()));
    }

    #[test]
    fn a_body_beyond_the_limit_is_refused_before_it_is_read() {
        let options = on("127.0.0.1:9180");
        let guard = Guard::new(&options);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("65537"));
        let refused = guard.check(&Uri::from_static("/"), &headers).unwrap_err();
        assert_eq!(refused.into_response().status(), 413);
    }
}
