//! Every key there is: what may stand there, what holds when nothing does, and what it is for.
//!
//! The document is read by this table, and the reference page and the JSON schema are written from it.

use crate::config::gossip::GOSSIP;
use crate::config::kind::{Flaw, Kind, suggestion};
use crate::config::middleware::{CONCURRENCY_LIMIT, DEADLINES, MIDDLEWARE, RATE_LIMIT, RETRIES};
use crate::config::policies::{
    ABORT_GRACE, DISPOSE, DRAIN, HEALTH, RESTART, RESTARTS, RETRY, START, STOP,
};
use crate::config::tls::{INBOUND_TLS, OUTBOUND_TLS};
use Initial::{Is, Required, Unset};
use Kind::{Address, Duration, Filter, Flag, Number, OneOf, SomeOf, Text as Word, Texts, Time};
use Node::{Each, Leaf, Table};

/// What may stand at a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Node {
    Leaf(Kind, Initial),
    Table(&'static Group),
    /// A table by any name, each as the given one.
    Each(&'static Group),
}

/// What holds when nobody has said anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Initial {
    /// Nothing.
    Unset,
    /// This, as TOML writes it.
    Is(&'static str),
    /// It is a fault; further checks go on with this.
    Required(&'static str),
}

/// The keys of a table.
#[derive(Debug)]
pub(crate) struct Group {
    /// Where it stands, for the reference.
    pub(crate) title: &'static str,
    pub(crate) text: &'static str,
    /// Whether it is there in any case; otherwise its defaults hold once the file has it, or something in it is set.
    pub(crate) always: bool,
    /// In alphabetical order.
    pub(crate) entries: &'static [Entry],
}

/// A key.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) node: Node,
    pub(crate) text: &'static str,
}

pub(crate) const fn key(name: &'static str, node: Node, text: &'static str) -> Entry {
    Entry { name, node, text }
}

const POSITIVE: Kind = Number(1, u32::MAX as i64);
const COMPRESSION: Kind = OneOf(&["none", "gzip"]);
pub(crate) const CRITICALITY: Kind = OneOf(&["essential", "degradable", "optional"]);

/// The shapes of calls.
pub(crate) const SHAPES: &[&str] = &["unary", "oneway", "stream", "client-stream", "duplex"];

const LIMITS: Entry = key(
    "limits",
    Table(&LIMITS_OF_LISTENER),
    "what clients may take of it",
);

const LIMITS_OF_LISTENER: Group = Group {
    title: "`[http-inbounds.NAME.limits]`, `[grpc-inbounds.NAME.limits]`",
    text: "What clients may take of a listener.",
    always: true,
    entries: &[
        key(
            "connections",
            Leaf(POSITIVE, Is("1024")),
            "how many connections are open at most",
        ),
        key(
            "head",
            Leaf(Time, Is("\"10s\"")),
            "how long a connection may take to send the head of a request, also between two requests, and before that for the handshake of TLS",
        ),
        key(
            "head-bytes",
            Leaf(POSITIVE, Is("32768")),
            "how large a head may be, in bytes; less than 8 KiB counts as 8 KiB",
        ),
        key(
            "ping-interval",
            Leaf(Time, Is("\"20s\"")),
            "how often an HTTP/2 connection is asked whether its client is still there",
        ),
        key(
            "ping-timeout",
            Leaf(Time, Is("\"20s\"")),
            "how long the client may take to answer that",
        ),
        key(
            "stall",
            Leaf(Time, Is("\"30s\"")),
            "how long a client may read nothing of what is sent to it",
        ),
        key(
            "streams",
            Leaf(POSITIVE, Is("256")),
            "how many requests an HTTP/2 connection may have open at the same time",
        ),
    ],
};

const BREAKER: Group = Group {
    title: "`[outbounds.NAME.breaker]`",
    text: "When a peer that fails is left alone. For `grpc` alone.",
    always: false,
    entries: &[
        key(
            "failures",
            Leaf(POSITIVE, Is("5")),
            "how many failures in a row open the circuit",
        ),
        key(
            "first-pause",
            Leaf(Time, Is("\"1s\"")),
            "how long the first pause is",
        ),
        key(
            "longest-pause",
            Leaf(Time, Is("\"30s\"")),
            "how long a pause is at most",
        ),
    ],
};

const LOG: Group = Group {
    title: "`[log]`",
    text: "Log lines, on standard error.",
    always: true,
    entries: &[
        key(
            "filter",
            Leaf(Filter, Is("\"info\"")),
            "which lines are written, as `level` or `target=level`, separated by commas; `RUST_LOG` overrides what the file says, not what a variable or flag says",
        ),
        key(
            "format",
            Leaf(OneOf(&["text", "json"]), Is("\"text\"")),
            "lines for people, or for programs",
        ),
    ],
};

const DIAGNOSTICS: Group = Group {
    title: "`[diagnostics]`",
    text: "The component `diagnostics`: probes, metrics and the snapshot of the orchestrator.",
    always: true,
    entries: &[
        ABORT_GRACE,
        key(
            "address",
            Leaf(Address, Is("\"127.0.0.1:9182\"")),
            "where it listens; port 0 takes any free one",
        ),
        DISPOSE,
        DRAIN,
        HEALTH,
        key(
            "hosts",
            Leaf(Texts, Is("[]")),
            "names beside those of loopback by which clients may address it",
        ),
        key(
            "open-metrics",
            Leaf(Flag, Is("true")),
            "whether metrics are given without a token",
        ),
        RESTARTS,
        START,
        STOP,
        key(
            "tokens",
            Leaf(Word, Unset),
            "a file of bearer tokens, one a line as `name scope[,scope] token`, with the scopes `mesh.read` and `mesh.operate`; it is read again when it changes; unset, whoever reaches it on loopback may see and act",
        ),
    ],
};

const HTTP_INBOUND: Group = Group {
    title: "`[http-inbounds.NAME]`",
    text: "The component `http-inbound:NAME`: calls over HTTP/1.1 and HTTP/2.",
    always: true,
    entries: &[
        ABORT_GRACE,
        key(
            "address",
            Leaf(Address, Required("\"127.0.0.1:0\"")),
            "where it listens; port 0 takes any free one",
        ),
        key(
            "body-bytes",
            Leaf(POSITIVE, Is("1048576")),
            "how large a message may be, in bytes",
        ),
        key(
            "body-timeout",
            Leaf(Time, Is("\"30s\"")),
            "how long a client may take to send it",
        ),
        key(
            "criticality",
            Leaf(CRITICALITY, Is("\"essential\"")),
            "what its failure means for the host",
        ),
        DISPOSE,
        DRAIN,
        HEALTH,
        key(
            "keep-alive",
            Leaf(Time, Is("\"15s\"")),
            "how long a stream is silent until a comment says that it is still there",
        ),
        LIMITS,
        RESTARTS,
        START,
        STOP,
        INBOUND_TLS,
    ],
};

const GRPC_INBOUND: Group = Group {
    title: "`[grpc-inbounds.NAME]`",
    text: "The component `grpc-inbound:NAME`: calls over gRPC.",
    always: true,
    entries: &[
        ABORT_GRACE,
        key(
            "address",
            Leaf(Address, Required("\"127.0.0.1:0\"")),
            "where it listens; port 0 takes any free one",
        ),
        key(
            "advertise",
            Leaf(Word, Unset),
            "the `host:port` under which other nodes reach it, told to them by gossip; port 0 stands for the port that was taken; unset, where it listens",
        ),
        key(
            "compression",
            Leaf(COMPRESSION, Is("\"none\"")),
            "`gzip`: compressed messages are taken, and answers are compressed for clients that take such",
        ),
        key(
            "criticality",
            Leaf(CRITICALITY, Is("\"essential\"")),
            "what its failure means for the host",
        ),
        DISPOSE,
        DRAIN,
        HEALTH,
        LIMITS,
        key(
            "message-bytes",
            Leaf(POSITIVE, Is("4194304")),
            "how large a message may be, in bytes",
        ),
        key(
            "message-timeout",
            Leaf(Time, Is("\"30s\"")),
            "how long a client may take to send the one message of a call that has one",
        ),
        RESTARTS,
        START,
        STOP,
        INBOUND_TLS,
    ],
};

const OUTBOUND: Group = Group {
    title: "`[outbounds.NAME]`",
    text: "A way to another service: the component `SERVICE:KEY:SHAPE` of its first shape, with one alias for each further one.",
    always: true,
    entries: &[
        ABORT_GRACE,
        key(
            "address",
            Leaf(Word, Unset),
            "where it leads: a URL `http://host:port/path` or `https://host:port/path` for `http` and `http2`, `host:port` for `grpc`; must be set unless `peers-from` is",
        ),
        key(
            "breaker",
            Table(&BREAKER),
            "when a peer that fails is left alone",
        ),
        key(
            "chooser",
            Leaf(
                OneOf(&["round-robin", "fewest-pending", "two-random-choices"]),
                Unset,
            ),
            "which peer is asked, for `grpc` alone; unset, one after the other",
        ),
        key(
            "compression",
            Leaf(COMPRESSION, Unset),
            "`gzip`: messages are compressed, and such are taken, for `grpc` alone; unset, none",
        ),
        CONCURRENCY_LIMIT,
        key(
            "connect-timeout",
            Leaf(Time, Is("\"5s\"")),
            "how long it may take to open a connection, with the handshake of TLS",
        ),
        key(
            "criticality",
            Leaf(CRITICALITY, Is("\"degradable\"")),
            "what its failure means for the host",
        ),
        DISPOSE,
        DRAIN,
        HEALTH,
        key(
            "idle-timeout",
            Leaf(Time, Unset),
            "how long a connection is kept without a call; unset, 5 s, for `grpc` 90 s",
        ),
        key(
            "key",
            Leaf(Word, Is("\"default\"")),
            "tells it from other ways to the same service",
        ),
        key(
            "message-bytes",
            Leaf(POSITIVE, Unset),
            "how large a message of the upstream's may be, in bytes; unset, 1 MiB, for `grpc` 4 MiB",
        ),
        key(
            "peers",
            Leaf(Texts, Unset),
            "further places `host:port` that answer the same calls, for `grpc` alone",
        ),
        key(
            "peers-from",
            Leaf(OneOf(&["gossip"]), Unset),
            "who says at which further places they are answered, for `grpc` alone: every other node that offers the service, is alive and is not cordoned",
        ),
        key(
            "protocol",
            Leaf(OneOf(&["http", "http2", "grpc"]), Required("\"grpc\"")),
            "HTTP/1.1, HTTP/2, or gRPC",
        ),
        RATE_LIMIT,
        RESTARTS,
        RETRIES,
        key(
            "service",
            Leaf(Word, Unset),
            "the service that it leads to; unset, NAME",
        ),
        key(
            "shapes",
            Leaf(SomeOf(SHAPES), Unset),
            "which calls it carries; unset, all that the protocol can: `unary`, `oneway` and `stream`, for `grpc` all five",
        ),
        START,
        STOP,
        key(
            "timeout",
            Leaf(Time, Is("\"30s\"")),
            "how long a call may take that has no deadline",
        ),
        OUTBOUND_TLS,
    ],
};

const RELAY: Group = Group {
    title: "`[relays.NAME]`",
    text: "Procedures whose calls are passed on by an outbound. In a name `*` is any number of characters, and `?` is one. Over HTTP a \
           one-way procedure is looked for before a unary one, so that a one-way pattern hides unary procedures that it matches.",
    always: true,
    entries: &[
        key(
            "client-stream",
            Leaf(Texts, Is("[]")),
            "procedures of this shape",
        ),
        CONCURRENCY_LIMIT,
        DEADLINES,
        key("duplex", Leaf(Texts, Is("[]")), "procedures of this shape"),
        key(
            "key",
            Leaf(Word, Is("\"default\"")),
            "the key of the outbound",
        ),
        key("oneway", Leaf(Texts, Is("[]")), "procedures of this shape"),
        RATE_LIMIT,
        key(
            "service",
            Leaf(Word, Unset),
            "the service of the outbound; unset, NAME",
        ),
        key("stream", Leaf(Texts, Is("[]")), "procedures of this shape"),
        key("unary", Leaf(Texts, Is("[]")), "procedures of this shape"),
    ],
};

const DEFAULTS: Group = Group {
    title: "`[defaults]`",
    text: "What holds for every component that does not say otherwise, and for the host as a whole.",
    always: true,
    entries: &[
        key(
            "abort-grace",
            Leaf(Duration, Is("\"500ms\"")),
            "how long a cancelled call may take to end by itself",
        ),
        key(
            "await-interval",
            Leaf(Duration, Is("\"5s\"")),
            "how often a stop under way says what it waits for",
        ),
        key(
            "dispose-timeout",
            Leaf(Duration, Is("\"5s\"")),
            "how long dispose may take",
        ),
        key(
            "drain-timeout",
            Leaf(Duration, Is("\"30s\"")),
            "how long the drain of one component may take",
        ),
        key(
            "force-timeout",
            Leaf(Duration, Is("\"1s\"")),
            "how long a forced shutdown may take",
        ),
        key(
            "restart",
            Table(&RESTART),
            "what follows when a component is lost",
        ),
        key(
            "seed",
            Leaf(Number(0, i64::MAX), Is("0")),
            "what jitter is derived from",
        ),
        key(
            "settle",
            Leaf(Duration, Is("\"0s\"")),
            "how long a shutdown waits between being unready and draining",
        ),
        key(
            "shutdown-timeout",
            Leaf(Duration, Is("\"45s\"")),
            "how long a whole shutdown may take",
        ),
        key("start", Table(&RETRY), "attempts and limits of starts"),
        key("stop", Table(&RETRY), "attempts and limits of stops"),
    ],
};

/// The whole document.
pub(crate) const DOCUMENT: Group = Group {
    title: "Outside of sections",
    text: "",
    always: true,
    entries: &[
        key(
            "defaults",
            Table(&DEFAULTS),
            "what holds for every component",
        ),
        key(
            "diagnostics",
            Table(&DIAGNOSTICS),
            "probes, metrics and the snapshot",
        ),
        key(
            "echo",
            Leaf(Flag, Is("false")),
            "whether the procedures of the echo service are offered: `echo`, `swallow`, `count`, `split`, `join` and `mirror`",
        ),
        key(
            "gate",
            Leaf(OneOf(&["last", "open"]), Is("\"last\"")),
            "when inbounds open: after everything that they serve by, or at once",
        ),
        key(
            "gossip",
            Table(&GOSSIP),
            "who else there is, and what they offer",
        ),
        key(
            "grpc-inbounds",
            Each(&GRPC_INBOUND),
            "where calls come in over gRPC",
        ),
        key(
            "http-inbounds",
            Each(&HTTP_INBOUND),
            "where calls come in over HTTP",
        ),
        key(
            "insecure",
            Leaf(Flag, Is("false")),
            "allows addresses that other machines can reach where nothing asks for credentials; an inbound with a `tls.client-ca` does",
        ),
        key(
            "kill-timeout",
            Leaf(Duration, Unset),
            "how long after it was asked to stop the service manager kills the process, if that is known: a stop that may take longer is refused before anything starts",
        ),
        key("log", Table(&LOG), "log lines"),
        key(
            "middleware",
            Table(&MIDDLEWARE),
            "what stands around all calls",
        ),
        key("outbounds", Each(&OUTBOUND), "ways to other services"),
        key("relays", Each(&RELAY), "procedures that others answer"),
        key(
            "service",
            Leaf(Word, Is("\"dispatcher\"")),
            "the service whose procedures are offered; over gRPC the first part of the path",
        ),
    ],
};

impl Group {
    /// The entry called `name`.
    pub(crate) fn entry(&self, name: &str) -> Option<Node> {
        let found = self.entries.iter().find(|it| it.name == name);
        found.map(|it| it.node)
    }

    /// What to say about a key that is not there.
    pub(crate) fn unknown_key(&self, name: &str) -> Flaw {
        let known = self.entries.iter().map(|it| it.name);
        Flaw::new("there is no such key", suggestion(known, name))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::config::kind::inline;

    /// Every value that there may be, with its key; tables by name are called `a`.
    pub(crate) fn leaves(above: &str, group: &Group) -> Vec<(String, Kind, Initial)> {
        let mut found = Vec::new();
        for entry in group.entries {
            let key = format!("{above}{}", entry.name);
            match entry.node {
                Leaf(kind, initial) => found.push((key, kind, initial)),
                Table(inner) => found.extend(leaves(&format!("{key}."), inner)),
                Each(inner) => found.extend(leaves(&format!("{key}.a."), inner)),
            }
        }
        found
    }

    #[test]
    fn defaults_are_of_the_kind_of_their_keys() {
        for (key, kind, initial) in leaves("", &DOCUMENT) {
            let (Is(text) | Required(text)) = initial else {
                continue;
            };
            let value = inline(text).unwrap_or_else(|| panic!("{key}: {text}"));
            if let Err(flaw) = kind.check(&value) {
                panic!("{key} = {text}: {}", flaw.rule);
            }
        }
    }

    #[test]
    fn the_shapes_are_those_of_the_library() {
        assert_eq!(
            SHAPES,
            dispatcher::Shape::ALL.map(dispatcher::Shape::as_str)
        );
    }
}
