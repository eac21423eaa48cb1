//! [`PeerSource`]: who answers the same calls, as it changes.

use std::fmt;

use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_util::stream;
use tokio::sync::watch;

/// Says at which places the same calls are answered, as that changes: a service registry, for example, or a file.
///
/// ```
/// use dispatcher::{GrpcOutbound, PeerSource};
/// use tokio::sync::watch;
///
/// let (places, source) = watch::channel(vec!["127.0.0.1:9091".to_owned()]);
/// let billing = GrpcOutbound::discovering("billing", source);
/// // Later, from wherever it is known:
/// places.send_replace(vec!["127.0.0.1:9091".to_owned(), "127.0.0.1:9092".to_owned()]);
/// # let _ = billing;
/// ```
pub trait PeerSource: fmt::Debug + Send + Sync + 'static {
    /// The places, each `host:port`, as they are and again whenever they have changed; each time all of them.
    ///
    /// It is asked for at each start of the outbound, which reads it as a task of its own until it stops. What comes at once holds for
    /// the first call. A text that is no place is left out, and logged. When the stream ends, the last places stay.
    fn places(&self) -> BoxStream<'static, Vec<String>>;
}

impl PeerSource for watch::Receiver<Vec<String>> {
    fn places(&self) -> BoxStream<'static, Vec<String>> {
        let mut places = self.clone();
        // What there is comes first.
        places.mark_changed();
        Box::pin(changes(places))
    }
}

fn changes<T: Clone>(values: watch::Receiver<T>) -> impl Stream<Item = T> {
    stream::unfold(values, async |mut values| {
        values.changed().await.ok()?;
        let value = values.borrow_and_update().clone();
        Some((value, values))
    })
}
