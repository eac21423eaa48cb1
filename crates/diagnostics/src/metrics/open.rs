//! The same metrics as OpenMetrics, for readers that ask for that.
//!
//! The recorder writes the older text format only. What differs is small: families of counters are named without `_total`, quotes
//! are escaped in help, there are no blank lines, and the text says where it ends, so that half of it is not taken for all.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

/// The media type.
pub(crate) const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The end of a counter's name.
const TOTAL: &str = "_total";

/// Whether the reader would rather have OpenMetrics than the older format.
pub(crate) fn is_preferred(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter();
    let ranges: Vec<&str> = accepted
        .filter_map(|it| it.to_str().ok())
        .flat_map(|it| it.split(','))
        .collect();
    let weight = |media_type: &str| {
        let of_type = ranges.iter().filter_map(|it| weight(it, media_type));
        of_type.reduce(f32::max)
    };
    let open = weight("application/openmetrics-text").unwrap_or_default();
    open > 0.0 && open >= weight("text/plain").unwrap_or_default()
}

/// How much `range` wants `media_type`, in a version that we write; `None` when it is of another type.
fn weight(range: &str, media_type: &str) -> Option<f32> {
    let mut parts = range.split(';').map(str::trim);
    let wanted = parts.next()?;
    if !wanted.eq_ignore_ascii_case(media_type) {
        return None;
    }
    let mut weight = 1.0;
    for part in parts {
        match part
            .split_once('=')
            .map(|(key, value)| (key.trim(), value.trim()))
        {
            Some(("q", value)) => weight = value.parse().ok()?,
            Some(("version", "0.0.1" | "0.0.4" | "1.0.0")) => {}
            Some(("version", _)) => return None,
            _ => {}
        }
    }
    Some(weight)
}

/// Rewrites `text`, which is in the older format.
pub(crate) fn converted(text: &str) -> String {
    let mut converted = String::with_capacity(text.len() + 8);
    let mut family = Family::default();
    for line in text.lines().filter(|it| !it.is_empty()) {
        family.write(line, &mut converted);
    }
    converted.push_str("# EOF\n");
    converted
}

/// What has been said of the family whose samples come next.
#[derive(Default)]
struct Family<'a> {
    /// Comes before the type, which says how the family is named.
    help: Option<&'a str>,
    is_histogram: bool,
}

impl<'a> Family<'a> {
    fn write(&mut self, line: &'a str, text: &mut String) {
        if let Some(help) = line.strip_prefix("# HELP ") {
            self.help = Some(help);
            return;
        }
        let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|it| it.split_once(' '))
        else {
            // A sample is written the same way in both, but for the bounds of buckets; other remarks are not allowed.
            match whole_bound(line).filter(|_| self.is_histogram) {
                _ if line.starts_with('#') => {}
                Some((before, after)) => push(text, &[before, ".0", after]),
                None => push(text, &[line]),
            }
            return;
        };
        self.is_histogram = kind == "histogram";
        let (name, kind) = match (kind, name.strip_suffix(TOTAL)) {
            ("counter", Some(name)) => (name, kind),
            // Its samples would have to be named otherwise than they are.
            ("counter", None) | ("untyped", _) => (name, "unknown"),
            _ => (name, kind),
        };
        push(text, &["# TYPE ", name, " ", kind]);
        if let Some((_, help)) = self.help.take().and_then(|it| it.split_once(' ')) {
            push(text, &["# HELP ", name, " ", &help.replace('"', "\\\"")]);
        }
    }
}

/// Splits a sample behind the bound of its bucket where that is a whole number: bounds are written as fractions.
fn whole_bound(line: &str) -> Option<(&str, &str)> {
    const LABEL: &str = "le=\"";
    let label = line
        .find(LABEL)
        .filter(|it| line[..*it].ends_with(['{', ',']))?;
    let begin = label + LABEL.len();
    let length = line[begin..].find('"')?;
    let digits = &line[begin..begin + length];
    let is_whole = !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit());
    is_whole.then(|| line.split_at(begin + length))
}

fn push(text: &mut String, parts: &[&str]) {
    text.extend(parts.iter().copied());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_lose_their_suffix_in_what_is_said_of_them_and_the_end_is_marked() {
        let text = "# HELP calls_total Calls, \"all\" of them.\n# TYPE calls_total counter\ncalls_total{a=\"b\"} 3\n\n\
                    # TYPE ready gauge\nready 1\n\n# a remark\n# TYPE odd counter\nodd 2\n\
                    # TYPE seconds histogram\nseconds_bucket{le=\"0.5\"} 0\n\
                    seconds_bucket{a=\"b\",le=\"10\"} 1\nseconds_bucket{le=\"+Inf\"} 1\nseconds_sum 0.5\nseconds_count 1\n";
        let expected = "# TYPE calls counter\n# HELP calls Calls, \\\"all\\\" of them.\ncalls_total{a=\"b\"} 3\n\
                        # TYPE ready gauge\nready 1\n# TYPE odd unknown\nodd 2\n\
                        # TYPE seconds histogram\nseconds_bucket{le=\"0.5\"} 0\n\
                        seconds_bucket{a=\"b\",le=\"10.0\"} 1\nseconds_bucket{le=\"+Inf\"} 1\nseconds_sum 0.5\nseconds_count 1\n# EOF\n";
        assert_eq!(converted(text), expected);
        assert_eq!(converted(""), "# EOF\n");
    }

    #[test]
    fn who_weighs_openmetrics_no_less_than_the_older_format_gets_it() {
        let prefers = |accept: &[&str]| {
            let mut headers = HeaderMap::new();
            for it in accept {
                headers.append(ACCEPT, it.parse().unwrap());
            }
            is_preferred(&headers)
        };
        for accept in [
            // What Prometheus sends.
            "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "application/openmetrics-text",
            "text/plain, Application/OpenMetrics-Text; q=1.0",
        ] {
            assert!(prefers(&[accept]), "{accept}");
        }
        assert!(prefers(&[
            "text/plain;q=0.1",
            "application/openmetrics-text"
        ]));
        for accept in [
            "*/*",
            "text/plain",
            "text/plain, application/openmetrics-text;q=0.9",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;version=2.0.0",
            "application/openmetrics-text;q=much",
        ] {
            assert!(!prefers(&[accept]), "{accept}");
        }
        assert!(!prefers(&[]));
    }
}
