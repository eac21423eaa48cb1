//! [`Inbound`]: where calls come in.

use std::fmt;

use lifecycle_core::{Component, Retry};

use crate::dispatcher::Dispatcher;

/// Where calls come in: a component that asks the dispatcher.
///
/// It is essential and takes part in a drain. It is started after every outbound and stopped before them.
pub struct Inbound {
    pub(crate) name: Named,
    pub(crate) make: Box<dyn FnOnce(Dispatcher) -> Component + Send>,
    pub(crate) start: Retry,
    pub(crate) stop: Retry,
}

/// How an inbound comes by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// By its kind, and its place among those of its kind: `http-inbound:0`.
    Kind(&'static str),
    Given(String),
}

impl Inbound {
    /// An inbound over HTTP; `make` gets the dispatcher that it shall ask.
    #[must_use]
    pub fn http(make: impl FnOnce(Dispatcher) -> Component + Send + 'static) -> Self {
        Self::of("http-inbound", make)
    }

    /// An inbound over gRPC; `make` gets the dispatcher that it shall ask.
    #[must_use]
    pub fn grpc(make: impl FnOnce(Dispatcher) -> Component + Send + 'static) -> Self {
        Self::of("grpc-inbound", make)
    }

    fn of(kind: &'static str, make: impl FnOnce(Dispatcher) -> Component + Send + 'static) -> Self {
        Self {
            name: Named::Kind(kind),
            make: Box::new(make),
            start: Retry::default(),
            stop: Retry::default(),
        }
    }

    /// Names it. Unset, it is named by its kind and its place among those of its kind that have no name, counted from 0.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Named::Given(name.into());
        self
    }

    /// Sets attempts and limits of its start. Unset, the dispatcher's default holds.
    #[must_use]
    pub fn start_retry(mut self, retry: Retry) -> Self {
        self.start = retry;
        self
    }

    /// Sets attempts and limits of its stop. Unset, the dispatcher's default holds.
    #[must_use]
    pub fn stop_retry(mut self, retry: Retry) -> Self {
        self.stop = retry;
        self
    }
}

impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
