//! [`Figures`]: what the rounds of one relay come to.

use super::load::Sample;

/// Medians over rounds.
#[derive(Debug, PartialEq)]
pub(super) struct Figures {
    /// Processor time of a request, in microseconds.
    pub(super) cost: f64,
    /// Requests a second.
    pub(super) throughput: f64,
    /// In milliseconds.
    pub(super) p50: f64,
    /// In milliseconds.
    pub(super) p99: f64,
}

impl Figures {
    /// Of at least one sample, each of so many requests.
    pub(super) fn of(samples: &[Sample], requests: u64) -> Self {
        let over = |figure: fn(&Sample) -> f64| median(samples.iter().map(figure).collect());
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let requests = requests as f64;
        Self {
            cost: over(|it| it.processor_time.as_secs_f64()) * 1e6 / requests,
            throughput: requests / over(|it| it.duration.as_secs_f64()),
            p50: over(|it| it.p50.as_secs_f64()) * 1e3,
            p99: over(|it| it.p99.as_secs_f64()) * 1e3,
        }
    }
}

/// The middle one; of an even number the upper of the two.
fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn figures_are_medians_and_no_round_counts_twice() {
        let sample = |cost, took| Sample {
            processor_time: Duration::from_millis(cost),
            duration: Duration::from_secs(took),
            p50: Duration::from_micros(500),
            p99: Duration::from_millis(2),
        };
        let samples = [sample(900, 1), sample(20, 2), sample(30, 4)];
        let expected = Figures {
            cost: 30.0,
            throughput: 500.0,
            p50: 0.5,
            p99: 2.0,
        };
        assert_eq!(Figures::of(&samples, 1_000), expected);
    }
}
