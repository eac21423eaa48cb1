//! The wiring: which components there are, and which edges between them.
//!
//! | component | edges | criticality |
//! |---|---|---|
//! | `diagnostics` | none; everything else comes after it | essential |
//! | `mesh-gossip`, when enabled | none | degradable |
//! | `mesh-leadership`, when enabled | hard, tolerates: `mesh-gossip`, when that is enabled | degradable |
//! | `control-plane:http` | hard, tolerates: `mesh-gossip` and `mesh-leadership`, each when that is enabled, the latter when its diagnostics are on | essential; takes part in a drain |
//! | `control-plane:grpc`, when enabled | hard, tolerates: `mesh-leadership`, when that is enabled | essential |
//!
//! The edges ask for gossip at the start: a node that cannot gossip is told so before it serves, and the host ends. A
//! loss later is another matter: the listener goes on with the members and leaders that were seen last. Leadership waits for
//! no store and no lease in order to start, so that the listener does not either.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use diagnostics::server;
use diagnostics::{Credentials, Diagnostics, DiagnosticsBuilder};
use host_config::Sockets;
use lifecycle_adapters::otlp::Exporter;
use lifecycle_adapters::{HttpServer, Limits};
use lifecycle_core::{BoxError, Registration};
use lifecycle_runtime::{Handle, Host, HostConfig, OrchestratorBuilder, StatusWatch};
use mesh::gossip::{self, Gossip, Members, Membership as _};
use mesh::leadership::{self, Leadership, Observer};
use tokio::sync::watch;

use crate::announce::announce;
use crate::config::Config;
use crate::grpc::{self, ControlGrpc};
use crate::leaders::{self, Leaders};
use crate::peers;

/// The name of the control listener.
pub const CONTROL_HTTP: &str = "control-plane:http";

/// Every name under which this host registers a component, whether it is enabled or not.
pub const COMPONENTS: [&str; 5] = [
    diagnostics::NAME,
    gossip::NAME,
    leadership::NAME,
    CONTROL_HTTP,
    grpc::NAME,
];

/// Runs the host until a signal or the loss of an essential component ends it; what it returns is the process's exit
/// code.
///
/// When everything runs, the addresses that were bound are printed on standard output, one a line.
#[must_use]
pub fn run(config: &Config) -> ExitCode {
    // What was wrong with it when it was checked was said; what has become wrong since is said where all is put together.
    let (traces, flaw) = match config.traces() {
        Ok(settings) => (settings.map(|it| Arc::new(Exporter::new(it)) as _), None),
        Err(fault) => (None, Some(fault)),
    };
    let settings = HostConfig {
        service: Some(config.service_name.clone()),
        log: config.log.settings(),
        kill_timeout: config.kill_timeout.map(Duration::from),
        traces,
        ..HostConfig::default()
    };
    // While there are no threads yet.
    let sockets = Sockets::of_process();
    Host::main(settings, |builder| {
        if let Some(flaw) = flaw {
            return Err(flaw.into());
        }
        let recorder = diagnostics::install_recorder()?;
        let diagnostics = Diagnostics::builder(builder.handle()).metrics(recorder);
        let ports = connect(config, sockets?, builder, diagnostics)?;
        tokio::spawn(announce(builder.handle(), ports));
        Ok(())
    })
}

/// Registers every component that `config` asks for, with its policies, and sets the defaults. Opens nothing.
///
/// The metrics of the process are not shown, and what the service manager has opened is not taken: both are for [`run`].
///
/// # Errors
///
/// When a listener is to take a socket of the service manager, gossip or leadership refuses its options, or the tokens or certificates cannot be read; a [`Config`] that was loaded
/// has been checked for that.
pub fn wire(config: &Config, builder: &mut OrchestratorBuilder) -> Result<Ports, BoxError> {
    let diagnostics = Diagnostics::builder(builder.handle());
    connect(config, Sockets::default(), builder, diagnostics)
}

/// Where the components listen: `None` while they do not, or are switched off.
#[derive(Clone, Debug)]
pub struct Ports {
    diagnostics: watch::Receiver<Option<SocketAddr>>,
    http: Arc<HttpServer>,
    grpc: Option<Arc<ControlGrpc>>,
    members: Option<Members>,
    scheme: &'static str,
}

impl Ports {
    /// What is spoken at both TCP listeners: `http` or `https`.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// That of the probes, TCP.
    #[must_use]
    pub fn diagnostics(&self) -> Option<SocketAddr> {
        *self.diagnostics.borrow()
    }

    /// That of the control listener, TCP.
    #[must_use]
    pub fn http(&self) -> Option<SocketAddr> {
        self.http.local_addr()
    }

    /// That of the control listener of gRPC, TCP.
    #[must_use]
    pub fn grpc(&self) -> Option<SocketAddr> {
        self.grpc.as_ref().and_then(|it| it.local_addr())
    }

    /// That of gossip, UDP.
    #[must_use]
    pub fn gossip(&self) -> Option<SocketAddr> {
        self.members.as_ref().and_then(|it| it.view().address)
    }
}

fn connect(
    config: &Config,
    mut sockets: Sockets,
    builder: &mut OrchestratorBuilder,
    diagnostics: DiagnosticsBuilder,
) -> Result<Ports, BoxError> {
    let gossip = gossip_of(config, builder.handle().status())?;
    let (gossip, members) = gossip.unzip();
    let leadership = leadership_of(config, builder.handle(), members.clone())?;
    let shown = leadership
        .as_ref()
        .filter(|_| config.leadership.diagnostics);
    let observer = shown.map(Leadership::observer);
    let leaders = Leaders::new(observer.clone(), builder.handle().status());

    let credentials = config.credentials()?;
    let diagnostics = diagnostics
        .bind(config.diagnostics.address)
        .allow_hosts(&config.diagnostics.hosts)
        .credentials(credentials.clone())
        .merge(leaders.routes())
        .merge(peers::routes(members.as_ref()))
        .describe(leaders::described())
        .describe(peers::described());
    let socket = &config.diagnostics.socket;
    let diagnostics = match sockets.take(socket.as_deref(), config.diagnostics.address)? {
        Some(socket) => diagnostics.socket(socket),
        None => diagnostics,
    };
    let diagnostics = match config.tls() {
        Some(tls) => diagnostics.tls(tls),
        None => diagnostics,
    };
    let diagnostics = match config.diagnostics.open_metrics {
        true => diagnostics.build(),
        false => diagnostics.close_metrics().build(),
    };
    let grpc = control_grpc(
        config,
        &mut sockets,
        builder.handle(),
        credentials.clone(),
        observer,
    )?;
    let routes = diagnostics.routes();
    let routes = routes.merge(peers::routes(members.as_ref()));
    let routes = routes.merge(leaders.routes());
    let http = control_http(config, routes, credentials);
    let http = match sockets.take(config.http.socket.as_deref(), config.http.address)? {
        Some(socket) => http.socket(socket),
        None => http,
    };
    let http = Arc::new(http);
    sockets.are_taken()?;
    let ports = Ports {
        diagnostics: diagnostics.address(),
        http: Arc::clone(&http),
        grpc: grpc.clone(),
        members,
        scheme: config.scheme(),
    };

    let needed = [
        gossip.as_ref().map(|_| gossip::NAME),
        shown.map(|_| leadership::NAME),
    ];
    let http = Registration::new(CONTROL_HTTP, http).tolerates(needed.into_iter().flatten());
    let led = leadership.as_ref().map(|_| leadership::NAME);
    let grpc = grpc.map(|it| it.registration().tolerates(led));
    let leadership = leadership.map(Leadership::registration);
    let all = [
        Some(diagnostics.registration()),
        gossip,
        leadership,
        Some(http),
        grpc,
    ];
    let all = all.into_iter().flatten();
    builder
        .defaults(config.defaults.clone())
        .registrations(all.map(|it| config.apply_policies(it)));
    Ok(ports)
}

/// Gossip, which tells the others whether the host takes new work.
fn gossip_of(
    config: &Config,
    status: StatusWatch,
) -> Result<Option<(Registration, Members)>, BoxError> {
    if !config.gossip.enabled {
        return Ok(None);
    }
    let gossip = Gossip::new(config.gossip_options())?;
    let members = gossip.members();
    let gossip = gossip.following(status, |_| {});
    Ok(Some((gossip.registration(), members)))
}

/// The control listener of gRPC, behind the same credentials.
fn control_grpc(
    config: &Config,
    sockets: &mut Sockets,
    handle: Handle,
    credentials: Credentials,
    leaders: Option<Observer>,
) -> Result<Option<Arc<ControlGrpc>>, BoxError> {
    if !config.grpc.enabled {
        return Ok(None);
    }
    let socket = sockets.take(config.grpc.socket.as_deref(), config.grpc.address)?;
    let options = grpc::Options {
        address: config.grpc.address,
        socket: socket.map(Arc::new),
        credentials,
        tls: config.tls(),
        leaders,
        ..grpc::Options::default()
    };
    Ok(Some(Arc::new(ControlGrpc::new(handle, &options)?)))
}

/// Leadership, for which this node stands while it takes new work, and is alive among `members` where there is gossip.
fn leadership_of(
    config: &Config,
    handle: Handle,
    members: Option<Members>,
) -> Result<Option<Leadership>, BoxError> {
    if !config.leadership.enabled {
        return Ok(None);
    }
    let store = config.leadership.store.options().open()?;
    let leadership = Leadership::new(&config.leadership_options(), store)?.on(handle);
    Ok(Some(match members {
        Some(members) => leadership.among(members),
        None => leadership,
    }))
}

/// The control listener. Behind the guard of the diagnostics; what these show is answered while it is drained, too.
fn control_http(config: &Config, routes: Router, credentials: Credentials) -> HttpServer {
    let options = server::Options {
        hosts: config.http.hosts.clone(),
        credentials,
        metrics_are_open: config.diagnostics.open_metrics,
        ..server::Options::new(config.http.address)
    };
    let limits = Limits {
        connections: options.limits.connections,
        head: options.limits.head,
        ..Limits::default()
    };
    let http = HttpServer::new(server::guarded(routes, &options))
        .bind(options.bind)
        .limits(limits)
        .answer_while_draining_if(|it| diagnostics::answers(it.uri().path()));
    match config.tls() {
        Some(tls) => http.tls(tls),
        None => http,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use lifecycle_core::Component;
    use lifecycle_runtime::Orchestrator;
    use lifecycle_testkit::conformance::{Check, Suite};

    use super::*;

    /// A port of loopback that nobody has: closed, it can be opened again and again.
    fn free_port() -> SocketAddr {
        let probe = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        probe.local_addr().expect("it is bound")
    }

    /// Diagnostics of an orchestrator that is not driven.
    fn diagnostics_at(address: SocketAddr) -> Diagnostics {
        let builder = Orchestrator::builder();
        Diagnostics::builder(builder.handle()).bind(address).build()
    }

    /// Makes every check on what `make` makes, which listens on `address`, and sees each time that the port is free again.
    async fn conforms(
        name: &str,
        address: SocketAddr,
        bind: fn(SocketAddr) -> std::io::Result<()>,
        make: impl Fn() -> Component,
    ) {
        let suite = Suite::of(make).named(name);
        let free = move || async move { bind(address).map_err(BoxError::from) };
        let report = suite.probe("the port is free", free).run().await;
        report.assert_ok();
        assert_eq!(report.passed, Check::ALL);
    }

    fn bind_tcp(address: SocketAddr) -> std::io::Result<()> {
        TcpListener::bind(address).map(drop)
    }

    fn bind_udp(address: SocketAddr) -> std::io::Result<()> {
        UdpSocket::bind(address).map(drop)
    }

    #[tokio::test]
    async fn diagnostics_pass_the_conformance_suite() {
        let address = free_port();
        let make = || diagnostics_at(address).registration().component;
        conforms(diagnostics::NAME, address, bind_tcp, make).await;
    }

    #[tokio::test]
    async fn gossip_passes_the_conformance_suite() {
        let address = free_port();
        let mut config = Config::default();
        config.gossip.options.bind = address;
        let make = || {
            let nobody = Orchestrator::builder().handle().status();
            let gossip = gossip_of(&config, nobody).expect("valid options");
            gossip.expect("it is enabled").0.component
        };
        conforms(gossip::NAME, address, bind_udp, make).await;
    }

    #[tokio::test]
    async fn the_control_listener_of_grpc_passes_the_conformance_suite() {
        let address = free_port();
        let mut config = Config::default();
        (config.grpc.address, config.grpc.enabled) = (address, true);
        let make = || {
            let handle = Orchestrator::builder().handle();
            let mut none = Sockets::default();
            let grpc = control_grpc(&config, &mut none, handle, Credentials::default(), None);
            let grpc = grpc.expect("good descriptors").expect("it is enabled");
            grpc.registration().component
        };
        conforms(grpc::NAME, address, bind_tcp, make).await;
    }

    #[tokio::test]
    async fn the_control_listener_passes_the_conformance_suite() {
        let address = free_port();
        let mut config = Config::default();
        config.http.address = address;
        let diagnostics = diagnostics_at(free_port());
        let make = || {
            let credentials = Credentials::default();
            Component::from(control_http(&config, diagnostics.routes(), credentials))
        };
        conforms(CONTROL_HTTP, address, bind_tcp, make).await;
    }
}
