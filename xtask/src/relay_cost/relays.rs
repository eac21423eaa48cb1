//! The relays and their upstream, with their settings: what each does is the same.
//!
//! Each keeps connections to the upstream open, has as many threads as there are processors, the usual time limits, and writes
//! no line for a request.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::available_parallelism;

use anyhow::{Context as _, Result, ensure};

use super::Contestant;
use super::processes::{Running, free_port};
use crate::process::{self, need, succeeds};

/// What is spoken, to the relay and by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/1.1.
    Http,
    /// Unary calls, over HTTP/2.
    Grpc,
}

impl Protocol {
    pub(super) const ALL: [Self; 2] = [Self::Http, Self::Grpc];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
        }
    }
}

/// The echo service that answers.
#[derive(Debug)]
pub(super) struct Upstream {
    _running: Running,
    http: u16,
    grpc: u16,
}

impl Upstream {
    pub(super) fn start(program: &Path, folder: &Path) -> Result<Self> {
        let settings = "service = \"echo\"\necho = true\n[log]\nfilter = \"warn\"\n\
            [diagnostics]\naddress = \"127.0.0.1:0\"\n\
            [http-inbounds.0]\naddress = \"127.0.0.1:0\"\n\
            [grpc-inbounds.0]\naddress = \"127.0.0.1:0\"\n";
        let file = written(folder, "upstream.toml", settings)?;
        let (running, ports) = listening(program, &file, 3)?;
        Ok(Self {
            _running: running,
            http: ports[0],
            grpc: ports[1],
        })
    }

    pub(super) fn port(&self, protocol: Protocol) -> u16 {
        match protocol {
            Protocol::Http => self.http,
            Protocol::Grpc => self.grpc,
        }
    }
}

/// The program, as it is shipped.
pub(super) fn built() -> Result<PathBuf> {
    let line = "cargo build --release --locked --package dispatcher --bin dispatcher";
    let words: Vec<_> = line.split(' ').collect();
    ensure!(succeeds(&words)?, "the dispatcher was not built");
    Ok(process::root().join("target/release/dispatcher"))
}

/// A folder for settings and logs, which stays for whoever wants to read them.
pub(super) fn folder() -> Result<PathBuf> {
    let folder = process::root().join("target/relay-cost");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

pub(super) fn dispatcher(
    program: &Path,
    folder: &Path,
    upstream: &Upstream,
    protocol: Protocol,
) -> Result<Contestant> {
    let place = upstream.port(protocol);
    let (name, address) = match protocol {
        Protocol::Http => ("http", format!("http://127.0.0.1:{place}/")),
        Protocol::Grpc => ("grpc", format!("127.0.0.1:{place}")),
    };
    let settings = format!(
        "service = \"echo\"\n\
         [log]\nfilter = \"warn\"\n\
         [diagnostics]\naddress = \"127.0.0.1:0\"\n\
         [{name}-inbounds.0]\naddress = \"127.0.0.1:0\"\n\
         [outbounds.echo]\nprotocol = \"{name}\"\naddress = \"{address}\"\n\
         [relays.echo]\nunary = [\"echo\"]\n"
    );
    let file = written(folder, &format!("dispatcher-{name}.toml"), &settings)?;
    let (running, ports) = listening(program, &file, 2)?;
    Ok(contestant("dispatcher", protocol, running, ports[0]))
}

pub(super) fn nginx(folder: &Path, upstream: &Upstream, protocol: Protocol) -> Result<Contestant> {
    need("nginx", "-v", "nginx")?;
    let (port, place) = (free_port()?, upstream.port(protocol));
    let (listen, pass) = match protocol {
        Protocol::Http => ("", "proxy_pass http://echo;"),
        Protocol::Grpc => (" http2", "grpc_pass grpc://echo;"),
    };
    let path = folder.display();
    let name = protocol.name();
    let settings = format!(
        "daemon off;\n\
         worker_processes {threads};\n\
         pid {path}/nginx-{name}.pid;\n\
         error_log stderr warn;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n\
           access_log off;\n\
           keepalive_requests 1000000000;\n\
           client_body_temp_path {path}/nginx-body;\n\
           proxy_temp_path {path}/nginx-proxy;\n\
           fastcgi_temp_path {path}/nginx-fastcgi;\n\
           uwsgi_temp_path {path}/nginx-uwsgi;\n\
           scgi_temp_path {path}/nginx-scgi;\n\
           proxy_http_version 1.1;\n\
           proxy_set_header Connection \"\";\n\
           upstream echo {{\n\
             server 127.0.0.1:{place};\n\
             keepalive 64;\n\
             keepalive_requests 1000000000;\n\
           }}\n\
           server {{ listen 127.0.0.1:{port}{listen}; location / {{ {pass} }} }}\n\
         }}\n",
        threads = threads()?,
    );
    let file = written(folder, &format!("nginx-{name}.conf"), &settings)?;
    let mut command = Command::new("nginx");
    command.arg("-e").arg("stderr").arg("-c").arg(file);
    let running = Running::start(command, &[port])?;
    Ok(contestant("nginx", protocol, running, port))
}

pub(super) fn haproxy(
    folder: &Path,
    upstream: &Upstream,
    protocol: Protocol,
) -> Result<Contestant> {
    need("haproxy", "-v", "haproxy")?;
    let (port, place) = (free_port()?, upstream.port(protocol));
    let how = match protocol {
        Protocol::Http => "",
        Protocol::Grpc => " proto h2",
    };
    let settings = format!(
        "global\n\
         \x20 nbthread {threads}\n\
         \x20 maxconn 1024\n\
         defaults\n\
         \x20 mode http\n\
         \x20 timeout connect 5s\n\
         \x20 timeout client 30s\n\
         \x20 timeout server 30s\n\
         \x20 http-reuse always\n\
         frontend in\n\
         \x20 bind 127.0.0.1:{port}{how}\n\
         \x20 default_backend out\n\
         backend out\n\
         \x20 server echo 127.0.0.1:{place}{how}\n",
        threads = threads()?,
    );
    let file = written(
        folder,
        &format!("haproxy-{}.cfg", protocol.name()),
        &settings,
    )?;
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(file);
    let running = Running::start(command, &[port])?;
    Ok(contestant("haproxy", protocol, running, port))
}

pub(super) fn contestant(
    name: &'static str,
    protocol: Protocol,
    running: Running,
    port: u16,
) -> Contestant {
    Contestant {
        name,
        protocol,
        running,
        port,
        samples: Vec::new(),
    }
}

pub(super) fn written(folder: &Path, name: &str, settings: &str) -> Result<PathBuf> {
    let file = folder.join(name);
    fs::write(&file, settings).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

pub(super) fn threads() -> Result<usize> {
    Ok(available_parallelism()?.get())
}

/// The dispatcher, once it has printed so many addresses: their ports in that order.
fn listening(program: &Path, file: &Path, addresses: usize) -> Result<(Running, Vec<u16>)> {
    let mut command = Command::new(program);
    command.arg("--config").arg(file).stdout(Stdio::piped());
    let mut running = Running::start(command, &[])?;
    let output = running.0.stdout.take().context("it is piped")?;
    let lines = BufReader::new(output).lines().take(addresses);
    let ports = lines.map(|line| {
        let line = line?;
        let port = line.rsplit_once(':').and_then(|it| it.1.parse().ok());
        port.with_context(|| format!("no port in {line}"))
    });
    let ports = ports.collect::<Result<Vec<_>>>()?;
    ensure!(ports.len() == addresses, "the dispatcher has not started");
    Ok((running, ports))
}
