//! YAML as the values of JSON, which have pointers.

use anyhow::{Context as _, Result};
use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde_json::{Map, Value};

use crate::check_deploy::File;

/// All documents of a file.
pub(crate) fn documents(file: &File) -> Result<Vec<Value>> {
    let documents =
        Yaml::load_from_str(&file.content).with_context(|| format!("{} is no YAML", file.path))?;
    Ok(documents.iter().map(value).collect())
}

fn value(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(scalar) => from_scalar(scalar),
        Yaml::Sequence(items) => items.iter().map(value).collect(),
        Yaml::Mapping(entries) => {
            let entries = entries.iter().map(|(key, it)| (key_text(key), value(it)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
        Yaml::Tagged(_, inner) => value(inner),
        // Loaded eagerly and without aliases: none of these is there, or the file is broken, which
        // the program that reads it says better.
        Yaml::Representation(..) | Yaml::Alias(_) | Yaml::BadValue => Value::Null,
    }
}

fn from_scalar(scalar: &Scalar<'_>) -> Value {
    match scalar {
        Scalar::Null => Value::Null,
        Scalar::Boolean(it) => (*it).into(),
        Scalar::Integer(it) => (*it).into(),
        Scalar::FloatingPoint(it) => it.into_inner().into(),
        Scalar::String(it) => it.as_ref().into(),
    }
}

fn key_text(key: &Yaml<'_>) -> String {
    match value(key) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}
