//! The engine, driven by hand: its main paths, its rules, its invariants on random graphs.

mod bad_input;
mod contract;
mod contract_node;
mod found;
mod main_paths;
mod museum;
mod properties;
mod rehearsals;
mod rules_attempts;
mod rules_changes;
mod rules_deadline;
mod rules_gates;
mod rules_losses;
mod rules_node;
mod rules_operations;
mod rules_plan;
mod rules_snapshot;
mod rules_start;
mod rules_stop;
mod rules_supervision;
mod rules_why;
mod support;
mod timelines;
