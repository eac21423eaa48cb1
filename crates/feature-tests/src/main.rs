//! A host with the parts of a small shop, which make the trouble that its arguments name: for trying out what an operator
//! sees and does.
//!
//! ```sh
//! cargo run -p feature-tests --bin trouble-host -- exporter=hangs
//! ```
//!
//! The first argument may be the address of the diagnostics, any free port of loopback unless given.

use std::convert::Infallible;
use std::env;
use std::future;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use diagnostics::Diagnostics;
use lifecycle_core::component::{from_fn, service};
use lifecycle_core::{
    Backoff, BoxError, Component, Criticality, Defaults, Jitter, Nanos, Registration, Restart,
    ServiceContext, StartContext, StopContext,
};
use lifecycle_runtime::{ExitStatus, Host, HostConfig, OrchestratorBuilder};

const USAGE: &str = "usage: trouble-host [ADDRESS] [COMPONENT=TROUBLE]…
components: pool, ledger, exporter, feed
troubles: slow (its start ends when it is given up), stuck (its start never ends), refuses (its stop fails), hangs (its stop never ends),
blocks (its stop holds the thread), dies (soon after it has started, three times)";

/// How often a component is lost that dies; once more than its budget allows.
const DEATHS: u32 = 3;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let Some(shop) = Shop::read(&arguments) else {
        // Whoever has closed the stream does not want to know.
        let _ = writeln!(io::stderr(), "{USAGE}");
        return ExitStatus::Usage.into();
    };
    let config = HostConfig {
        service: Some("shop".to_owned()),
        blocked_after: Some(Duration::from_millis(300)),
        ..HostConfig::default()
    };
    Host::main(config, |host| shop.wire(host))
}

/// What the arguments say.
struct Shop {
    address: SocketAddr,
    troubles: Vec<(String, Trouble)>,
}

/// What a component does that it should not.
#[derive(Clone, Copy)]
enum Trouble {
    Slow,
    Stuck,
    Refuses,
    Hangs,
    Blocks,
    Dies,
}

impl Shop {
    fn read(arguments: &[String]) -> Option<Self> {
        let mut shop = Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            troubles: Vec::new(),
        };
        for argument in arguments {
            match argument.split_once('=') {
                Some((component, trouble)) => {
                    let trouble = Trouble::read(trouble)?;
                    shop.troubles.push((component.to_owned(), trouble));
                }
                None => shop.address = argument.parse().ok()?,
            }
        }
        Some(shop)
    }

    fn wire(&self, host: &mut OrchestratorBuilder) -> Result<(), BoxError> {
        host.defaults(Defaults {
            shutdown_timeout: Nanos::from_secs(16),
            await_interval: Nanos::from_secs(1),
            restart: Restart::on_failure()
                .with_backoff(Backoff::Fixed(Nanos::from_millis(200)))
                .with_jitter(Jitter::None)
                .with_budget(DEATHS - 1, Duration::from_secs(600)),
            ..Defaults::default()
        });
        let recorder = diagnostics::install_recorder()?;
        let diagnostics = Diagnostics::builder(host.handle())
            .bind(self.address)
            .metrics(recorder)
            .build();
        host.register(diagnostics.registration());
        host.register(Registration::new("pool", self.part("pool")));
        host.register(Registration::new("ledger", self.part("ledger")).depends_on(["pool"]));
        host.register(Registration::new("exporter", self.part("exporter")).depends_on(["ledger"]));
        let feed =
            Registration::new("feed", self.part("feed")).criticality(Criticality::Degradable);
        host.register(feed);
        Ok(())
    }

    fn part(&self, name: &str) -> Component {
        let mut troubles = self.troubles.iter();
        match troubles.find(|(component, _)| component == name) {
            Some((_, trouble)) => trouble.component(),
            None => from_fn(async |_| Ok(()), async |_| Ok(())),
        }
    }
}

impl Trouble {
    fn read(name: &str) -> Option<Self> {
        match name {
            "slow" => Some(Self::Slow),
            "stuck" => Some(Self::Stuck),
            "refuses" => Some(Self::Refuses),
            "hangs" => Some(Self::Hangs),
            "blocks" => Some(Self::Blocks),
            "dies" => Some(Self::Dies),
            _ => None,
        }
    }

    fn component(self) -> Component {
        match self {
            Self::Slow => from_fn(take_long, async |_| Ok(())),
            Self::Stuck => from_fn(async |_| future::pending().await, async |_| Ok(())),
            Self::Refuses => from_fn(async |_| Ok(()), async |_| Err("not now".into())),
            Self::Hangs => from_fn(async |_| Ok(()), hang),
            Self::Blocks => from_fn(async |_| Ok(()), block),
            Self::Dies => {
                let deaths = Arc::new(AtomicU32::new(0));
                service(move |cx| die(cx, Arc::clone(&deaths)))
            }
        }
    }
}

async fn take_long(cx: StartContext) -> Result<(), BoxError> {
    cx.token().cancelled().await;
    Err("it was given up".into())
}

async fn hang(cx: StopContext) -> Result<(), BoxError> {
    cx.progress("page 7/9");
    future::pending().await
}

async fn block(cx: StopContext) -> Result<(), BoxError> {
    cx.progress("page 7/9");
    match hold_the_thread() {}
}

/// What a component must not do.
fn hold_the_thread() -> Infallible {
    loop {
        thread::park();
    }
}

async fn die(cx: ServiceContext, deaths: Arc<AtomicU32>) -> Result<(), BoxError> {
    cx.ready();
    if deaths.fetch_add(1, Ordering::Relaxed) < DEATHS {
        tokio::time::sleep(Duration::from_millis(50)).await;
        return Err("the link is gone".into());
    }
    cx.cancelled().await;
    Ok(())
}
