//! [`StandardLibrary`]: the part of the programs that no manifest names.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::process::output_of;

/// The library that comes with the toolchain, and is linked into every program.
#[derive(Debug)]
pub(crate) struct StandardLibrary {
    pub(crate) version: String,
    documents: PathBuf,
}

/// What the toolchain says about licences of its library. An installation without documents has none of them.
const NOTICES: [&str; 1] = ["COPYRIGHT-library.html"];

impl StandardLibrary {
    pub(crate) const LICENCE: &str = "MIT OR Apache-2.0";
    pub(crate) const REPOSITORY: &str = "https://github.com/rust-lang/rust";

    /// That of the toolchain which builds here.
    pub(crate) fn in_use() -> Result<Self> {
        let printed =
            output_of(&["rustc", "--version"]).context("rustc does not say its version")?;
        let version = printed.split_whitespace().nth(1);
        let version = version.context("rustc prints no version")?.to_owned();
        let folder = output_of(&["rustc", "--print", "sysroot"]).unwrap_or_default();
        Ok(Self {
            version,
            documents: PathBuf::from(folder.trim()).join("share/doc/rust"),
        })
    }

    /// The notices that are there, by name.
    pub(crate) fn notices(&self) -> impl Iterator<Item = (&'static str, PathBuf)> {
        let all = NOTICES.into_iter().map(|it| (it, self.documents.join(it)));
        all.filter(|(_, path)| path.is_file())
    }
}
