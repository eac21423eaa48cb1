//! Prints where the host listens, once it does.

use std::fmt::Display;
use std::io::{self, Write as _};

use lifecycle_core::engine::OrchestratorState;
use lifecycle_runtime::Handle;

use crate::host::{CONTROL_HTTP, Ports};

/// Prints the addresses on standard output, one a line, when everything runs.
pub(crate) async fn announce(handle: Handle, ports: Ports) {
    let mut watch = handle.status();
    // Held no longer: what is driven may end when nobody can ask it any more.
    drop(handle);
    let settled = |state| {
        !matches!(
            state,
            OrchestratorState::Created | OrchestratorState::Starting
        )
    };
    let Ok(status) = watch.wait_for(|it| settled(it.state)).await else {
        return;
    };
    if status.state == OrchestratorState::Running {
        print(diagnostics::NAME, ports.scheme(), ports.diagnostics());
        print(mesh::gossip::NAME, "udp", ports.gossip());
        print(CONTROL_HTTP, ports.scheme(), ports.http());
        print(crate::grpc::NAME, ports.scheme(), ports.grpc());
    }
}

fn print(component: &str, scheme: &str, address: Option<impl Display>) {
    if let Some(address) = address {
        // Whoever has closed standard output does not want to know.
        let _ = writeln!(io::stdout(), "{component} {scheme}://{address}");
    }
}
