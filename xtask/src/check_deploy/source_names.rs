//! [`SourceNames`]: how the sources spell metrics and labels.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::check_deploy::files_below;

/// What begins so is a metric of ours.
pub(crate) const PREFIXES: [&str; 3] = ["lifecycle_", "mesh_", "omnirelay_"];

/// What Prometheus makes of a histogram.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

/// Every text that stands in quotes in the sources of the crates, without their tests.
///
/// That is more than the names of metrics. It is all that can be had without running a host through everything
/// that it counts, and it is enough to catch a name that was misspelled or has been changed.
#[derive(Debug, Default)]
pub(crate) struct SourceNames(BTreeSet<String>);

impl SourceNames {
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let mut names = Self::default();
        for path in files_below(&root.join("crates"), "rs")? {
            let is_source = path.components().any(|it| it.as_os_str() == "src");
            if is_source {
                let text = fs::read_to_string(&path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                names.take(&text);
            }
        }
        Ok(names)
    }

    /// Takes in the texts of one file, up to its tests.
    pub(crate) fn take(&mut self, source: &str) {
        let code = source.split("#[cfg(test)]").next().unwrap_or_default();
        for line in code.lines().filter(|it| !it.trim_start().starts_with("//")) {
            let quoted = line.split('"').skip(1).step_by(2);
            self.0.extend(quoted.map(str::to_owned));
        }
    }

    /// Whether it stands in quotes somewhere.
    pub(crate) fn has(&self, text: &str) -> bool {
        self.0.contains(text)
    }

    /// Whether there is such a series, be it a part of a histogram.
    pub(crate) fn has_metric(&self, name: &str) -> bool {
        let histogram = PARTS.iter().find_map(|it| name.strip_suffix(it));
        self.has(name) || histogram.is_some_and(|it| self.has(it))
    }

    pub(crate) fn metrics(&self) -> impl Iterator<Item = &String> {
        let all = self.0.iter();
        all.filter(|it| PREFIXES.iter().any(|prefix| it.starts_with(prefix)))
    }
}
