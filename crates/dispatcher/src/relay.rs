//! [`Relay`]: passes calls on to another service.

use std::collections::HashMap;
use std::sync::Arc;

use tower::ServiceExt as _;

use crate::call::Request;
use crate::fault::Fault;
use crate::handler::{Handler, handler_fn};
use crate::outbound::{DEFAULT_KEY, outbound_name};
use crate::procedure::Procedure;
use crate::shape::Shape;

/// Passes calls on to another service, by the outbound of its service, key and shape.
///
/// A request goes on as it came: the procedure by the name that the caller has used, who calls, keys, encoding, headers and
/// messages, of which a stream is passed on one by one. What is left of the deadline goes with it, so that it shrinks from hop to
/// hop, and ends a ring of relays too. The answer comes back as it is, and so does an error.
///
/// ```
/// use dispatcher::{Dispatcher, HttpOutbound, Relay, Shape};
///
/// let (dispatcher, _) = Dispatcher::builder("front")
///     .outbound(HttpOutbound::new("billing", "http://127.0.0.1:8081/")?)
///     .procedure(Relay::to("billing").procedure(Shape::Unary, "billing::*"))
///     .build()?;
/// assert!(dispatcher.offers(Shape::Unary, "billing::pay"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    service: String,
    key: String,
}

impl Relay {
    /// A relay to `service`, by the outbound with the key [`DEFAULT_KEY`].
    #[must_use]
    pub fn to(service: impl Into<String>) -> Self {
        Self {
            service: service.into(),
            key: DEFAULT_KEY.to_owned(),
        }
    }

    /// Says by which outbound; a blank key is [`DEFAULT_KEY`].
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = key.into();
        self
    }

    /// The procedure `name` of one shape, passed on; a pattern passes on all that it matches. Whoever adds it is told when there is no
    /// such outbound.
    ///
    /// Over HTTP a one-way procedure is looked for before a unary one, so that a one-way pattern hides unary procedures of names that
    /// it matches.
    #[must_use]
    pub fn procedure(self, shape: Shape, name: impl Into<String>) -> Procedure {
        Procedure::relayed(shape, name.into(), self)
    }

    /// What answers calls of `shape`.
    pub(crate) fn handler(
        &self,
        shape: Shape,
        outbounds: &HashMap<String, Handler>,
    ) -> Result<Handler, Fault> {
        let name = outbound_name(&self.service, Some(&self.key), shape);
        let Some(outbound) = outbounds.get(&name.to_ascii_lowercase()).cloned() else {
            return Err(Fault::UnknownOutbound { name });
        };
        let service: Arc<str> = self.service.trim().into();
        let pass_on = move |mut request: Request| {
            // Who called us has named ours, if any.
            request.meta.service = Some(service.as_ref().to_owned());
            outbound.clone().oneshot(request)
        };
        Ok(handler_fn(pass_on))
    }
}
