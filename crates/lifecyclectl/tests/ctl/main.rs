//! The program, as a process, against hosts of this test and against real ones.

mod documents;
mod encrypted;
mod events;
mod failures;
mod fleet;
mod kit;
mod leaders;
mod operations;
mod page;
mod pages;
mod real;
mod rolling;
mod server;
mod waits;
