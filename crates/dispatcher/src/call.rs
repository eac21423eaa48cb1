//! [`Request`] and [`Response`], for all five shapes.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::error::RpcError;
use crate::headers::Headers;
use crate::messages::Messages;
use crate::route::Route;

/// What is known of a call beside its messages. Every field may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// The service that is called; `None` where the transport does not say, which means whoever is asked.
    pub service: Option<String>,
    /// The procedure that is called.
    pub procedure: String,
    /// Who calls, by its own account: nothing to grant rights by.
    pub caller: Option<String>,
    /// How the messages are encoded, such as `json`.
    pub encoding: Option<String>,
    /// Which shard of the service is meant.
    pub shard_key: Option<String>,
    /// Which group of the service's instances is meant.
    pub routing_key: Option<String>,
    /// Who shall choose the instance in the caller's place.
    pub routing_delegate: Option<String>,
    /// When the caller will not wait any longer. It travels on with calls that are made on behalf of this one.
    pub deadline: Option<Instant>,
    /// By which protocol it has come into this process, such as `http`; `None` when it was made here. It does not travel.
    pub transport: Option<&'static str>,
    /// What has taken it: for layers. The dispatcher sets it, and outbounds that have layers do; it does not travel.
    pub route: Option<Route>,
    /// Everything else.
    pub headers: Headers,
}

impl Meta {
    /// A call of `procedure`, of which nothing else is known.
    #[must_use]
    pub fn new(procedure: impl Into<String>) -> Self {
        Self {
            procedure: procedure.into(),
            ..Self::default()
        }
    }

    /// Lets the caller wait no longer than `ttl` from `now`; a deadline that comes earlier stays. What is too far to be counted
    /// is no deadline.
    pub fn limit(&mut self, now: Instant, ttl: Duration) {
        let wanted = now.checked_add(ttl);
        self.deadline = self.deadline.into_iter().chain(wanted).min();
    }

    /// How long the caller will wait, counted from `now`; zero when that is over.
    #[must_use]
    pub fn time_left(&self, now: Instant) -> Option<Duration> {
        let deadline = self.deadline?;
        Some(deadline.saturating_duration_since(now))
    }
}

/// A call to a procedure.
#[derive(Debug)]
pub struct Request {
    /// What is known of it.
    pub meta: Meta,
    /// What goes to the server.
    pub messages: Messages,
}

impl Request {
    /// A call of `procedure` with one message.
    #[must_use]
    pub fn new(procedure: impl Into<String>, message: impl Into<Bytes>) -> Self {
        Self {
            meta: Meta::new(procedure),
            messages: Messages::one(message),
        }
    }

    /// The one message of a call that has one.
    ///
    /// # Errors
    ///
    /// As [`Messages::into_one`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the request.
    pub async fn into_message(self) -> Result<Bytes, RpcError> {
        self.messages.into_one().await
    }
}

/// What comes back.
#[derive(Debug)]
pub struct Response {
    /// How the messages are encoded; `None` is as in the request.
    pub encoding: Option<String>,
    /// What travels beside them.
    pub headers: Headers,
    /// What goes to the client.
    pub messages: Messages,
}

impl Response {
    /// An answer of `messages`.
    #[must_use]
    pub fn new(messages: Messages) -> Self {
        Self {
            encoding: None,
            headers: Headers::new(),
            messages,
        }
    }

    /// An answer of one message.
    #[must_use]
    pub fn message(message: impl Into<Bytes>) -> Self {
        Self::new(Messages::one(message))
    }

    /// An answer without a message: a one-way call has arrived.
    #[must_use]
    pub fn empty() -> Self {
        Self::new(Messages::none())
    }

    /// The one message of an answer that has one.
    ///
    /// # Errors
    ///
    /// As [`Messages::into_one`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the response.
    pub async fn into_message(self) -> Result<Bytes, RpcError> {
        self.messages.into_one().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earlier_deadline_stays_and_one_beyond_counting_is_none() {
        let now = Instant::now();
        let mut meta = Meta::new("echo");
        assert_eq!(meta.time_left(now), None);
        meta.limit(now, Duration::MAX);
        assert_eq!(meta.deadline, None);
        meta.limit(now, Duration::from_secs(2));
        meta.limit(now, Duration::from_secs(5));
        assert_eq!(meta.time_left(now), Some(Duration::from_secs(2)));
        let later = now + Duration::from_secs(3);
        assert_eq!(meta.time_left(later), Some(Duration::ZERO));
    }
}
