//! [`Metrics`]: what a host has counted.

use std::net::SocketAddr;
use std::process::Command;

/// An exposition in Prometheus' text format.
#[derive(Debug)]
pub(crate) struct Metrics(String);

impl Metrics {
    /// Those of the host whose diagnostics are there, if it answers.
    pub(crate) fn of(diagnostics: SocketAddr) -> Option<Self> {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--fail", "--max-time", "10"]);
        let output = curl.arg(format!("http://{diagnostics}/metrics")).output();
        let output = output.expect("curl is installed");
        let text = String::from_utf8(output.stdout).expect("a text");
        output.status.success().then_some(Self(text))
    }

    /// The sum of all series of this name whose labels are not refused.
    #[track_caller]
    pub(crate) fn sum(&self, name: &str, counts: impl Fn(&str) -> bool) -> u64 {
        let samples = self.0.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let labels = series.strip_prefix(name)?;
            let is_it = labels.is_empty() || labels.starts_with('{');
            (is_it && counts(labels)).then_some(value)
        });
        samples.map(|it| it.parse::<u64>().expect("a count")).sum()
    }
}

#[test]
fn series_of_a_name_are_added_up_and_others_are_not() {
    let text = "# TYPE calls_total counter\ncalls_total{code=\"OK\"} 3\ncalls_total{code=\"no\"} 4\ncalls_total_more 5\n";
    let metrics = Metrics(text.to_owned());
    assert_eq!(metrics.sum("calls_total", |_| true), 7);
    assert_eq!(metrics.sum("calls_total", |it| it.contains("OK")), 3);
}
