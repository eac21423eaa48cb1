//! An orchestrator with one component.

use lifecycle_core::{Component, Defaults, Registration};
use lifecycle_runtime::{Handle, Orchestrator};

/// An orchestrator that drives `component` alone, as `subject`.
pub(crate) fn drive(component: impl Into<Component>, defaults: Defaults) -> Handle {
    let mut builder = Orchestrator::builder();
    builder.defaults(defaults);
    builder.register(Registration::new("subject", component));
    builder.build().expect("one component").spawn()
}
