//! The wiring: what the configuration says, as a dispatcher and registrations.

mod middleware;
mod traces;

use std::net::TcpListener;
use std::process::ExitCode;
use std::time::Duration;

use diagnostics::Diagnostics;
use dispatcher::{
    Dispatcher, DispatcherBuilder, GrpcAddressError, GrpcInbound, GrpcOutbound, HttpInbound,
    HttpOutbound, HttpUrlError, Inbound, Outbound, Relay,
};
use host_config::Sockets;
use host_config::sections::tls::Presented;
use lifecycle_core::{BoxError, Registration};
use lifecycle_runtime::{Host, HostConfig, OrchestratorBuilder, StatusWatch};
use mesh::gossip::{self, Gossip, Members, Membership as _};

use crate::announced::Announced;
use crate::config::{
    Compression, Config, GrpcPlace, HttpPlace, Protocol, Way, grpc_inbound, http_inbound, presented,
};
use crate::discovered::Discovered;
use crate::echo;
use crate::offered::{Advertised, Offered};

/// Runs the dispatcher until a signal or the loss of an essential component ends it; what it returns is the process's exit code.
///
/// When everything runs, the addresses that were bound are printed on standard output, one a line.
pub(crate) fn run(config: &Config) -> ExitCode {
    // What was wrong with it when it was checked was said; what has become wrong since is said where all is put together.
    let (traces, flaw) = match config.exporting() {
        Ok(settings) => (settings.map(traces::exporter), None),
        Err(fault) => (None, Some(fault)),
    };
    let settings = HostConfig {
        service: Some(config.service.trim().to_owned()),
        log: config.log.settings(),
        kill_timeout: config.kill_timeout.map(Duration::from),
        traces,
        ..HostConfig::default()
    };
    // While there are no threads yet.
    let sockets = Sockets::of_process();
    Host::main(settings, |builder| match flaw {
        Some(flaw) => Err(flaw.into()),
        None => wire(config, sockets?, builder),
    })
}

fn wire(
    config: &Config,
    mut sockets: Sockets,
    builder: &mut OrchestratorBuilder,
) -> Result<(), BoxError> {
    let serving = &config.diagnostics.serving;
    let diagnostics = Diagnostics::builder(builder.handle())
        .metrics(diagnostics::install_recorder()?)
        .bind(serving.address)
        .allow_hosts(&config.diagnostics.serving.hosts)
        .credentials(config.credentials()?);
    let diagnostics = match sockets.take(serving.socket.as_deref(), serving.address)? {
        Some(socket) => diagnostics.socket(socket),
        None => diagnostics,
    };
    let diagnostics = match config.diagnostics_tls() {
        Some(tls) => diagnostics.tls(tls),
        None => diagnostics,
    };
    let diagnostics = match config.diagnostics.serving.open_metrics {
        true => diagnostics.build(),
        false => diagnostics.close_metrics().build(),
    };
    let assembled = assemble(config, Some(&mut sockets), builder.handle().status())?;
    sockets.are_taken()?;
    // For the state that readiness and health show.
    let _ = assembled.dispatcher.driven_by(builder.handle());

    let address = diagnostics.address();
    let scheme = match config.diagnostics.serving.tls {
        Some(_) => "https",
        None => "http",
    };
    let announced = assembled
        .announced
        .add(diagnostics::NAME, scheme, move || *address.borrow());
    let names = assembled.registrations.iter().map(|it| it.name.clone());
    let announcer = announced.registration(names);
    let all = [diagnostics.registration()].into_iter();
    let all = all.chain(assembled.registrations).chain([announcer]);
    builder
        .defaults(config.defaults.clone())
        .registrations(all.map(|it| config.apply_policies(it)));
    Ok(())
}

/// A dispatcher as configured, which nothing drives yet.
pub(crate) struct Assembled {
    pub(crate) dispatcher: Dispatcher,
    pub(crate) registrations: Vec<Registration>,
    announced: Announced,
}

/// Makes all but the diagnostics. Opens nothing; of `sockets` it takes those that inbounds name, and none where there are no `sockets` to
/// look at. Others are told whether calls are taken by the orchestrator's `status`.
///
/// # Errors
///
/// When the configuration was not checked, or an inbound is to take a socket that there is not.
pub(crate) fn assemble(
    config: &Config,
    mut sockets: Option<&mut Sockets>,
    status: StatusWatch,
) -> Result<Assembled, BoxError> {
    let builder = Dispatcher::builder(&config.service).gate(config.gate);
    let mut builder = middleware::around_all(builder, config);
    let mut announced = Announced::default();
    let mesh = Mesh::of(config)?;
    let mut offered = mesh.as_ref().map(|it| it.offered(config));
    if config.echo {
        builder = echo::offer(builder);
    }
    let mut take = |name: Option<&str>, address| match &mut sockets {
        Some(sockets) => sockets.take(name, address),
        None => Ok(None),
    };
    for (name, place) in &config.http_inbounds {
        let socket = take(place.socket.as_deref(), place.address)?;
        let (name, inbound) = (http_inbound(name), http(place, socket));
        let port = inbound.port();
        announced = announced.add(&name, scheme(place.tls.as_ref()), move || port.local_addr());
        builder = builder.inbound(Inbound::from(inbound).named(name));
    }
    for (name, place) in &config.grpc_inbounds {
        let socket = take(place.socket.as_deref(), place.address)?;
        let (name, inbound) = (grpc_inbound(name), grpc(place, socket));
        let port = inbound.port();
        if let Some(offered) = &mut offered {
            let advertised = place.advertise.as_deref().and_then(Advertised::parse);
            offered.add(port.clone(), advertised);
        }
        announced = announced.add(&name, scheme(place.tls.as_ref()), move || port.local_addr());
        builder = builder.inbound(Inbound::from(inbound).named(name));
    }
    for way in config.outbounds.values() {
        let mesh = mesh.as_ref().filter(|_| way.peers_from.is_some());
        let found = mesh.map(|it| it.found(&way.service));
        let outbound = middleware::around_outbound(outbound(way, found)?, way, config);
        builder = builder.outbound(outbound);
    }
    for relay in config.relays.values() {
        let to = Relay::to(&relay.service).key(&relay.key);
        let procedures = relay.procedures().into_iter();
        let procedures = procedures.flat_map(|(shape, names)| {
            let to = &to;
            names.iter().map(move |it| to.clone().procedure(shape, it))
        });
        let procedures = middleware::around_relayed(procedures, &relay.bounds);
        builder = procedures.fold(builder, DispatcherBuilder::procedure);
    }
    if mesh.is_some() {
        builder = builder.inbounds_after([gossip::NAME]);
    }
    let (dispatcher, mut registrations) = builder.build()?;
    if let (Some(mesh), Some(offered)) = (mesh, offered) {
        let members = mesh.members;
        announced = announced.add(gossip::NAME, "udp", move || members.view().address);
        let gossip = mesh.gossip;
        let gossip = gossip.following(status, move |about| offered.describe(about));
        registrations.insert(0, gossip.registration());
    }
    Ok(Assembled {
        dispatcher,
        registrations,
        announced,
    })
}

/// Gossip that is not wired yet, and what it learns.
struct Mesh {
    gossip: Gossip,
    members: Members,
    options: gossip::Options,
}

impl Mesh {
    fn of(config: &Config) -> Result<Option<Self>, BoxError> {
        let Some(configured) = config.gossip() else {
            return Ok(None);
        };
        let options = configured.options(config.insecure);
        let gossip = Gossip::new(options.clone())?;
        let members = gossip.members();
        Ok(Some(Self {
            gossip,
            members,
            options,
        }))
    }

    /// What this node offers to others; inbounds are still to come.
    fn offered(&self, config: &Config) -> Offered {
        let is_local = self.options.bind.ip().to_canonical().is_loopback();
        Offered::new(&config.service, is_local)
    }

    /// Who else offers `service`.
    fn found(&self, service: &str) -> Discovered {
        let patience = Duration::from(self.options.leave_interval);
        Discovered::new(self.members.clone(), service, patience)
    }
}

fn scheme(tls: Option<&Presented>) -> &'static str {
    match tls {
        Some(_) => "https",
        None => "http",
    }
}

fn http(place: &HttpPlace, socket: Option<TcpListener>) -> HttpInbound {
    let inbound = HttpInbound::new(place.address)
        .limits(place.limits.settings())
        .body_bytes(place.body_bytes)
        .body_timeout(place.body_timeout.into())
        .keep_alive(place.keep_alive.into());
    let inbound = match socket {
        Some(socket) => inbound.socket(socket),
        None => inbound,
    };
    match &place.tls {
        Some(tls) => inbound.tls(presented(tls)),
        None => inbound,
    }
}

fn grpc(place: &GrpcPlace, socket: Option<TcpListener>) -> GrpcInbound {
    let inbound = GrpcInbound::new(place.address)
        .limits(place.limits.settings())
        .message_bytes(place.message_bytes)
        .message_timeout(place.message_timeout.into());
    let inbound = match socket {
        Some(socket) => inbound.socket(socket),
        None => inbound,
    };
    let inbound = match place.compression {
        Compression::None => inbound,
        Compression::Gzip => inbound.gzip(),
    };
    match &place.tls {
        Some(tls) => inbound.tls(presented(tls)),
        None => inbound,
    }
}

/// An upstream that is nowhere.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Nowhere {
    #[error(transparent)]
    Http(#[from] HttpUrlError),
    #[error(transparent)]
    Grpc(#[from] GrpcAddressError),
}

/// The way to another service, also to the peers that are `found`. Looks nothing up.
///
/// # Errors
///
/// [`Nowhere`] for an address that the protocol does not have.
pub(crate) fn outbound(way: &Way, found: Option<Discovered>) -> Result<Outbound, Nowhere> {
    let outbound = match way.protocol {
        Protocol::Http => Outbound::from(over_http(way)?),
        Protocol::Http2 => Outbound::from(over_http(way)?.http2()),
        Protocol::Grpc => Outbound::from(over_grpc(way, found)?),
    };
    Ok(outbound.key(&way.key).only(way.shapes.iter().copied()))
}

fn over_http(way: &Way) -> Result<HttpOutbound, HttpUrlError> {
    let address = way.address.as_deref().unwrap_or_default();
    let outbound = match &way.tls {
        Some(tls) => HttpOutbound::https(&way.service, address, tls.settings())?,
        None => HttpOutbound::new(&way.service, address)?,
    };
    let outbound = outbound
        .connect_timeout(way.connect_timeout.into())
        .idle_timeout(way.idle_timeout.into())
        .timeout(way.timeout.into())
        .body_bytes(way.message_bytes);
    Ok(outbound)
}

fn over_grpc(way: &Way, found: Option<Discovered>) -> Result<GrpcOutbound, GrpcAddressError> {
    let address = way.address.as_deref();
    let outbound = match (found, address) {
        (Some(found), None) => GrpcOutbound::discovering(&way.service, found),
        (Some(found), Some(address)) => GrpcOutbound::new(&way.service, address)?.peers_from(found),
        (None, address) => GrpcOutbound::new(&way.service, address.unwrap_or_default())?,
    };
    let outbound = outbound
        .chooser(way.chooser)
        .breaker(
            way.breaker
                .map_or_else(Default::default, |it| it.settings()),
        )
        .connect_timeout(way.connect_timeout.into())
        .idle_timeout(way.idle_timeout.into())
        .timeout(way.timeout.into())
        .message_bytes(way.message_bytes);
    let outbound = match way.compression {
        Compression::None => outbound,
        Compression::Gzip => outbound.gzip(),
    };
    let outbound = match &way.tls {
        Some(tls) => outbound.tls(tls.settings()),
        None => outbound,
    };
    way.peers.iter().try_fold(outbound, |all, it| all.peer(it))
}

#[cfg(test)]
mod tests {
    use host_config::{Flag, Key, Sources, load};
    use lifecycle_core::{Criticality, component};
    use lifecycle_runtime::Orchestrator;

    use super::*;

    /// What nobody drives.
    fn assembled(config: &Config) -> Assembled {
        let nobody = Orchestrator::builder().handle().status();
        assemble(config, None, nobody).expect("no fault")
    }

    fn configured(flags: &[(&str, &str)]) -> Config {
        let flag = |(key, value): &(&str, &str)| Flag {
            name: "--set".to_owned(),
            key: Key::parse(key).expect("a key"),
            value: (*value).to_owned(),
        };
        let sources = Sources {
            flags: flags.iter().map(flag).collect(),
            ..Sources::default()
        };
        load::<Config>(&sources).expect("no fault").config
    }

    #[test]
    fn what_the_schema_says_of_defaults_is_what_the_library_does() {
        let config = configured(&[
            ("outbounds.a.protocol", "http"),
            ("outbounds.a.address", "http://a/"),
            ("outbounds.b.protocol", "grpc"),
            ("outbounds.b.address", "b:1"),
            ("outbounds.b.breaker.failures", "5"),
            ("http-inbounds.0.health-check.misses", "3"),
        ]);
        let same = |one: String, other: String| assert_eq!(one, other);
        let place = &config.http_inbounds["0"];
        let plain = HttpInbound::new(place.address);
        same(format!("{:?}", http(place, None)), format!("{plain:?}"));
        let place = &config.grpc_inbounds["0"];
        let plain = GrpcInbound::new(place.address);
        same(format!("{:?}", grpc(place, None)), format!("{plain:?}"));
        let plain = HttpOutbound::new("a", "http://a/").expect("a URL");
        let set = over_http(&config.outbounds["a"]).expect("a URL");
        same(format!("{set:?}"), format!("{plain:?}"));
        let plain = GrpcOutbound::new("b", "b:1").expect("an address");
        let set = over_grpc(&config.outbounds["b"], None).expect("an address");
        same(format!("{set:?}"), format!("{plain:?}"));
        same(
            format!("{:?}", config.defaults),
            format!("{:?}", lifecycle_core::Defaults::default()),
        );
        let inbound = Registration::new(
            "http-inbound:0",
            component::from_fn(async |_| Ok(()), async |_| Ok(())),
        );
        let check = config.apply_policies(inbound).health_check;
        assert_eq!(check, Some(lifecycle_core::HealthCheck::default()));
    }

    #[test]
    fn who_asks_for_compression_gets_it() {
        let config = configured(&[
            ("grpc-inbounds.0.compression", "gzip"),
            ("outbounds.b.protocol", "grpc"),
            ("outbounds.b.address", "b:1"),
            ("outbounds.b.compression", "gzip"),
        ]);
        let place = &config.grpc_inbounds["0"];
        let inbound = GrpcInbound::new(place.address).gzip();
        assert_eq!(format!("{:?}", grpc(place, None)), format!("{inbound:?}"));
        let outbound = GrpcOutbound::new("b", "b:1").expect("an address").gzip();
        let set = over_grpc(&config.outbounds["b"], None).expect("an address");
        assert_eq!(format!("{set:?}"), format!("{outbound:?}"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_schema_says_of_middleware_is_what_the_library_does() {
        use dispatcher::middleware::{Deadlines, Logging, RateLimit, Retries, Tracing};
        let config = configured(&[
            ("middleware.tracing.enabled", "true"),
            ("middleware.deadlines.longest", "1m"),
            ("middleware.rate-limit.calls", "7"),
            ("outbounds.a.protocol", "http"),
            ("outbounds.a.address", "http://a/"),
            ("outbounds.a.retries.attempts", "3"),
        ]);
        let (all, bounds) = (&config.middleware, &config.middleware.bounds);
        let tracing = Tracing::new().service("echo");
        assert_eq!(all.tracing(&config.service, None), Some(tracing));
        assert_eq!(all.logging(), Some(Logging::new().quiet()));
        let minute = Deadlines::new().at_most(Duration::from_secs(60));
        assert_eq!(bounds.deadlines(), Some(minute));
        // A limit and a budget are told by what they show.
        let same = |one: &dyn std::fmt::Debug, other: &dyn std::fmt::Debug| {
            assert_eq!(format!("{one:?}"), format!("{other:?}"));
        };
        let seven = std::num::NonZeroU32::new(7).expect("not 0");
        same(&bounds.rate_limit(), &Some(RateLimit::per_second(seven)));
        let retries = config.outbounds["a"].retries.as_ref();
        same(&retries.map(|it| it.retries()), &Some(Retries::new()));
    }

    #[test]
    fn contract_67_configured_layers_stand_in_their_one_order_and_those_that_nobody_asked_for_are_not_there()
     {
        let layers = |flags: &[(&str, &str)]| {
            let assembled = assembled(&configured(flags));
            let document = serde_json::to_value(assembled.dispatcher.introspect());
            let document = document.expect("a document");
            let names = |list: &serde_json::Value| {
                let names = list.as_array().into_iter().flatten();
                let names = names.filter_map(|it| it.as_str()?.rsplit("::").next());
                names.collect::<Vec<_>>().join(" ")
            };
            let outbound = &document["outbounds"][0]["unary"][0]["middleware"];
            (
                names(&document["middleware"]["inboundDuplex"]),
                names(outbound),
            )
        };
        let billing = [
            ("outbounds.billing.protocol", "http"),
            ("outbounds.billing.address", "http://127.0.0.1:8081/"),
        ];
        let (came, went) = layers(&billing);
        assert_eq!((&*came, &*went), ("Logging Metrics", "Metrics"));
        let off = [
            ("middleware.logging.enabled", "false"),
            ("middleware.metrics.enabled", "false"),
        ];
        let (came, went) = layers(&[&billing[..], &off].concat());
        assert_eq!((&*came, &*went), ("", ""));
        let every = [
            ("middleware.tracing.enabled", "true"),
            ("middleware.rate-limit.calls", "1"),
            ("middleware.concurrency-limit.calls", "1"),
            ("middleware.deadlines.default", "1s"),
            ("outbounds.billing.retries.repeatable", "true"),
            ("outbounds.billing.rate-limit.calls", "1"),
            ("outbounds.billing.concurrency-limit.calls", "1"),
        ];
        let (came, went) = layers(&[&billing[..], &every].concat());
        assert_eq!(
            came,
            "Tracing Logging Metrics Deadlines ConcurrencyLimit RateLimit"
        );
        assert_eq!(went, "Metrics Retries Tracing ConcurrencyLimit RateLimit");
    }

    #[test]
    fn contract_09_a_configured_outbound_is_a_component_named_service_key_and_shape() {
        let config = configured(&[
            ("outbounds.billing.protocol", "http"),
            ("outbounds.billing.address", "http://127.0.0.1:8081/"),
            ("outbounds.eu.service", " billing "),
            ("outbounds.eu.key", "eu"),
            ("outbounds.eu.protocol", "grpc"),
            ("outbounds.eu.address", "127.0.0.1:9091"),
            ("outbounds.eu.shapes", "duplex,oneway"),
        ]);
        let assembled = assembled(&config);
        let named = |it: &Registration| (it.name.clone(), it.aliases.clone());
        let named: Vec<_> = assembled.registrations.iter().map(named).collect();
        let expected = |name: &str, aliases: &[&str]| {
            let aliases = aliases.iter().map(|it| (*it).to_owned());
            (name.to_owned(), aliases.collect())
        };
        assert_eq!(
            named[2..],
            [
                expected(
                    "billing:default:unary",
                    &["billing:default:oneway", "billing:default:stream"]
                ),
                expected("billing:eu:oneway", &["billing:eu:duplex"]),
            ]
        );
        // The names that the checks go by are those of the library.
        let parts = config.parts();
        let checked = parts[3..].iter().map(|it| it.names[0].clone());
        let built = named[2..].iter().map(|it| it.0.clone());
        assert_eq!(checked.collect::<Vec<_>>(), built.collect::<Vec<_>>());
    }

    #[test]
    fn contract_b16_policies_come_from_the_section_of_the_part_or_else_from_the_defaults() {
        let config = configured(&[
            ("defaults.start.max-attempts", "4"),
            ("http-inbounds.0.start.max-attempts", "1"),
            ("http-inbounds.0.drain-timeout", "3s"),
            ("outbounds.billing.protocol", "http"),
            ("outbounds.billing.address", "http://127.0.0.1:8081/"),
            ("outbounds.billing.criticality", "essential"),
            ("outbounds.billing.stop.jitter", "full"),
            ("outbounds.billing.stop.total", "2s"),
            ("outbounds.billing.stop.retry-if", "transient"),
            ("outbounds.billing.restart.when", "never"),
        ]);
        let registrations = assembled(&config).registrations;
        let of = |name: &str| {
            let mut named = registrations.iter().filter(|it| it.name == name);
            let it = named.next().expect("it is there");
            let idle = component::from_fn(async |_| Ok(()), async |_| Ok(()));
            let mut copy = Registration::new(name, idle);
            copy.criticality = it.criticality;
            config.apply_policies(copy)
        };
        let inbound = of("http-inbound:0");
        assert_eq!(inbound.start.max_attempts, Some(1));
        assert_eq!(
            inbound.drain_timeout,
            Some(lifecycle_core::Nanos::from_secs(3))
        );
        assert_eq!(inbound.criticality, Criticality::Essential);
        // Unset is not none: the default holds.
        assert_eq!(of("grpc-inbound:0").start, lifecycle_core::Retry::default());
        assert_eq!(config.defaults.start.max_attempts, Some(4));
        let billing = of("billing:default:unary");
        assert_eq!(billing.criticality, Criticality::Essential);
        assert_eq!(billing.stop.jitter, Some(lifecycle_core::Jitter::Full));
        let two = lifecycle_core::Nanos::from_secs(2);
        assert_eq!(
            billing.stop.total,
            Some(lifecycle_core::Timeout::After(two))
        );
        let transient = lifecycle_core::RetryIf::Transient;
        assert_eq!(billing.stop.retry_if, Some(transient));
        assert_eq!(
            billing.restart.when,
            Some(lifecycle_core::RestartWhen::Never)
        );
    }

    #[test]
    fn inbounds_open_after_gossip_which_depends_on_nothing_and_is_not_there_when_switched_off() {
        let config = configured(&[
            ("gossip.role", "edge"),
            ("outbounds.billing.protocol", "grpc"),
            ("outbounds.billing.peers-from", "gossip"),
        ]);
        let registrations = assembled(&config).registrations;
        let edges = |it: &Registration| it.dependencies.iter().map(|it| it.name.clone()).collect();
        let edges: Vec<(_, Vec<_>)> = registrations
            .iter()
            .map(|it| (&*it.name, edges(it)))
            .collect();
        let both = vec!["mesh-gossip".to_owned(), "billing:default:unary".to_owned()];
        let expected = [
            ("mesh-gossip", Vec::new()),
            ("http-inbound:0", both.clone()),
            ("grpc-inbound:0", both),
            ("billing:default:unary", Vec::new()),
        ];
        assert_eq!(edges, expected);
        assert_eq!(registrations[0].criticality, Criticality::Degradable);
        let off = configured(&[("gossip.enabled", "false")]);
        let names = assembled(&off).registrations.into_iter().map(|it| it.name);
        assert_eq!(
            names.collect::<Vec<_>>(),
            ["http-inbound:0", "grpc-inbound:0"]
        );
    }
}
