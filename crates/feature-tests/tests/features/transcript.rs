//! Two transcripts of the same commands, at different times on different machines.

use regex::Regex;

/// What differs from run to run, and what is put in its place.
const MASKS: [(&str, &str); 9] = [
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| UTC)", "TIME"),
    (r"\b\d\d:\d\d:\d\d(\.\d+)?\b", "TIME"),
    (r"127\.0\.0\.\d:\d+", "ADDRESS"),
    (r"\b[0-9a-f]{16}(-\d+)?\b", "ID"),
    (r"\b(\d+(\.\d+)?\s?(ms|s|min|h)\b\s*)+", "DURATION "),
    // The host's clock, as the client knows it, has whole seconds.
    (r"TIME, (in DURATION|DURATION\s+ago)", "TIME, DURATION"),
    (r"duration_ms=\d+", "duration_ms=DURATION"),
    (r#"Ms":\d+(\.\d+)?"#, r#"Ms":DURATION"#),
    // The bars of a time line.
    (r"[·~#]+(\s*[·~#]+)*", "BAR"),
];

/// Whether two transcripts say the same: times, durations, addresses and numbers of operations do not count, nor does where
/// lines are broken. In `expected`, `…` as a word stands for any words.
pub(crate) fn says_the_same(expected: &str, actual: &str) -> bool {
    let (expected, actual) = (masked(expected), masked(actual));
    let expected: Vec<_> = expected.split_whitespace().collect();
    let actual: Vec<_> = actual.split_whitespace().collect();
    fits(&expected, &actual)
}

fn masked(text: &str) -> String {
    // A line may be broken within what is masked.
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    MASKS.iter().fold(line, |text, (pattern, name)| {
        let pattern = Regex::new(pattern).expect("a pattern");
        pattern.replace_all(&text, *name).into_owned()
    })
}

fn fits(expected: &[&str], actual: &[&str]) -> bool {
    match expected.split_first() {
        None => actual.is_empty(),
        Some((&"…", rest)) => (0..=actual.len()).any(|from| fits(rest, &actual[from..])),
        Some((word, rest)) => actual.first() == Some(word) && fits(rest, &actual[1..]),
    }
}

#[test]
fn times_durations_addresses_and_line_breaks_make_no_difference_and_all_else_does() {
    let page = "drain of a has begun: operation 18ec2b47aae51daa-7\nblocked by a, 1 in flight for 2 min 5 s (at\n127.0.0.1:80)";
    let run = "drain of a has begun: operation 18ec2b47aae51dab-12 blocked by a, 1 in flight for 700 ms (at 127.0.0.1:41234)";
    assert!(says_the_same(page, run));
    assert!(!says_the_same(page, &run.replace("1 in", "2 in")));
    assert!(!says_the_same(page, &format!("{run} more")));
    assert!(says_the_same("a … d", "a b c d") && !says_the_same("a … d", "a b c"));
    assert!(says_the_same(
        "2026-11-28 06:50:00 UTC, 1.2 s ago",
        "2026-11-29 06:51:00 UTC, 12 ms ago"
    ));
    assert!(says_the_same(
        "2026-11-28 06:50:00 UTC, 1.2 s ago",
        "2026-11-29 06:51:00 UTC, in 900 ms"
    ));
    assert!(says_the_same("x  ··####  12 ms *", "x #### 1 s *"));
}
