//! [`Label`]: the number of a row, as a page and as a test's name write it.

use std::fmt;

/// `7` or `B14`. Plain numbers come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Label {
    pub(crate) beyond: bool,
    pub(crate) number: u32,
}

impl Label {
    /// Reads `7`, `07`, `B14` or `b14`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(['B', 'b']);
        let beyond = digits.is_some();
        let digits = digits.unwrap_or(text);
        let plain = !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit());
        let number = plain.then(|| digits.parse().ok())??;
        Some(Self { beyond, number })
    }

    /// The rows that a test owns by what follows `museum_` or `contract_` in its name: `07_…` or
    /// `20_and_21_…`.
    pub(crate) fn all_of_test(name: &str) -> Vec<Self> {
        let mut words = name.split('_');
        let mut labels = Vec::new();
        while let Some(label) = words.next().and_then(Self::parse) {
            labels.push(label);
            if words.next() != Some("and") {
                break;
            }
        }
        labels
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let series = if self.beyond { "B" } else { "" };
        write!(f, "{series}{}", self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: &str) {
        let labels: Vec<_> = Label::all_of_test(name)
            .iter()
            .map(Label::to_string)
            .collect();
        assert_eq!(labels.join(" "), expected, "{name}");
    }

    #[test]
    fn a_test_owns_the_rows_at_the_head_of_its_name() {
        check("07_waiters_are_released", "7");
        check("b14_the_order_is_visible", "B14");
        check("20_and_21_a_failed_start", "20 21");
        check("39_and_b17_stop_during_start", "39 B17");
        check("05_and_then_nothing_starts", "5");
        check("16_3_attempts", "16");
        check("every_row", "");
    }
}
