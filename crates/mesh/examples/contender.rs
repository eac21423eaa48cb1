//! A process that takes, renews and gives back the lease of one scope as fast as it can, for tests that kill it wherever it is.
//!
//! ```sh
//! cargo run -q -p mesh --example contender -- a 1 leases.db
//! ```
//!
//! It tells each lease that it was given, with the time after that, and each renewal, with the time before.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use lifecycle_core::Nanos;
use mesh::leadership::{Claim, Lease, LeaseStore, Scope, SqliteStore};

/// Whoever is killed holds up the others for so long.
const TTL: Nanos = Nanos::from_millis(100);

/// As often a lease is renewed before it is given back.
const RENEWALS: u32 = 3;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [node, claimant, leases] = arguments.as_slice() else {
        return ExitCode::from(64);
    };
    let Ok(claimant) = claimant.parse() else {
        return ExitCode::from(64);
    };
    let claim = Claim {
        scope: Scope::global_control(),
        holder: node.clone(),
        claimant,
        ttl: TTL,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(contend(&SqliteStore::new(leases), &claim)),
        Err(_) => ExitCode::FAILURE,
    }
}

/// Until it is killed.
async fn contend(store: &SqliteStore, claim: &Claim) -> ExitCode {
    loop {
        match store.acquire(claim).await {
            Ok(lease) => {
                say(since_boot(), "acquired", &lease);
                use_up(store, &lease).await;
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

async fn use_up(store: &SqliteStore, lease: &Lease) {
    for _ in 0..RENEWALS {
        let before = since_boot();
        if store.renew(lease).await.is_err() {
            return;
        }
        say(before, "renewed", lease);
    }
    // What is not given back runs out.
    let _ = store.release(lease).await;
}

fn since_boot() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec * 1_000 + now.tv_nsec / 1_000_000
}

fn say(at: i64, what: &str, lease: &Lease) {
    // Nobody may be there to read it any more.
    let _ = writeln!(std::io::stdout(), "{at} {what} {}", lease.token);
}
