//! [`Tree`]: all that the rules look at, read once.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Sources, documents and the names of everything else. Paths are from the root, with `/`.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// What is written in Rust, under `crates` and `xtask`.
    pub(crate) sources: Vec<Text>,
    /// The pages at the root and under `docs`.
    pub(crate) documents: Vec<Text>,
    /// Those of the workspace and of its packages.
    pub(crate) manifests: Vec<Text>,
    /// Every file and folder.
    paths: BTreeSet<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) path: String,
    pub(crate) content: String,
}

impl Tree {
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.read_folder(root, "")?;
        Ok(tree)
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        let cannot_list = || format!("cannot list {}", folder.display());
        let mut entries = fs::read_dir(folder)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .with_context(cannot_list)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            let skipped = matches!(name.as_str(), ".git" | "target");
            if skipped {
                continue;
            }
            let path = format!("{prefix}{name}");
            if entry.file_type()?.is_dir() {
                self.read_folder(&entry.path(), &format!("{path}/"))?;
                self.paths.insert(path);
                continue;
            }
            let content = if is_source(&path) || is_document(&path) || is_manifest(&path) {
                fs::read_to_string(entry.path()).with_context(|| format!("cannot read {path}"))?
            } else {
                String::new()
            };
            self.add(path, content);
        }
        Ok(())
    }

    /// Takes in one file.
    pub(crate) fn add(&mut self, path: String, content: String) {
        self.paths.insert(path.clone());
        if is_source(&path) {
            self.sources.push(Text { path, content });
        } else if is_document(&path) {
            self.documents.push(Text { path, content });
        } else if is_manifest(&path) {
            self.manifests.push(Text { path, content });
        }
    }

    pub(crate) fn document(&self, path: &str) -> Option<&Text> {
        self.documents.iter().find(|it| it.path == path)
    }

    pub(crate) fn source(&self, path: &str) -> Option<&Text> {
        self.sources.iter().find(|it| it.path == path)
    }

    /// Whether there is such a file or folder.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    /// The files and folders directly in a folder, by their names.
    pub(crate) fn names_in(&self, folder: &str) -> impl Iterator<Item = &str> {
        let names = self.paths.iter().filter_map(move |it| {
            it.strip_prefix(folder)
                .and_then(|rest| rest.strip_prefix('/'))
        });
        names.filter(|it| !it.contains('/'))
    }
}

fn is_source(path: &str) -> bool {
    let ours = path.starts_with("crates/") || path.starts_with("xtask/");
    ours && path.ends_with(".rs") && !path.contains("/fixtures/")
}

fn is_manifest(path: &str) -> bool {
    let folder = path.strip_suffix("Cargo.toml");
    folder.is_some_and(|it| match it.strip_prefix("crates/") {
        // No deeper: what is there is of another workspace.
        Some(package) => package.matches('/').count() == 1,
        None => matches!(it, "" | "xtask/"),
    })
}

fn is_document(path: &str) -> bool {
    let ours = !path.contains('/') || path.starts_with("docs/");
    ours && path.ends_with(".md")
}
