//! The wiring: what the configuration says, as a dispatcher and registrations.

use std::process::ExitCode;
use std::time::Duration;

use diagnostics::Diagnostics;
use dispatcher::{
    Dispatcher, GrpcAddressError, GrpcInbound, GrpcOutbound, HttpInbound, HttpOutbound,
    HttpUrlError, Inbound, Outbound, Relay,
};
use lifecycle_core::{BoxError, Registration};
use lifecycle_runtime::{Host, HostConfig, OrchestratorBuilder};

use crate::announced::Announced;
use crate::config::{
    Config, GrpcPlace, HttpPlace, Presented, Protocol, Way, grpc_inbound, http_inbound,
};
use crate::echo;

/// Runs the dispatcher until a signal or the loss of an essential component ends it; what it returns is the process's exit code.
///
/// When everything runs, the addresses that were bound are printed on standard output, one a line.
pub(crate) fn run(config: &Config) -> ExitCode {
    let settings = HostConfig {
        service: Some(config.service.trim().to_owned()),
        log: config.log.settings(),
        kill_timeout: config.kill_timeout.map(Duration::from),
        ..HostConfig::default()
    };
    Host::main(settings, |builder| wire(config, builder))
}

fn wire(config: &Config, builder: &mut OrchestratorBuilder) -> Result<(), BoxError> {
    let diagnostics = Diagnostics::builder(builder.handle())
        .metrics(diagnostics::install_recorder()?)
        .bind(config.diagnostics.address)
        .allow_hosts(&config.diagnostics.hosts)
        .build();
    let assembled = assemble(config)?;
    // For the state that readiness and health show.
    let _ = assembled.dispatcher.driven_by(builder.handle());

    let address = diagnostics.address();
    let announced = assembled
        .announced
        .add(diagnostics::NAME, "http", move || *address.borrow());
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

/// Makes all but the diagnostics. Opens nothing.
///
/// # Errors
///
/// When the configuration was not checked.
pub(crate) fn assemble(config: &Config) -> Result<Assembled, BoxError> {
    let mut builder = Dispatcher::builder(&config.service).gate(config.gate);
    let mut announced = Announced::default();
    if config.echo {
        builder = echo::offer(builder);
    }
    for (name, place) in &config.http_inbounds {
        let (name, inbound) = (http_inbound(name), http(place));
        let port = inbound.port();
        announced = announced.add(&name, scheme(place.tls.as_ref()), move || port.local_addr());
        builder = builder.inbound(Inbound::from(inbound).named(name));
    }
    for (name, place) in &config.grpc_inbounds {
        let (name, inbound) = (grpc_inbound(name), grpc(place));
        let port = inbound.port();
        announced = announced.add(&name, scheme(place.tls.as_ref()), move || port.local_addr());
        builder = builder.inbound(Inbound::from(inbound).named(name));
    }
    for way in config.outbounds.values() {
        builder = builder.outbound(outbound(way)?);
    }
    for relay in config.relays.values() {
        let to = Relay::to(&relay.service).key(&relay.key);
        for (shape, names) in relay.procedures() {
            let procedures = names.iter().map(|it| to.clone().procedure(shape, it));
            builder = procedures.fold(builder, |all, it| all.procedure(it));
        }
    }
    let (dispatcher, registrations) = builder.build()?;
    Ok(Assembled {
        dispatcher,
        registrations,
        announced,
    })
}

fn scheme(tls: Option<&Presented>) -> &'static str {
    match tls {
        Some(_) => "https",
        None => "http",
    }
}

fn http(place: &HttpPlace) -> HttpInbound {
    let inbound = HttpInbound::new(place.address)
        .limits(place.limits.settings())
        .body_bytes(place.body_bytes)
        .body_timeout(place.body_timeout.into())
        .keep_alive(place.keep_alive.into());
    match &place.tls {
        Some(tls) => inbound.tls(tls.settings()),
        None => inbound,
    }
}

fn grpc(place: &GrpcPlace) -> GrpcInbound {
    let inbound = GrpcInbound::new(place.address)
        .limits(place.limits.settings())
        .message_bytes(place.message_bytes)
        .message_timeout(place.message_timeout.into());
    match &place.tls {
        Some(tls) => inbound.tls(tls.settings()),
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

/// The way to another service. Looks nothing up.
///
/// # Errors
///
/// [`Nowhere`] for an address that the protocol does not have.
pub(crate) fn outbound(way: &Way) -> Result<Outbound, Nowhere> {
    let outbound = match way.protocol {
        Protocol::Http => Outbound::from(over_http(way)?),
        Protocol::Http2 => Outbound::from(over_http(way)?.http2()),
        Protocol::Grpc => Outbound::from(over_grpc(way)?),
    };
    Ok(outbound.key(&way.key).only(way.shapes.iter().copied()))
}

fn over_http(way: &Way) -> Result<HttpOutbound, HttpUrlError> {
    let outbound = match &way.tls {
        Some(tls) => HttpOutbound::https(&way.service, &way.address, tls.settings())?,
        None => HttpOutbound::new(&way.service, &way.address)?,
    };
    let outbound = outbound
        .connect_timeout(way.connect_timeout.into())
        .idle_timeout(way.idle_timeout.into())
        .timeout(way.timeout.into())
        .body_bytes(way.message_bytes);
    Ok(outbound)
}

fn over_grpc(way: &Way) -> Result<GrpcOutbound, GrpcAddressError> {
    let outbound = GrpcOutbound::new(&way.service, &way.address)?
        .chooser(way.chooser)
        .breaker(
            way.breaker
                .map_or_else(Default::default, |it| it.settings()),
        )
        .connect_timeout(way.connect_timeout.into())
        .idle_timeout(way.idle_timeout.into())
        .timeout(way.timeout.into())
        .message_bytes(way.message_bytes);
    let outbound = match &way.tls {
        Some(tls) => outbound.tls(tls.settings()),
        None => outbound,
    };
    way.peers.iter().try_fold(outbound, |all, it| all.peer(it))
}

#[cfg(test)]
mod tests {
    use lifecycle_core::{Criticality, component};

    use crate::config::{Config, Key, Sources};

    use super::*;

    fn configured(flags: &[(&str, &str)]) -> Config {
        let flag = |(key, value): &(&str, &str)| {
            let key = Key::parse(key).expect("a key");
            ("--set".to_owned(), key, (*value).to_owned())
        };
        let sources = Sources {
            flags: flags.iter().map(flag).collect(),
            ..Sources::default()
        };
        Config::load(&sources).expect("no fault").config
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
        same(format!("{:?}", http(place)), format!("{plain:?}"));
        let place = &config.grpc_inbounds["0"];
        let plain = GrpcInbound::new(place.address);
        same(format!("{:?}", grpc(place)), format!("{plain:?}"));
        let plain = HttpOutbound::new("a", "http://a/").expect("a URL");
        let set = over_http(&config.outbounds["a"]).expect("a URL");
        same(format!("{set:?}"), format!("{plain:?}"));
        let plain = GrpcOutbound::new("b", "b:1").expect("an address");
        let set = over_grpc(&config.outbounds["b"]).expect("an address");
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
        let assembled = assemble(&config).expect("no fault");
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
        let registrations = assemble(&config).expect("no fault").registrations;
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
}
