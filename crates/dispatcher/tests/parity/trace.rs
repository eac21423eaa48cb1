//! [`Trace`]: a story as it is written in `traces`.
//!
//! A trace begins with its `title:`, the statements that it is `from:`, and `why:` they say so. Then come the components:
//!
//! ```text
//! component api: needs db cache; start fail, ok 20ms; stop ok; start policy 3 attempts fixed 100ms; also gateway
//! default start policy 2 attempts exponential 100ms x2 cap 300ms
//! ```
//!
//! An act is `ok`, `fail`, `heeds` (goes on until it is cancelled, and returns an error then) or `hangs` (ignores that too),
//! with how long it takes. Each call takes the next act; the last one is repeated. What is not said succeeds at once.
//!
//! Then phases, each headed by what is asked for, such as `== start cancelled at 15ms, stop at 20ms` or `== stop by 3s`. In each,
//! times count from its begin, and are those of the clock that stands still while anything can be done:
//!
//! - `calls`: what components are called with, in the order in which the calls are issued, and which call of its kind that is
//!   since the component came up: a further stop after a failed one counts on;
//! - `states`: into which state components come. A component that waits has not moved, and one between two attempts is still
//!   where it was: the original has no states for that;
//! - `dispatcher`: into which state the whole comes;
//! - `logs`: the original's five events, with level and component, the attempt of a start, and the error of a roll-back;
//! - `results`: what is answered;
//! - `after`: the snapshot when all is answered.
//!
//! Within one moment calls are listed in their order, and everything else by the component's name, since no statement says
//! more. A block that is missing is empty; but `after` may be left out.

use std::fmt::Write as _;
use std::time::Duration;

use lifecycle_core::{Backoff, Nanos, Retry};
use lifecycle_testkit::Act;

/// One story.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub(crate) title: String,
    pub(crate) statements: Vec<u32>,
    pub(crate) why: String,
    pub(crate) default_start: Retry,
    pub(crate) default_stop: Retry,
    pub(crate) components: Vec<Sketch>,
    pub(crate) phases: Vec<Phase>,
}

/// A component of a story.
#[derive(Debug, Default)]
pub(crate) struct Sketch {
    pub(crate) name: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) needs: Vec<String>,
    pub(crate) starts: Vec<Act>,
    pub(crate) stops: Vec<Act>,
    pub(crate) start_policy: Retry,
    pub(crate) stop_policy: Retry,
}

/// What is asked for at the same time, and what shall come of it.
#[derive(Debug)]
pub(crate) struct Phase {
    pub(crate) head: String,
    pub(crate) asks: Vec<Ask>,
    /// In the order of [`BLOCKS`].
    pub(crate) blocks: [Vec<String>; BLOCKS.len()],
}

pub(crate) const BLOCKS: [&str; 6] = ["calls", "states", "dispatcher", "logs", "results", "after"];

/// One request, this long after the begin of its phase.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) at: Duration,
    pub(crate) what: Asked,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked {
    Start {
        /// When the caller cancels it, counted from the begin of the phase.
        cancelled: Option<Duration>,
    },
    Stop {
        /// The caller's deadline, counted from the begin of the phase.
        deadline: Option<Duration>,
    },
}

impl Phase {
    /// Whether it says what the snapshot shows in the end.
    pub(crate) fn tells_after(&self) -> bool {
        self.blocks.last().is_some_and(|it| !it.is_empty())
    }
}

impl Trace {
    /// What shall be observed, in the form of [`describe`].
    pub(crate) fn expected(&self) -> String {
        let phases = self.phases.iter();
        phases.map(|it| describe(&it.head, &it.blocks)).collect()
    }
}

/// A phase as text; what is empty is left out.
pub(crate) fn describe(head: &str, blocks: &[Vec<String>; BLOCKS.len()]) -> String {
    let mut text = format!("== {head}\n");
    for (name, lines) in BLOCKS.iter().zip(blocks) {
        if !lines.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(text, "{name}\n  {}\n", lines.join("\n  "));
        }
    }
    text
}

/// Reads a trace.
///
/// # Panics
///
/// At the first line that it does not understand.
#[track_caller]
pub(crate) fn parse(text: &str) -> Trace {
    let mut trace = Trace::default();
    let mut block = None;
    for line in text.lines().filter(|it| !it.trim().is_empty()) {
        if let Some(head) = line.strip_prefix("== ") {
            trace.phases.push(phase(head));
            block = None;
        } else if let Some(phase) = trace.phases.last_mut() {
            if let Some(at) = BLOCKS.iter().position(|it| *it == line) {
                block = Some(at);
                continue;
            }
            let within = block.filter(|_| line.starts_with("  "));
            let within = within.unwrap_or_else(|| panic!("not in a block: {line:?}"));
            phase.blocks[within].push(line.trim().to_owned());
        } else {
            trace.declare(line);
        }
    }
    trace
}

impl Trace {
    #[track_caller]
    fn declare(&mut self, line: &str) {
        let after = |prefix: &str| line.strip_prefix(prefix).map(str::trim);
        if let Some(title) = after("title:") {
            self.title = title.to_owned();
        } else if let Some(numbers) = after("from:") {
            let numbers = numbers.split_whitespace();
            self.statements = numbers.map(|it| it.parse().expect("a number")).collect();
        } else if let Some(why) = after("why:") {
            self.why.push_str(why);
        } else if let Some(policy) = after("default start policy") {
            self.default_start = retry(policy);
        } else if let Some(policy) = after("default stop policy") {
            self.default_stop = retry(policy);
        } else if let Some(said) = after("component") {
            self.components.push(sketch(said));
        } else {
            panic!("cannot read {line:?}");
        }
    }
}

#[track_caller]
fn sketch(said: &str) -> Sketch {
    let (name, clauses) = said.split_once(':').unwrap_or((said, ""));
    let mut sketch = Sketch {
        name: name.to_owned(),
        ..Sketch::default()
    };
    let clauses = clauses.split(';').map(str::trim);
    for clause in clauses.filter(|it| !it.is_empty()) {
        let words = |rest: &str| rest.split_whitespace().map(str::to_owned).collect();
        if let Some(rest) = clause.strip_prefix("needs ") {
            sketch.needs = words(rest);
        } else if let Some(rest) = clause.strip_prefix("also ") {
            sketch.aliases = words(rest);
        } else if let Some(rest) = clause.strip_prefix("start policy ") {
            sketch.start_policy = retry(rest);
        } else if let Some(rest) = clause.strip_prefix("stop policy ") {
            sketch.stop_policy = retry(rest);
        } else if let Some(rest) = clause.strip_prefix("start ") {
            sketch.starts = rest.split(',').map(act).collect();
        } else if let Some(rest) = clause.strip_prefix("stop ") {
            sketch.stops = rest.split(',').map(act).collect();
        } else {
            panic!("cannot read {clause:?}");
        }
    }
    sketch
}

#[track_caller]
fn act(said: &str) -> Act {
    match said.split_whitespace().collect::<Vec<_>>()[..] {
        ["ok"] => Act::succeed(),
        ["ok", length] => Act::succeed_after(duration(length)),
        ["fail"] => Act::fail(),
        ["fail", length] => Act::fail_after(duration(length)),
        ["heeds"] => Act::hang_until_cancelled(),
        ["hangs"] => Act::hang(),
        _ => panic!("no act: {said:?}"),
    }
}

#[track_caller]
fn retry(said: &str) -> Retry {
    let words: Vec<_> = said.split_whitespace().collect();
    let attempts = |text: &str| Retry::attempts(text.parse().expect("a number of attempts"));
    let nanos = |text: &str| Nanos::from(duration(text));
    match words[..] {
        ["none"] => Retry::none(),
        [number, "attempts"] => attempts(number),
        [number, "attempts", "fixed", delay] => {
            attempts(number).with_backoff(Backoff::Fixed(nanos(delay)))
        }
        [
            number,
            "attempts",
            "exponential",
            initial,
            factor,
            "cap",
            cap,
        ] => {
            let factor = factor.strip_prefix('x').expect("a factor");
            attempts(number).with_backoff(Backoff::Exponential {
                initial: nanos(initial),
                factor: factor.parse().expect("a factor"),
                cap: nanos(cap),
            })
        }
        _ => panic!("no policy: {said:?}"),
    }
}

#[track_caller]
fn phase(head: &str) -> Phase {
    Phase {
        head: head.to_owned(),
        asks: head.split(',').map(ask).collect(),
        blocks: Default::default(),
    }
}

#[track_caller]
fn ask(said: &str) -> Ask {
    let words: Vec<_> = said.split_whitespace().collect();
    let (words, at) = match &words[..] {
        [words @ .., "cancelled", "at", _] => (words, Duration::ZERO),
        [words @ .., "at", moment] => (words, duration(moment)),
        words => (words, Duration::ZERO),
    };
    let cancelled = said.split_once("cancelled at ").map(|(_, it)| duration(it));
    let what = match words {
        ["start"] => Asked::Start { cancelled },
        ["stop"] => Asked::Stop { deadline: None },
        ["stop", "by", moment] => Asked::Stop {
            deadline: Some(duration(moment)),
        },
        _ => panic!("nothing to ask for: {said:?}"),
    };
    Ask { at, what }
}

#[track_caller]
fn duration(text: &str) -> Duration {
    let text = text.trim();
    let number = |it: &str| it.parse().expect("a number");
    match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(millis), _) => Duration::from_millis(number(millis)),
        (None, Some(secs)) => Duration::from_secs(number(secs)),
        (None, None) => panic!("no duration: {text:?}"),
    }
}
