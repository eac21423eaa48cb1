//! The runtime around the real engine, in paused time unless a file says otherwise.

mod calls;
mod handles;
mod history;
mod kit;
mod observing;
mod scopes;
mod start_stop;
mod threads;
