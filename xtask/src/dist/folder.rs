//! [`Folder`]: where everything is laid out.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// A folder that held nothing when it was made.
pub(crate) struct Folder(PathBuf);

/// A file in it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct File {
    /// From the folder, with `/`.
    pub(crate) path: String,
    pub(crate) size: u64,
}

impl Folder {
    /// Makes the folder anew.
    pub(crate) fn new(path: PathBuf) -> Result<Self> {
        if path.exists() {
            fs::remove_dir_all(&path)
                .with_context(|| format!("cannot remove {}", path.display()))?;
        }
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, path: &str, content: &[u8]) -> Result<()> {
        let target = self.place(path)?;
        fs::write(&target, content).with_context(|| format!("cannot write {}", target.display()))
    }

    pub(crate) fn copy(&self, from: &Path, path: &str) -> Result<()> {
        let target = self.place(path)?;
        fs::copy(from, &target).with_context(|| format!("cannot copy {}", from.display()))?;
        Ok(())
    }

    /// Copies a folder with all that is below it.
    pub(crate) fn copy_all(&self, from: &Path, path: &str) -> Result<()> {
        for file in files_below(from)? {
            self.copy(&from.join(&file.path), &format!("{path}/{}", file.path))?;
        }
        Ok(())
    }

    /// All files, by path.
    pub(crate) fn files(&self) -> Result<Vec<File>> {
        files_below(&self.0)
    }

    fn place(&self, path: &str) -> Result<PathBuf> {
        let target = self.0.join(path);
        let folder = target.parent().unwrap_or(&self.0);
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(target)
    }
}

fn files_below(folder: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    collect(folder, "", &mut files)?;
    files.sort();
    Ok(files)
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<File>) -> Result<()> {
    let cannot_list = || format!("cannot list {}", folder.display());
    for entry in fs::read_dir(folder).with_context(cannot_list)? {
        let entry = entry.with_context(cannot_list)?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let about = entry.metadata().with_context(cannot_list)?;
        if about.is_dir() {
            collect(&entry.path(), &format!("{path}/"), files)?;
        } else {
            files.push(File {
                path,
                size: about.len(),
            });
        }
    }
    Ok(())
}
