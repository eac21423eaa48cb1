//! Time as the engine knows it: integers that the shell hands in.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;
use std::time::Duration;

/// A length of time in whole nanoseconds; arithmetic saturates.
///
/// The longest value is about 584 years. Text form is a sequence of numbers with
/// units (`250ms`, `10s`, `1m30s`); units are `ns`, `us`, `ms`, `s`, `m`, `h`, `d`.
///
/// ```
/// use lifecycle_core::Nanos;
///
/// let delay: Nanos = "1m30s".parse()?;
/// assert_eq!(delay, Nanos::from_secs(90));
/// assert_eq!(delay.to_string(), "90s");
/// # Ok::<(), lifecycle_core::ParseNanosError>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(u64);

impl Nanos {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// The longest length there is.
    pub const MAX: Self = Self(u64::MAX);

    /// Makes a length of `nanos` nanoseconds.
    #[must_use]
    pub const fn new(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Makes a length of `micros` microseconds.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros.saturating_mul(1_000))
    }

    /// Makes a length of `millis` milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Makes a length of `secs` seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// The length in nanoseconds.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The length in whole milliseconds, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The length in seconds.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a metric does not need more than 53 bits"
    )]
    pub const fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The difference, or nothing.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Half of it.
    #[must_use]
    pub const fn halved(self) -> Self {
        Self(self.0 / 2)
    }

    /// The sum, or [`Nanos::MAX`].
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// `self` times `factor`, or [`Nanos::MAX`].
    #[must_use]
    pub const fn saturating_mul(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor))
    }

    /// The part `numerator / (numerator + rest)` of this length, without overflow; all of it when both are zero.
    #[must_use]
    pub fn share(self, numerator: Self, rest: Self) -> Self {
        let whole = u128::from(numerator.0) + u128::from(rest.0);
        if whole == 0 {
            return self;
        }
        let part = u128::from(self.0) * u128::from(numerator.0) / whole;
        Self(u64::try_from(part).unwrap_or(u64::MAX))
    }
}

impl From<Duration> for Nanos {
    fn from(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl From<Nanos> for Duration {
    fn from(nanos: Nanos) -> Self {
        Self::from_nanos(nanos.0)
    }
}

/// The units, largest first: so that a text form uses the largest that divides.
const UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

impl fmt::Display for Nanos {
    /// Writes one number with the largest unit from seconds down that divides it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let (unit, size) = UNITS[3..]
            .iter()
            .find(|(_, size)| self.0.is_multiple_of(*size))
            .unwrap_or(&("ns", 1));
        write!(f, "{}{unit}", self.0 / size)
    }
}

impl fmt::Debug for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is not a length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a duration; write a number with a unit, such as `250ms`, `10s` or `1m30s`"
)]
pub struct ParseNanosError {
    /// The rejected text.
    pub text: String,
}

impl FromStr for Nanos {
    type Err = ParseNanosError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text.trim()).ok_or_else(|| ParseNanosError {
            text: text.to_owned(),
        })
    }
}

fn parse(mut text: &str) -> Option<Nanos> {
    if text.is_empty() {
        return None;
    }
    let mut total = Nanos::ZERO;
    while !text.is_empty() {
        let (part, rest) = parse_part(text)?;
        total = total.saturating_add(part);
        text = rest.trim_start();
    }
    Some(total)
}

/// Parses one number with its unit off the front of `text`.
fn parse_part(text: &str) -> Option<(Nanos, &str)> {
    let digits = text.find(|it: char| !it.is_ascii_digit())?;
    let (number, rest) = text.split_at(digits);
    let letters = rest
        .find(|it: char| !it.is_ascii_alphabetic())
        .unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(letters);
    let (_, size) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let number = parse_number(number)?;
    Some((Nanos(number).saturating_mul(*size), rest))
}

/// A number too long for 64 bits saturates, as all arithmetic here does.
fn parse_number(digits: &str) -> Option<u64> {
    match digits.parse() {
        Ok(number) => Some(number),
        Err(_) if digits.is_empty() => None,
        Err(_) => Some(u64::MAX),
    }
}

/// A point in time: nanoseconds since an origin that the shell chose once.
///
/// Only differences mean anything. The engine compares the times it is given and never asks for one.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The shell's origin.
    pub const ZERO: Self = Self(0);
    /// A point that is never reached.
    pub const MAX: Self = Self(u64::MAX);

    /// The point `since_origin` after the shell's origin.
    #[must_use]
    pub const fn new(since_origin: Nanos) -> Self {
        Self(since_origin.0)
    }

    /// The time since the shell's origin.
    #[must_use]
    pub const fn since_origin(self) -> Nanos {
        Nanos(self.0)
    }

    /// The point `length` before this one, at the earliest the origin.
    #[must_use]
    pub const fn before(self, length: Nanos) -> Self {
        Self(self.0.saturating_sub(length.0))
    }

    /// The time from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Nanos {
        Nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Nanos> for Time {
    type Output = Self;

    fn add(self, length: Nanos) -> Self {
        Self(self.0.saturating_add(length.0))
    }
}

impl Sub for Time {
    type Output = Nanos;

    fn sub(self, earlier: Self) -> Nanos {
        self.since(earlier)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t+{}", Nanos(self.0))
    }
}

#[cfg(feature = "serde")]
mod serde_impl {
    use super::Nanos;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    impl Serialize for Nanos {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(self)
        }
    }

    impl<'de> Deserialize<'de> for Nanos {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(D::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_read_with_its_units_and_written_with_the_largest_that_divides() {
        for (text, length, shown) in [
            ("250ms", Nanos::from_millis(250), "250ms"),
            ("10s", Nanos::from_secs(10), "10s"),
            ("1m 30s", Nanos::from_secs(90), "90s"),
            ("2h", Nanos::from_secs(7_200), "7200s"),
            ("1500us", Nanos::from_micros(1_500), "1500us"),
            ("0s", Nanos::ZERO, "0s"),
            (" 7ns ", Nanos::new(7), "7ns"),
        ] {
            let parsed: Nanos = text.parse().expect("the text is a duration");
            assert_eq!(parsed, length, "{text}");
            assert_eq!(parsed.to_string(), shown, "{text}");
        }
    }

    #[test]
    fn text_without_a_number_or_a_known_unit_is_refused_and_named() {
        for text in ["", "10", "s", "ten s", "1.5s", "-1s", "10 parsecs"] {
            let error = text.parse::<Nanos>().expect_err("no duration");
            assert_eq!(error.text, text);
        }
    }

    #[test]
    fn absurd_lengths_saturate_instead_of_wrapping() {
        assert_eq!("999999999999999999999d".parse(), Ok(Nanos::MAX));
        assert_eq!(Time::ZERO + Nanos::MAX + Nanos::MAX, Time::MAX);
        assert_eq!(Nanos::MAX.share(Nanos::MAX, Nanos::ZERO), Nanos::MAX);
        assert_eq!(Time::ZERO - Time::MAX, Nanos::ZERO);
    }
}
