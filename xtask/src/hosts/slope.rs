//! [`Slope`]: how fast something grows, and how sure that is.

use serde_json::{Value, json};

/// Into how many blocks samples are put.
const BLOCKS: usize = 12;

/// The two-sided 95 % quantile of Student's distribution with two degrees of freedom less than there are blocks.
const STUDENT: f64 = 2.228;

/// A line through samples by least squares, with a 95 % confidence interval of its slope.
///
/// Samples that follow each other are alike, and would make the interval look smaller than it is. So it is drawn through the means
/// of twelve blocks of them, which are as good as independent when a block is longer than what is remembered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Slope {
    /// Per unit of what the samples are over.
    pub(crate) estimate: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Slope {
    /// Through points `(x, y)` in the order of x; `None` when there are too few.
    pub(crate) fn of(points: &[(f64, f64)]) -> Option<Self> {
        let blocks = blocks(points)?;
        let count = float(blocks.len());
        let mean_x = blocks.iter().map(|it| it.0).sum::<f64>() / count;
        let mean_y = blocks.iter().map(|it| it.1).sum::<f64>() / count;
        let spread: f64 = blocks.iter().map(|it| (it.0 - mean_x).powi(2)).sum();
        if spread <= 0.0 {
            return None;
        }
        let product = blocks.iter().map(|it| (it.0 - mean_x) * (it.1 - mean_y));
        let estimate = product.sum::<f64>() / spread;
        let rest = |it: &(f64, f64)| it.1 - mean_y - estimate * (it.0 - mean_x);
        let squares: f64 = blocks.iter().map(|it| rest(it).powi(2)).sum();
        let error = (squares / (count - 2.0) / spread).sqrt();
        let width = STUDENT * error;
        Some(Self {
            estimate,
            low: estimate - width,
            high: estimate + width,
        })
    }

    pub(crate) fn document(self) -> Value {
        json!({ "estimate": self.estimate, "low": self.low, "high": self.high })
    }
}

/// The means of twelve blocks of as many points each; the first ones that do not fit in are left out.
fn blocks(points: &[(f64, f64)]) -> Option<Vec<(f64, f64)>> {
    let size = points.len() / BLOCKS;
    if size == 0 {
        return None;
    }
    let points = &points[points.len() - size * BLOCKS..];
    let mean = |block: &[(f64, f64)]| {
        let count = float(block.len());
        let sum = |axis: fn(&(f64, f64)) -> f64| block.iter().map(axis).sum::<f64>();
        (sum(|it| it.0) / count, sum(|it| it.1) / count)
    };
    Some(points.chunks_exact(size).map(mean).collect())
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(y: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        (0..600).map(f64::from).map(|x| (x, y(x))).collect()
    }

    /// The same each time, and not a line: what a hash makes of the number.
    fn noise(x: f64) -> f64 {
        ((x * 12.9898).sin() * 43_758.545_3).fract()
    }

    #[test]
    fn a_line_is_found_in_noise_and_noise_is_not_taken_for_one() {
        let growing = Slope::of(&points(|x| 100.0 + 0.5 * x + 20.0 * noise(x))).unwrap();
        assert!(growing.low > 0.4 && growing.high < 0.6, "{growing:?}");
        let level = Slope::of(&points(|x| 100.0 + 20.0 * noise(x))).unwrap();
        assert!(level.low < 0.0 && level.high > 0.0, "{level:?}");
    }

    #[test]
    fn too_few_points_are_no_line_and_neither_are_points_above_each_other() {
        assert_eq!(Slope::of(&[(1.0, 1.0); 11]), None);
        assert_eq!(Slope::of(&[(1.0, 1.0); 24]), None);
    }
}
