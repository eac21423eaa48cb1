//! [`run`]: the `main` of a program with contenders.

use std::env;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::runtime;
use tracing_subscriber::filter::LevelFilter;

use crate::contender::{Contender, Failed};
use crate::course::Course;
use crate::load::Load;
use crate::shape::Shape;
use crate::trouble;

/// How many threads there are, whatever the machine has.
pub(crate) const THREADS: usize = 2;

/// What the program was asked for.
enum Asked {
    /// `list`: who there is, and what is beyond whom.
    List,
    /// `NAME SHAPE COUNT`: one run.
    Run(&'static Contender, Shape, usize),
    /// `trouble`: the figures of ours that nobody else has.
    Trouble,
}

/// Does what the arguments ask for, and prints one line of JSON.
///
/// `list` says who there is; `NAME SHAPE COUNT` is one run; `trouble` measures what is no contest.
#[must_use]
pub fn run(contenders: &'static [Contender]) -> ExitCode {
    let answer = asked(contenders).and_then(|it| match it {
        Asked::List => Ok(list(contenders)),
        Asked::Run(contender, shape, count) => one_run(contender, shape, count),
        Asked::Trouble => trouble::figures(),
    });
    match answer {
        Ok(figures) => say(&mut io::stdout(), &figures.to_string(), ExitCode::SUCCESS),
        Err(error) => say(&mut io::stderr(), &error.to_string(), ExitCode::FAILURE),
    }
}

fn asked(contenders: &'static [Contender]) -> Result<Asked, Failed> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["list"] => Ok(Asked::List),
        ["trouble"] => Ok(Asked::Trouble),
        [name, shape, count] => {
            let contender = contenders.iter().find(|it| it.name == name);
            let contender = contender.ok_or_else(|| format!("there is no contender {name}"))?;
            Ok(Asked::Run(contender, shape.parse()?, count.parse()?))
        }
        _ => Err("usage: list | trouble | NAME SHAPE COUNT".into()),
    }
}

fn list(contenders: &[Contender]) -> Value {
    let rows = contenders.iter().map(|it| {
        let refuses = |shape: Shape| Some((shape.name().to_owned(), json!(it.refuses(shape)?)));
        let refusals: serde_json::Map<_, _> = Shape::ALL.into_iter().filter_map(refuses).collect();
        json!({ "name": it.name, "keeps": it.keeps.name(), "refuses": refusals })
    });
    rows.collect()
}

fn one_run(contender: &Contender, shape: Shape, count: usize) -> Result<Value, Failed> {
    if let Some(reason) = contender.refuses(shape) {
        return Err(reason.into());
    }
    silence();
    let load = Arc::new(Load::new(shape, count, contender.keeps));
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()?;
    // As a task, so that everybody begins on a worker.
    let run = contender.run;
    let course = runtime.block_on(async {
        tokio::spawn(async move {
            let course = Course::begin(Arc::clone(&load))?;
            run(load, course).await
        })
        .await?
    })?;
    let figures = course.figures()?;
    // What was given up may hold threads or wait for ever.
    runtime.shutdown_background();
    Ok(figures)
}

/// Logs are on and filtered, as in production: what is left of a line is to ask whether it is wanted.
fn silence() {
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::ERROR)
        .with_writer(io::sink)
        .init();
}

fn say(to: &mut impl io::Write, line: &str, code: ExitCode) -> ExitCode {
    match writeln!(to, "{line}") {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}
