//! One call of a component, driven as far as is wanted.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;
use std::time::Duration;

use lifecycle_core::component::panic_message;
use lifecycle_core::{BoxError, BoxFuture};

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It returned `Ok`.
    Ok,
    /// It returned this error.
    Failed(String),
    /// It panicked with this text.
    Panicked(String),
    /// It was still at work at its limit.
    TimedOut(Duration),
}

impl Ended {
    /// What is wrong with it, if it should have succeeded.
    pub(super) fn trouble(&self) -> Option<String> {
        match self {
            Self::Ok => None,
            Self::Failed(error) => Some(format!("failed: {error}")),
            Self::Panicked(..) | Self::TimedOut(..) => self.misconduct(),
        }
    }

    /// What is wrong with it, if it may have failed.
    pub(super) fn misconduct(&self) -> Option<String> {
        match self {
            Self::Ok | Self::Failed(_) => None,
            Self::Panicked(text) => Some(format!("panicked: {text}")),
            Self::TimedOut(limit) => Some(format!("did not return within {limit:?}")),
        }
    }
}

/// A call that has begun, or not even that.
pub(super) struct CallInFlight {
    /// `None` once it is ready or has panicked.
    future: Option<BoxFuture<'static, Result<(), BoxError>>>,
}

impl CallInFlight {
    pub(super) fn new(future: BoxFuture<'static, Result<(), BoxError>>) -> Self {
        Self {
            future: Some(future),
        }
    }

    /// Polls it until it has been pending `times` times; `None` if it goes on then.
    pub(super) async fn poll_times(&mut self, times: usize, limit: Duration) -> Option<Ended> {
        let mut pending = 0;
        let polled = poll_fn(|cx| {
            if pending == times {
                return Poll::Ready(None);
            }
            let polled = self.poll(cx);
            if polled.is_pending() {
                pending += 1;
                // Nothing more is waited for: what it waits for must not change what comes next.
                if pending == times {
                    return Poll::Ready(None);
                }
            }
            polled.map(Some)
        });
        let polled = tokio::time::timeout(limit, polled).await;
        polled.unwrap_or(Some(Ended::TimedOut(limit)))
    }

    /// Goes on to its end.
    pub(super) async fn finish(mut self, limit: Duration) -> Ended {
        let ended = self.poll_times(usize::MAX, limit).await;
        ended.unwrap_or(Ended::TimedOut(limit))
    }

    fn poll(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Ended> {
        let Some(future) = &mut self.future else {
            return Poll::Pending;
        };
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        let ended = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Ok(()))) => Ended::Ok,
            Ok(Poll::Ready(Err(error))) => Ended::Failed(error.to_string()),
            Err(panic) => Ended::Panicked(panic_message(&*panic).to_owned()),
        };
        self.future = None;
        Poll::Ready(ended)
    }
}
