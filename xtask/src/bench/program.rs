//! [`Program`]: one of the two that have contenders, built and asked.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::figures::Figures;
use crate::process::{need, root, succeeds};

/// A program and who is in it.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    pub(super) contenders: Vec<Listed>,
}

/// As the program lists it.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) keeps: String,
    /// By shape.
    refuses: Value,
}

/// What came of a run.
#[derive(Debug)]
pub(super) enum Ran {
    Figures(Figures),
    Over,
    Failed(String),
}

impl Program {
    /// Ours and bare tokio.
    pub(super) fn own(profile: &str) -> Result<Self> {
        let line = format!("cargo build --profile {profile} --locked --package bench");
        Self::built(&line, &format!("target/{profile}/bench"))
    }

    /// The peers, with their own lock file and in a target folder of their own.
    pub(super) fn peers() -> Result<Self> {
        // One of them compresses, with what is built from C.
        need("cmake", "--version", "cmake")?;
        let line = "cargo build --release --locked --manifest-path crates/bench/peers/Cargo.toml \
             --target-dir target/bench-peers";
        Self::built(line, "target/bench-peers/release/bench-peers")
    }

    fn built(line: &str, path: &str) -> Result<Self> {
        let words: Vec<_> = line.split_whitespace().collect();
        ensure!(succeeds(&words)?, "{path} was not built");
        let path = root().join(path);
        let output = Command::new(&path).arg("list").output();
        let output = output.with_context(|| format!("cannot run {}", path.display()))?;
        let list: Value = serde_json::from_slice(&output.stdout)?;
        let rows = list.as_array().context("a list of contenders")?;
        let contenders = rows.iter().map(Listed::read).collect::<Result<_>>()?;
        Ok(Self { path, contenders })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &PathBuf {
        &self.path
    }
}

impl Listed {
    fn read(row: &Value) -> Result<Self> {
        let text = |name: &str| row[name].as_str().map(str::to_owned);
        Ok(Self {
            name: text("name").context("a contender without a name")?,
            keeps: text("keeps").context("a contender that does not say what it keeps")?,
            refuses: row["refuses"].clone(),
        })
    }

    /// Why it has no figures for a shape, if so.
    pub(super) fn refuses(&self, shape: &str) -> Option<&str> {
        self.refuses[shape].as_str()
    }
}

/// Runs one contender once, and ends it when it is over its time.
pub(super) fn run(
    path: &PathBuf,
    contender: &str,
    shape: &str,
    count: usize,
    limit: Duration,
) -> Result<Ran> {
    let mut child = Command::new(path)
        .args([contender, shape, &count.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", path.display()))?;
    let ended = listen(&mut child)?.recv_timeout(limit);
    let Ok((told, complaint)) = ended else {
        child.kill()?;
        child.wait()?;
        return Ok(Ran::Over);
    };
    let status = child.wait()?;
    if status.success() {
        return Ok(Ran::Figures(Figures::read(&told)?));
    }
    let last = complaint.lines().last().unwrap_or("no word");
    Ok(Ran::Failed(format!("{status}: {last}")))
}

/// What it prints and what it complains of, once it has closed both.
fn listen(child: &mut Child) -> Result<mpsc::Receiver<(String, String)>> {
    let mut out = child.stdout.take().context("its output is a pipe")?;
    let mut err = child.stderr.take().context("its errors are a pipe")?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let (mut told, mut complaint) = (String::new(), String::new());
        let _ = out.read_to_string(&mut told);
        let _ = err.read_to_string(&mut complaint);
        // Nobody listens to who was over its time.
        let _ = sender.send((told, complaint));
    });
    Ok(receiver)
}
