//! The runtime around the real engine, in paused time unless a file says otherwise.

mod calls;
mod draining;
mod handles;
mod kit;
mod observing;
mod scopes;
mod start_stop;
mod supervision;
mod threads;
