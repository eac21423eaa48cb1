//! (skeleton)
use crate::plan::ComponentId;

/// Which call or scope is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptKey {
    /// The component.
    pub component: ComponentId,
    /// The generation, counted from 1.
    pub generation: u32,
    /// The attempt.
    pub attempt: u32,
}
