//! The runtime around the real engine, in paused time unless a file says otherwise.

mod blocked;
mod calls;
mod draining;
mod dropped;
mod handles;
mod history;
mod isolated;
mod kit;
mod observing;
mod scopes;
mod start_stop;
mod supervision;
mod threads;
