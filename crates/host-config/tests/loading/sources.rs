//! File, environment and flags: who wins, and how each writes its keys.

use std::ffi::OsString;

use host_config::{Flag, Key, Sources, load};
use lifecycle_core::{Criticality, Nanos};

use crate::greeter::{Greeter, file, loaded};

fn variable(name: &str, value: &str) -> (OsString, OsString) {
    (format!("GREETER__{name}").into(), value.into())
}

fn set(key: &str, value: &str) -> Flag {
    Flag {
        name: "--set".to_owned(),
        key: Key::parse(key).expect("a key"),
        value: value.to_owned(),
    }
}

/// What is said of `sources`, one fault a line.
fn said(sources: &Sources) -> String {
    let error = load::<Greeter>(sources).expect_err("a fault");
    let faults = error.faults.iter().map(|it| format!("{it}\n"));
    faults.collect()
}

#[test]
fn flags_win_over_the_environment_which_wins_over_the_file_and_origins_are_shown() {
    let text = "greeting = 'file'\n[doors.a]\naddress = '127.0.0.1:0'\nwidth = 2\n";
    let (file, sources) = file(text);
    let sources = Sources {
        environment: vec![
            variable("GREETING", "environment"),
            variable("DOORS__A__WIDTH", "3"),
            ("UNRELATED".into(), "x".into()),
        ],
        flags: vec![set("greeting", "flag"), set("greeting", "last")],
        ..sources
    };
    let loaded = load::<Greeter>(&sources).expect("no fault");
    assert_eq!(loaded.config.greeting, "last");
    assert_eq!(loaded.config.doors["a"].width, 3);
    let shown = loaded
        .show()
        .replace(&file.path().display().to_string(), "FILE");
    for (line, origin) in [
        ("doors.a.address = \"127.0.0.1:0\" ", "# FILE:3"),
        ("doors.a.criticality = \"degradable\" ", "# default"),
        (
            "doors.a.width = 3 ",
            "# environment GREETER__DOORS__A__WIDTH",
        ),
        ("greeting = \"last\" ", "# flag --set"),
    ] {
        let found = shown.lines().find(|it| it.starts_with(line));
        assert!(
            found.is_some_and(|it| it.ends_with(origin)),
            "{line}{shown}"
        );
    }
    let (_again, sources) = crate::greeter::file(&shown);
    assert!(
        load::<Greeter>(&sources).is_ok(),
        "what is shown is a configuration"
    );
}

#[test]
fn without_a_file_there_is_what_the_schema_says_and_a_missing_file_is_a_fault() {
    let config = load::<Greeter>(&Sources::default())
        .expect("no fault")
        .config;
    assert_eq!(config.doors["front"].address, "127.0.0.1:1");
    assert_eq!(config.doors["front"].criticality, Criticality::Degradable);
    let missing = Sources {
        file: Some("/nowhere/a.toml".into()),
        ..Sources::default()
    };
    assert_eq!(
        said(&missing),
        "flag --config: cannot read /nowhere/a.toml: No such file or directory (os error 2); name a file that exists, or leave the \
         flag out for one door\n"
    );
}

#[test]
fn a_file_that_is_no_text_or_has_no_end_is_a_fault_with_its_place() {
    let (file, sources) = file("greeting = 'a'\n");
    std::fs::write(file.path(), b"greeting = 'a'\n# caf\xe9\n").unwrap();
    let path = file.path().display();
    assert_eq!(
        said(&sources),
        format!("{path}:2: this line is no UTF-8; save the file in that encoding\n")
    );
    for (path, what) in [
        ("/dev/zero", "it has more than 1 MiB"),
        ("/", "Is a directory"),
    ] {
        let sources = Sources {
            file: Some(path.into()),
            ..Sources::default()
        };
        let begin = format!("flag --config: cannot read {path}: {what}");
        let said = said(&sources);
        assert!(said.starts_with(&begin), "{said}");
    }
}

#[test]
fn a_flag_with_another_spelling_of_a_table_than_the_file_is_a_fault() {
    let (_file, sources) = file("[parts.lamp]\n");
    let sources = Sources {
        flags: vec![set("parts.Lamp.drain-timeout", "7s")],
        ..sources
    };
    let said = said(&sources);
    let begin = "flag --set: parts.Lamp: the same name is written \"lamp\" at ";
    assert!(said.starts_with(begin), "{said}");
}

#[test]
fn a_variable_finds_tables_by_letters_and_digits_first_those_that_are_there() {
    let text =
        "[doors.\"Main:door 1\"]\naddress = '127.0.0.1:0'\n[doors.\"Main:door 1\".locks.Top]\n";
    let (_file, sources) = file(text);
    let sources = Sources {
        environment: vec![
            variable("DOORS__MAIN_DOOR_1__WIDTH", "4"),
            variable("DOORS__MAIN_DOOR_1__LOCKS__TOP__PINS", "7"),
            variable("PARTS__THE_BELL__DRAIN_TIMEOUT", "7s"),
            variable("DOORS__BACK__ADDRESS", "127.0.0.1:0"),
        ],
        ..sources
    };
    let config = load::<Greeter>(&sources).expect("no fault").config;
    let door = &config.doors["Main:door 1"];
    assert_eq!((door.width, door.locks["Top"].pins), (4, 7));
    assert_eq!(config.doors["back"].width, 1);
    let bell = &config.parts["the:bell"];
    assert_eq!(bell.drain_timeout, Some(Nanos::from_secs(7)));
}

#[test]
fn variables_and_flags_are_blamed_by_their_names() {
    let sources = Sources {
        environment: vec![
            variable("GREETNG", "a"),
            variable("DOORS__FRONT__WIDTH", "wide"),
            variable("PARTS__LMP__DRAIN_TIMEOUT", "1s"),
        ],
        flags: vec![
            set("greeting.more", "a"),
            set("log", "a"),
            Flag::new("--diagnostics", &["diagnostics", "address"], "here"),
        ],
        ..Sources::default()
    };
    assert_eq!(
        said(&sources),
        "environment GREETER__DOORS__FRONT__WIDTH: doors.front.width: expected a whole number, found \"wide\"; write it like 3\n\
         environment GREETER__GREETNG: greetng: there is no such key; did you mean \"greeting\"?\n\
         environment GREETER__PARTS__LMP__DRAIN_TIMEOUT: parts.lmp.drain-timeout: this host has no such part; did you mean \"lamp\"?\n\
         flag --diagnostics: diagnostics.address: \"here\" is not an IP address with a port; write it like \"127.0.0.1:8080\" or \
         \"[::1]:8080\"; port 0 takes any free one\n\
         flag --set: greeting.more: the key goes on behind a value; shorten it\n\
         flag --set: log: this is a section, not a value; name a key inside of it\n"
    );
}

#[test]
fn a_default_may_depend_on_what_was_said_and_says_nothing_over_it() {
    let quiet = loaded("greeting = 'quiet'").expect("no fault").config;
    assert_eq!(quiet.kill_timeout, Some(Nanos::from_secs(1)));
    let text = "greeting = 'quiet'\nkill-timeout = '9s'";
    let said = loaded(text).expect("no fault").config;
    assert_eq!(said.kill_timeout, Some(Nanos::from_secs(9)));
    assert_eq!(loaded("").expect("no fault").config.kill_timeout, None);
}
