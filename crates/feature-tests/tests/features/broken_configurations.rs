//! `config check` on broken files: each fault with its place, the rule and the remedy, all of a file at once; nothing is started, and
//! no secret is repeated.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use tempfile::TempDir;

use crate::golden;
use crate::programs;

const HOSTS: [&str; 2] = ["control-plane-host", "dispatcher"];

/// What must not come back, wherever it was written.
const SECRET: &str = "correct-horse-battery-staple";

/// One way to be wrong.
struct Case {
    name: &'static str,
    /// Of the one host, then of the other.
    files: [&'static str; 2],
    arguments: &'static [&'static str],
    /// Without the prefix of the host.
    variables: &'static [(&'static str, &'static str)],
    code: i32,
}

impl Case {
    const fn file(name: &'static str, both: &'static str) -> Self {
        Self::files(name, [both, both])
    }

    const fn files(name: &'static str, files: [&'static str; 2]) -> Self {
        Self {
            name,
            files,
            arguments: &["--config", "broken.toml"],
            variables: &[],
            code: 78,
        }
    }

    const fn arguments(name: &'static str, arguments: &'static [&'static str], code: i32) -> Self {
        Self {
            arguments,
            code,
            ..Self::file(name, "")
        }
    }
}

/// Of the one host, then of the other, which must have somewhere to be called.
const SOUND: [&str; 2] = [
    "[log]\nformat = 'json'\n",
    "service = 'echo'\necho = true\n[log]\nformat = 'json'\n[http-inbounds.0]\naddress = '127.0.0.1:0'\n",
];

const CASES: &[Case] = &[
    Case::file("no TOML", "[log\nformat = \n[defaults]\nsettle = '1s\n"),
    Case::file(
        "keys that there are not",
        "[log]\nfomat = 'json'\n[diagnostics]\nadress = '127.0.0.1:0'\n[nonsense]\na = 1\n",
    ),
    Case::file(
        "values of another type",
        "insecure = 'yes'\n[log]\nformat = 3\n[diagnostics]\nhosts = 'a'\n[defaults.start]\nmax-attempts = 'many'\n",
    ),
    Case::files(
        "values out of range",
        [
            "[defaults.start]\nmax-attempts = 0\n[leadership]\nlease-duration = '1ms'\n[gossip]\ngossip-interval = '1ms'\n",
            "[defaults.start]\nmax-attempts = 0\n[http.a]\naddress = '127.0.0.1:0'\nbody-bytes = 0\n",
        ],
    ),
    Case::files(
        "values that contradict each other",
        [
            "[leadership]\nlease-duration = '2s'\nrenewal-lead-time = '3s'\n[leadership.store]\nkind = 'memory'\npath = 'leases.db'\n\
             [diagnostics]\naddress = '127.0.0.1:7'\ntokens = 'tokens'\ntokens-env = 'TOKENS'\n[http]\naddress = '127.0.0.1:7'\n",
            "[diagnostics]\naddress = '127.0.0.1:7'\ntokens = 'tokens'\ntokens-env = 'TOKENS'\n[http.a]\naddress = '127.0.0.1:7'\n\
             [defaults]\nrestart = { when = 'never', budget = 3 }\n",
        ],
    ),
    Case::file(
        "a key that is there twice",
        "[log]\nformat = 'json'\nformat = 'text'\n[log]\n",
    ),
    Case::files(
        "what must be said and is not",
        [
            "[leadership.store]\nkind = 'sqlite'\n[diagnostics.tls]\nkey = 'key.pem'\n",
            "[http.a]\n[diagnostics.tls]\nkey = 'key.pem'\n",
        ],
    ),
    Case::files(
        "addresses that are none",
        [
            "[diagnostics]\naddress = 'localhost:80'\n[http]\naddress = '127.0.0.1'\n[gossip]\nbind = ':1'\n",
            "[diagnostics]\naddress = 'localhost:80'\n[http.a]\naddress = '127.0.0.1'\n",
        ],
    ),
    Case::file(
        "durations that are none",
        "kill-timeout = 10\n[defaults]\nsettle = '10'\nshutdown-timeout = '2 parsecs'\nforce-timeout = '-1s'\n",
    ),
    Case::arguments("a file that is not there", &["--config", "absent.toml"], 78),
    // Whoever may read everything cannot read this either.
    Case::arguments(
        "a file that cannot be read",
        &["--config", "/proc/self/mem"],
        78,
    ),
    Case::arguments("a folder", &["--config", "."], 78),
    Case::arguments("a file that is no UTF-8", &["--config", "latin.toml"], 78),
    Case::arguments("a file that is too large", &["--config", "huge.toml"], 78),
    Case::file(
        "components that there are not",
        "[components.diagnostic.start]\nmax-attempts = 2\n[components.\"no such\"]\n",
    ),
    Case::file(
        "one component in two spellings",
        "[components.diagnostics.start]\nmax-attempts = 2\n[components.Diagnostics.stop]\nmax-attempts = 3\n",
    ),
    Case::file(
        "certificates that are none",
        "[diagnostics.tls]\ncertificate = 'absent.pem'\nkey = 'latin.toml'\nclient-ca = '.'\n",
    ),
    Case::file(
        "tokens that others can read",
        "[diagnostics]\ntokens = 'tokens'\n",
    ),
    Case::files(
        "names that cannot be",
        [
            "[leadership]\nscopes = ['a b', '', 'shard/x']\n",
            "[outbounds]\na = 1\n[log]\nfilter = 'info=loud=er'\n",
        ],
    ),
    Case {
        variables: &[
            ("LOG__FORMAT", "xml"),
            ("DIAGNOSTICS__ADDRESS", "here"),
            ("LOGS__FORMAT", "json"),
        ],
        ..Case::files("variables that are wrong", SOUND)
    },
    Case::arguments(
        "flags that are wrong",
        &["--diagnostics", "nowhere", "--set", "defaults.settle=soon"],
        78,
    ),
    Case::arguments("a flag that there is not", &["--frobnicate"], 64),
    Case::arguments("a flag without its value", &["--set", "log"], 64),
    Case::file(
        "a secret in the wrong place",
        "[diagnostics]\ntoken = 'correct-horse-battery-staple'\ntokens = ['alice mesh.read correct-horse-battery-staple']\n\
         password = 'correct-horse-battery-staple\n",
    ),
    Case::file(
        "a secret under a key that there is not",
        "[diagnostics]\ntoken = 'correct-horse-battery-staple'\ntokens = ['alice mesh.read correct-horse-battery-staple']\n",
    ),
];

/// A folder with the files that the cases name.
fn folder(file: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, bytes: &[u8]| {
        fs::write(folder.path().join(name), bytes).expect("it is written");
    };
    write("broken.toml", file.as_bytes());
    write("latin.toml", b"[log]\n# caf\xe9\nformat = 'json'\n");
    write("huge.toml", "#".repeat(2 << 20).as_bytes());
    write("tokens", format!("alice mesh.read {SECRET}\n").as_bytes());
    let open = fs::Permissions::from_mode(0o644);
    fs::set_permissions(folder.path().join("tokens"), open).expect("it is ours");
    folder
}

/// What a host says, and whether it has begun to run.
fn run(host: &str, case: &Case, place: &Path, command: &[&str]) -> (Option<i32>, String) {
    let prefix = format!("{}__", host.to_uppercase().replace('-', "_"));
    let variables = case.variables.iter();
    let variables = variables.map(|(name, value)| (format!("{prefix}{name}"), *value));
    let Output {
        status,
        stdout,
        stderr,
    } = programs::program(host)
        .args(case.arguments)
        .args(command)
        .envs(variables)
        .current_dir(place)
        .output()
        .expect("it can be run");
    assert_eq!(stdout, b"", "{host}, {}: nothing was started", case.name);
    let said = String::from_utf8(stderr).expect("it is text");
    assert!(!said.contains(SECRET), "{host}, {}: {said}", case.name);
    (status.code(), said)
}

#[test]
fn every_fault_of_a_broken_configuration_is_told_with_place_rule_and_remedy_and_nothing_is_started()
{
    assert!(CASES.len() >= 20);
    for (index, host) in HOSTS.iter().enumerate() {
        let mut page = format!("What {host} says of configurations that are broken.\n");
        for case in CASES {
            let folder = folder(case.files[index]);
            let (code, said) = run(host, case, folder.path(), &["config", "check"]);
            assert_eq!(code, Some(case.code), "{host}, {}: {said}", case.name);
            // Whoever would run it is told the same.
            let (code, when_run) = run(host, case, folder.path(), &[]);
            assert_eq!((code, &when_run), (Some(case.code), &said), "{}", case.name);
            page.push_str(&format!("\n== {}: {}\n{said}", case.name, case.code));
        }
        golden::compare_exactly(&format!("broken-{host}"), &page);
    }
}

#[test]
fn what_is_sound_is_called_good_by_each_host() {
    for (host, sound) in HOSTS.into_iter().zip(SOUND) {
        let folder = folder(sound);
        let checked = programs::program(host)
            .args(["--config", "broken.toml", "config", "check"])
            .current_dir(folder.path())
            .output()
            .expect("it can be run");
        assert!(checked.status.success(), "{checked:?}");
        assert_eq!(checked.stdout, b"the configuration is good\n");
    }
}
