//! The documents of a host, as far as pages are made of them. What a host adds is not minded.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

/// A time as documents write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Moment(pub(crate) Timestamp);

impl TryFrom<String> for Moment {
    type Error = jiff::Error;

    fn try_from(text: String) -> Result<Self, jiff::Error> {
        text.parse().map(Self)
    }
}

/// `/control/lifecycle`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Snapshot {
    pub(crate) captured_at: Moment,
    pub(crate) orchestrator: Orchestrator,
    pub(crate) node: Node,
    pub(crate) readiness: Readiness,
    pub(crate) counts: BTreeMap<String, usize>,
    pub(crate) components: Vec<Component>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Orchestrator {
    pub(crate) state: String,
    pub(crate) since: Moment,
    pub(crate) run: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Node {
    pub(crate) cordoned: bool,
    pub(crate) drain: String,
    pub(crate) since: Moment,
    pub(crate) by: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) deadline: Option<Moment>,
    pub(crate) blocked_by: Vec<Blocking>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Blocking {
    pub(crate) component: String,
    pub(crate) in_flight: Option<u64>,
    pub(crate) error: Option<LastError>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Readiness {
    pub(crate) ready: bool,
    pub(crate) degraded: bool,
    pub(crate) issues: Vec<Issue>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Issue {
    pub(crate) issue: String,
    pub(crate) severity: String,
    pub(crate) message: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Component {
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) since: Moment,
    pub(crate) health: String,
    pub(crate) degraded: Option<String>,
    pub(crate) progress: Option<String>,
    pub(crate) missing: Vec<String>,
    pub(crate) attempt: u32,
    pub(crate) max_attempts: u32,
    pub(crate) retry_at: Option<Moment>,
    pub(crate) waiting_on: Vec<Waiting>,
    pub(crate) cause: Option<String>,
    pub(crate) last_error: Option<LastError>,
    pub(crate) held: bool,
    pub(crate) gate: Option<String>,
    pub(crate) gated: bool,
    pub(crate) depth: u32,
    pub(crate) dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Waiting {
    pub(crate) component: String,
    pub(crate) state: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct LastError {
    pub(crate) message: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Dependency {
    pub(crate) component: String,
    pub(crate) edge: String,
    pub(crate) on_loss: Option<String>,
}

/// `/control/lifecycle/components/{name}/why`.
#[derive(Debug, Deserialize)]
pub(crate) struct Why {
    pub(crate) component: String,
    pub(crate) state: String,
    pub(crate) why: String,
    pub(crate) root: Option<String>,
    /// From the component to the root.
    pub(crate) chain: Vec<Link>,
    pub(crate) victims: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Link {
    pub(crate) component: String,
    pub(crate) state: String,
    pub(crate) why: String,
}

/// `/control/lifecycle/timeline`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Timeline {
    pub(crate) captured_at: Moment,
    /// Whether something was missed: moments may be estimates.
    #[serde(default)]
    pub(crate) truncated: bool,
    pub(crate) start: Option<Phase>,
    pub(crate) stop: Option<Phase>,
    pub(crate) components: Vec<Bars>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Phase {
    pub(crate) began_at: Moment,
    pub(crate) ended_at: Option<Moment>,
    pub(crate) duration_ms: f64,
    pub(crate) critical_path: Vec<Critical>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Critical {
    pub(crate) component: String,
    pub(crate) waiting_ms: f64,
    pub(crate) working_ms: f64,
    pub(crate) backing_off_ms: f64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Bars {
    pub(crate) name: String,
    pub(crate) start: Option<Bar>,
    pub(crate) stop: Option<Bar>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Bar {
    /// When the first attempt began, since the phase did; what is waited for comes before.
    pub(crate) began_ms: Option<f64>,
    pub(crate) ended_ms: Option<f64>,
    pub(crate) waiting_ms: f64,
    pub(crate) working_ms: f64,
    pub(crate) backing_off_ms: f64,
    pub(crate) attempts: u32,
}

/// What `POST /control/lifecycle/plan` answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Plan {
    pub(crate) plan_id: String,
    pub(crate) operation: String,
    pub(crate) component: String,
    pub(crate) refusal: Option<String>,
    pub(crate) stops: Vec<Step>,
    pub(crate) starts: Vec<Step>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Step {
    pub(crate) component: String,
    pub(crate) cause: Option<String>,
    pub(crate) last_ms: Option<f64>,
}

/// `/control/lifecycle/operations/{id}`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Operation {
    pub(crate) id: Id,
    pub(crate) operation: String,
    pub(crate) component: Option<String>,
    pub(crate) state: String,
    pub(crate) deadline: Option<Moment>,
    pub(crate) error: Option<String>,
    pub(crate) blocked_by: Vec<String>,
    pub(crate) started_at: Moment,
    pub(crate) ended_at: Option<Moment>,
}

/// Text or a number: it is only repeated.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "serde_json::Value")]
pub(crate) struct Id(pub(crate) String);

impl From<serde_json::Value> for Id {
    fn from(value: serde_json::Value) -> Self {
        match value {
            serde_json::Value::String(text) => Self(text),
            other => Self(other.to_string()),
        }
    }
}

/// `/control/upgrade`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Upgrade {
    pub(crate) state: String,
    pub(crate) cordoned: bool,
    pub(crate) reason: Option<String>,
    pub(crate) by: Option<String>,
    pub(crate) updated_at: Moment,
    pub(crate) deadline: Option<Moment>,
    pub(crate) forced: bool,
    pub(crate) blocked_by: Vec<String>,
    pub(crate) participants: Vec<Participant>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Participant {
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) last_error: Option<String>,
    pub(crate) in_flight: Option<u64>,
    pub(crate) progress: Option<String>,
}

/// What a POST below `/control/upgrade` answers with 202.
#[derive(Debug, Deserialize)]
pub(crate) struct Begun {
    pub(crate) operation: Operation,
    pub(crate) upgrade: Upgrade,
}

/// `/readyz`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Probe {
    pub(crate) issues: Vec<String>,
}

/// `/control/peers`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Peers {
    pub(crate) generated_at: Moment,
    pub(crate) local_node_id: Option<String>,
    pub(crate) peers: Vec<Peer>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Peer {
    pub(crate) node_id: String,
    pub(crate) status: String,
    pub(crate) last_seen: Moment,
    pub(crate) rtt_ms: Option<f64>,
    pub(crate) address: String,
    #[serde(default)]
    pub(crate) metadata: Metadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Metadata {
    pub(crate) role: String,
}

/// `/control/leaders`, and data of the event `snapshot` of leadership.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Leaders {
    pub(crate) generated_at: Moment,
    pub(crate) local_node_id: Option<String>,
    pub(crate) leaders: Vec<Leader>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Leader {
    pub(crate) scope: String,
    pub(crate) leader_id: Option<String>,
    pub(crate) is_local: bool,
    pub(crate) term: Option<u64>,
    /// A number that may be too large for JSON's.
    pub(crate) fence_token: Option<String>,
    pub(crate) expires_at: Option<Moment>,
    /// What is wrong, if anything is.
    pub(crate) issue: Option<String>,
}

/// Data of the event `change` of leadership.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LeadershipChange {
    pub(crate) kind: String,
    pub(crate) occurred_at: Moment,
    pub(crate) scope: String,
    pub(crate) leader_id: Option<String>,
    pub(crate) term: Option<u64>,
    pub(crate) fence_token: Option<String>,
    pub(crate) reason: Option<String>,
}

/// Data of the event `gap` of leadership.
#[derive(Debug, Deserialize)]
pub(crate) struct LeadershipGap {
    pub(crate) missed: usize,
}

/// `/omnirelay/control/logging`.
#[derive(Debug, Deserialize)]
pub(crate) struct Logging {
    pub(crate) filter: String,
}

/// Data of the event `change`.
#[derive(Debug, Deserialize)]
pub(crate) struct Change {
    pub(crate) sequence: u64,
    pub(crate) at: Moment,
    pub(crate) kind: String,
    pub(crate) component: Option<String>,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) cause: Option<String>,
    pub(crate) error: Option<Text>,
    pub(crate) message: Option<String>,
}

/// A text, or a value that has a `message`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Text {
    Plain(String),
    Error(LastError),
}

impl Text {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Error(error) => &error.message,
        }
    }
}

/// Data of the event `snapshot`, as far as it counts events.
#[derive(Debug, Deserialize)]
pub(crate) struct Counted {
    pub(crate) sequence: u64,
}

/// Data of the event `gap`: events from the first to the last of these are lost, where they can be counted.
#[derive(Debug, Deserialize)]
pub(crate) struct Gap {
    pub(crate) from: Option<u64>,
    pub(crate) to: Option<u64>,
    pub(crate) reason: Option<String>,
}
