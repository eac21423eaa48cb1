//! What can be wrong: with the options, with a start, with a gossip loop that was running.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

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

/// A ring of keys that cannot be used. Nothing was changed, and no part of the text is quoted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct InvalidKeys {
    /// The faults, in the order of the text; never empty.
    pub faults: Vec<KeyFault>,
}

impl fmt::Display for InvalidKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the gossip keys cannot be used")?;
        for (index, fault) in self.faults.iter().enumerate() {
            write!(f, "{} {fault}", if index == 0 { ":" } else { "," })?;
        }
        f.write_str(" (write `id:key` a line: an id from 0 to 255 and 64 hexadecimal digits, as `openssl rand -hex 32` prints)")
    }
}

/// A file of keys that cannot be used. No part of a key is in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// It is not there, not for us, too large or no text.
    #[error("cannot read the gossip keys in {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Other users of this machine can read it, or others than its owner write it.
    #[error("the gossip keys in {} are open to others (mode {mode:03o}); chmod 600 it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It can be read, and is wrong.
    #[error("the gossip keys in {} are wrong", path.display())]
    Faulty {
        /// The file.
        path: PathBuf,
        /// All that is wrong.
        source: InvalidKeys,
    },
}

/// One entry of a ring of keys that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFault {
    /// The number of its line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub rule: &'static str,
}

impl KeyFault {
    pub(crate) const fn new(line: usize, rule: &'static str) -> Self {
        Self { line, rule }
    }
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} {}", self.line, self.rule)
    }
}

/// What a node would say about itself breaks a bound of what may travel. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMetadata {
    /// The whole is too large: gossip tells every node about every node, in single datagrams.
    #[error("what the node says about itself has {bytes} bytes, more than {most}; say less")]
    Size {
        /// How large it is, in bytes.
        bytes: usize,
        /// How large it may be.
        most: usize,
    },
    /// It offers too many services.
    #[error("the node offers {services} services, more than {most}; offer fewer")]
    Services {
        /// How many there are.
        services: usize,
        /// How many there may be.
        most: usize,
    },
    /// A service has a name that cannot travel.
    #[error("the name of the service {name:?} {rule}; use 1 to 128 bytes of printable characters")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        rule: String,
    },
    /// A service is offered at too many places.
    #[error("the service {service:?} is offered at {places} places, more than {most}; name fewer")]
    Places {
        /// The service.
        service: String,
        /// How many there are.
        places: usize,
        /// How many there may be.
        most: usize,
    },
    /// A service is offered at what is no place.
    #[error(
        "the service {service:?} is offered at what is no `host:port` of at most 262 bytes; write a name or an IP \
         address and a port from 1 to 65535, IPv6 in brackets"
    )]
    Place {
        /// The service.
        service: String,
    },
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
