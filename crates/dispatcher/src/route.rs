//! [`Route`]: what has taken a call.

use std::sync::Arc;

use crate::shape::Shape;

/// What has taken a call, for layers, which see calls of many kinds.
///
/// Its name is one of those that were given when the dispatcher was made, whatever the caller has written: there are as many as there
/// are procedures and outbounds, so that it may be a label of a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Whether the call has come here, goes elsewhere, or finds nobody.
    pub kind: RouteKind,
    /// The name of the procedure as it was registered, which may be a pattern, or the name of the outbound: `service:key:shape`. Where
    /// nobody has taken the call, it is `unknown`, whatever the caller has written.
    pub name: Arc<str>,
    /// The shape of the call.
    pub shape: Shape,
}

/// Whether a call has come here, goes elsewhere, or finds nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// It is answered by a procedure of this service.
    Procedure,
    /// It goes out to another service.
    Outbound,
    /// It has come here, and there is no procedure that it means.
    Unknown,
}

/// The name of what nobody has taken.
pub(crate) const UNKNOWN: &str = "unknown";

impl Route {
    pub(crate) fn procedure(name: &str, shape: Shape) -> Self {
        Self {
            kind: RouteKind::Procedure,
            name: name.into(),
            shape,
        }
    }

    pub(crate) fn outbound(name: &str, shape: Shape) -> Self {
        Self {
            kind: RouteKind::Outbound,
            name: name.into(),
            shape,
        }
    }

    pub(crate) fn unknown(shape: Shape) -> Self {
        Self {
            kind: RouteKind::Unknown,
            name: UNKNOWN.into(),
            shape,
        }
    }
}
