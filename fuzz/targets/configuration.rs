//! Files of configuration: every fault has its place, and what is shown can be read again and is the same.

#![no_main]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use control_plane_host::config::Config;
use host_config::{ConfigError, Loaded, Place, Sources};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> =
    LazyLock::new(|| TempDir::new().expect("there is a place for files"));

fuzz_target!(|bytes: &[u8]| {
    let path = FOLDER.path().join("host.toml");
    fs::write(&path, bytes).expect("there is room for a small file");
    match load(&path) {
        Ok(loaded) => check_shown(&loaded),
        Err(error) => check_faults(&error, bytes),
    }
});

fn load(path: &Path) -> Result<Loaded<Config>, ConfigError> {
    Config::load(&Sources {
        file: Some(path.to_owned()),
        ..Sources::default()
    })
}

fn check_shown(loaded: &Loaded<Config>) {
    let path = FOLDER.path().join("shown.toml");
    fs::write(&path, loaded.show()).expect("there is room for a small file");
    match load(&path) {
        Ok(again) => assert_eq!(again.config, loaded.config),
        Err(error) => panic!("what is shown cannot be read again: {error}"),
    }
}

fn check_faults(error: &ConfigError, bytes: &[u8]) {
    let lines = bytes.split(|it| *it == b'\n').count();
    assert!(!error.faults.is_empty());
    for fault in &error.faults {
        assert!(!fault.rule.is_empty(), "{fault:?}");
        if let Place::File { line, .. } = &fault.place {
            assert!((1..=lines).contains(line), "{fault:?} of {lines} lines");
        }
    }
}
