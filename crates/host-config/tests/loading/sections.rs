//! Sections that hosts have in common.

use host_config::sections::log::Format;
use host_config::{Flag, Sources, load};
use lifecycle_core::{Defaults, HealthCheck};
use lifecycle_runtime::LogFormat;

use crate::greeter::{Greeter, file, loaded};

#[test]
fn what_the_table_says_of_defaults_is_what_the_core_does() {
    let config = loaded("").expect("no fault").config;
    assert_eq!(config.defaults, Defaults::default());
    assert_eq!(config.log.format, Format::Text);
    assert_eq!(config.log.settings().format, LogFormat::Text);
    assert!(config.diagnostics.open_metrics && config.diagnostics.tokens.is_none());
}

#[test]
fn a_section_that_is_not_always_there_is_there_once_the_file_has_it() {
    assert!(loaded("").expect("no fault").config.gossip.is_none());
    let gossip = loaded("[gossip]").expect("no fault").config.gossip;
    let gossip = gossip.expect("it is there");
    assert_eq!(gossip["enabled"].as_bool(), Some(true));
    assert_eq!(gossip["role"].as_str(), Some("host"));
    let lamp = loaded("[parts.lamp.health-check]")
        .expect("no fault")
        .config;
    let check = lamp.parts["lamp"].health_check.clone();
    assert_eq!(check, Some(HealthCheck::default()));
    let text = "[doors.a]\naddress = '127.0.0.1:0'\ntls = { certificate = 'c', key = 'k', client-ca = 'ca' }";
    let doors = loaded(text).expect("no fault").config.doors;
    let tls = doors["a"].tls.as_ref().expect("it is there");
    assert!(tls.asks_clients());
    assert_eq!(tls.reload_interval.to_string(), "300s");
}

#[test]
fn a_filter_of_the_file_gives_way_to_that_of_the_log_and_one_of_a_flag_does_not() {
    let (_file, sources) = file("log.filter = 'debug'");
    let of_file = load::<Greeter>(&sources).expect("no fault").config.log;
    assert!(of_file.settings().filter_variable.is_some());
    let sources = Sources {
        flags: vec![Flag::new("--log-filter", &["log", "filter"], "trace")],
        ..sources
    };
    let of_flag = load::<Greeter>(&sources).expect("no fault").config.log;
    assert_eq!(of_flag.settings().filter, "trace");
    assert!(of_flag.settings().filter_variable.is_none());
}

#[test]
fn the_name_of_the_machine_reaches_the_program() {
    let sources = Sources {
        machine: Some("tower".to_owned()),
        ..Sources::default()
    };
    let config = load::<Greeter>(&sources).expect("no fault").config;
    assert_eq!(config.machine.as_deref(), Some("tower"));
}
