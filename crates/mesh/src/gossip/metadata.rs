//! What a node says about itself, and how that travels.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::gossip::error::InvalidMetadata;
use crate::gossip::options::{check_name, is_host_and_port};

/// The most bytes that the document of a node may have. All of it travels in one datagram, together with a line for each
/// member.
pub(crate) const LARGEST_DOCUMENT: usize = 8 * 1024;

/// The most services that a node may offer.
const MOST_SERVICES: usize = 64;

/// The most places at which a node may offer one service by one protocol.
const MOST_PLACES: usize = 8;

/// The most bytes of a place: a name of DNS, in brackets or not, and a port.
const LONGEST_PLACE: usize = 262;

/// The schema that this version writes and reads. It changes only when an old reader would be misled by a new
/// document; a mere addition keeps it, since readers ignore what they do not know.
const SCHEMA: &str = "v1";

/// What a node says about itself. Its own word: nothing in it grants anything.
///
/// Serialised in camel case. What a node did not say is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "MemberMetadata")]
pub struct Metadata {
    /// The node's name; always the one that it gossips under.
    pub node_id: String,
    /// What it does in the cluster.
    pub role: String,
    /// Which cluster it belongs to.
    pub cluster_id: String,
    /// Where it runs.
    pub region: String,
    /// Which version of the software it runs.
    pub mesh_version: String,
    /// Rises whenever the node changes what it says; starts over when the node does.
    pub metadata_version: u64,
    /// Where its control surface answers, if it has one.
    pub endpoint: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it wants no new work, whatever it still does: nobody shall choose it.
    pub cordoned: bool,
    /// The services that it offers, by name: at most 64, each of 1 to 128 bytes of printable characters.
    pub services: BTreeMap<String, Service>,
}

/// Where a node offers a service.
///
/// By protocol: further ones come as further fields, which old readers ignore.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "OfferedService")]
pub struct Service {
    /// Over gRPC: at most 8 places, each a `host:port` of at most 262 bytes.
    pub grpc: Vec<String>,
}

impl Service {
    /// One that is offered over gRPC at these places.
    #[must_use]
    pub fn over_grpc(places: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            grpc: places.into_iter().map(Into::into).collect(),
        }
    }
}

#[derive(Serialize)]
struct Written<'a> {
    schema: &'a str,
    node: &'a Metadata,
}

#[derive(Deserialize)]
struct Read {
    schema: String,
    #[serde(default)]
    node: Metadata,
}

impl Metadata {
    /// Checks it against the bounds of what may travel; who writes and who reads keeps the same.
    ///
    /// # Errors
    ///
    /// [`InvalidMetadata`] with the first bound that it breaks.
    pub fn check(&self) -> Result<(), InvalidMetadata> {
        let services = self.services.len();
        if services > MOST_SERVICES {
            let most = MOST_SERVICES;
            return Err(InvalidMetadata::Services { services, most });
        }
        for (name, service) in &self.services {
            check_service(name, service)?;
        }
        check_size(self.encode().len())
    }

    /// The same of the node `node_id`.
    pub(crate) fn named(self, node_id: &str) -> Self {
        let node_id = node_id.to_owned();
        Self { node_id, ..self }
    }

    /// The document that travels.
    pub(crate) fn encode(&self) -> String {
        let document = Written {
            schema: SCHEMA,
            node: self,
        };
        serde_json::to_string(&document).expect("strings and numbers always have a JSON form")
    }

    /// Reads what the node `node_id` wrote as its version `version`. Its name and version are the protocol's, whatever
    /// the document claims.
    pub(crate) fn decode(document: &str, node_id: &str, version: u64) -> Result<Self, Unreadable> {
        check_size(document.len())?;
        let read: Read = serde_json::from_str(document)?;
        if read.schema != SCHEMA {
            return Err(Unreadable::Schema(read.schema));
        }
        read.node.check()?;
        Ok(Self {
            node_id: node_id.to_owned(),
            metadata_version: version,
            ..read.node
        })
    }

    /// What is known of a node whose document cannot be read.
    pub(crate) fn unreadable(node_id: &str, version: u64) -> Self {
        Self {
            node_id: node_id.to_owned(),
            metadata_version: version,
            ..Self::default()
        }
    }
}

fn check_size(bytes: usize) -> Result<(), InvalidMetadata> {
    if bytes > LARGEST_DOCUMENT {
        let most = LARGEST_DOCUMENT;
        return Err(InvalidMetadata::Size { bytes, most });
    }
    Ok(())
}

fn check_service(name: &str, service: &Service) -> Result<(), InvalidMetadata> {
    let of = || name.to_owned();
    check_name(name).map_err(|rule| InvalidMetadata::Name { name: of(), rule })?;
    let places = service.grpc.len();
    if places > MOST_PLACES {
        let (service, most) = (of(), MOST_PLACES);
        return Err(InvalidMetadata::Places {
            service,
            places,
            most,
        });
    }
    let is_wrong = |it: &&String| it.len() > LONGEST_PLACE || !is_host_and_port(it);
    match service.grpc.iter().find(is_wrong) {
        None => Ok(()),
        Some(_) => Err(InvalidMetadata::Place { service: of() }),
    }
}

/// A node's document cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("it is not the JSON that was expected")]
    Json(#[from] serde_json::Error),
    #[error("its schema is {0:?}, not {SCHEMA:?}")]
    Schema(String),
    #[error(transparent)]
    Bound(#[from] InvalidMetadata),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_node_writes_another_reads() {
        let metadata = Metadata {
            node_id: "a".into(),
            role: "gateway".into(),
            endpoint: Some("http://127.0.0.1:9181".into()),
            labels: BTreeMap::from([("zone".into(), "z1".into())]),
            cordoned: true,
            services: BTreeMap::from([("pets".into(), Service::over_grpc(["127.0.0.1:9090"]))]),
            ..Metadata::default()
        };
        let read = Metadata::decode(&metadata.encode(), "a", 7).unwrap();
        assert_eq!(
            read,
            Metadata {
                metadata_version: 7,
                ..metadata
            }
        );
    }

    #[test]
    fn unknown_fields_are_ignored_and_missing_ones_are_empty() {
        let document = r#"{"schema":"v1","node":{"role":"worker","mood":"fine"},"extra":[1]}"#;
        let read = Metadata::decode(document, "a", 1).unwrap();
        assert_eq!(read.role, "worker");
        assert_eq!(read.region, "");
        assert!(!read.cordoned && read.services.is_empty());

        let later =
            r#"{"schema":"v1","node":{"services":{"pets":{"smoke":["a"],"grpc":["b:1"]}}}}"#;
        let read = Metadata::decode(later, "a", 1).unwrap();
        assert_eq!(read.services["pets"], Service::over_grpc(["b:1"]));
    }

    fn offering(name: &str, service: Service) -> Metadata {
        Metadata {
            services: BTreeMap::from([(name.to_owned(), service)]),
            ..Metadata::default()
        }
    }

    #[test]
    fn what_breaks_a_bound_is_refused_by_who_writes_and_by_who_reads() {
        let many = (0..65).map(|it| (format!("s{it:02}"), Service::default()));
        let many = Metadata {
            services: many.collect(),
            ..Metadata::default()
        };
        let long = Metadata {
            role: "x".repeat(LARGEST_DOCUMENT),
            ..Metadata::default()
        };
        let nine = (1..10).map(|it| format!("a:{it}"));
        for (metadata, said) in [
            (many, "65 services, more than 64"),
            (long, "bytes, more than 8192"),
            (offering("a\nb", Service::default()), "control character"),
            (offering(&"x".repeat(129), Service::default()), "129 bytes"),
            (
                offering("pets", Service::over_grpc(nine)),
                "9 places, more than 8",
            ),
            (offering("pets", Service::over_grpc(["a"])), "host:port"),
            (offering("pets", Service::over_grpc(["a:0"])), "host:port"),
            (
                offering(
                    "pets",
                    Service::over_grpc([format!("{}:1", "a".repeat(261))]),
                ),
                "host:port",
            ),
        ] {
            let error = metadata.check().unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
            let read = Metadata::decode(&metadata.encode(), "a", 1).unwrap_err();
            assert!(read.to_string().contains(said), "{read}");
        }
        let most = (0..64).map(|it| (format!("s{it:02}"), Service::over_grpc(["[::1]:1"])));
        let most = Metadata {
            services: most.collect(),
            ..Metadata::default()
        };
        assert_eq!(most.check(), Ok(()));
        assert_eq!(Metadata::decode(&most.encode(), "", 0).unwrap(), most);
    }

    #[test]
    fn a_node_cannot_claim_the_name_or_version_of_another() {
        let document = r#"{"schema":"v1","node":{"nodeId":"b","metadataVersion":99}}"#;
        let read = Metadata::decode(document, "a", 2).unwrap();
        assert_eq!((read.node_id.as_str(), read.metadata_version), ("a", 2));
    }

    #[test]
    fn a_foreign_schema_and_broken_json_are_refused() {
        for document in [
            "",
            "{}",
            "[]",
            r#"{"schema":"v2","node":{}}"#,
            r#"{"schema":"v1","node":{"role":1}}"#,
        ] {
            assert!(Metadata::decode(document, "a", 1).is_err(), "{document}");
        }
    }
}
