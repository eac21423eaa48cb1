//! What is printed of the table of keys, and how a command line is answered.

use clap::Parser;
use host_config::Flag;
use host_config::cli::{self, Action, CommandLine, Common, given};
use lifecycle_runtime::ExitStatus;
use serde_json::{Value, json};

use crate::greeter::{Greeter, SCHEMA, file};

/// Greets.
#[derive(Debug, Parser)]
#[command(name = "greeter", version)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// What is said.
    #[arg(long, global = true)]
    greeting: Option<String>,
}

impl CommandLine for Arguments {
    type Config = Greeter;

    fn common(&self) -> &Common {
        &self.common
    }

    fn own_flags(&self) -> Vec<Flag> {
        let flag = given("--greeting", &["greeting"], &self.greeting);
        flag.into_iter().collect()
    }
}

/// What is printed, or else the exit code and what is said.
fn answer(arguments: &[&str]) -> Result<String, (ExitStatus, String)> {
    let arguments = [&["greeter"], arguments].concat();
    let arguments = arguments.into_iter().map(Into::into);
    match cli::read::<Arguments>(arguments, []) {
        Ok(Action::Print(text)) => Ok(text),
        Ok(Action::Run(config)) => Ok(format!("runs with {}", config.greeting)),
        Err(refusal) => Err((refusal.status, refusal.text)),
    }
}

#[test]
fn the_table_makes_sense() {
    assert_eq!(SCHEMA.mistakes(), Vec::<String>::new());
}

#[test]
fn the_page_has_every_table_once_with_its_keys_in_order() {
    let page = SCHEMA.page();
    let headings = page.lines().filter_map(|it| it.strip_prefix("## "));
    assert_eq!(
        headings.collect::<Vec<_>>(),
        [
            "Outside of sections",
            "`[defaults]`",
            "`[diagnostics]`",
            "`[doors.NAME]`",
            "`[gossip]`",
            "`[kinds]`",
            "`[log]`",
            "`[parts.NAME]`",
            "Restarts: `restart`",
            "Attempts: `start` and `stop`",
            "`[diagnostics.tls]`",
            "Health: `health-check`",
            "`[doors.NAME.locks.NAME]`",
            "`[doors.NAME.tls]`",
        ]
    );
    for row in [
        "| `greeting` | text | `\"hello\"` | what is said |",
        "| `address` | an IP address with a port | must be set | where it is |",
        "| `doors` | tables by name: [\\[doors.NAME\\]](#doorsname) |  | where guests come in |",
        "| `limit` | a duration, or *never* |  | how long, if ever |",
    ] {
        assert!(page.lines().any(|it| it == row), "{row} in\n{page}");
    }
}

#[test]
fn the_json_schema_has_kinds_defaults_names_and_what_must_be_said() {
    let schema: Value = serde_json::from_str(&SCHEMA.json()).expect("JSON");
    assert_eq!(schema["title"], "Configuration of the greeter");
    let greeting = json!({ "type": "string", "default": "hello", "description": "what is said" });
    assert_eq!(schema["properties"]["greeting"], greeting);
    let door = &schema["properties"]["doors"]["additionalProperties"];
    assert_eq!(door["required"], json!(["address"]));
    assert_eq!(door["additionalProperties"], false);
    let width = &door["properties"]["width"];
    assert_eq!(
        (&width["minimum"], &width["default"]),
        (&json!(1), &json!(1))
    );
    let names = &schema["properties"]["parts"]["propertyNames"]["anyOf"];
    let bell = "^\\s*[Tt][Hh][Ee]:[Bb][Ee][Ll][Ll]\\s*$";
    assert_eq!(names[0]["pattern"], bell);
    let labels = &schema["properties"]["kinds"]["properties"]["labels"];
    assert_eq!(labels["additionalProperties"], json!({ "type": "string" }));
}

#[test]
fn the_command_line_runs_prints_or_refuses() {
    let says = |arguments: &[&str]| answer(arguments).expect("no refusal");
    assert_eq!(says(&[]), "runs with hello");
    assert_eq!(says(&["--greeting", "hi"]), "runs with hi");
    let both = ["--greeting", "hi", "--set", "greeting = ho"];
    assert_eq!(says(&both), "runs with ho");
    assert_eq!(says(&["config", "check"]), "the configuration is good\n");
    assert_eq!(says(&["config", "schema"]), SCHEMA.json());
    assert_eq!(says(&["config", "schema", "--markdown"]), SCHEMA.page());
    let shown = says(&["config", "show", "--log-format", "json"]);
    assert!(shown.contains("# flag --log-format\n"), "{shown}");
    assert!(says(&["--help"]).contains("Read this TOML file"));
}

#[test]
fn a_refusal_has_the_exit_code_of_its_reason() {
    let refused = |arguments: &[&str]| answer(arguments).expect_err("a refusal");
    for arguments in [
        &["--frobnicate"][..],
        &["config"],
        &["--set", "log"],
        &["--set", "a b=1"],
    ] {
        assert_eq!(refused(arguments).0, ExitStatus::Usage, "{arguments:?}");
    }
    let (file, _) = file("greting = 'a'");
    let path = file.path().to_str().expect("text");
    let (status, text) = refused(&["--config", path, "config", "check"]);
    assert_eq!(status, ExitStatus::Configuration);
    assert_eq!(
        text,
        format!(
            "error: the configuration has 1 fault; nothing was started\n  {path}:1: greting: there is no such key; did you mean \
             \"greeting\"?\n"
        )
    );
}
