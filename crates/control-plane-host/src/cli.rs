//! The command line.

use clap::Parser;
use host_config::Flag;
use host_config::cli::{CommandLine, Common, given};

use crate::config::Config;

/// Runs the control-plane host: gossip membership, leadership, probes, metrics and control endpoints.
///
/// Without any configuration it runs on embedded defaults, on loopback, and prints the addresses that it has bound.
/// Flags win over the environment (CONTROL_PLANE_HOST__SECTION__KEY), which wins over the file.
#[derive(Debug, Parser)]
#[command(name = "control-plane-host", version)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Listen for control requests here.
    #[arg(long, value_name = "ADDRESS", global = true)]
    http: Option<String>,
    /// Gossip on this UDP address.
    #[arg(long, value_name = "ADDRESS", global = true)]
    gossip: Option<String>,
    /// Do not gossip.
    #[arg(long, global = true, conflicts_with_all = ["gossip", "seed"])]
    no_gossip: bool,
    /// Ask this node first; may be given more than once.
    #[arg(long, value_name = "HOST:PORT", global = true)]
    seed: Vec<String>,
    /// Do not stand for leadership.
    #[arg(long, global = true)]
    no_leadership: bool,
    /// The name of this node.
    #[arg(long, value_name = "NAME", global = true)]
    node_id: Option<String>,
    /// The cluster that this node belongs to.
    #[arg(long, value_name = "NAME", global = true)]
    cluster_id: Option<String>,
}

impl CommandLine for Arguments {
    type Config = Config;

    fn common(&self) -> &Common {
        &self.common
    }

    fn own_flags(&self) -> Vec<Flag> {
        let no_gossip = self.no_gossip.then(|| "false".to_owned());
        let no_leadership = self.no_leadership.then(|| "false".to_owned());
        let seeds = (!self.seed.is_empty()).then(|| self.seed.join(","));
        let flags = [
            given("--http", &["http", "address"], &self.http),
            given("--gossip", &["gossip", "bind"], &self.gossip),
            given("--no-gossip", &["gossip", "enabled"], &no_gossip),
            given(
                "--no-leadership",
                &["leadership", "enabled"],
                &no_leadership,
            ),
            given("--seed", &["gossip", "seeds"], &seeds),
            given("--node-id", &["gossip", "node-id"], &self.node_id),
            given("--cluster-id", &["gossip", "cluster-id"], &self.cluster_id),
        ];
        flags.into_iter().flatten().collect()
    }
}
