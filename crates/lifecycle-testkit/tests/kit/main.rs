//! The kit, tried on itself: each part must be able to fail.

mod conformance;
mod faults;
mod leaks;
mod oracle;
mod scripted;
mod simulation;
mod storms;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use lifecycle_core::component::panic_message;

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The text with which `test` panics.
#[track_caller]
pub(crate) fn panic_of(test: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(test)).expect_err("the test should fail");
    panic_message(&*panic).to_owned()
}
