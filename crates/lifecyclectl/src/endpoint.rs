//! [`Endpoint`]: the address of a host.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use hyper::Uri;
use serde::{Deserialize, Serialize};

/// The port of a host that is named without one.
const PORT: u16 = 9180;

/// Where a host answers: `http://HOST:PORT` or `https://HOST:PORT`, perhaps with a path in front of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Endpoint {
    /// Without a slash at its end.
    base: String,
    is_encrypted: bool,
    host: String,
    port: u16,
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (complete, scheme, default) = match text.split_once("://") {
            Some(("http", _)) => (text.to_owned(), "http", 80),
            Some(("https", _)) => (text.to_owned(), "https", 443),
            Some((scheme, _)) => {
                return Err(format!(
                    "{scheme} is not spoken; write http://… or https://…"
                ));
            }
            None => (format!("http://{text}"), "http", PORT),
        };
        let wrong = || {
            format!(
                "{text:?} is no address; write HOST:PORT, http://HOST:PORT or https://HOST:PORT"
            )
        };
        let uri: Uri = complete.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        if authority.as_str().contains('@') || uri.query().is_some() || authority.host().is_empty()
        {
            return Err(wrong());
        }
        let port = authority.port_u16().unwrap_or(default);
        let host = authority.host().to_owned();
        let path = uri.path().trim_end_matches('/');
        Ok(Self {
            base: format!("{scheme}://{host}:{port}{path}"),
            is_encrypted: scheme == "https",
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

    /// Host and port, as a request names them.
    pub(crate) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// What stands before our own paths; it does not end in a slash.
    pub(crate) fn path(&self) -> &str {
        let beyond_scheme = self.base.split_once("://").map_or("", |it| it.1);
        beyond_scheme
            .find('/')
            .map_or("", |it| &beyond_scheme[it..])
    }

    /// Whether it has a path of its own.
    pub(crate) fn has_path(&self) -> bool {
        !self.path().is_empty()
    }

    /// Whether TLS is spoken there.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Whether what is sent there stays on this machine.
    pub(crate) fn is_local(&self) -> bool {
        let loopback = self.host().parse::<IpAddr>().map(|it| it.is_loopback());
        self.host() == "localhost" || loopback.unwrap_or(false)
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
            ("https://a", "https://a:443"),
            ("https://[::1]:9180/", "https://[::1]:9180"),
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
            "", "ftp://a", "http://", "https://", "a b", "u:p@a", "a?b=c",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }
}
