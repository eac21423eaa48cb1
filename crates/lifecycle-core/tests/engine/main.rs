//! The engine, driven by hand: its main paths, its rules, its invariants on random graphs.

mod main_paths;
mod support;
