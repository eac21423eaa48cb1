//! [`Deadlines`]: how long a call may last.

use std::time::{Duration, Instant};

use tower::{Layer, Service as _};

use crate::call::{Meta, Request, Response};
use crate::handler::{Handler, around};
use crate::messages::Messages;
use crate::until::{Until, within};

/// How long calls may last: a deadline for those that have none, and an end to those that are too far away.
///
/// A call that is answered with one message gets the deadline in its [`Meta`], so that it travels on; when it has passed, the
/// call is dropped and answered with [`Code::DeadlineExceeded`](crate::Code::DeadlineExceeded). Of a call that is answered with
/// a stream, only the time to its beginning is limited, and the deadline that its caller has set stays as it is, unless
/// [`streams_at_most`](Self::streams_at_most) says otherwise.
///
/// ```
/// use std::time::Duration;
///
/// use dispatcher::middleware::Deadlines;
///
/// let deadlines = Deadlines::new()
///     .unless_set(Duration::from_secs(30))
///     .at_most(Duration::from_secs(300));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deadlines {
    unless_set: Option<Duration>,
    at_most: Option<Duration>,
    streams_at_most: Option<Duration>,
}

impl Deadlines {
    /// Nothing but that the deadlines of callers are kept.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how long a call may last whose caller does not say.
    #[must_use]
    pub fn unless_set(mut self, time: Duration) -> Self {
        self.unless_set = Some(time);
        self
    }

    /// Sets how long a call may last, whatever its caller says.
    #[must_use]
    pub fn at_most(mut self, time: Duration) -> Self {
        self.at_most = Some(time);
        self
    }

    /// Sets how long a call may last that is answered with a stream, to its end. Unset, such a stream ends when its caller says.
    #[must_use]
    pub fn streams_at_most(mut self, time: Duration) -> Self {
        self.streams_at_most = Some(time);
        self
    }

    /// Shortens the deadline of a call; gives that of the beginning of its answer.
    fn limit(&self, meta: &mut Meta, now: Instant) -> Option<Instant> {
        let streams = meta
            .route
            .as_ref()
            .is_some_and(|it| it.shape.streams_responses());
        if let Some(most) = self.streams_at_most.filter(|_| streams) {
            meta.limit(now, most);
        }
        let unset = self.unless_set.filter(|_| meta.deadline.is_none());
        let times = unset.into_iter().chain(self.at_most);
        let ends = times.filter_map(|it| now.checked_add(it));
        let limited = meta.deadline.into_iter().chain(ends).min();
        if !streams {
            meta.deadline = limited;
        }
        limited
    }
}

impl Layer<Handler> for Deadlines {
    type Service = Handler;

    fn layer(&self, inner: Handler) -> Handler {
        let deadlines = *self;
        around(inner, move |inner, mut request: Request| {
            let now = tokio::time::Instant::now().into_std();
            let beginning = deadlines.limit(&mut request.meta, now);
            let end = request.meta.deadline;
            let calling = within(beginning, inner.call(request));
            async move { calling.await.map(|it| until(end, it)) }
        })
    }
}

/// The answer, of which a stream ends at `deadline`.
fn until(deadline: Option<Instant>, mut response: Response) -> Response {
    if deadline.is_some() && response.messages.is_stream() {
        response.messages = Messages::stream(Until::new(response.messages, deadline));
    }
    response
}
