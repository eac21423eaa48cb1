//! [`Fence`]: keeps the writes of yesterday's leader from a resource.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::leadership::lease::FencingToken;

/// A resource that is written by the leader of one scope alone, and by none whose token is older than one it has seen.
///
/// The token is checked and the write made under one lock, so that no newer leader can come in between. A leader that was
/// paused beyond its lease is refused however late it wakes up.
///
/// A resource outside the process does the same where it lives: it keeps the greatest token beside the data, in the same
/// transaction, as in `UPDATE … SET value = ?, token = ? WHERE token <= ?`.
///
/// ```
/// use mesh::leadership::{Fence, FencingToken};
///
/// let table = Fence::new(Vec::new());
/// table.write(FencingToken::new(7))?.push("by the seventh");
/// table.write(FencingToken::new(8))?.push("by the eighth");
/// let late = table.write(FencingToken::new(7)).expect_err("superseded");
/// assert_eq!(late.newest, FencingToken::new(8));
/// # Ok::<(), mesh::leadership::StaleToken>(())
/// ```
pub struct Fence<T> {
    inner: Mutex<Inner<T>>,
}

struct Inner<T> {
    newest: FencingToken,
    resource: T,
}

impl<T> Fence<T> {
    /// `resource`, which has seen no token yet.
    pub fn new(resource: T) -> Self {
        Self::behind(FencingToken::new(0), resource)
    }

    /// `resource`, which has seen `newest` already, say before a restart.
    pub fn behind(newest: FencingToken, resource: T) -> Self {
        Self {
            inner: Mutex::new(Inner { newest, resource }),
        }
    }

    /// Lets the holder of `token` write for as long as the guard lives. Blocks while another does.
    ///
    /// # Errors
    ///
    /// [`StaleToken`] when a newer one has been seen; then nothing was touched.
    pub fn write(&self, token: FencingToken) -> Result<FenceGuard<'_, T>, StaleToken> {
        let mut inner = self.inner();
        if token < inner.newest {
            return Err(StaleToken {
                token,
                newest: inner.newest,
            });
        }
        inner.newest = token;
        Ok(FenceGuard { inner })
    }

    /// Reads, which needs no token.
    pub fn read<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        read(&self.inner().resource)
    }

    /// The greatest token that was seen.
    pub fn newest(&self) -> FencingToken {
        self.inner().newest
    }

    fn inner(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: fmt::Debug> fmt::Debug for Fence<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.inner();
        f.debug_struct("Fence")
            .field("newest", &inner.newest)
            .field("resource", &inner.resource)
            .finish()
    }
}

/// The right to write, while it lives.
pub struct FenceGuard<'a, T> {
    inner: MutexGuard<'a, Inner<T>>,
}

impl<T> Deref for FenceGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner.resource
    }
}

impl<T> DerefMut for FenceGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner.resource
    }
}

impl<T: fmt::Debug> fmt::Debug for FenceGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FenceGuard")
            .field(&self.inner.resource)
            .finish()
    }
}

/// A write came with a token that is older than one seen before; its sender leads no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the fencing token {token} is older than {newest}, which has been seen")]
pub struct StaleToken {
    /// What it came with.
    pub token: FencingToken,
    /// The greatest token seen.
    pub newest: FencingToken,
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: FencingToken = FencingToken::new(1);
    const NEW: FencingToken = FencingToken::new(2);

    #[test]
    fn one_holder_writes_often_and_none_before_it_ever_again() {
        let fence = Fence::new(0);
        for _ in 0..2 {
            *fence.write(OLD).unwrap() += 1;
        }
        *fence.write(NEW).unwrap() += 1;
        assert_eq!(fence.write(OLD).unwrap_err().newest, NEW);
        assert_eq!(fence.read(|it| *it), 3);
    }

    #[test]
    fn a_token_that_was_refused_changes_nothing() {
        let fence = Fence::behind(NEW, "new");
        assert!(fence.write(OLD).is_err());
        assert_eq!((fence.newest(), fence.read(|it| *it)), (NEW, "new"));
    }
}
