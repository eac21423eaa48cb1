//! A host of these tests, from sources to values, and every fault on the way.

mod faults;
mod greeter;
mod printed;
mod sections;
mod sources;
