//! TLS of inbounds and outbounds: its keys, and what is read from them.

use host_config::Node::Table;
use host_config::sections::tls::{PRESENTED, Presented, TRUSTED};
use host_config::{Entry, Group, key};
use lifecycle_adapters::tls::{Pem, ServerTls};

pub(crate) const INBOUND_TLS: Entry = key(
    "tls",
    Table(&INBOUND),
    "calls come in over TLS alone; without the section, in clear text",
);

pub(crate) const OUTBOUND_TLS: Entry = key(
    "tls",
    Table(&OUTBOUND),
    "calls are made over TLS alone: for `https` addresses, which need it, and for `grpc`",
);

const INBOUND: Group = Group {
    title: "`[http-inbounds.NAME.tls]`, `[grpc-inbounds.NAME.tls]`",
    text: "What an inbound presents. Files are in the form PEM; their paths are as the process sees them.",
    always: false,
    keys: &[PRESENTED],
};

const OUTBOUND: Group = Group {
    title: "`[outbounds.NAME.tls]`",
    text: "Whom an outbound trusts, and what it presents.",
    always: false,
    keys: &[TRUSTED],
};

/// What an inbound presents; opens nothing.
pub(crate) fn presented(tls: &Presented) -> ServerTls {
    asking(tls, ServerTls::client_ca)
}

/// What a listener presents that lets in who has no certificate, too; opens nothing.
pub(crate) fn optionally(tls: &Presented) -> ServerTls {
    asking(tls, ServerTls::optional_client_ca)
}

fn asking(tls: &Presented, ask: fn(ServerTls, Pem) -> ServerTls) -> ServerTls {
    let settings = ServerTls::new(Pem::file(&tls.certificate), Pem::file(&tls.key))
        .reload_interval(tls.reload_interval.into());
    match &tls.client_ca {
        Some(ca) => ask(settings, Pem::file(ca)),
        None => settings,
    }
}
