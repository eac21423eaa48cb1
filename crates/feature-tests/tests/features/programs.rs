//! Where the programs under test are, and that they are those of this checkout.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;
use std::{env, fs};

/// Names a folder with programs, from the root of the workspace, such as those that are shipped; they are taken as they are.
const FOLDER: &str = "FEATURE_TESTS_PROGRAMS";

/// A program under test, with an environment of nothing but `PATH`.
///
/// # Panics
///
/// Panics when a test of this checkout would run a program of another state of it.
pub(crate) fn program(name: &str) -> Command {
    let mut command = Command::new(folder().join(name));
    command.env_clear().env("PATH", path());
    command
}

/// The host of this crate that makes trouble; cargo builds it with the tests.
pub(crate) fn trouble_host() -> Command {
    own(env!("CARGO_BIN_EXE_trouble-host"))
}

/// The host of this crate with thousands of components.
pub(crate) fn torture_host() -> Command {
    own(env!("CARGO_BIN_EXE_torture-host"))
}

fn own(path_of_program: &str) -> Command {
    let mut command = Command::new(path_of_program);
    command.env_clear().env("PATH", path());
    command
}

/// The folder of the programs, before what else is found here.
pub(crate) fn path() -> String {
    let rest = env::var("PATH").unwrap_or_default();
    format!("{}:{rest}", folder().display())
}

/// Found and looked at once a process.
fn folder() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        if let Some(folder) = env::var_os(FOLDER) {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
            return root.join(folder);
        }
        let folder = built_beside_us();
        for name in ["control-plane-host", "dispatcher", "lifecyclectl"] {
            if let Err(stale) = check_fresh(&folder, name) {
                panic!("{stale}\nbuild it: {}", remedy(&folder));
            }
        }
        folder
    })
}

/// `target/PROFILE`, from `target/PROFILE/deps/features-…`.
fn built_beside_us() -> PathBuf {
    let test = env::current_exe().expect("it has a path");
    let folder = test.parent().and_then(Path::parent);
    folder.expect("it is below target").to_owned()
}

fn remedy(folder: &Path) -> String {
    let profile = match folder.file_name().and_then(|it| it.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    format!(
        "cargo build --profile {profile} --all-features -p control-plane-host -p dispatcher -p lifecyclectl"
    )
}

/// Fails the test when the control-plane host was built without the feature `etcd`.
#[track_caller]
pub(crate) fn knows_etcd() {
    let mut check = program("control-plane-host");
    check.args(["config", "check", "--set", "leadership.store.kind=etcd"]);
    let endpoints = "leadership.store.endpoints=http://127.0.0.1:2379";
    check.args(["--set", endpoints]);
    let checked = check.output().expect("it can be run");
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(
        checked.status.success(),
        "control-plane-host must be built with the feature `etcd`: {said}\nbuild it: {}",
        remedy(folder())
    );
}

/// Compares a program with its sources, as make does: cargo lists them beside it. A build by us would be with other features
/// than those of the run, hence anew, in the time of a test.
///
/// # Errors
///
/// What is missing, of another checkout, or newer than the program.
fn check_fresh(folder: &Path, name: &str) -> Result<(), String> {
    let program = folder.join(name);
    let built = changed(&program).ok_or_else(|| format!("there is no {}", program.display()))?;
    let list = fs::read_to_string(folder.join(format!("{name}.d")))
        .map_err(|error| format!("nobody knows what {name} was built from: {error}"))?;
    let sources = list.split_once(": ").map_or("", |(_, sources)| sources);
    // Blanks within a path are escaped.
    let sources = sources.replace("\\ ", "\0");
    let sources: Vec<_> = sources
        .split_whitespace()
        .map(|it| PathBuf::from(it.replace('\0', " ")))
        .collect();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../{name}/src/main.rs"));
    let own = own.canonicalize().expect("it is in this workspace");
    if !sources.contains(&own) {
        return Err(format!("{} is of another checkout", program.display()));
    }
    match sources
        .iter()
        .find(|it| changed(it).is_none_or(|it| it > built))
    {
        Some(source) => Err(format!(
            "{} is older than {}",
            program.display(),
            source.display()
        )),
        None => Ok(()),
    }
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|it| it.modified()).ok()
}

#[test]
fn a_program_is_run_only_when_it_is_newer_than_its_sources() {
    let folder = tempfile::tempdir().unwrap();
    let (place, name) = (folder.path(), "lifecyclectl");
    let refused = |why: &str| {
        let stale = check_fresh(place, name).unwrap_err();
        assert!(stale.contains(why), "{stale}");
    };
    refused("there is no");
    let program = fs::File::create(place.join(name)).unwrap();
    refused("nobody knows what lifecyclectl was built from");
    let list = place.join("lifecyclectl.d");
    fs::write(
        &list,
        "lifecyclectl: /elsewhere/crates/lifecyclectl/src/main.rs\n",
    )
    .unwrap();
    refused("is of another checkout");
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lifecyclectl/src/main.rs");
    let own = own.canonicalize().unwrap();
    let further = place.join("a blank.rs");
    fs::write(&further, "").unwrap();
    let further = further.display().to_string().replace(' ', "\\ ");
    fs::write(
        &list,
        format!("lifecyclectl: {} {further}\n", own.display()),
    )
    .unwrap();
    program.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    refused("is older than");
    let later = SystemTime::now() + std::time::Duration::from_secs(60);
    program.set_modified(later).unwrap();
    assert_eq!(check_fresh(place, name), Ok(()));
}
