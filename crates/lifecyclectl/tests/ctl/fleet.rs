//! Hosts that can be cordoned, drained and restarted, and what happened to them, in order.

use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

use crate::documents::{begun, operation, success, upgrade};
use crate::server::{Reply, Server};

/// How a host is, and what is wrong with it.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    cordoned: bool,
    /// `active` when empty.
    drain: &'static str,
    /// Drains never end.
    pub(crate) stuck: bool,
    /// What it says when it is not ready for another reason than the drain.
    pub(crate) broken: Option<&'static str>,
    /// What it is not ready for once it has been restarted.
    pub(crate) broken_by_restart: Option<&'static str>,
    /// Nothing takes part in a drain.
    pub(crate) without_participants: bool,
    /// Good and bad calls, and how many of each come with each look at the metrics.
    pub(crate) calls: (u32, u32),
    pub(crate) traffic: (u32, u32),
}

impl State {
    fn document(&self) -> Value {
        let state = if self.drain.is_empty() {
            "active"
        } else {
            self.drain
        };
        let change = match self.without_participants {
            true => json!({ "participants": [] }),
            false => json!({}),
        };
        upgrade(state, self.cordoned, change)
    }

    fn issue(&self) -> Option<String> {
        let away = self.cordoned || !self.drain.is_empty();
        let own = self.broken.map(str::to_owned);
        own.or_else(|| {
            away.then(|| {
                format!(
                    "node:{}",
                    if self.drain.is_empty() {
                        "cordoned"
                    } else {
                        self.drain
                    }
                )
            })
        })
    }
}

/// What an operation does to a host.
type Change = fn(&mut State);

/// One host of a [`Fleet`].
pub(crate) struct Member {
    pub(crate) server: Server,
    state: Arc<Mutex<State>>,
}

impl Member {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// HOST:PORT.
    pub(crate) fn name(&self) -> String {
        self.server.address.to_string()
    }
}

/// Hosts that share a log.
pub(crate) struct Fleet {
    pub(crate) members: Vec<Member>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Fleet {
    pub(crate) fn of(count: usize) -> Self {
        let log = Arc::new(Mutex::new(Vec::new()));
        let members = (0..count).map(|index| member(index, &log)).collect();
        Self { members, log }
    }

    /// What was done to whom, in order, such as `0 drain`.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// The hosts as words of a command line.
    pub(crate) fn names(&self) -> String {
        let names = self.members.iter().map(Member::name);
        names.collect::<Vec<_>>().join(" ")
    }

    /// The most hosts that were cordoned and not yet resumed at one time.
    pub(crate) fn most_away(&self) -> usize {
        let (mut away, mut most) = (0_usize, 0);
        for line in self.log() {
            match line.split_once(' ').unwrap().1 {
                "cordon" => away += 1,
                "resume" => away -= 1,
                _ => {}
            }
            most = most.max(away);
        }
        most
    }
}

fn member(index: usize, log: &Arc<Mutex<Vec<String>>>) -> Member {
    let server = Server::new();
    let state = Arc::new(Mutex::new(State::default()));
    let note = {
        let log = Arc::clone(log);
        move |what: &str| log.lock().unwrap().push(format!("{index} {what}"))
    };
    let on = |line: &str, handler: fn(&mut State) -> Reply| {
        let state = Arc::clone(&state);
        server.on(line, move |_| handler(&mut state.lock().unwrap()));
    };
    on("GET /control/upgrade", |state| {
        let document = state.document();
        if state.drain == "draining" && !state.stuck {
            state.drain = "drained";
        }
        Reply::ok(&document)
    });
    on("GET /readyz", |state| match state.issue() {
        Some(issue) => Reply::json(503, &json!({ "issues": [issue] })),
        None => Reply::ok(&json!({ "issues": [] })),
    });
    on("GET /metrics", |state| {
        state.calls.0 += state.traffic.0;
        state.calls.1 += state.traffic.1;
        let (good, bad) = state.calls;
        Reply::text(&format!(
            "# TYPE omnirelay_rpc_requests_total counter\nomnirelay_rpc_requests_total{{code=\"OK\"}} {good}\nomnirelay_rpc_requests_total{{code=\"INTERNAL\"}} {bad}\n"
        ))
    });
    server.gives(
        "GET /control/lifecycle/operations/op-7",
        [operation("restart", json!("x"), success())],
    );
    let verbs: [(&str, Change); 3] = [
        ("cordon", |state| state.cordoned = true),
        ("drain", |state| state.drain = "draining"),
        ("resume", |state| {
            state.cordoned = false;
            state.drain = "";
            state.broken = state.broken_by_restart;
        }),
    ];
    for (verb, change) in verbs {
        let (state, note) = (Arc::clone(&state), note.clone());
        server.on(&format!("POST /control/upgrade/{verb}"), move |_| {
            note(verb);
            let mut state = state.lock().unwrap();
            change(&mut state);
            let operation = operation(verb, json!(null), success());
            Reply::json(202, &begun(operation, state.document()))
        });
    }
    for participant in ["http-inbound", "grpc-inbound"] {
        let note = note.clone();
        let line = format!("POST /control/lifecycle/components/{participant}%3A0/restart");
        server.on(&line, move |_| {
            note(&format!("restart {participant}"));
            Reply::json(202, &operation("restart", json!(participant), json!({})))
        });
    }
    Member { server, state }
}
