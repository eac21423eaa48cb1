//! [`Scope`]: what can be led, by name.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The most bytes that the name of a scope may have.
const LONGEST: usize = 256;

/// The scope of the whole control plane.
pub const GLOBAL_CONTROL: &str = "global-control";

const SHARD: &str = "shard";

/// What one node at a time may lead: `global-control`, `shard/{namespace}/{id}`, or any other name.
///
/// A name has 1 to 256 bytes of printable characters without blanks, and none of its parts between slashes is empty. Scopes
/// compare with regard to case; two that differ in case alone cannot be configured side by side.
///
/// ```
/// use mesh::leadership::{Scope, ScopeKind};
///
/// let scope: Scope = "shard/shop/7".parse()?;
/// assert_eq!(scope.kind(), ScopeKind::Shard);
/// assert_eq!(scope.labels(), [("namespace", "shop"), ("shardId", "7")]);
/// assert!("shard/shop".parse::<Scope>().is_err());
/// # Ok::<(), mesh::leadership::ScopeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(String);

/// What kind of scope it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ScopeKind {
    /// The whole control plane.
    Global,
    /// One shard of a namespace.
    Shard,
    /// Any other.
    Custom,
}

impl ScopeKind {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Shard => "shard",
            Self::Custom => "custom",
        }
    }
}

impl Scope {
    /// The scope of the whole control plane.
    #[must_use]
    pub fn global_control() -> Self {
        Self(GLOBAL_CONTROL.to_owned())
    }

    /// The shard `id` of `namespace`.
    ///
    /// # Errors
    ///
    /// [`ScopeError`] when one of them is blank or holds a slash, or the name breaks another rule.
    pub fn shard(namespace: &str, id: &str) -> Result<Self, ScopeError> {
        format!("{SHARD}/{namespace}/{id}").parse()
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What kind it is.
    #[must_use]
    pub fn kind(&self) -> ScopeKind {
        match self.0.split('/').next() {
            Some(GLOBAL_CONTROL) => ScopeKind::Global,
            Some(SHARD) => ScopeKind::Shard,
            _ => ScopeKind::Custom,
        }
    }

    /// The parts of a shard's name: `namespace` and `shardId`. Other scopes have none.
    #[must_use]
    pub fn labels(&self) -> Vec<(&'static str, &str)> {
        let mut parts = self.0.split('/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(SHARD), Some(namespace), Some(id)) => {
                vec![("namespace", namespace), ("shardId", id)]
            }
            _ => Vec::new(),
        }
    }

    /// Whether `name` names this scope, without regard to ASCII case.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        self.0.eq_ignore_ascii_case(name.trim())
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(name: &str) -> Result<Self, ScopeError> {
        let refused = |rule: &'static str| ScopeError {
            name: name.to_owned(),
            rule,
        };
        let parts: Vec<&str> = name.split('/').collect();
        if name.len() > LONGEST {
            return Err(refused("has more than 256 bytes"));
        }
        if name.chars().any(|it| it.is_control() || it.is_whitespace()) {
            return Err(refused("holds a blank or a control character"));
        }
        if parts.iter().any(|it| it.is_empty()) {
            return Err(refused("has an empty part"));
        }
        if parts[0].eq_ignore_ascii_case(GLOBAL_CONTROL) && name != GLOBAL_CONTROL {
            return Err(refused("is not `global-control` and looks like it"));
        }
        let is_shard = parts[0] == SHARD && parts.len() == 3;
        if parts[0].eq_ignore_ascii_case(SHARD) && !is_shard {
            return Err(refused("is not `shard/{namespace}/{id}`"));
        }
        Ok(Self(name.to_owned()))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}

/// A name that no scope can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the scope {name:?} {rule}")]
pub struct ScopeError {
    /// The rejected name.
    pub name: String,
    /// What is wrong with it.
    pub rule: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_global_a_shard_or_custom_by_its_name() {
        let kind = |name: &str| name.parse::<Scope>().unwrap().kind();
        assert_eq!(kind("global-control"), ScopeKind::Global);
        assert_eq!(kind("shard/shop/7"), ScopeKind::Shard);
        assert_eq!(kind("reports"), ScopeKind::Custom);
        assert_eq!(kind("reports/nightly"), ScopeKind::Custom);
    }

    #[test]
    fn a_name_that_breaks_a_rule_is_refused_with_the_rule() {
        let rule = |name: &str| name.parse::<Scope>().unwrap_err().rule;
        assert_eq!(rule(""), "has an empty part");
        assert_eq!(rule("a//b"), "has an empty part");
        assert_eq!(rule("a b"), "holds a blank or a control character");
        assert_eq!(rule(&"x".repeat(257)), "has more than 256 bytes");
        assert_eq!(rule("shard/shop"), "is not `shard/{namespace}/{id}`");
        assert_eq!(rule("Shard/shop/1"), "is not `shard/{namespace}/{id}`");
        assert_eq!(
            rule("Global-Control"),
            "is not `global-control` and looks like it"
        );
        assert!(Scope::shard("a/b", "1").is_err());
    }
}
