//! What a host may say about leadership, and the rules that it is checked against.

use std::collections::BTreeSet;
use std::fmt;

use lifecycle_core::Nanos;
use serde::{Deserialize, Serialize};

use crate::gossip::OptionFault;
use crate::leadership::election::Rules;
use crate::leadership::scope::Scope;

const SHORTEST_LEASE: Nanos = Nanos::from_millis(500);
const LONGEST_LEASE: Nanos = Nanos::from_secs(600);
const SHORTEST_STEP: Nanos = Nanos::from_millis(10);

/// The most scopes that one process may stand for.
const MOST_SCOPES: usize = 1_024;
const LONGEST_NAME: usize = 128;

/// What a host says about leadership.
///
/// As configuration, keys are in kebab case, durations are texts such as `250ms`, and an unknown key is an error.
///
/// ```
/// use mesh::leadership::Options;
///
/// let options = Options { node_id: Some("a".into()), ..Options::default() };
/// assert_eq!(options.check()?[0].as_str(), "global-control");
/// # Ok::<(), mesh::leadership::InvalidOptions>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Options {
    /// The name of this node among those who may lead. Default: unset, and then the host program fills in the name that
    /// gossip has.
    pub node_id: Option<String>,
    /// What it stands for: `global-control`, `shard/{namespace}/{id}`, or other names. Default: none; without shards, too,
    /// that means `global-control`.
    pub scopes: Vec<String>,
    /// More scopes, by namespace. Default: none.
    pub shards: Vec<Shards>,
    /// How long a lease lasts unless it is renewed, 500 ms to 10 min; etcd counts in whole seconds. Default: 4 s, so that
    /// somebody else leads within 5 s after a leader has vanished.
    pub lease_duration: Nanos,
    /// A leader renews when so much of its lease is left. Default: 2.6 s, that is, each 1.4 s.
    pub renewal_lead_time: Nanos,
    /// How often a follower looks. Default: 750 ms.
    pub evaluation_interval: Nanos,
    /// A scope that has no leader for longer makes the component degraded. Default: 5 s.
    pub max_election_window: Nanos,
    /// How long a node that gave up or lost a lease lets others go first, and how long it waits before it tries a store again
    /// that has not answered. Default: 500 ms.
    pub election_backoff: Nanos,
    /// How long a store may take to answer. Default: 1 s.
    pub store_timeout: Nanos,
    /// A leader takes its lease to end so much earlier than the store does. Default: 250 ms.
    pub clock_margin: Nanos,
    /// What runs only while this node leads is stopped so long before its lease would end. Default: 1 s.
    pub gate_margin: Nanos,
}

/// The shards of one namespace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Shards {
    /// The namespace.
    pub namespace: String,
    /// The shards' names within it.
    pub ids: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            node_id: None,
            scopes: Vec::new(),
            shards: Vec::new(),
            lease_duration: Nanos::from_secs(4),
            renewal_lead_time: Nanos::from_millis(2_600),
            evaluation_interval: Nanos::from_millis(750),
            max_election_window: Nanos::from_secs(5),
            election_backoff: Nanos::from_millis(500),
            store_timeout: Nanos::from_secs(1),
            clock_margin: Nanos::from_millis(250),
            gate_margin: Nanos::from_secs(1),
        }
    }
}

impl Options {
    /// Checks every option against its rule, and gives the scopes, in the order of their names.
    ///
    /// # Errors
    ///
    /// [`InvalidOptions`] with every fault that can be found at once.
    pub fn check(&self) -> Result<Vec<Scope>, InvalidOptions> {
        let mut faults = Faults::default();
        self.check_node(&mut faults);
        let scopes = self.check_scopes(&mut faults);
        self.check_times(&mut faults);
        faults.into_result(scopes)
    }

    pub(crate) fn rules(&self) -> Rules {
        Rules {
            ttl: self.lease_duration,
            renewal_lead: self.renewal_lead_time,
            clock_margin: self.clock_margin,
            evaluation: self.evaluation_interval,
            backoff: self.election_backoff,
            window: self.max_election_window,
        }
    }

    fn check_node(&self, faults: &mut Faults) {
        let Some(node_id) = &self.node_id else {
            faults.add("node-id", "is unset", "set a name that no other node has");
            return;
        };
        let is_printable = !node_id.chars().any(char::is_control);
        if node_id.trim().is_empty() || node_id.len() > LONGEST_NAME || !is_printable {
            faults.add(
                "node-id",
                format!("is {node_id:?}"),
                "use 1 to 128 bytes of printable characters",
            );
        }
    }

    fn check_scopes(&self, faults: &mut Faults) -> Vec<Scope> {
        let mut found = Vec::new();
        for name in &self.scopes {
            match name.parse::<Scope>() {
                Ok(scope) => found.push(scope),
                Err(error) => faults.add(
                    "scopes",
                    format!("holds {name:?}, which {}", error.rule),
                    SCOPES,
                ),
            }
        }
        for Shards { namespace, ids } in &self.shards {
            for id in ids {
                match Scope::shard(namespace, id) {
                    Ok(scope) => found.push(scope),
                    Err(error) => {
                        let rule = format!("make {:?}, which {}", error.name, error.rule);
                        faults.add("shards", rule, SCOPES);
                    }
                }
            }
        }
        if self.scopes.is_empty() && self.shards.iter().all(|it| it.ids.is_empty()) {
            found.push(Scope::global_control());
        }
        found.sort();
        let mut known = BTreeSet::new();
        for scope in &found {
            if !known.insert(scope.as_str().to_ascii_lowercase()) {
                faults.add(
                    "scopes",
                    format!("name {scope} twice, or differ from it in case alone"),
                    "name each scope once",
                );
            }
        }
        if found.len() > MOST_SCOPES {
            faults.add(
                "scopes",
                format!("are {}, more than {MOST_SCOPES}", found.len()),
                "let several processes stand for some each",
            );
        }
        found
    }

    fn check_times(&self, faults: &mut Faults) {
        if !(SHORTEST_LEASE..=LONGEST_LEASE).contains(&self.lease_duration) {
            faults.add(
                "lease-duration",
                format!("is {}", self.lease_duration),
                "choose from 500ms to 600s; 4s suits most",
            );
        }
        let steps = [
            ("evaluation-interval", self.evaluation_interval),
            ("max-election-window", self.max_election_window),
            ("election-backoff", self.election_backoff),
            ("store-timeout", self.store_timeout),
        ];
        for (option, length) in steps {
            if length < SHORTEST_STEP || length > LONGEST_LEASE {
                faults.add(option, format!("is {length}"), "choose from 10ms to 600s");
            }
        }
        if self.renewal_lead_time >= self.lease_duration {
            faults.add(
                "renewal-lead-time",
                format!(
                    "is {}, not shorter than the lease, so that it would be renewed all the time",
                    self.renewal_lead_time
                ),
                "make it about two thirds of the lease",
            );
        }
        let spent = self.clock_margin.saturating_add(self.gate_margin);
        if spent >= self.renewal_lead_time {
            faults.add(
                "gate-margin",
                format!(
                    "is {}, so that with the clock margin of {} what runs while this node leads would be stopped before \
                     the lease is renewed",
                    self.gate_margin, self.clock_margin
                ),
                "make it and the clock margin together shorter than the renewal lead time, by what the store takes at least",
            );
        }
    }
}

const SCOPES: &str =
    "use `global-control`, `shard/{namespace}/{id}`, or another name without blanks";

#[derive(Default)]
struct Faults(Vec<OptionFault>);

impl Faults {
    fn add(&mut self, option: &'static str, rule: impl Into<String>, remedy: &str) {
        self.0.push(OptionFault {
            option,
            rule: rule.into(),
            remedy: remedy.to_owned(),
        });
    }

    fn into_result<T>(self, value: T) -> Result<T, InvalidOptions> {
        if self.0.is_empty() {
            return Ok(value);
        }
        Err(InvalidOptions { faults: self.0 })
    }
}

/// The options contradict a rule. Nothing was built; every fault that can be found is in the list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct InvalidOptions {
    /// The faults, in the order of the options; never empty.
    pub faults: Vec<OptionFault>,
}

impl fmt::Display for InvalidOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the leadership options cannot be used")?;
        for (index, fault) in self.faults.iter().enumerate() {
            write!(f, "{} {fault}", if index == 0 { ":" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named() -> Options {
        Options {
            node_id: Some("a".to_owned()),
            ..Options::default()
        }
    }

    fn faults(options: &Options) -> Vec<&'static str> {
        let error = options.check().unwrap_err();
        error.faults.iter().map(|it| it.option).collect()
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let options = Options {
            node_id: Some("\n".to_owned()),
            scopes: vec!["a b".to_owned(), "c".to_owned(), "C".to_owned()],
            shards: vec![Shards {
                namespace: String::new(),
                ids: vec!["1".to_owned()],
            }],
            lease_duration: Nanos::from_millis(1),
            evaluation_interval: Nanos::from_millis(1),
            ..Options::default()
        };
        let expected = [
            "node-id",
            "scopes",
            "shards",
            "scopes",
            "lease-duration",
            "evaluation-interval",
            "renewal-lead-time",
        ];
        assert_eq!(faults(&options), expected);
        let message = options.check().unwrap_err().to_string();
        assert!(message.contains("`scopes` holds \"a b\""), "{message}");
    }

    #[test]
    fn without_scopes_a_node_stands_for_the_control_plane_alone() {
        assert_eq!(named().check().unwrap(), [Scope::global_control()]);
        let sharded = Options {
            shards: vec![Shards {
                namespace: "shop".to_owned(),
                ids: vec!["2".to_owned(), "1".to_owned()],
            }],
            ..named()
        };
        let scopes = sharded.check().unwrap();
        let names: Vec<&str> = scopes.iter().map(Scope::as_str).collect();
        assert_eq!(names, ["shard/shop/1", "shard/shop/2"]);
    }

    #[test]
    fn what_is_gated_must_not_be_stopped_before_each_renewal() {
        let options = Options {
            gate_margin: Nanos::from_millis(2_350),
            ..named()
        };
        assert_eq!(faults(&options), ["gate-margin"]);
    }
}
