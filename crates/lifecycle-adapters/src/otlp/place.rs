//! [`Place`]: where a span is in a trace.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::num::{NonZeroU64, NonZeroU128};

/// Where a span is in a trace, and whether that is sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) trace: NonZeroU128,
    pub(super) span: NonZeroU64,
    pub(super) parent: Option<NonZeroU64>,
    pub(super) is_sampled: bool,
}

impl Place {
    /// The first span of a trace.
    pub(super) fn first(is_sampled: bool) -> Self {
        let trace = u128::from(chance()) << 64 | u128::from(chance());
        Self {
            trace: NonZeroU128::new(trace).unwrap_or(NonZeroU128::MIN),
            span: any(),
            parent: None,
            is_sampled,
        }
    }

    /// A span within this one.
    pub(super) fn child(self) -> Self {
        Self {
            span: any(),
            parent: Some(self.span),
            ..self
        }
    }
}

/// Whether a trace that begins here is one of the `ratio` that are sampled.
pub(super) fn is_drawn(ratio: f64) -> bool {
    let drawn = u32::try_from(chance() >> 32).unwrap_or(u32::MAX);
    f64::from(drawn) < ratio * (f64::from(u32::MAX) + 1.0)
}

fn any() -> NonZeroU64 {
    NonZeroU64::new(chance()).unwrap_or(NonZeroU64::MIN)
}

/// A random number; nothing to grant rights by. The standard library gives each hasher a key of its own.
fn chance() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_stays_in_the_trace_and_shares_the_choice() {
        for is_sampled in [true, false] {
            let first = Place::first(is_sampled);
            let child = first.child();
            assert_eq!((child.trace, child.parent), (first.trace, Some(first.span)));
            assert_eq!(child.is_sampled, is_sampled);
            assert_ne!(child.span, first.span);
        }
    }

    #[test]
    fn ids_are_their_own() {
        let places: Vec<_> = (0..1_000).map(|_| Place::first(true)).collect();
        let traces: std::collections::HashSet<_> = places.iter().map(|it| it.trace).collect();
        let spans: std::collections::HashSet<_> = places.iter().map(|it| it.span).collect();
        assert_eq!((traces.len(), spans.len()), (1_000, 1_000));
    }

    #[test]
    fn of_traces_as_many_are_sampled_as_the_ratio_says() {
        let drawn = |ratio| (0..10_000).filter(|_| is_drawn(ratio)).count();
        assert_eq!((drawn(0.0), drawn(1.0)), (0, 10_000));
        // Twenty standard deviations: it does not happen.
        assert!((1_500..3_500).contains(&drawn(0.25)), "a quarter");
    }
}
