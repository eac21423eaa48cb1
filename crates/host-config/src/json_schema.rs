//! The JSON schema of a configuration, for editors and for whoever checks a file before a host sees it.

use serde_json::{Map, Value, json};

use crate::kind::{Kind, inline};
use crate::schema::{Group, Initial, Names, Node, Schema};

impl Schema {
    /// The JSON schema (2020-12) of the file.
    ///
    /// It knows keys and kinds, and not what values say together: what it finds good may still have faults.
    #[must_use]
    pub fn json(&self) -> String {
        let mut schema = object(&self.document);
        if let Value::Object(members) = &mut schema {
            let dialect = "https://json-schema.org/draft/2020-12/schema";
            members.insert("$schema".to_owned(), dialect.into());
            members.insert("title".to_owned(), self.title.into());
        }
        format!("{schema:#}\n")
    }
}

fn object(group: &Group) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for entry in group.entries() {
        let mut property = match entry.node {
            Node::Leaf(kind, _) => kind.schema(),
            Node::Table(inner) => object(inner),
            Node::Each(names, inner) => named(names, inner),
        };
        property["description"] = entry.text.into();
        match entry.node {
            Node::Leaf(_, Initial::Is(text)) => {
                let default = inline(text).and_then(|it| serde_json::to_value(it).ok());
                property["default"] = default.unwrap_or_default();
            }
            Node::Leaf(_, Initial::Required(_)) => required.push(entry.name),
            Node::Leaf(_, Initial::Unset) | Node::Table(_) | Node::Each(..) => {}
        }
        properties.insert(entry.name.to_owned(), property);
    }
    json!({
        "type": "object", "additionalProperties": false,
        "properties": properties, "required": required,
    })
}

/// Tables by name.
fn named(names: Names, inner: &Group) -> Value {
    let mut schema = json!({ "type": "object", "additionalProperties": object(inner) });
    if !names.known().is_empty() {
        let known = names
            .known()
            .iter()
            .map(|it| json!({ "pattern": in_any_case(it) }));
        schema["propertyNames"] = json!({ "anyOf": known.collect::<Vec<_>>() });
    }
    schema
}

/// A pattern for `name`, which may have spaces around it.
fn in_any_case(name: &str) -> String {
    let letter = |c: char| match c.is_ascii_alphabetic() {
        true => format!("[{}{}]", c.to_ascii_uppercase(), c.to_ascii_lowercase()),
        false if c.is_ascii_digit() || matches!(c, '-' | ':') => c.to_string(),
        false => format!("\\{c}"),
    };
    let letters: String = name.chars().map(letter).collect();
    format!("^\\s*{letters}\\s*$")
}

impl Kind {
    /// What may stand there, as a JSON schema.
    fn schema(self) -> Value {
        match self {
            Self::Text | Self::Address | Self::Filter => json!({ "type": "string" }),
            Self::Flag => json!({ "type": "boolean" }),
            Self::Duration | Self::Time => json!({ "type": "string", "pattern": LENGTH }),
            Self::Limit => json!({ "anyOf": [{ "const": "never" }, Self::Duration.schema()] }),
            Self::Number(least, most) => {
                json!({ "type": "integer", "minimum": least, "maximum": most })
            }
            Self::Ratio => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
            Self::OneOf(choices) => json!({ "enum": choices }),
            Self::SomeOf(choices) => {
                json!({ "type": "array", "items": { "enum": choices }, "minItems": 1, "uniqueItems": true })
            }
            Self::Backoff => backoff(),
            Self::Texts => json!({ "type": "array", "items": { "type": "string" } }),
            Self::Labels => {
                json!({ "type": "object", "additionalProperties": { "type": "string" } })
            }
        }
    }
}

/// A duration, such as `1m30s`: that it has digits and units. More is checked when it is read.
const LENGTH: &str = "^[ ]*[0-9]";

fn backoff() -> Value {
    let length = Kind::Duration.schema();
    let closed = |properties: Value, required: &[&str]| {
        json!({
            "type": "object", "additionalProperties": false,
            "properties": properties, "required": required,
        })
    };
    let curve = json!({ "initial": length, "factor": { "type": "number" }, "cap": length });
    let curve = closed(curve, &["initial", "factor", "cap"]);
    json!({ "anyOf": [
        { "const": "none" },
        closed(json!({ "fixed": length }), &["fixed"]),
        closed(json!({ "exponential": curve }), &["exponential"]),
    ] })
}
