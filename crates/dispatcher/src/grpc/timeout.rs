//! `grpc-timeout`: how long a caller waits, as gRPC writes it: up to eight digits and a unit.

use std::time::Duration;

/// The most that eight digits hold.
const MOST: u128 = 99_999_999;

/// Reads `10S`, `250m` and the like; `None` when it is something else.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let is_number = (1..=8).contains(&digits.len()) && digits.bytes().all(|it| it.is_ascii_digit());
    if !is_number {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// Writes it in the finest unit that holds it, rounded up: who is told less than is left gives up too early.
pub(super) fn format(timeout: Duration) -> String {
    let nanos = timeout.as_nanos();
    for (unit, size) in [
        ("n", 1),
        ("u", 1_000),
        ("m", 1_000_000),
        ("S", 1_000_000_000),
        ("M", 60_000_000_000),
    ] {
        let count = nanos.div_ceil(size);
        if count <= MOST {
            return format!("{count}{unit}");
        }
    }
    let hours = nanos.div_ceil(3_600_000_000_000).min(MOST);
    format!("{hours}H")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_unit_is_read_and_nothing_else_is() {
        for (text, expected) in [
            ("1H", Some(Duration::from_hours(1))),
            ("2M", Some(Duration::from_mins(2))),
            ("3S", Some(Duration::from_secs(3))),
            ("4m", Some(Duration::from_millis(4))),
            ("5u", Some(Duration::from_micros(5))),
            ("6n", Some(Duration::from_nanos(6))),
            ("0S", Some(Duration::ZERO)),
            ("99999999H", Some(Duration::from_hours(99_999_999))),
            ("100000000n", None),
            ("", None),
            ("S", None),
            ("5", None),
            ("5s", None),
            ("-5S", None),
            ("+5S", None),
            ("5.5S", None),
            ("5 S", None),
            ("5ü", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn it_is_written_in_the_finest_unit_that_holds_it() {
        for (timeout, expected) in [
            (Duration::ZERO, "0n"),
            (Duration::from_millis(99), "99000000n"),
            (Duration::from_millis(100), "100000u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_hours(28), "100800S"),
            (Duration::MAX, "99999999H"),
        ] {
            assert_eq!(format(timeout), expected);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_no_less_and_hardly_more(seconds in 0..10_000_000_000_u64, nanos in 0..1_000_000_000_u32) {
            let timeout = Duration::new(seconds, nanos);
            let read = parse(&format(timeout)).expect("it is written to be read");
            prop_assert!(read >= timeout);
            prop_assert!(read <= timeout + timeout / 1_000 + Duration::from_nanos(1));
        }
    }
}
