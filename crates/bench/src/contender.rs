//! [`Contender`]: one way to orchestrate a load.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;

use crate::course::Course;
use crate::load::Load;
use crate::shape::Shape;

/// Why there are no figures.
pub type Failed = Box<dyn Error + Send + Sync>;

/// A run on its way.
pub type Running = Pin<Box<dyn Future<Output = Result<Course, Failed>> + Send>>;

/// Somebody who can start, stop and restart components.
#[derive(Clone, Copy, Debug)]
pub struct Contender {
    /// What it is called in tables.
    pub name: &'static str,
    /// What it makes of dependencies.
    pub keeps: Keeps,
    /// Shapes that are beyond it, each with the reason in a few words.
    pub cannot: &'static [(Shape, &'static str)],
    /// Orchestrates a load and takes its times.
    pub run: fn(Arc<Load>, Course) -> Running,
}

/// Whether dependencies are kept, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// Each component waits for its own dependencies.
    Order,
    /// Layer by layer; the benchmark wrote the barrier between two of them.
    Barrier,
    /// There is no order.
    Nothing,
}

impl Keeps {
    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Barrier => "barrier",
            Self::Nothing => "nothing",
        }
    }
}

impl Contender {
    /// Why it has no figures for a shape, if so. What never ends asks for a deadline, not for an order.
    #[must_use]
    pub fn refuses(&self, shape: Shape) -> Option<&'static str> {
        let listed = self.cannot.iter().find(|it| it.0 == shape);
        let needs_order = shape.is_ordered() && shape != Shape::Hung;
        let unordered = self.keeps == Keeps::Nothing && needs_order;
        listed
            .map(|it| it.1)
            .or_else(|| unordered.then_some("no order"))
    }
}
