//! Orchestrators beside bare tokio: the same graphs, started, crashed and stopped.
//!
//! A [`Load`] is what is to be orchestrated: so many components in a [`Shape`], and what each takes. It also watches: whoever
//! starts a component before what it depends on has not done the work, and has no figures. A [`Contender`] orchestrates it in
//! one way, and a [`Course`] takes the times. [`run`] is the `main` of a program with some contenders: one run of one of
//! them, so that each has a fresh process and its memory is its own.
//!
//! `cargo xtask bench` builds two such programs, this one and that of the published peers (`peers/`, a workspace of its own),
//! runs them by turns and compares. It knows no contender by heart but the two that everything is a ratio to.

mod accounts;
mod contender;
mod countdown;
mod course;
mod load;
mod ours;
mod program;
mod raw;
mod shape;
mod trouble;

pub use contender::{Contender, Failed, Keeps, Running};
pub use course::Course;
pub use load::{Crashed, Load};
pub use program::run;
pub use shape::Shape;

/// What lives in this workspace: ours, and bare tokio in two ways.
pub const CONTENDERS: &[Contender] = &[
    raw::CONTENDER,
    countdown::CONTENDER,
    ours::CONTENDER,
    ours::WITH_LOOPS,
];
