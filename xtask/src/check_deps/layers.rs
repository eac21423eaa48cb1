//! The layer table: the data that all rules are checked against.

use crate::check_deps::rule::Rule;

/// Bottom layer first; a crate may use what compares less than its own layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layer {
    Core,
    Runtime,
    /// Layer 1 as well, but on top of the runtime, and used by tests alone.
    TestKit,
    /// What parts and programs are built on, and what is no part itself: it shows nothing and finds nobody.
    Adapters,
    Parts,
    Binaries,
    /// Uses whatever it needs and is used by nothing.
    Outside,
}

/// What one crate may do.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) layer: Layer,
    pub(crate) external: External,
    /// Words that its sources and documents must not contain.
    pub(crate) silent_about: &'static [&'static [&'static str]],
    /// What its code must not contain, since another crate does that for it.
    pub(crate) leaves: &'static [&'static str],
}

/// What a crate may take from outside the workspace as a normal or build dependency.
#[derive(Debug)]
pub(crate) enum External {
    Only(&'static [&'static str]),
    /// For crates that are tests and nothing else.
    Any,
}

pub(crate) const CORE: &str = "lifecycle-core";
pub(crate) const XTASK: &str = "xtask";

/// The most crates that [`CORE`] may build, itself included.
pub(crate) const CORE_CRATES: usize = 16;
/// What may be on of tokio in the tree of [`CORE`].
pub(crate) const CORE_TOKIO_FEATURES: &[&str] = &["default", "sync"];

/// Written as in [`crate::check_deps::words::canonical`].
const HOSTS: &[&str] = &["control-plane", "controlplane", "dispatcher"];
const MESH: &[&str] = &["gossip", "mesh"];
const TRANSPORTS: &[&str] = &["axum", "g-rpc", "grpc", "http", "hyper", "tonic"];

/// How one would start, stop or look after components without the orchestrator.
const SEQUENCING: &[&str] = &[
    "erased-lifecycle",
    "instantiate",
    "join-set",
    "lifecycle||start",
    "lifecycle||stop",
    "task-tracker",
    "task||spawn",
    "tokio||spawn",
];

/// Every member of the workspace, bottom layer first; the reasons are in docs/architecture.md.
///
/// A crate that is planned has its row already, with nothing to take from outside: who writes it
/// adds what it needs, together with the reason.
pub(crate) const TABLE: &[Row] = &[
    Row {
        name: CORE,
        layer: Layer::Core,
        external: External::Only(&["serde", "thiserror", "tokio-util"]),
        silent_about: &[HOSTS, MESH, TRANSPORTS],
        leaves: &[],
    },
    Row {
        name: "lifecycle-runtime",
        layer: Layer::Runtime,
        external: External::Only(&[
            "futures-util",
            "metrics",
            "sd-notify",
            "thiserror",
            "tokio",
            "tokio-util",
            "tracing",
            "tracing-subscriber",
        ]),
        silent_about: &[HOSTS, MESH, TRANSPORTS],
        leaves: &[],
    },
    Row {
        name: "lifecycle-testkit",
        layer: Layer::TestKit,
        external: External::Only(&["tokio", "tokio-util"]),
        silent_about: &[HOSTS, MESH, TRANSPORTS],
        leaves: &[],
    },
    Row {
        name: "lifecycle-adapters",
        layer: Layer::Adapters,
        external: External::Only(&[
            "axum",
            "hyper",
            "hyper-util",
            // What became of spans, and until when certificates are good; behind features.
            "metrics",
            // What of spans is sent to a collector; behind a feature.
            "opentelemetry-proto",
            "percent-encoding",
            "pin-project-lite",
            // TLS, behind a feature.
            "rustls",
            "thiserror",
            "tokio",
            "tokio-rustls",
            "tokio-util",
            "tonic",
            "tower-service",
            "tracing",
            // Takes in spans, behind a feature.
            "tracing-subscriber",
            // Until when certificates are good, behind the feature of TLS.
            "x509-parser",
        ]),
        silent_about: &[HOSTS, MESH],
        leaves: &[],
    },
    Row {
        name: "diagnostics",
        layer: Layer::Parts,
        external: External::Only(&[
            "axum",
            // Event streams as bodies.
            "futures-util",
            // The accept loop: limits on connections and a deadline for draining, which axum's own has not.
            "hyper",
            "hyper-util",
            "jiff",
            "metrics-exporter-prometheus",
            // The shapes of documents, for OpenAPI.
            "schemars",
            "serde",
            // The data of server-sent events.
            "serde_json",
            // Compares tokens.
            "subtle",
            "thiserror",
            "tokio",
            "tokio-util",
            "tracing",
            // The names in client certificates, which rustls has verified.
            "x509-parser",
        ]),
        silent_about: &[],
        leaves: &[],
    },
    Row {
        name: "mesh",
        layer: Layer::Parts,
        external: External::Only(&[
            // In the signatures of chitchat's transport traits, which the sealed transport meets.
            "anyhow",
            // Seals what travels between nodes; rustls builds it anyway.
            "aws-lc-rs",
            "chitchat",
            // Leases in etcd, behind a feature.
            "etcd-client",
            "jiff",
            "metrics",
            // Leases in a file, behind a feature.
            "rusqlite",
            // The clock that goes on while the machine sleeps.
            "rustix",
            // The shapes of what hosts show, for their descriptions.
            "schemars",
            "serde",
            "serde_json",
            "thiserror",
            "tokio",
            "tracing",
            // Until when the certificates for etcd are good, behind its feature.
            "x509-parser",
        ]),
        silent_about: &[],
        leaves: &[],
    },
    Row {
        name: "host-config",
        layer: Layer::Parts,
        external: External::Only(&[
            // The flags that every host has.
            "clap",
            // What the service manager has opened.
            "listenfd",
            "serde",
            // JSON schemas.
            "serde_json",
            "thiserror",
            "toml",
            // Checks log filters before anything starts.
            "tracing-subscriber",
        ]),
        silent_about: &[HOSTS],
        leaves: &[],
    },
    Row {
        name: "control-plane-host",
        layer: Layer::Binaries,
        external: External::Only(&[
            "axum",
            "clap",
            "futures-core",
            // Event streams as bodies, and streams of answers.
            "futures-util",
            "jiff",
            // Messages of the control protocol, and their descriptors.
            "prost",
            "prost-types",
            // Compiles that protocol in the build, without `protoc`.
            "protox",
            // The shapes of what it shows beside the diagnostics.
            "schemars",
            "serde",
            // Events as they are sent.
            "serde_json",
            "tokio",
            "tokio-util",
            "tonic",
            "tonic-health",
            "tonic-prost",
            "tonic-prost-build",
            "tonic-reflection",
            "tracing",
        ]),
        silent_about: &[],
        leaves: &[],
    },
    Row {
        name: "dispatcher",
        layer: Layer::Binaries,
        external: External::Only(&[
            // Server-sent events.
            "base64",
            "bytes",
            // The program's flags.
            "clap",
            "futures-core",
            // Catches panics of a call.
            "futures-util",
            // Rate limits.
            "governor",
            "http",
            "http-body-util",
            "hyper",
            "hyper-util",
            // Deadlines as they are written down.
            "jiff",
            // What the middleware counts.
            "metrics",
            // Names in paths.
            "percent-encoding",
            // Typed messages.
            "prost",
            // The documents of errors, and typed messages.
            "serde",
            "serde_json",
            "thiserror",
            // Timers, and a semaphore that limits calls.
            "tokio",
            "tokio-util",
            // Framing and statuses of gRPC; neither its server nor its channel.
            "tonic",
            "tonic-health",
            "tower",
            "tracing",
        ]),
        silent_about: &[],
        leaves: SEQUENCING,
    },
    Row {
        name: "lifecyclectl",
        layer: Layer::Binaries,
        external: External::Only(&[
            "bytes",
            "clap",
            // Completions of shells.
            "clap_complete",
            // The hosts of one step of a rolling restart, at the same time.
            "futures-util",
            "http-body-util",
            "hyper",
            "hyper-util",
            // Times and durations as they are written down.
            "jiff",
            // Names in paths.
            "percent-encoding",
            "serde",
            "serde_json",
            // One thread: sockets, timers, the interrupt, and the command that restarts a host.
            "tokio",
        ]),
        silent_about: &[],
        leaves: &[],
    },
    Row {
        name: "bench",
        layer: Layer::Outside,
        external: External::Any,
        silent_about: &[],
        leaves: &[],
    },
    Row {
        name: "feature-tests",
        layer: Layer::Outside,
        external: External::Any,
        silent_about: &[],
        leaves: &[],
    },
    Row {
        name: XTASK,
        layer: Layer::Outside,
        external: External::Only(&[
            "anyhow",
            "clap",
            "guppy",
            // Manifests and alerts of the operations kit.
            "saphyr",
            // The list of parts that is shipped, and the dashboard.
            "serde_json",
            // The sums of what is shipped.
            "sha2",
            "toml",
        ]),
        silent_about: &[],
        leaves: &[],
    },
];

/// The row of a member, if it has one.
pub(crate) fn row(name: &str) -> Option<&'static Row> {
    TABLE.iter().find(|it| it.name == name)
}

/// Whether an edge is there for tests alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Dev,
    Any,
}

/// The rule that an edge between two members breaks, if any.
pub(crate) fn broken_by(from: &Row, to: &Row, usage: Use) -> Option<Rule> {
    if to.name == XTASK {
        return Some(Rule::XtaskUsed);
    }
    if from.layer == Layer::Outside {
        return None;
    }
    if to.layer > from.layer {
        return Some(Rule::LayerUpward);
    }
    if to.layer == from.layer {
        return Some(Rule::LayerSideways);
    }
    let kit_outside_tests = to.layer == Layer::TestKit && usage == Use::Any;
    kit_outside_tests.then_some(Rule::DevOnly)
}
