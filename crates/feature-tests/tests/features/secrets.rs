//! [`Secrets`]: what was given to a process and must not be in anything that it prints.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use regex::Regex;

/// A file that is larger holds no secret.
const LARGEST: u64 = 64 * 1024;

/// A command names a configuration, which names a file with secrets.
const DEPTH: u8 = 2;

/// Whatever may be the name of a file, in a command line or a configuration.
static NAMES: LazyLock<Regex> = LazyLock::new(|| pattern(r#"[^\s"'`=\[\](){}<>|&$,;]+"#));

/// How secrets are written: what is in the group is one, line by line.
static FORMS: LazyLock<[Regex; 4]> = LazyLock::new(|| {
    let token = "([-A-Za-z0-9._~+/=]{16,512})";
    [
        // A line of a file of tokens, or of a variable with such.
        pattern(&format!(
            r"\bmesh\.(?:read|operate)(?:,mesh\.(?:read|operate))*\s+{token}"
        )),
        // What is handed to the command line.
        pattern(&format!(r"(?:TOKEN=|--token[ =]){token}")),
        // A key of gossip.
        pattern(r"\w:([0-9a-fA-F]{64})\b"),
        pattern(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+([^-]+)-----END"),
    ]
});

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern")
}

/// The secrets that are named by some texts, which are looked at again before anything is compared: files change.
pub(crate) struct Secrets {
    texts: BTreeSet<String>,
    /// Where relative names begin.
    folder: PathBuf,
    known: BTreeSet<String>,
}

impl Secrets {
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            texts: BTreeSet::new(),
            folder: folder.to_owned(),
            known: BTreeSet::new(),
        }
    }

    /// Those of the arguments and the environment of a command.
    pub(crate) fn of(command: &Command) -> Self {
        let mut secrets = Self::new(command.get_current_dir().unwrap_or(Path::new(".")));
        for argument in command.get_args() {
            secrets.add(&argument.to_string_lossy());
        }
        for (name, value) in command.get_envs() {
            let value = value.unwrap_or_default().to_string_lossy();
            secrets.add(&format!("{}={value}", name.to_string_lossy()));
        }
        secrets
    }

    /// Adds those that `text` has, or that are in a file which it names.
    pub(crate) fn add(&mut self, text: &str) {
        self.read(text, DEPTH);
        self.texts.insert(text.to_owned());
    }

    fn read(&mut self, text: &str, depth: u8) {
        for found in FORMS.iter().flat_map(|it| it.captures_iter(text)) {
            let lines = found[1].lines().filter(|it| it.len() >= 16);
            self.known.extend(lines.map(str::to_owned));
        }
        if depth == 0 {
            return;
        }
        for name in NAMES.find_iter(text) {
            if let Some(text) = small_file(&self.folder.join(name.as_str())) {
                self.read(&text, depth - 1);
            }
        }
    }

    /// Fails the test when `printed` has one of them.
    ///
    /// # Panics
    ///
    /// Panics then; the message has where it is, and nothing of the secret.
    #[track_caller]
    pub(crate) fn are_not_in(&mut self, printed: &str) {
        for text in self.texts.clone() {
            self.read(&text, DEPTH);
        }
        let told = |line: &&str| self.known.iter().any(|it| line.contains(it.as_str()));
        if let Some(at) = printed.lines().position(|it| told(&it)) {
            let line = printed.lines().nth(at).unwrap_or_default();
            let hidden = self.known.iter().fold(line.to_owned(), |line, it| {
                line.replace(it.as_str(), "SECRET")
            });
            panic!(
                "a secret is in line {} of what was printed: {hidden}",
                at + 1
            );
        }
    }
}

fn small_file(path: &Path) -> Option<String> {
    let found = fs::metadata(path).ok()?;
    if !found.is_file() || found.len() > LARGEST {
        return None;
    }
    let text = fs::read(path).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    const TOKEN: &str = "0123456789abcdefXYZ";

    #[track_caller]
    fn told(secrets: &mut Secrets, printed: &str) -> bool {
        catch_unwind(AssertUnwindSafe(|| secrets.are_not_in(printed))).is_err()
    }

    #[test]
    fn a_secret_is_found_in_whatever_way_it_was_given() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let (key, pem) = ("ab".repeat(32), "MIGHAgEAMBMGByqGSM49AgEG");
        write("tokens", &format!("alice mesh.read,mesh.operate {TOKEN}\n"));
        write("keys", &format!("# one\nnew:{key}\n"));
        let begin = "-----BEGIN PRIVATE KEY-----";
        let end = "-----END PRIVATE KEY-----";
        write("key.pem", &format!("{begin}\n{pem}\n{end}\n"));
        write(
            "host.toml",
            "a = \"tokens\"\nb = 'keys'\n[c]\nd=\"key.pem\"\n",
        );
        for (given, secret) in [
            ("--config host.toml", TOKEN),
            ("--config=host.toml", &key),
            ("--config host.toml", pem),
            ("cat <tokens", TOKEN),
            (&format!("LIFECYCLECTL_TOKEN={TOKEN} lifecyclectl"), TOKEN),
            (&format!("PLANE=alice mesh.read {TOKEN}"), TOKEN),
        ] {
            let mut secrets = Secrets::new(folder.path());
            secrets.add(given);
            assert!(told(&mut secrets, &format!("a\nb {secret} c")), "{given}");
            assert!(!told(
                &mut secrets,
                "alice mesh.read, tokens, keys, PRIVATE KEY"
            ));
        }
    }

    #[test]
    fn a_file_that_has_changed_is_read_again_and_what_it_had_before_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens");
        let mut secrets = Secrets::new(folder.path());
        let other = TOKEN.replace('0', "9");
        fs::write(&file, format!("alice mesh.read {TOKEN}")).unwrap();
        secrets.add("tokens");
        fs::write(&file, format!("alice mesh.read {other}")).unwrap();
        assert!(told(&mut secrets, TOKEN) && told(&mut secrets, &other));
    }

    #[test]
    fn what_is_told_of_a_secret_does_not_have_it() {
        let mut secrets = Secrets::new(Path::new("."));
        secrets.add(&format!("alice mesh.read {TOKEN}"));
        let panic = catch_unwind(AssertUnwindSafe(|| {
            secrets.are_not_in(&format!("fine\nit is {TOKEN}!"));
        }));
        let message = panic.unwrap_err();
        let message = message.downcast_ref::<String>().unwrap();
        assert!(message.contains("line 2") && message.contains("it is SECRET!"));
        assert!(!message.contains(TOKEN));
    }
}
