//! [`Course`]: the times of one run, taken at its stations.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::accounts::{anonymous_bytes, processor_time};
use crate::contender::Failed;
use crate::load::Load;

/// How far a run is, and how long each part of it took.
///
/// A contender says [`built`](Self::built), [`started`](Self::started), in a storm [`recovered`](Self::recovered), and
/// [`stopped`](Self::stopped), in this order and each as soon as it is so. The clock does not run while memory is measured.
#[derive(Debug)]
pub struct Course {
    load: Arc<Load>,
    began: Moment,
    memory: u64,
    build: Lap,
    start: Lap,
    recovery: Lap,
    stop: Lap,
    bytes: u64,
}

/// On two clocks: that on the wall, and that of what all threads have taken, which says the same on a busy machine as well.
#[derive(Clone, Copy, Debug)]
struct Moment {
    wall: Instant,
    worked: Duration,
}

/// From one moment to another.
#[derive(Clone, Copy, Debug, Default)]
struct Lap {
    took: Duration,
    worked: Duration,
}

impl Course {
    /// From now on.
    pub(crate) fn begin(load: Arc<Load>) -> Result<Self, Failed> {
        Ok(Self {
            load,
            memory: anonymous_bytes()?,
            build: Lap::default(),
            start: Lap::default(),
            recovery: Lap::default(),
            stop: Lap::default(),
            bytes: 0,
            began: Moment::now(),
        })
    }

    /// Everything is described, and nothing has been started. Who makes no difference between the two does not say it.
    pub fn built(&mut self) {
        self.build = self.lap();
    }

    /// Everything runs.
    ///
    /// # Errors
    ///
    /// When the system does not tell how much memory that takes.
    pub fn started(&mut self) -> Result<(), Failed> {
        self.start = self.lap();
        self.bytes = anonymous_bytes()?.saturating_sub(self.memory);
        self.began = Moment::now();
        Ok(())
    }

    /// The clock goes on from here: what came since the last station is nobody's time.
    pub fn resumed(&mut self) {
        self.began = Moment::now();
    }

    /// Everything runs again after it had failed.
    pub fn recovered(&mut self) {
        self.recovery = self.lap();
    }

    /// Everything has stopped, or was given up.
    pub fn stopped(&mut self) {
        self.stop = self.lap();
    }

    /// What was measured, as long as the work was done.
    pub(crate) fn figures(&self) -> Result<Value, Failed> {
        self.check()?;
        let load = &self.load;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let each = self.bytes as f64 / load.count() as f64;
        Ok(json!({
            "build_ms": millis(self.build.took),
            "start_ms": millis(self.start.took),
            "recovery_ms": millis(self.recovery.took),
            "stop_ms": millis(self.stop.took),
            "start_cpu_ms": millis(self.start.worked),
            "recovery_cpu_ms": millis(self.recovery.worked),
            "stop_cpu_ms": millis(self.stop.worked),
            "bytes": each,
            "critical_path_ms": millis(load.critical_path()),
            "barrier_ms": millis(load.barrier()),
        }))
    }

    fn check(&self) -> Result<(), Failed> {
        let disorder = self.load.disorder();
        if disorder > 0 {
            return Err(format!("{disorder} components were out of order").into());
        }
        let (down, hung) = (self.load.down(), self.load.hung());
        if hung == 0 && down != self.load.count() {
            let count = self.load.count();
            return Err(format!("{down} of {count} components have stopped").into());
        }
        Ok(())
    }

    fn lap(&mut self) -> Lap {
        let lap = Lap {
            took: self.began.wall.elapsed(),
            worked: processor_time().saturating_sub(self.began.worked),
        };
        self.began = Moment::now();
        lap
    }
}

impl Moment {
    fn now() -> Self {
        Self {
            worked: processor_time(),
            wall: Instant::now(),
        }
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contender::Keeps;
    use crate::shape::Shape;

    #[test]
    fn who_has_not_stopped_everything_has_no_figures() {
        let load = Arc::new(Load::new(Shape::Flat, 2, Keeps::Order));
        let course = Course::begin(load).expect("memory can be read");
        let error = course.figures().expect_err("nothing was stopped");
        assert_eq!(error.to_string(), "0 of 2 components have stopped");
    }
}
