//! The surface over real sockets, from before the first start to after the last stop.

mod described;
mod explained;
mod followed;
mod limits;
mod probes;
mod rehearsed;
mod shown;
mod supervised;
mod support;
mod timed;
