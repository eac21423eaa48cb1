//! What a node says about itself, and how that travels.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The schema that this version writes and reads. It changes only when an old reader would be misled by a new
/// document; a mere addition keeps it, since readers ignore what they do not know.
const SCHEMA: &str = "v1";

/// What a node says about itself. Its own word: nothing in it grants anything.
///
/// Serialised in camel case. What a node did not say is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
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
        let read: Read = serde_json::from_str(document)?;
        if read.schema != SCHEMA {
            return Err(Unreadable::Schema(read.schema));
        }
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

/// A node's document cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("it is not the JSON that was expected")]
    Json(#[from] serde_json::Error),
    #[error("its schema is {0:?}, not {SCHEMA:?}")]
    Schema(String),
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
