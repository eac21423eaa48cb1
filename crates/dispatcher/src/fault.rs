//! [`Fault`]: what is wrong with what was given to a builder.

use std::fmt;

use crate::code::Code;
use crate::shape::Shape;

/// Something that is wrong with what was given to a builder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The dispatcher's own service has no name.
    #[error("the service has no name; give it one")]
    BlankService,
    /// A procedure has no name.
    #[error("a {shape} procedure has no name; give it one")]
    BlankProcedure {
        /// Its shape.
        shape: Shape,
    },
    /// An alias is blank.
    #[error("an alias of procedure \"{procedure}\" is blank; drop it")]
    BlankAlias {
        /// The procedure.
        procedure: String,
    },
    /// A name, an alias or a pattern is taken.
    #[error("there are two {shape} procedures \"{name}\"; rename one, or drop the alias")]
    DuplicateProcedure {
        /// The shape of both.
        shape: Shape,
        /// The name as it was given for the second time.
        name: String,
    },
    /// An outbound does not say which service it leads to.
    #[error("an outbound has no service; say where it leads")]
    BlankOutbound,
    /// An outbound that nobody could call.
    #[error("the outbound to \"{service}\" has no shape; say what it carries")]
    ShapelessOutbound {
        /// Where it leads.
        service: String,
    },
    /// For one service and shape a key is there twice.
    #[error("there are two outbounds \"{name}\"; give one another key")]
    DuplicateOutbound {
        /// The component's name, as it was given for the second time.
        name: String,
    },
    /// A relay has no outbound to pass calls on to.
    #[error("a relay needs the outbound \"{name}\", which there is not; add it")]
    UnknownOutbound {
        /// The name that the component would have.
        name: String,
    },
}

impl Fault {
    /// What became of it, as a caller would be told.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::BlankService
            | Self::BlankProcedure { .. }
            | Self::BlankAlias { .. }
            | Self::BlankOutbound
            | Self::ShapelessOutbound { .. } => Code::InvalidArgument,
            Self::UnknownOutbound { .. } => Code::NotFound,
            Self::DuplicateProcedure { .. } | Self::DuplicateOutbound { .. } => {
                Code::FailedPrecondition
            }
        }
    }
}

/// What was given to a builder cannot be a dispatcher. Nothing was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildError {
    /// Every fault that could be found.
    pub faults: Vec<Fault>,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.faults[..] {
            [only] => write!(f, "the dispatcher is at fault: {only}"),
            many => {
                write!(f, "the dispatcher has {} faults:", many.len())?;
                many.iter().try_for_each(|it| write!(f, "\n  - {it}"))
            }
        }
    }
}

impl std::error::Error for BuildError {}
