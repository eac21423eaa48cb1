//! The command line.

use clap::Parser;
use host_config::Flag;
use host_config::cli::{CommandLine, Common, given};

use crate::config::Config;

/// Answers calls over HTTP and gRPC, and passes calls on to others.
///
/// Without a file it is an echo service on loopback: procedures `echo` (unary), `swallow` (one-way), `count` and `split` (server
/// streams), and over gRPC `join` (client stream) and `mirror` (duplex). It prints the addresses that it has bound. Flags win over
/// the environment (DISPATCHER__SECTION__KEY), which wins over the file.
#[derive(Debug, Parser)]
#[command(name = "dispatcher", version)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Take calls over HTTP here, by the inbound 0; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS", global = true)]
    http: Option<String>,
    /// Take calls over gRPC here, by the inbound 0; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS", global = true)]
    grpc: Option<String>,
}

impl CommandLine for Arguments {
    type Config = Config;

    fn common(&self) -> &Common {
        &self.common
    }

    fn own_flags(&self) -> Vec<Flag> {
        let flags = [
            given("--http", &["http-inbounds", "0", "address"], &self.http),
            given("--grpc", &["grpc-inbounds", "0", "address"], &self.grpc),
        ];
        flags.into_iter().flatten().collect()
    }
}
