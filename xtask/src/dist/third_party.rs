//! `THIRD-PARTY.txt`: whose code is in the programs, and under which terms.
//!
//! The terms themselves must come along with most of these packages. Many have the same, so each text is
//! there once, and a package names the numbers of its own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::dist::parts::{Package, Parts};
use crate::dist::standard::StandardLibrary;

/// How files with terms are named, in upper case.
const NAMES: [&str; 6] = [
    "COPYING",
    "COPYRIGHT",
    "LICENCE",
    "LICENSE",
    "NOTICE",
    "UNLICENSE",
];

/// The whole page.
pub(crate) fn page(parts: &Parts, standard: &StandardLibrary) -> Result<String> {
    let mut texts = Texts::default();
    let mut page = String::from(HEAD);
    let _ = writeln!(
        page,
        "std {}\n    {}\n    {}\n    texts: those of MIT and Apache-2.0 below, and rust/ for its own parts\n",
        standard.version,
        StandardLibrary::LICENCE,
        StandardLibrary::REPOSITORY,
    );
    for (_, package) in parts.linked().filter(|(_, it)| it.is_third_party()) {
        let numbers = texts.of(package)?;
        let _ = writeln!(page, "{}", entry(package, &numbers));
    }
    texts.write(&mut page);
    Ok(page)
}

const HEAD: &str = "\
The programs in this folder contain the packages below, each with the licence that its manifest names, where its
sources are, and the numbers of the texts that come with it.

";

fn entry(package: &Package, numbers: &[usize]) -> String {
    let unknown = || "not said".to_owned();
    let numbers = numbers.iter().map(usize::to_string).collect::<Vec<_>>();
    let texts = match numbers.as_slice() {
        [] => "none in the package".to_owned(),
        some => some.join(", "),
    };
    format!(
        "{} {}\n    {}\n    {}\n    texts: {texts}\n",
        package.name,
        package.version,
        package.licence.clone().unwrap_or_else(unknown),
        package.repository.clone().unwrap_or_else(unknown),
    )
}

/// Each text once, numbered from 1 in the order of the packages.
#[derive(Default)]
struct Texts {
    numbers: BTreeMap<String, usize>,
    ordered: Vec<String>,
}

impl Texts {
    /// The numbers of the texts that are in a package.
    fn of(&mut self, package: &Package) -> Result<Vec<usize>> {
        let mut numbers = Vec::new();
        for path in files(package)? {
            let text =
                fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            numbers.push(self.number(&normal(&String::from_utf8_lossy(&text))));
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }

    fn number(&mut self, text: &str) -> usize {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        self.ordered.push(text.to_owned());
        let number = self.ordered.len();
        self.numbers.insert(text.to_owned(), number);
        number
    }

    fn write(&self, page: &mut String) {
        for (index, text) in self.ordered.iter().enumerate() {
            let line = "=".repeat(80);
            let _ = writeln!(page, "{line}\nText {}\n{line}\n{text}\n", index + 1);
        }
    }
}

/// Without what differs by editor: ends of lines, and space at them.
fn normal(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

/// The files with terms in the folder of a package, and the one that its manifest names.
fn files(package: &Package) -> Result<Vec<PathBuf>> {
    let folder = &package.folder;
    let cannot_list = || format!("cannot list {}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(cannot_list)? {
        let path = entry.with_context(cannot_list)?.path();
        if path.is_file() && has_terms(&path) {
            found.push(path);
        }
    }
    found.extend(package.licence_file.iter().map(|it| folder.join(it)));
    found.sort();
    found.dedup();
    Ok(found)
}

fn has_terms(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.to_ascii_uppercase();
    NAMES.iter().any(|it| name.starts_with(it)) && !name.ends_with(".RS")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::dist::parts::{Origin, Usage};

    fn package(name: &str, files: &[(&str, &str)]) -> Package {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tests/terms");
        let folder = folder.join(name);
        fs::create_dir_all(&folder).expect("a folder");
        for (name, text) in files {
            fs::write(folder.join(name), text).expect("a file");
        }
        Package {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            licence: Some("MIT".to_owned()),
            licence_file: None,
            repository: None,
            origin: Origin::Registry,
            usage: Usage::Linked,
            folder,
            checksum: None,
            features: BTreeSet::new(),
            needs: BTreeSet::new(),
        }
    }

    fn written(packages: Vec<Package>) -> String {
        let packages = packages.into_iter().map(|it| (it.name.clone(), it));
        let parts = Parts {
            packages: packages.collect(),
            ..Parts::default()
        };
        let standard = StandardLibrary::in_use().expect("a toolchain");
        page(&parts, &standard).expect("a page")
    }

    #[test]
    fn a_text_that_two_packages_have_is_there_once() {
        let one = package("one", &[("LICENSE-MIT", "Permission\r\n"), ("lib.rs", "")]);
        let two = package("two", &[("license.md", "Permission  \n\n")]);
        let page = written(vec![one, two]);
        assert_eq!(page.matches("Permission").count(), 1, "{page}");
        assert_eq!(page.matches("texts: 1\n").count(), 2, "{page}");
    }

    #[test]
    fn a_file_that_the_manifest_names_is_read_wherever_it_is() {
        let mut package = package("named", &[("TERMS", "On terms")]);
        package.licence_file = Some("TERMS".into());
        assert!(written(vec![package]).contains("On terms"));
    }

    #[test]
    fn a_package_without_a_text_says_so_and_what_only_built_the_programs_is_left_out() {
        let bare = package("bare", &[]);
        let mut macros = package("macros", &[]);
        macros.usage = Usage::Build;
        let page = written(vec![bare, macros]);
        let entry = "bare 1.0.0\n    MIT\n    not said\n    texts: none in the package\n";
        assert!(page.contains(entry), "{page}");
        assert!(!page.contains("macros"), "{page}");
    }
}
