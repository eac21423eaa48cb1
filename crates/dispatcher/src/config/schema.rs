//! Every key there is: what may stand there, what holds when nothing does, and what it is for.

use host_config::Initial::{Is, Required, Unset};
use host_config::Kind::{self, Address, Flag, OneOf, SomeOf, Text as Word, Texts, Time};
use host_config::Node::{Each, Leaf, Table};
use host_config::sections::defaults::{DEFAULTS, KILL_TIMEOUT};
use host_config::sections::diagnostics;
use host_config::sections::log::LOG;
use host_config::sections::policies::{POLICIES, criticality};
use host_config::sections::traces::TRACES;
use host_config::{Entry, Group, Names, Schema, WithoutAFile, key};

use crate::config::gossip::GOSSIP;
use crate::config::middleware::{CONCURRENCY_LIMIT, DEADLINES, MIDDLEWARE, RATE_LIMIT, RETRIES};
use crate::config::tls::{INBOUND_TLS, OUTBOUND_TLS};

/// The configuration of the program.
pub(crate) const SCHEMA: Schema = Schema {
    title: "Configuration of the dispatcher",
    introduction: INTRODUCTION,
    prefix: "DISPATCHER__",
    without_a_file: WithoutAFile {
        is: "an echo service",
        document: WITHOUT_A_FILE,
    },
    document: DOCUMENT,
};

const INTRODUCTION: &str = "\
# Configuration of the dispatcher

Every key of the file that `dispatcher --config FILE` reads, in TOML. This page is the output of
`dispatcher config schema --markdown`, and a test compares the two; `dispatcher config schema` prints the same as a JSON schema for
editors. How the sources go together is told in [dispatcher.md](dispatcher.md#configuration).

Durations are written `250ms`, `10s`, `1m30s`; where *never* is allowed, that is `\"never\"`. Without a file the service is `echo`, with
`echo = true`, the HTTP inbound `0` on 127.0.0.1:8080 and the gRPC inbound `0` on 127.0.0.1:9090.
";

/// An echo service on loopback.
const WITHOUT_A_FILE: &str = r#"
service = "echo"
echo = true
[http-inbounds.0]
address = "127.0.0.1:8080"
[grpc-inbounds.0]
address = "127.0.0.1:9090"
"#;

const COMPRESSION: Kind = OneOf(&["none", "gzip"]);

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
    keys: &[&[
        key(
            "connections",
            Leaf(Kind::POSITIVE, Is("1024")),
            "how many connections are open at most",
        ),
        key(
            "head",
            Leaf(Time, Is("\"10s\"")),
            "how long a connection may take to send the head of a request, also between two requests, and before that for the handshake of TLS",
        ),
        key(
            "head-bytes",
            Leaf(Kind::POSITIVE, Is("32768")),
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
            Leaf(Kind::POSITIVE, Is("256")),
            "how many requests an HTTP/2 connection may have open at the same time",
        ),
    ]],
};

const BREAKER: Group = Group {
    title: "`[outbounds.NAME.breaker]`",
    text: "When a peer that fails is left alone. For `grpc` alone.",
    always: false,
    keys: &[&[
        key(
            "failures",
            Leaf(Kind::POSITIVE, Is("5")),
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
    ]],
};

const DIAGNOSTICS: Group = Group {
    title: "`[diagnostics]`",
    text: "The component `diagnostics`: probes, metrics and the snapshot of the orchestrator.",
    always: true,
    keys: &[
        POLICIES,
        diagnostics::KEYS,
        &[diagnostics::address("\"127.0.0.1:9182\"")],
    ],
};

const HTTP_INBOUND: Group = Group {
    title: "`[http-inbounds.NAME]`",
    text: "The component `http-inbound:NAME`: calls over HTTP/1.1 and HTTP/2.",
    always: true,
    keys: &[
        POLICIES,
        &[
            key(
                "address",
                Leaf(Address, Required("\"127.0.0.1:0\"")),
                "where it listens; port 0 takes any free one",
            ),
            key(
                "body-bytes",
                Leaf(Kind::POSITIVE, Is("1048576")),
                "how large a message may be, in bytes",
            ),
            key(
                "body-timeout",
                Leaf(Time, Is("\"30s\"")),
                "how long a client may take to send it",
            ),
            criticality("\"essential\""),
            key(
                "keep-alive",
                Leaf(Time, Is("\"15s\"")),
                "how long a stream is silent until a comment says that it is still there",
            ),
            LIMITS,
            diagnostics::SOCKET,
            INBOUND_TLS,
        ],
    ],
};

const GRPC_INBOUND: Group = Group {
    title: "`[grpc-inbounds.NAME]`",
    text: "The component `grpc-inbound:NAME`: calls over gRPC.",
    always: true,
    keys: &[
        POLICIES,
        &[
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
            criticality("\"essential\""),
            LIMITS,
            key(
                "message-bytes",
                Leaf(Kind::POSITIVE, Is("4194304")),
                "how large a message may be, in bytes",
            ),
            key(
                "message-timeout",
                Leaf(Time, Is("\"30s\"")),
                "how long a client may take to send the one message of a call that has one",
            ),
            diagnostics::SOCKET,
            INBOUND_TLS,
        ],
    ],
};

const OUTBOUND: Group = Group {
    title: "`[outbounds.NAME]`",
    text: "A way to another service: the component `SERVICE:KEY:SHAPE` of its first shape, with one alias for each further one.",
    always: true,
    keys: &[
        POLICIES,
        &[
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
            criticality("\"degradable\""),
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
                Leaf(Kind::POSITIVE, Unset),
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
            key(
                "timeout",
                Leaf(Time, Is("\"30s\"")),
                "how long a call may take that has no deadline",
            ),
            OUTBOUND_TLS,
        ],
    ],
};

const RELAY: Group = Group {
    title: "`[relays.NAME]`",
    text: "Procedures whose calls are passed on by an outbound. In a name `*` is any number of characters, and `?` is one. Over HTTP a \
           one-way procedure is looked for before a unary one, so that a one-way pattern hides unary procedures that it matches.",
    always: true,
    keys: &[&[
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
    ]],
};

const DOCUMENT: Group = Group {
    title: "Outside of sections",
    text: "",
    always: true,
    keys: &[&[
        DEFAULTS,
        KILL_TIMEOUT,
        LOG,
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
            Each(Names::Any, &GRPC_INBOUND),
            "where calls come in over gRPC",
        ),
        key(
            "http-inbounds",
            Each(Names::Any, &HTTP_INBOUND),
            "where calls come in over HTTP",
        ),
        key(
            "insecure",
            Leaf(Flag, Is("false")),
            "allows addresses that other machines can reach where nothing asks for credentials; an inbound with a `tls.client-ca` does",
        ),
        key(
            "middleware",
            Table(&MIDDLEWARE),
            "what stands around all calls",
        ),
        key(
            "outbounds",
            Each(Names::Any, &OUTBOUND),
            "ways to other services",
        ),
        key(
            "relays",
            Each(Names::Any, &RELAY),
            "procedures that others answer",
        ),
        key(
            "service",
            Leaf(Word, Is("\"dispatcher\"")),
            "the service whose procedures are offered; over gRPC the first part of the path",
        ),
        TRACES,
    ]],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_keys_makes_sense() {
        assert_eq!(SCHEMA.mistakes(), Vec::<String>::new());
    }

    #[test]
    fn the_shapes_are_those_of_the_library() {
        assert_eq!(
            SHAPES,
            dispatcher::Shape::ALL.map(dispatcher::Shape::as_str)
        );
    }
}
