//! What a host may say about gossip, and the rules that it is checked against.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lifecycle_core::Nanos;
use serde::{Deserialize, Serialize};

use crate::gossip::error::{InvalidOptions, OptionFault};
use crate::gossip::keys::{KeyText, Keys};
use crate::gossip::metadata::{LARGEST_DOCUMENT, Metadata};

/// The most bytes that a name (of a node, cluster, role, region, version or label) may have.
const LONGEST_NAME: usize = 128;

const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);
const LONGEST_INTERVAL: Duration = Duration::from_secs(60);

/// The fewest gossip intervals that must fit into the suspicion interval: news of a member takes a few rounds.
const ROUNDS_BEFORE_SUSPICION: u32 = 3;

/// What a host says about gossip.
///
/// The defaults run on one machine without any configuration. As configuration, keys are in kebab case, durations are
/// texts such as `250ms`, and an unknown key is an error.
///
/// ```
/// use mesh::gossip::Options;
///
/// assert!(Options::default().check().is_ok());
///
/// let exposed = Options { bind: "0.0.0.0:17421".parse()?, ..Options::default() };
/// let error = exposed.check().expect_err("open to the network");
/// assert_eq!(error.faults[0].option, "node-id");
/// assert_eq!(error.faults[1].option, "bind");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Options {
    /// The name of this node, unique in the cluster and the same after a restart. Unset, it is
    /// `mesh-{host}-{port}`, with the port that was bound: processes on one machine differ in it.
    pub node_id: Option<String>,
    /// The name of the machine, for the default of `node_id`; unset, it is `local`. Not a key of the configuration:
    /// the host program fills it in.
    #[serde(skip)]
    pub host: Option<String>,
    /// What this node does in the cluster. Default: `worker`.
    pub role: String,
    /// Which cluster it belongs to; nodes of another one are counted and never answered. Not a secret. Default: `local`.
    pub cluster_id: String,
    /// Where it runs. Default: `local`.
    pub region: String,
    /// Which version of the software it runs. Default: `dev`.
    pub mesh_version: String,
    /// The UDP address to listen on; port 0 takes any free one. Default: `127.0.0.1:17421`.
    pub bind: SocketAddr,
    /// The address at which peers reach this node; port 0 stands for the bound port. Default: the bound address.
    pub advertise: Option<SocketAddr>,
    /// Where this node's control surface answers, told to the peers as it stands. Default: none.
    pub endpoint: Option<String>,
    /// Nodes to ask first, as `host:port`; names are resolved again from time to time. Default: none.
    pub seeds: Vec<String>,
    /// The time between two rounds of gossip, 10 ms to 60 s. Default: 1 s.
    pub gossip_interval: Nanos,
    /// A member that is silent for longer is suspect; at least three gossip intervals. Default: 5 s.
    pub suspicion_interval: Nanos,
    /// A member that is silent for longer has left; longer than the suspicion interval. Default: 11 s.
    pub leave_interval: Nanos,
    /// How long a silent member is remembered at all; at least twice the leave interval. Default: 15 min.
    pub dead_node_grace: Nanos,
    /// Free labels, told to the peers. Default: none.
    pub labels: BTreeMap<String, String>,
    /// The keys that seal what travels between nodes; every node of a cluster needs the same. Not a key of the configuration, for
    /// programs that have them at hand. Default: none, so that nothing is sealed unless there is a [file](Self::keys_file) or a
    /// [variable](Self::keys_env).
    #[serde(skip)]
    pub keys: Option<Keys>,
    /// The file of these keys, as [`Keys::from_file`] reads it. Default: none.
    pub keys_file: Option<PathBuf>,
    /// The name of the variable of the environment that has these keys, in place of a file; they stay the same until a restart.
    /// Default: none.
    pub keys_env: Option<String>,
    /// What is in that variable; unset, the variable is. Not a key of the configuration: the host program fills it in.
    #[serde(skip)]
    pub keys_text: Option<KeyText>,
    /// Allows `bind` to be reachable from other machines without [`keys`](Self::keys): whoever reaches the port can then read
    /// everything, invent members and dismiss real ones. Default: no.
    pub insecure: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            node_id: None,
            host: None,
            role: "worker".to_owned(),
            cluster_id: "local".to_owned(),
            region: "local".to_owned(),
            mesh_version: "dev".to_owned(),
            bind: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 17421),
            advertise: None,
            endpoint: None,
            seeds: Vec::new(),
            gossip_interval: Nanos::from_secs(1),
            suspicion_interval: Nanos::from_secs(5),
            leave_interval: Nanos::from_secs(11),
            dead_node_grace: Nanos::from_secs(15 * 60),
            labels: BTreeMap::new(),
            keys: None,
            keys_file: None,
            keys_env: None,
            keys_text: None,
            insecure: false,
        }
    }
}

impl Options {
    /// Checks every option against its rule; touches neither the network nor the machine.
    ///
    /// # Errors
    ///
    /// [`InvalidOptions`] with every fault that can be found at once.
    pub fn check(&self) -> Result<(), InvalidOptions> {
        let mut faults = Faults::default();
        self.check_names(&mut faults);
        self.check_addresses(&mut faults);
        self.check_seeds(&mut faults);
        self.check_intervals(&mut faults);
        self.check_size(&mut faults);
        self.check_keys(&mut faults);
        faults.into_result()
    }

    /// As [`check`](Self::check), and reads the file or the variable of keys, if one is named; gives its keys, or those at hand.
    ///
    /// # Errors
    ///
    /// [`InvalidOptions`] with every fault that can be found at once.
    pub fn check_with_keys(&self) -> Result<Option<Keys>, InvalidOptions> {
        let mut faults = Faults::default();
        if let Err(invalid) = self.check() {
            faults.0 = invalid.faults;
        }
        let keys = self.read_keys(&mut faults);
        faults.into_result().map(|()| keys)
    }

    /// The name of this node, if it is known before it listens: not when it is made of a port that is yet to be given.
    #[must_use]
    pub fn known_node_id(&self) -> Option<String> {
        let port = self.bind.port();
        let is_known = self.node_id.is_some() || port != 0;
        is_known.then(|| self.node_id_on(port))
    }

    /// The name of the node when it listens on `port`.
    #[must_use]
    pub fn node_id_on(&self, port: u16) -> String {
        match &self.node_id {
            Some(node_id) => node_id.trim().to_owned(),
            None => format!("mesh-{}-{port}", self.host.as_deref().unwrap_or("local")),
        }
    }

    /// Where peers reach a node that listens on `bound`.
    pub(crate) fn advertised(&self, bound: SocketAddr) -> SocketAddr {
        match self.advertise {
            Some(advertise) if advertise.port() == 0 => {
                SocketAddr::new(advertise.ip(), bound.port())
            }
            Some(advertise) => advertise,
            None => bound,
        }
    }

    /// What the node says about itself until it says something else.
    pub(crate) fn metadata(&self, node_id: String) -> Metadata {
        Metadata {
            node_id,
            role: self.role.clone(),
            cluster_id: self.cluster_id.clone(),
            region: self.region.clone(),
            mesh_version: self.mesh_version.clone(),
            metadata_version: 0,
            endpoint: self.endpoint.clone(),
            labels: self.labels.clone(),
            cordoned: false,
            services: BTreeMap::new(),
        }
    }

    /// The longest name that the node may get.
    pub(crate) fn longest_node_id(&self) -> String {
        self.node_id_on(u16::MAX)
    }

    fn is_exposed(&self) -> bool {
        !is_loopback(self.bind)
    }

    fn is_sealed(&self) -> bool {
        self.keys.is_some() || self.keys_file.is_some() || self.keys_env.is_some()
    }

    fn check_keys(&self, faults: &mut Faults) {
        for (option, is_set) in [
            ("keys-env", self.keys_env.is_some()),
            ("keys-file", self.keys_file.is_some()),
        ] {
            if is_set && self.keys.is_some() {
                faults.add(
                    option,
                    "is set although the program has keys of its own",
                    "leave one of both out",
                );
            }
        }
        if self.keys_env.is_some() && self.keys_file.is_some() {
            faults.add(
                "keys-env",
                "is set although the keys are in a file already (gossip.keys-file)",
                "name a file or a variable, not both",
            );
        }
    }

    /// The keys of the file or of the variable, or those at hand.
    fn read_keys(&self, faults: &mut Faults) -> Option<Keys> {
        match (&self.keys, &self.keys_file, &self.keys_env) {
            (Some(keys), _, _) => Some(keys.clone()),
            (None, Some(path), _) => read_file(path, faults),
            (None, None, Some(variable)) => self.read_variable(variable, faults),
            (None, None, None) => None,
        }
    }

    fn read_variable(&self, variable: &str, faults: &mut Faults) -> Option<Keys> {
        let Some(text) = &self.keys_text else {
            let rule = format!("names the variable {variable}, which is not set");
            let remedy = "set it to `id:key`; `openssl rand -hex 32` makes a key";
            faults.add("keys-env", rule, remedy);
            return None;
        };
        match text.read() {
            Ok(ring) => Some(Keys::new(ring)),
            Err(error) => {
                let wrong: Vec<_> = error.faults.iter().map(ToString::to_string).collect();
                let rule = format!(
                    "names the variable {variable}, whose keys are wrong: {}",
                    wrong.join(", ")
                );
                let remedy = "write `id:key`, one a line or with commas between them; `openssl rand -hex 32` makes a key";
                faults.add("keys-env", rule, remedy);
                None
            }
        }
    }

    fn check_names(&self, faults: &mut Faults) {
        if let Some(node_id) = &self.node_id {
            faults.check_name("node-id", node_id);
        } else if let Some(host) = &self.host {
            faults.check_name("host", host);
        } else if self.is_exposed() {
            faults.add(
                "node-id",
                "is unset, and its default could be that of a node on another machine",
                "set a name that is unique in the cluster",
            );
        }
        faults.check_name("role", &self.role);
        faults.check_name("cluster-id", &self.cluster_id);
        faults.check_name("region", &self.region);
        faults.check_name("mesh-version", &self.mesh_version);
        if let Some(endpoint) = &self.endpoint {
            faults.check_name("endpoint", endpoint);
        }
        for label in self.labels.keys() {
            faults.check_name("labels", label);
        }
    }

    fn check_addresses(&self, faults: &mut Faults) {
        if self.is_exposed() && !self.is_sealed() && !self.insecure {
            faults.add(
                "bind",
                format!(
                    "{} can be reached from other machines, while there are no keys to seal gossip with: whoever reaches the \
                     port can invent members and dismiss real ones",
                    self.bind
                ),
                "give every node the same file of keys (`keys-file`), bind to a loopback address, or set `insecure = true` on a network that you \
                 trust",
            );
        }
        match self.advertise {
            None if self.bind.ip().is_unspecified() => faults.add(
                "advertise",
                format!("is unset, and peers cannot send to {}", self.bind.ip()),
                "set the address at which peers reach this node",
            ),
            Some(advertise) if advertise.ip().is_unspecified() => faults.add(
                "advertise",
                format!("{advertise} is no address that peers can send to"),
                "set the address at which peers reach this node",
            ),
            Some(advertise) if advertise.is_ipv4() != self.bind.is_ipv4() => faults.add(
                "advertise",
                format!("{advertise} is not of the same IP version as {}", self.bind),
                "use IPv4 or IPv6 for both",
            ),
            Some(advertise) if !self.is_exposed() && !is_loopback(advertise) => faults.add(
                "advertise",
                format!(
                    "{advertise} sends peers where nobody listens: {} is reached from this machine alone",
                    self.bind
                ),
                "bind to an address that other machines reach, or leave `advertise` unset",
            ),
            _ => {}
        }
    }

    fn check_seeds(&self, faults: &mut Faults) {
        for seed in &self.seeds {
            if !is_host_and_port(seed) {
                faults.add(
                    "seeds",
                    format!("holds {seed:?}, which is not `host:port`"),
                    "write a name or an IP address and a port from 1 to 65535, IPv6 in brackets",
                );
            }
        }
    }

    fn check_intervals(&self, faults: &mut Faults) {
        let interval = Duration::from(self.gossip_interval);
        let suspicion = Duration::from(self.suspicion_interval);
        let leave = Duration::from(self.leave_interval);
        if !(SHORTEST_INTERVAL..=LONGEST_INTERVAL).contains(&interval) {
            faults.add(
                "gossip-interval",
                format!("is {}", self.gossip_interval),
                "choose from 10ms to 60s; 1s suits most networks",
            );
        }
        if suspicion < interval.saturating_mul(ROUNDS_BEFORE_SUSPICION) {
            faults.add(
                "suspicion-interval",
                format!(
                    "is {}, less than {ROUNDS_BEFORE_SUSPICION} gossip intervals, so that live members would be suspected",
                    self.suspicion_interval
                ),
                "make it longer, or gossip more often",
            );
        }
        if leave <= suspicion {
            faults.add(
                "leave-interval",
                format!(
                    "is {}, not longer than the suspicion interval",
                    self.leave_interval
                ),
                "make it longer, about twice the suspicion interval",
            );
        }
        if Duration::from(self.dead_node_grace) < leave.saturating_mul(2) {
            faults.add(
                "dead-node-grace",
                format!(
                    "is {}, so that a silent member would be forgotten before it is seen to have left",
                    self.dead_node_grace
                ),
                "make it at least twice the leave interval",
            );
        }
    }

    fn check_size(&self, faults: &mut Faults) {
        let size = self.metadata(self.longest_node_id()).encode().len();
        if size > LARGEST_DOCUMENT {
            faults.add(
                "labels",
                format!("make this node's metadata {size} bytes, more than {LARGEST_DOCUMENT}"),
                "gossip tells every node about every node: use fewer or shorter labels",
            );
        }
    }
}

fn read_file(path: &Path, faults: &mut Faults) -> Option<Keys> {
    match Keys::from_file(path) {
        Ok(keys) => Some(keys),
        Err(error) => {
            let rule = match error.source() {
                Some(source) => format!("cannot be used: {error}: {source}"),
                None => format!("cannot be used: {error}"),
            };
            let remedy = "write one `id:key` a line, readable for this user alone; `openssl rand -hex 32` makes a key";
            faults.add("keys-file", rule, remedy);
            None
        }
    }
}

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

    fn check_name(&mut self, option: &'static str, name: &str) {
        if let Err(rule) = check_name(name) {
            self.add(option, rule, "use 1 to 128 bytes of printable characters");
        }
    }

    fn into_result(self) -> Result<(), InvalidOptions> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(InvalidOptions { faults: self.0 })
    }
}

/// Checks a name that travels between nodes and into logs; says what is wrong with it.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if name.trim().is_empty() {
        return Err("is blank".to_owned());
    }
    if name.len() > LONGEST_NAME {
        return Err(format!(
            "has {} bytes, more than {LONGEST_NAME}",
            name.len()
        ));
    }
    if let Some(character) = name.chars().find(|it| it.is_control()) {
        return Err(format!("holds the control character {character:?}"));
    }
    Ok(())
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// Whether it is a name or an IP address with a port that can be called.
pub(crate) fn is_host_and_port(seed: &str) -> bool {
    if let Ok(address) = seed.parse::<SocketAddr>() {
        return address.port() != 0 && !address.ip().is_unspecified();
    }
    let Some((host, port)) = seed.rsplit_once(':') else {
        return false;
    };
    let plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '-' | '_');
    let names_host = !host.is_empty() && host.chars().all(plain);
    names_host && port.parse::<u16>().is_ok_and(|it| it != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faulty(options: &Options) -> Vec<&'static str> {
        let error = options.check().expect_err("the options are faulty");
        error.faults.iter().map(|it| it.option).collect()
    }

    #[test]
    fn the_defaults_stay_on_this_machine_and_are_valid() {
        let options = Options::default();
        assert_eq!(options.check(), Ok(()));
        assert!(options.bind.ip().is_loopback());
        assert_eq!(options.bind.port(), 17421);
    }

    #[test]
    fn every_fault_is_reported_at_once_with_its_remedy() {
        let options = Options {
            node_id: Some("  ".into()),
            role: "a\nb".into(),
            cluster_id: "c".repeat(129),
            bind: "0.0.0.0:17421".parse().unwrap(),
            seeds: vec!["no-port".into(), "good:1".into(), "bad:0".into()],
            gossip_interval: Nanos::ZERO,
            suspicion_interval: Nanos::from_secs(9),
            leave_interval: Nanos::from_secs(9),
            dead_node_grace: Nanos::from_secs(10),
            ..Options::default()
        };
        assert_eq!(
            faulty(&options),
            [
                "node-id",
                "role",
                "cluster-id",
                "bind",
                "advertise",
                "seeds",
                "seeds",
                "gossip-interval",
                "leave-interval",
                "dead-node-grace",
            ]
        );
        let text = options.check().unwrap_err().to_string();
        assert!(
            text.contains("`bind` 0.0.0.0:17421 can be reached"),
            "{text}"
        );
        assert!(
            text.contains(
                "(give every node the same file of keys (`keys-file`), bind to a loopback"
            ),
            "{text}"
        );
    }

    #[test]
    fn an_address_beyond_loopback_needs_keys_or_the_word_insecure() {
        let exposed = |insecure| Options {
            node_id: Some("a".into()),
            bind: "192.0.2.1:17421".parse().unwrap(),
            insecure,
            ..Options::default()
        };
        assert_eq!(faulty(&exposed(false)), ["bind"]);
        assert_eq!(exposed(true).check(), Ok(()));
        let ring = format!("1:{}", "00112233".repeat(8)).parse().unwrap();
        let sealed = Options {
            keys: Some(Keys::new(ring)),
            ..exposed(false)
        };
        assert_eq!(sealed.check(), Ok(()));
    }

    #[test]
    fn a_file_of_keys_is_read_with_the_check_and_its_faults_are_told_with_the_others() {
        let named = |path: &str| Options {
            node_id: Some("a".into()),
            bind: "192.0.2.1:17421".parse().unwrap(),
            keys_file: Some(path.into()),
            ..Options::default()
        };
        assert_eq!(named("/nowhere/keys").check(), Ok(()), "it is not read");
        let missing = Options {
            role: String::new(),
            ..named("/nowhere/keys")
        };
        let faults = missing.check_with_keys().unwrap_err().faults;
        let options: Vec<_> = faults.iter().map(|it| it.option).collect();
        assert_eq!(options, ["role", "keys-file"]);
        assert!(
            faults[1].rule.contains("/nowhere/keys"),
            "{}",
            faults[1].rule
        );
        assert_eq!(Options::default().check_with_keys(), Ok(None));
    }

    #[test]
    fn a_variable_of_keys_seals_as_a_file_does_and_its_faults_quote_nothing_of_it() {
        let named = |text: Option<&str>| Options {
            node_id: Some("a".into()),
            bind: "192.0.2.1:17421".parse().unwrap(),
            keys_env: Some("MESH_KEYS".into()),
            keys_text: text.map(KeyText::new),
            ..Options::default()
        };
        let (one, two) = ("00112233".repeat(8), "44556677".repeat(8));
        let good = named(Some(&format!("2:{two},1:{one}")));
        let keys = good.check_with_keys().unwrap().expect("there are keys");
        assert_eq!(keys.ring().ids().collect::<Vec<_>>(), [2, 1]);
        assert!(!format!("{good:?}").contains("00112233"));
        for (text, rule) in [
            (None, "names the variable MESH_KEYS, which is not set"),
            (
                Some("1:0011\n2:xyz"),
                "names the variable MESH_KEYS, whose keys are wrong: line 1 has a key that is not 64 hexadecimal digits, \
                 line 2 has a key that is not 64 hexadecimal digits",
            ),
            (
                Some(" "),
                "names the variable MESH_KEYS, whose keys are wrong: line 1 holds no key",
            ),
        ] {
            let faults = named(text).check_with_keys().unwrap_err().faults;
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert_eq!((faults[0].option, &*faults[0].rule), ("keys-env", rule));
        }
    }

    #[test]
    fn keys_are_in_one_place() {
        let ring = format!("1:{}", "00112233".repeat(8)).parse().unwrap();
        let both = Options {
            keys_env: Some("MESH_KEYS".into()),
            keys_file: Some("/nowhere/keys".into()),
            ..Options::default()
        };
        assert_eq!(faulty(&both), ["keys-env"]);
        let three = Options {
            keys: Some(Keys::new(ring)),
            ..both
        };
        assert_eq!(faulty(&three), ["keys-env", "keys-file", "keys-env"]);
    }

    #[test]
    fn all_of_127_and_ipv6_loopback_count_as_this_machine() {
        for bind in ["127.0.0.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            let options = Options {
                bind: bind.parse().unwrap(),
                ..Options::default()
            };
            assert_eq!(options.check(), Ok(()), "{bind}");
        }
    }

    #[test]
    fn what_is_bound_to_loopback_cannot_be_advertised_beyond_it() {
        let advertising = |advertise: &str| Options {
            advertise: Some(advertise.parse().unwrap()),
            ..Options::default()
        };
        assert_eq!(faulty(&advertising("192.0.2.1:17421")), ["advertise"]);
        let text = advertising("192.0.2.1:0").check().unwrap_err().to_string();
        assert!(text.contains("192.0.2.1:0 sends peers where"), "{text}");
        assert!(text.contains("or leave `advertise` unset"), "{text}");
        assert_eq!(advertising("127.0.0.2:0").check(), Ok(()));
    }

    #[test]
    fn seeds_are_names_or_addresses_with_a_port() {
        for good in [
            "127.0.0.1:1",
            "[::1]:65535",
            "mesh-0.mesh.local:17421",
            "localhost:9",
        ] {
            assert!(is_host_and_port(good), "{good}");
        }
        for bad in [
            "",
            ":1",
            "host",
            "host:",
            "host:x",
            "host:0",
            "host:65536",
            "a b:1",
            "::1",
            "0.0.0.0:1",
        ] {
            assert!(!is_host_and_port(bad), "{bad}");
        }
    }

    #[test]
    fn metadata_that_would_crowd_a_datagram_is_refused() {
        let options = Options {
            labels: BTreeMap::from([("note".to_owned(), "x".repeat(9_000))]),
            ..Options::default()
        };
        assert_eq!(faulty(&options), ["labels"]);
    }

    #[test]
    fn two_default_nodes_on_one_machine_differ_by_their_port() {
        let mut options = Options {
            host: Some("tower".into()),
            ..Options::default()
        };
        assert_eq!(options.node_id_on(17421), "mesh-tower-17421");
        assert_eq!(options.node_id_on(17422), "mesh-tower-17422");
        assert_eq!(Options::default().node_id_on(1), "mesh-local-1");
        options.bind.set_port(0);
        assert_eq!(options.known_node_id(), None);
        options.bind.set_port(9);
        assert_eq!(options.known_node_id().as_deref(), Some("mesh-tower-9"));
    }

    #[test]
    fn an_advertised_port_of_zero_stands_for_the_bound_one() {
        let bound = "127.0.0.1:5000".parse().unwrap();
        let with = |advertise: Option<&str>| Options {
            advertise: advertise.map(|it| it.parse().unwrap()),
            ..Options::default()
        };
        assert_eq!(with(None).advertised(bound), bound);
        assert_eq!(
            with(Some("192.0.2.1:0")).advertised(bound).to_string(),
            "192.0.2.1:5000"
        );
        assert_eq!(
            with(Some("192.0.2.1:7")).advertised(bound).to_string(),
            "192.0.2.1:7"
        );
    }

    #[test]
    fn configuration_uses_kebab_case_and_durations_and_refuses_unknown_keys() {
        let options: Options = toml::from_str(
            "node-id = 'a'\nbind = '127.0.0.1:0'\ngossip-interval = '250ms'\nlabels = { zone = 'z1' }",
        )
        .unwrap();
        assert_eq!(options.gossip_interval, Nanos::from_millis(250));
        assert_eq!(options.labels["zone"], "z1");
        assert_eq!(options.role, "worker");
        let error = toml::from_str::<Options>("gosip-interval = '1s'").unwrap_err();
        assert!(error.to_string().contains("gosip-interval"), "{error}");
        assert!(toml::from_str::<Options>("host = 'x'").is_err());
    }
}
