//! The surface over real sockets, from before the first start to after the last stop.

mod access;
mod audit;
mod certificates;
mod described;
mod encrypted;
mod explained;
mod followed;
mod limits;
mod node;
mod operate;
mod probes;
mod rehearsed;
mod shown;
mod supervised;
mod support;
mod timed;
