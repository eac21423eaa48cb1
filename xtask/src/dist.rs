//! `dist`: the programs as they are shipped, with what belongs beside them.
//!
//! What is written about the programs (list of parts, licences) comes from the same resolution as the
//! build: these packages, the same features, this platform, no tests. Nothing in it depends on
//! the time, the folder or the order in which files are found, so that two machines with the same
//! sources and toolchain write the same.

mod build;
mod folder;
mod lock;
mod parts;
mod sbom;
mod standard;
mod sums;
mod third_party;

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use self::build::Built;
use self::folder::Folder;
use self::parts::Parts;
use self::standard::StandardLibrary;
use crate::process::{exit_code, root, say, succeeds};

/// What is shipped.
const PROGRAMS: [&str; 3] = ["control-plane-host", "dispatcher", "lifecyclectl"];

/// What is in the programs that a build of the sources leaves out unless it is asked for, since it needs `protoc`: leases for
/// many machines.
const FEATURES: [&str; 1] = ["etcd"];

/// The name of the whole: in the list of parts, and of the archive.
const NAME: &str = "lifecycle";

/// Pages that explain what is in the folder. They name others, which are in the sources.
const PAGES: [&str; 8] = [
    "CHANGELOG.md",
    "docs/control-plane-host.md",
    "docs/deployment.md",
    "docs/dispatcher-configuration.md",
    "docs/lifecyclectl.md",
    "docs/operations.md",
    "docs/quickstart.md",
    "docs/security.md",
];

const SHELLS: [&str; 3] = ["bash", "fish", "zsh"];

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Do not pack the folder into an archive
    #[arg(long)]
    no_archive: bool,
}

/// Builds the programs and lays them out in `target/dist`.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    // First, so that nobody takes programs of before for those of a build that fails.
    let folder = Folder::new(root().join("target/dist"))?;
    let parts = Parts::resolve(&root(), &PROGRAMS, &FEATURES)?;
    let standard = StandardLibrary::in_use()?;
    let Some(built) = build::run(&PROGRAMS, &FEATURES)? else {
        return Ok(exit_code(false));
    };
    lay_out(&folder, &built, &parts, &standard)?;
    sums::write(&folder)?;
    report(&folder, &parts)?;
    if args.no_archive {
        return Ok(exit_code(true));
    }
    pack(&format!("{NAME}-{}-{}", parts.version, built.platform))
}

fn lay_out(
    folder: &Folder,
    built: &Built,
    parts: &Parts,
    standard: &StandardLibrary,
) -> Result<()> {
    for name in PROGRAMS {
        folder.copy(&built.program(name), &format!("bin/{name}"))?;
    }
    for shell in SHELLS {
        let script = built.completions("lifecyclectl", shell)?;
        folder.write(&format!("completions/lifecyclectl.{shell}"), &script)?;
    }
    let sources = root();
    for file in ["LICENSE-APACHE", "LICENSE-MIT"].iter().chain(&PAGES) {
        folder.copy(&sources.join(file), file)?;
    }
    folder.copy_all(&sources.join("deploy"), "deploy")?;
    let texts = third_party::page(parts, standard)?;
    folder.write("THIRD-PARTY.txt", texts.as_bytes())?;
    for (name, path) in standard.notices() {
        folder.copy(&path, &format!("rust/{name}"))?;
    }
    let bill = sbom::document(NAME, parts, standard);
    let bill = serde_json::to_string_pretty(&bill).context("a list of parts is JSON")?;
    folder.write("sbom.cdx.json", format!("{bill}\n").as_bytes())
}

fn report(folder: &Folder, parts: &Parts) -> Result<()> {
    say(format_args!("\n{}", folder.root().display()))?;
    for file in folder.files()? {
        say(format_args!("{:>12}  {}", file.size, file.path))?;
    }
    say(format_args!(
        "{} packages are in the programs, {} more built them",
        parts.linked().count(),
        parts.packages.len() - parts.linked().count(),
    ))
}

/// Packs the folder, with nothing in the archive of who packed it or when.
fn pack(name: &str) -> Result<ExitCode> {
    let archive = format!("target/{name}.tar.gz");
    let renamed = format!("--transform=s,^dist,{name},");
    let passed = succeeds(&[
        "tar",
        "--create",
        "--use-compress-program=gzip -n -9",
        "--file",
        &archive,
        "--directory=target",
        "--sort=name",
        "--mtime=@0",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--mode=u=rwX,go=rX",
        &renamed,
        "dist",
    ])?;
    if passed {
        let size = root().join(&archive).metadata()?.len();
        say(format_args!("{size:>12}  {archive}"))?;
    }
    Ok(exit_code(passed))
}
