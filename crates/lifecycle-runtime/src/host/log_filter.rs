//! [`LogFilter`]: which lines a host writes, read and changed while it runs.

use std::fmt;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::reload;

/// The filter of the log output that a [`Host`](crate::Host) has installed. There is one a process, as there is one log.
pub struct LogFilter {
    reload: Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>,
    /// As it was written.
    present: Mutex<String>,
}

/// A filter that was not taken; the one from before goes on to hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogFilterError {
    /// It cannot be read.
    #[error(
        "{filter:?} is not a filter: {fault}; write it like \"info\" or \"info,lifecycle=debug\""
    )]
    Unreadable {
        /// The text that was given.
        filter: String,
        /// What is wrong with it.
        fault: String,
    },
    /// The log output is gone, as it is when the process ends.
    #[error("there is no log output any more")]
    Gone,
}

static INSTALLED: OnceLock<LogFilter> = OnceLock::new();

/// From now on the filter can be changed by `reload`.
pub(super) fn installed(
    filter: String,
    reload: impl Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync + 'static,
) {
    // Log output can be installed once a process, so that nobody was here before.
    let _ = INSTALLED.set(LogFilter {
        reload: Box::new(reload),
        present: Mutex::new(filter),
    });
}

impl LogFilter {
    /// That of this process; `None` where no host has installed log output, or somebody else did before it.
    #[must_use]
    pub fn installed() -> Option<&'static Self> {
        INSTALLED.get()
    }

    /// The filter that holds, as it was written. Parts that could not be read when the host began are in it, and do nothing.
    #[must_use]
    pub fn present(&self) -> String {
        self.text().clone()
    }

    /// The most talkative level that the filter lets through anywhere: `off`, `error`, `warn`, `info`, `debug` or `trace`.
    #[must_use]
    pub fn level(&self) -> String {
        let filter = EnvFilter::new(self.present());
        let level = filter.max_level_hint();
        level.map_or_else(|| "trace".to_owned(), |it| it.to_string())
    }

    /// Writes from now on what `filter` lets through.
    ///
    /// # Errors
    ///
    /// [`LogFilterError`] when it is blank or cannot be read as a whole.
    pub fn set(&self, filter: &str) -> Result<(), LogFilterError> {
        let parsed = parse(filter)?;
        // Held until it is done: of two who change it, the one whose text is kept has come last.
        let mut present = self.text();
        (self.reload)(parsed).map_err(|_| LogFilterError::Gone)?;
        filter.trim().clone_into(&mut present);
        Ok(())
    }

    fn text(&self) -> MutexGuard<'_, String> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse(filter: &str) -> Result<EnvFilter, LogFilterError> {
    let unreadable = |fault: String| LogFilterError::Unreadable {
        filter: filter.to_owned(),
        fault,
    };
    if filter.trim().is_empty() {
        return Err(unreadable("it is blank".to_owned()));
    }
    let parsed = EnvFilter::builder().parse(filter.trim());
    parsed.map_err(|it| unreadable(it.to_string()))
}

impl fmt::Debug for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogFilter")
            .field("present", &self.text())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_filter_is_changed_as_a_whole_or_not_at_all() {
        let reloads = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&reloads);
        let filter = LogFilter {
            reload: Box::new(move |_| {
                counted.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }),
            present: Mutex::new("info".to_owned()),
        };
        assert_eq!(
            (filter.present(), filter.level()),
            ("info".into(), "info".into())
        );
        for wrong in ["", " ", "info,lifecycle=loud", "a=b=c"] {
            let refused = filter.set(wrong).expect_err(wrong);
            assert!(refused.to_string().contains("is not a filter"), "{refused}");
        }
        assert_eq!(reloads.load(Ordering::SeqCst), 0);
        filter
            .set(" warn,lifecycle::audit=debug ")
            .expect("it can be read");
        assert_eq!(reloads.load(Ordering::SeqCst), 1);
        let now = (filter.present(), filter.level());
        assert_eq!(now, ("warn,lifecycle::audit=debug".into(), "debug".into()));
        filter.set("off").expect("it can be read");
        assert_eq!(filter.level(), "off");
    }
}
