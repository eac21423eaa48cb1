//! Durations as the files write them.

/// The whole seconds of `60`, `60s` or `1m30s`; `None` for everything else.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let (mut seconds, mut digits) = (0, String::new());
    for sign in text.chars() {
        let unit = match sign {
            '0'..='9' => {
                digits.push(sign);
                continue;
            }
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            _ => return None,
        };
        seconds += digits.parse::<u64>().ok()? * unit;
        digits.clear();
    }
    match digits.as_str() {
        "" => Some(seconds),
        rest => Some(seconds + rest.parse::<u64>().ok()?),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_duration_is_a_number_with_or_without_units() {
        assert_eq!(parse("60"), Some(60));
        assert_eq!(parse("60s"), Some(60));
        assert_eq!(parse("1m30s"), Some(90));
        assert_eq!(parse("never"), None);
        assert_eq!(parse("5x"), None);
    }
}
