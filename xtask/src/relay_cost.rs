//! `relay-cost`: what a relayed request costs the dispatcher in processor time, beside nginx, HAProxy and Envoy with the same
//! duties, in one run.
//!
//! All are processes of this machine, on loopback. The upstream is the dispatcher's echo service, the load is `h2load`'s;
//! neither is counted. Each round asks every relay once, so that a machine that becomes slower does so for all.

mod envoy;
mod figures;
mod load;
mod processes;
mod relays;

use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};

use crate::process::say;

use figures::Figures;
use load::{Load, Sample};
use processes::Running;
use relays::{Protocol, Upstream};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many rounds are measured, after one that is not
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// How many requests a relay gets in a round, for each protocol
    #[arg(long, default_value_t = 40_000)]
    requests: u64,
    /// How many connections the requests come by
    #[arg(long, default_value_t = 64)]
    connections: u64,
}

/// A relay that runs, and what was measured of it.
struct Contestant {
    name: &'static str,
    protocol: Protocol,
    running: Running,
    port: u16,
    samples: Vec<Sample>,
}

/// Measures and prints a table.
///
/// # Errors
///
/// When one of the programs is missing or does not do its duty: an answer that is wrong costs nothing that could be
/// compared.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    ensure!(args.rounds > 0, "--rounds must be at least 1");
    ensure!(
        args.connections > 0 && args.requests >= args.connections,
        "--requests must be at least one for each of --connections"
    );
    let program = relays::built()?;
    let folder = relays::folder()?;
    let upstream = Upstream::start(&program, &folder)?;
    let mut contestants = Vec::new();
    for protocol in Protocol::ALL {
        contestants.push(relays::dispatcher(&program, &folder, &upstream, protocol)?);
        contestants.push(relays::nginx(&folder, &upstream, protocol)?);
        contestants.push(relays::haproxy(&folder, &upstream, protocol)?);
        contestants.push(envoy::envoy(&folder, &upstream, protocol)?);
    }
    let load = Load::new(&folder, args.requests, args.connections)?;
    measure(args.rounds, &load, &mut contestants)?;
    tell(args, &contestants)?;
    Ok(ExitCode::SUCCESS)
}

fn measure(rounds: usize, load: &Load, contestants: &mut [Contestant]) -> Result<()> {
    for round in 0..=rounds {
        say(format_args!("round {round} of {rounds}"))?;
        for it in &mut *contestants {
            let before = it.running.processor_time()?;
            let named = || format!("{} over {}", it.name, it.protocol.name());
            let mut sample = load.run(it.protocol, it.port).with_context(named)?;
            sample.processor_time = it.running.processor_time()? - before;
            // The first round fills pools and caches.
            if round > 0 {
                it.samples.push(sample);
            }
        }
    }
    Ok(())
}

fn tell(args: &Args, contestants: &[Contestant]) -> Result<()> {
    say(format_args!(
        "\n{} requests of 1 KiB by {} connections, median of {} rounds",
        args.requests, args.connections, args.rounds
    ))?;
    say("relay       protocol   CPU per request   of the best   requests/s   p50        p99")?;
    for protocol in Protocol::ALL {
        let of_it = || contestants.iter().filter(|it| it.protocol == protocol);
        let figures = of_it().map(|it| (it.name, Figures::of(&it.samples, args.requests)));
        let figures: Vec<_> = figures.collect();
        let best = figures.iter().map(|it| it.1.cost).fold(f64::MAX, f64::min);
        for (name, it) in figures {
            say(format_args!(
                "{name:<11} {:<10} {:>12.1} µs {:>13.2} {:>12.0} {:>7.2} ms {:>7.2} ms",
                protocol.name(),
                it.cost,
                it.cost / best,
                it.throughput,
                it.p50,
                it.p99,
            ))?;
        }
    }
    Ok(())
}
