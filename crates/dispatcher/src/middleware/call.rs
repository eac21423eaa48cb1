//! [`Call`]: what spans and lines tell of a call.

use crate::call::Meta;
use crate::route::{Route, RouteKind};
use crate::shape::Shape;

/// How much of a text that a caller has chosen is told, in characters.
const TEXT: usize = 128;

/// What is known of a call from its beginning on. Of names that callers choose there is no more than can be read at a glance.
pub(super) struct Call {
    /// As registered, or `unknown`; as called when it goes elsewhere, or was made to a bare handler.
    pub(super) procedure: String,
    /// As called, where that is something else.
    pub(super) called: Option<String>,
    pub(super) outbound: Option<String>,
    pub(super) shape: Option<Shape>,
    pub(super) caller: Option<String>,
    pub(super) transport: Option<&'static str>,
    pub(super) encoding: Option<String>,
}

impl Call {
    pub(super) fn new(meta: &Meta) -> Self {
        let called = shortened(meta.procedure.trim());
        let is_outbound = |it: &&Route| it.kind == RouteKind::Outbound;
        let route = meta.route.as_ref();
        let registered = route.filter(|it| !is_outbound(it));
        let outbound = route.filter(is_outbound);
        let procedure = registered.map_or_else(|| called.clone(), |it| it.name.as_ref().to_owned());
        Self {
            called: (called != procedure).then_some(called),
            procedure,
            outbound: outbound.map(|it| it.name.as_ref().to_owned()),
            shape: route.map(|it| it.shape),
            caller: meta.caller.as_deref().map(shortened),
            transport: meta.transport,
            encoding: meta.encoding.as_deref().map(shortened),
        }
    }
}

pub(super) fn shortened(text: &str) -> String {
    text.chars().take(TEXT).collect()
}
