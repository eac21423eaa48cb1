//! [`Gate`]: stops a run when calls fail.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Options;
use crate::client::Client;
use crate::endpoint::Endpoint;
use crate::failure::Failure;
use crate::text::plain;

/// A share of calls, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
pub(super) struct Share(f64);

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, scale) = match text.strip_suffix('%') {
            Some(number) => (number, 100.0),
            None => (text, 1.0),
        };
        let share = number.trim().parse::<f64>().map(|it| it / scale);
        let share = share.ok().filter(|it| (0.0..=1.0).contains(it));
        share
            .map(Self)
            .ok_or_else(|| "write a share from 0 to 1, or a percentage: 0.01 or 1%".to_owned())
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // To a thousandth of a percent: more is noise.
        write!(f, "{}%", (self.0 * 1e5).round() / 1e3)
    }
}

/// Counts calls before and after a step, and judges what is between.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    metric: String,
    label: String,
    good: String,
    pub(super) most: Share,
    /// Unset, the hosts that remain are read.
    pub(super) urls: Vec<Endpoint>,
}

/// What was counted, by the place and the series.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reading(BTreeMap<(String, String), Counter>);

#[derive(Clone, Copy, Debug, PartialEq)]
struct Counter {
    calls: f64,
    good: bool,
}

impl Gate {
    /// The gate that the options ask for, if they do.
    ///
    /// # Errors
    ///
    /// When the label of good calls is not written as one.
    pub(super) fn new(options: &Options) -> Result<Option<Self>, Failure> {
        let Some(most) = options.max_error_rate else {
            return Ok(None);
        };
        let good = options.error_rate_good.split_once('=');
        let (label, good) = good.ok_or_else(|| {
            Failure::usage(
                "--error-rate-good has no =",
                "write it as --error-rate-good code=OK",
            )
        })?;
        Ok(Some(Self {
            metric: options.error_rate_metric.clone(),
            label: label.to_owned(),
            good: good.to_owned(),
            most,
            urls: options.error_rate_url.clone(),
        }))
    }

    /// Who asks the places that were named.
    ///
    /// # Errors
    ///
    /// When TLS is spoken at one of them, and nobody is trusted.
    pub(super) fn clients(&self, client: &Client) -> Result<Vec<Client>, Failure> {
        self.urls.iter().map(|it| client.to(it.clone())).collect()
    }

    /// Reads the counters of the places that were named, or else of `remaining`.
    ///
    /// # Errors
    ///
    /// When one of them does not answer: a gate that sees nothing lets nobody through.
    pub(super) async fn read(
        &self,
        client: &Client,
        remaining: Vec<Client>,
    ) -> Result<Reading, Failure> {
        let named = self.clients(client)?;
        let clients = if named.is_empty() { remaining } else { named };
        let mut reading = Reading::default();
        for client in clients {
            let endpoint = client.endpoint();
            let path = if endpoint.has_path() { "" } else { "/metrics" };
            let answer = client
                .get(path)
                .await
                .map_err(|it| it.at("no error rate"))?;
            self.add(&mut reading, &endpoint.to_string(), &answer.text());
        }
        Ok(reading)
    }

    fn add(&self, reading: &mut Reading, place: &str, text: &str) {
        for sample in text.lines().filter_map(Sample::parse) {
            if sample.name == self.metric {
                let good = sample.label(&self.label).as_deref() == Some(&*self.good);
                let key = (place.to_owned(), sample.labels.to_owned());
                let calls = sample.value;
                reading.0.insert(key, Counter { calls, good });
            }
        }
    }

    pub(super) fn allows(&self, rate: &Rate) -> bool {
        rate.calls <= 0.0 || rate.failed <= self.most.0 * rate.calls
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            metric,
            label,
            good,
            most,
            urls,
        } = self;
        write!(f, "at most {most} of {metric} without {label}={good}, ")?;
        match urls.is_empty() {
            true => f.write_str("on the hosts that remain"),
            false => {
                let urls: Vec<_> = urls.iter().map(ToString::to_string).collect();
                write!(f, "at {}", plain(&urls.join(", ")))
            }
        }
    }
}

/// Calls between two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rate {
    calls: f64,
    failed: f64,
}

impl Rate {
    /// A counter that has become smaller counts from nothing: its process is another one.
    pub(super) fn between(before: &Reading, after: &Reading) -> Self {
        let mut rate = Self::default();
        for (key, now) in &after.0 {
            let then = before.0.get(key).map_or(0.0, |it| it.calls);
            let calls = if now.calls < then {
                now.calls
            } else {
                now.calls - then
            };
            rate.calls += calls;
            if !now.good {
                rate.failed += calls;
            }
        }
        rate
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, failed } = self;
        match *calls > 0.0 {
            true => write!(
                f,
                "{failed} of {calls} calls failed ({})",
                Share(failed / calls)
            ),
            false => f.write_str("no calls were counted meanwhile"),
        }
    }
}

/// One line of Prometheus' text format.
#[derive(Debug, PartialEq)]
struct Sample<'a> {
    name: &'a str,
    /// Without the braces.
    labels: &'a str,
    value: f64,
}

impl<'a> Sample<'a> {
    /// Comments, and what is no sample, are none.
    fn parse(line: &'a str) -> Option<Self> {
        let line = line.trim();
        let end = line.find(|it: char| it == '{' || it.is_whitespace())?;
        let (name, rest) = line.split_at(end);
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => {
                let end = end_of_labels(rest)?;
                (&rest[..end], &rest[end + 1..])
            }
            None => ("", rest),
        };
        let value = rest.split_whitespace().next()?.parse().ok()?;
        (!name.starts_with('#')).then_some(Self {
            name,
            labels,
            value,
        })
    }

    fn label(&self, wanted: &str) -> Option<String> {
        let mut rest = self.labels;
        loop {
            let (name, value) = rest.split_once("=\"")?;
            let end = end_of_value(value)?;
            if name.trim_start_matches(',').trim() == wanted {
                return Some(unescaped(&value[..end]));
            }
            rest = &value[end + 1..];
        }
    }
}

/// Where the brace closes that is in no value.
fn end_of_labels(text: &str) -> Option<usize> {
    let mut rest = 0;
    loop {
        let open = text[rest..].find(['"', '}'])? + rest;
        if text[open..].starts_with('}') {
            return Some(open);
        }
        rest = open + 1 + end_of_value(&text[open + 1..])? + 1;
    }
}

/// Where the quote closes that nothing escapes.
fn end_of_value(text: &str) -> Option<usize> {
    let mut escaped = false;
    let mut letters = text.char_indices();
    let end = letters.find(|(_, letter)| {
        let ends = !escaped && *letter == '"';
        escaped = !escaped && *letter == '\\';
        ends
    });
    end.map(|(index, _)| index)
}

fn unescaped(value: &str) -> String {
    let mut letters = value.chars();
    let mut text = String::new();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('n') => text.push('\n'),
                Some(other) => text.push(other),
                None => {}
            },
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(most: &str) -> Gate {
        Gate {
            metric: "calls_total".to_owned(),
            label: "code".to_owned(),
            good: "OK".to_owned(),
            most: most.parse().unwrap(),
            urls: Vec::new(),
        }
    }

    fn reading(text: &str) -> Reading {
        let mut reading = Reading::default();
        gate("1").add(&mut reading, "a", text);
        reading
    }

    #[test]
    fn a_share_is_a_fraction_or_a_percentage() {
        assert_eq!("1%".parse(), Ok(Share(0.01)));
        assert_eq!("0.01".parse(), Ok(Share(0.01)));
        assert_eq!(Share(0.01).to_string(), "1%");
        for text in ["", "2", "-1%", "101%", "NaN", "x"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }

    #[test]
    fn calls_are_counted_between_two_readings_and_a_restart_counts_from_nothing() {
        let before = reading(
            "# TYPE calls_total counter\ncalls_total{code=\"OK\"} 100\ncalls_total{code=\"x\"} 7\nother_total 9\n",
        );
        let after = reading(
            "calls_total{code=\"OK\"} 190\ncalls_total{code=\"x\"} 4\ncalls_total{p=\"OK\",code=\"y\"} 6 123\n",
        );
        let rate = Rate::between(&before, &after);
        assert_eq!(
            rate,
            Rate {
                calls: 100.0,
                failed: 10.0
            }
        );
        assert_eq!(rate.to_string(), "10 of 100 calls failed (10%)");
        assert!(gate("10%").allows(&rate));
        assert!(!gate("9.9%").allows(&rate));
    }

    #[test]
    fn no_calls_are_no_errors() {
        let rate = Rate::between(&Reading::default(), &Reading::default());
        assert!(gate("0").allows(&rate));
        assert_eq!(rate.to_string(), "no calls were counted meanwhile");
    }

    #[test]
    fn values_of_labels_may_hold_quotes_and_braces() {
        let sample = Sample::parse(r#"n{a="}\"\\",code="O\nK"} 1"#).unwrap();
        assert_eq!(sample.label("a").as_deref(), Some("}\"\\"));
        assert_eq!(sample.label("code").as_deref(), Some("O\nK"));
        assert_eq!(sample.label("b"), None);
        assert_eq!(Sample::parse("n{a=\"x"), None);
    }
}
