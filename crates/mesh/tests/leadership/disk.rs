//! A small disk that nobody else sees.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// How a namespace for mounts is made, as a user with a namespace of users, or as the superuser without.
const WAYS: [&[&str]; 2] = [&["--user", "--map-root-user", "--mount"], &["--mount"]];

/// A disk of a few hundred kilobytes, in a namespace of its own; both end with this value, or with the process.
pub(crate) struct Disk {
    folder: TempDir,
    keeper: Child,
    namespaces: &'static [&'static str],
}

impl Disk {
    /// # Panics
    ///
    /// Panics, and says what to do, where no such namespace may be made.
    pub(crate) fn of(kilobytes: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("disk")).expect("a folder");
        let made = WAYS.iter().find_map(|way| {
            let keeper = keep(way, kilobytes, &folder.path().join("disk"))?;
            let is_own = way.contains(&"--user");
            let namespaces: &[&str] = if is_own {
                &["--user", "--mount"]
            } else {
                &["--mount"]
            };
            Some((keeper, namespaces))
        });
        let Some((keeper, namespaces)) = made else {
            panic!(
                "a disk that can be full needs a namespace for mounts, and neither `unshare --user --map-root-user --mount` nor \
                 `unshare --mount` makes one here: run as the superuser, allow namespaces of users \
                 (`sysctl kernel.apparmor_restrict_unprivileged_userns=0` on Ubuntu), or give the container CAP_SYS_ADMIN"
            );
        };
        Self {
            folder,
            keeper,
            namespaces,
        }
    }

    /// Where it is, to those who see it.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    /// A place that everybody sees.
    pub(crate) fn beside(&self) -> &Path {
        self.folder.path()
    }

    /// What starts a program that sees the disk; arguments follow. The process is that of the program.
    pub(crate) fn enter(&self) -> Vec<String> {
        let keeper = self.keeper.id().to_string();
        let enter = ["nsenter", "--preserve-credentials", "--target", &keeper];
        let enter = enter.iter().chain(self.namespaces);
        enter.map(|it| (*it).to_owned()).collect()
    }

    /// Runs commands on the disk: whether they have succeeded.
    pub(crate) fn run(&self, commands: &str) -> bool {
        let enter = self.enter();
        let ended = Command::new(&enter[0])
            .args(&enter[1..])
            .args(["sh", "-c", &format!("cd \"$1\" && {commands}"), "sh"])
            .arg(self.path())
            .stderr(Stdio::null())
            .status();
        ended
            .expect("nsenter is there (Debian: util-linux)")
            .success()
    }

    /// Leaves not a byte.
    pub(crate) fn fill(&self) {
        let has_filled = self.run("cat /dev/zero > filler");
        assert!(!has_filled, "it has an end");
    }

    pub(crate) fn make_room(&self) {
        assert!(self.run("rm filler"));
    }
}

/// Keeps a namespace with the disk, until nobody holds the other end of its input.
fn keep(way: &[&str], kilobytes: u32, path: &Path) -> Option<Child> {
    let script = "mount -t tmpfs -o size=\"$1\"k none \"$2\" && echo ready && exec cat";
    let mut keeper = Command::new("unshare")
        .args(way)
        .args(["sh", "-c", script, "sh", &kilobytes.to_string()])
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("unshare is there (Debian: util-linux)");
    let mut line = String::new();
    let output = keeper.stdout.take().expect("piped");
    let said = BufReader::new(output).read_line(&mut line);
    if said.is_ok() && line == "ready\n" {
        return Some(keeper);
    }
    let _ = keeper.wait();
    None
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
