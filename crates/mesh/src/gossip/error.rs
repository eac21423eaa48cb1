//! What can be wrong: with the options, with a start, with a gossip loop that was running.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use lifecycle_core::BoxError;

/// The options contradict a rule. Nothing was built; every fault that can be found is in the list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct InvalidOptions {
    /// The faults, in the order of the options; never empty.
    pub faults: Vec<OptionFault>,
}

impl fmt::Display for InvalidOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the gossip options cannot be used")?;
        for (index, fault) in self.faults.iter().enumerate() {
            write!(f, "{} {fault}", if index == 0 { ":" } else { "," })?;
        }
        Ok(())
    }
}

/// One option that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionFault {
    /// The option's key as configurations spell it.
    pub option: &'static str,
    /// What is wrong with its value.
    pub rule: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for OptionFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {} ({})", self.option, self.rule, self.remedy)
    }
}

/// Gossip could not be started. Nothing is left open, and the same value can be started again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The UDP port could not be opened: another process has it, or the address is not this machine's.
    #[error("cannot bind gossip to {address}/udp")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The port was open, but the gossip protocol did not begin.
    #[error("cannot begin to gossip on {address}/udp")]
    Protocol {
        /// The address that had been bound.
        address: SocketAddr,
        /// What the protocol said.
        source: BoxError,
    },
}

/// The gossip loop ended although nobody had asked it to; the component is lost until it is started again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the gossip loop ended: {reason}")]
pub(crate) struct LoopEnded {
    pub(crate) reason: String,
}
