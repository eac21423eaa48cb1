//! `[traces]`: spans to a collector.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process;

use lifecycle_adapters::otlp::{Endpoint, Headers, Settings};
use lifecycle_core::Nanos;
use serde::Deserialize;

use crate::fault::Flaw;
use crate::key::Key;
use crate::kind::Kind::{Flag, Labels, Number, Ratio, Text, Time};
use crate::load::Sources;
use crate::report::Report;
use crate::schema::Initial::{Is, Required, Unset};
use crate::schema::Node::{Leaf, Table};
use crate::schema::{Entry, Group, key};
use crate::sections::diagnostics::Secret;
use crate::sections::tls::{TRUSTED, Trusted};

/// The section.
pub const TRACES: Entry = key("traces", Table(&GROUP), "spans to a collector");

const GROUP: Group = Group {
    title: "`[traces]`",
    text: "Spans to a collector, by OTLP over gRPC. Without the section there are none, and nothing is spent on them. Variables that \
           begin with `OTEL_` are not read, except by name in `headers-env`.",
    always: false,
    keys: &[&[
        key(
            "attributes",
            Leaf(Labels, Is("{}")),
            "what is said of the process beside `service.name`, `service.version` and `service.instance.id`, or instead of them, such as `service.namespace`",
        ),
        key(
            "batch",
            Leaf(Number(1, 65_536), Is("512")),
            "how many spans are sent at once, at most",
        ),
        key(
            "delay",
            Leaf(Time, Is("\"5s\"")),
            "how long a span waits for others to be sent with",
        ),
        key(
            "enabled",
            Leaf(Flag, Is("true")),
            "whether there are any, where the section is there",
        ),
        key(
            "endpoint",
            Leaf(Text, Required("\"\"")),
            "where the collector listens: `http://host:port` or `https://host:port`; the port is 4317 unless it is said",
        ),
        key(
            "flush-timeout",
            Leaf(Time, Is("\"1s\"")),
            "how long the end of the process may wait for the last spans; that is beyond `defaults.shutdown-timeout`",
        ),
        key(
            "headers",
            Leaf(Text, Unset),
            "a file of headers for the collector, such as a token: `name=value`, one a line; it is read at the start",
        ),
        key(
            "headers-env",
            Leaf(Text, Unset),
            "the name of a variable of the environment with such lines, or with `,` between them, as `OTEL_EXPORTER_OTLP_HEADERS` has them; instead of a file",
        ),
        key(
            "queue",
            Leaf(Number(1, 1_000_000), Is("2048")),
            "how many spans may wait to be sent; those beyond are lost, and counted",
        ),
        key(
            "sample-ratio",
            Leaf(Ratio, Is("1.0")),
            "how many of the traces that begin here are sampled; of others whoever began them has decided, and the orchestrator's own always are",
        ),
        key(
            "timeout",
            Leaf(Time, Is("\"10s\"")),
            "how long one attempt to send may take",
        ),
        key(
            "tls",
            Table(&TLS),
            "whom to trust, for an endpoint of `https`, which needs it",
        ),
    ]],
};

const TLS: Group = Group {
    title: "`[traces.tls]`",
    text: "Whom to trust as the collector, and what to present to it. Files are in the form PEM; their paths are as the process sees them.",
    always: false,
    keys: &[TRUSTED],
};

/// Spans to a collector.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Traces {
    /// Whether there are any.
    pub enabled: bool,
    /// Where the collector listens.
    pub endpoint: String,
    /// Whom to trust, for `https`.
    pub tls: Option<Trusted>,
    /// A file of headers for the collector.
    pub headers: Option<PathBuf>,
    /// The name of a variable of the environment that has such lines.
    pub headers_env: Option<String>,
    /// What is in that variable; unset when it is, or none is named.
    #[serde(skip)]
    pub variable: Option<Secret>,
    /// What is said of the process.
    pub attributes: BTreeMap<String, String>,
    /// How many of the traces that begin here are sampled.
    pub sample_ratio: f64,
    /// How long one attempt to send may take.
    pub timeout: Nanos,
    /// How many spans may wait.
    pub queue: usize,
    /// How many spans are sent at once, at most.
    pub batch: usize,
    /// How long a span waits for others.
    pub delay: Nanos,
    /// How long the end of the process may wait.
    pub flush_timeout: Nanos,
}

/// What a host says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About<'a> {
    /// What the service is called.
    pub service: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Which of all instances of the service it is.
    pub instance: String,
}

impl About<'_> {
    /// What an instance is called: as the `node` is, if that has a name, or else by the machine and the process.
    #[must_use]
    pub fn instance(node: Option<String>, machine: Option<&str>) -> String {
        let of_process = || format!("{}-{}", machine.unwrap_or("local"), process::id());
        node.unwrap_or_else(of_process)
    }
}

/// A value that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracesFault {
    /// The key in the section.
    pub key: &'static str,
    /// Which rule is broken, with the remedy behind a semicolon.
    pub sentence: String,
}

impl fmt::Display for TracesFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "traces.{}: {}", self.key, self.sentence)
    }
}

impl Error for TracesFault {}

/// The largest file of headers, in bytes.
const LARGEST: u64 = 64 * 1024;

impl Traces {
    /// Takes in the variable that has the headers, if one is named.
    pub fn settle(&mut self, sources: &Sources) {
        self.variable = Secret::of_variable(self.headers_env.as_deref(), sources);
    }

    /// What an exporter takes. Reads the file of headers, if one is named.
    ///
    /// # Errors
    ///
    /// [`TracesFault`] when the endpoint or the headers cannot be used.
    pub fn settings(&self, about: &About<'_>) -> Result<Settings, TracesFault> {
        Ok(Settings {
            tls: self.tls.as_ref().map(Trusted::settings),
            headers: self.headers()?,
            resource: self.resource(about),
            sample_ratio: self.sample_ratio,
            timeout: self.timeout.into(),
            queue: self.queue,
            batch: self.batch,
            delay: self.delay.into(),
            flush_timeout: self.flush_timeout.into(),
            ..Settings::to(self.place()?)
        })
    }

    /// Blames keys for what is wrong with them, and for what does not go together. Reads the files that are named.
    pub fn check(&self, report: &mut Report<'_>, is_insecure: bool) {
        let section = Key::of(&["traces"]);
        if let Err(fault) = self.headers() {
            blame(report, &section, &fault);
        }
        match self.place() {
            Ok(place) => self.check_place(report, &section, &place, is_insecure),
            Err(fault) => blame(report, &section, &fault),
        }
        if let Some(tls) = &self.tls {
            tls.check(report, &section.join("tls"));
        }
    }

    fn check_place(
        &self,
        report: &mut Report<'_>,
        section: &Key,
        place: &Endpoint,
        is_insecure: bool,
    ) {
        let key = section.join("endpoint");
        match (place.is_https(), &self.tls) {
            (true, None) => {
                let rule = "the collector's scheme is \"https\", and nothing says whom to trust";
                report.blame(
                    &key,
                    Flaw::new(rule, "add a section [traces.tls] with a ca"),
                );
            }
            (false, Some(_)) => {
                let rule =
                    "there is a section [traces.tls], and the collector's scheme is \"http\"";
                report.blame(&key, Flaw::new(rule, "write https://, or drop the section"));
            }
            (true, Some(_)) | (false, None) => {}
        }
        let has_secrets = self.headers.is_some() || self.headers_env.is_some();
        if has_secrets && !place.is_https() && !place.is_loopback() && !is_insecure {
            let rule = "the headers would travel to another machine in clear text";
            let remedy = "write https:// and add a section [traces.tls], or set `insecure = true` on a network that you trust";
            report.blame(&key, Flaw::new(rule, remedy));
        }
    }

    fn place(&self) -> Result<Endpoint, TracesFault> {
        Endpoint::parse(&self.endpoint).map_err(|error| TracesFault {
            key: "endpoint",
            sentence: error.to_string(),
        })
    }

    fn headers(&self) -> Result<Headers, TracesFault> {
        let of = |key| move |sentence| TracesFault { key, sentence };
        match (&self.headers, &self.headers_env) {
            (None, None) => Ok(Headers::default()),
            (Some(_), Some(_)) => Err(of("headers-env")(
                "the headers are in a file already (traces.headers); name a file or a variable, not both".to_owned(),
            )),
            (Some(path), None) => {
                let text = read(path).map_err(of("headers"))?;
                Headers::parse(&text).map_err(|it| of("headers")(format!("{}: {it}", path.display())))
            }
            (None, Some(name)) => {
                let of = of("headers-env");
                let Some(variable) = &self.variable else {
                    return Err(of(format!("there is no variable {name}; set it, or name another")));
                };
                Headers::parse(variable.reveal()).map_err(|it| of(format!("{name}: {it}")))
            }
        }
    }

    fn resource(&self, about: &About<'_>) -> Vec<(String, String)> {
        let own = [
            ("service.name", about.service),
            ("service.version", about.version),
            ("service.instance.id", &about.instance),
        ];
        let own = own
            .into_iter()
            .filter(|(key, _)| !self.attributes.contains_key(*key));
        let own = own.map(|(key, text)| (key.to_owned(), text.to_owned()));
        own.chain(self.attributes.clone()).collect()
    }
}

fn blame(report: &mut Report<'_>, section: &Key, fault: &TracesFault) {
    if !report.is_blamed(section, &[fault.key]) {
        report.blame(&section.join(fault.key), Flaw::split(&fault.sentence));
    }
}

/// Reads a file that nobody else may read. What is wrong with it is said with the remedy behind a semicolon.
fn read(path: &Path) -> Result<String, String> {
    let unreadable = |error| format!("{} cannot be read: {error}", path.display());
    let file = File::open(path).map_err(unreadable)?;
    // Of what was opened, not of what is there by now.
    let mode = mode(&file.metadata().map_err(unreadable)?);
    if mode & FORBIDDEN != 0 {
        let path = path.display();
        return Err(format!(
            "the headers in {path} are open to others (mode {mode:03o}); chmod 600 it"
        ));
    }
    let mut text = String::new();
    file.take(LARGEST)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    Ok(text)
}

/// Secrets of Kubernetes are often readable by a group; nobody else may read, and nobody but the owner write.
const FORBIDDEN: u32 = 0o027;

#[cfg(unix)]
fn mode(metadata: &std::fs::Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::mode(metadata) & 0o777
}

#[cfg(not(unix))]
fn mode(_: &std::fs::Metadata) -> u32 {
    0
}
