//! [`Progress`]: what of a run is done, on disk too.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Options;
use crate::endpoint::Endpoint;
use crate::exit::Exit;
use crate::failure::Failure;

/// The schema of the file.
const SCHEMA: &str = "v1";

/// How far a host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Phase {
    Pending,
    Cordoned,
    Drained,
    Restarted,
    /// It is ready again.
    Done,
}

impl Phase {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Cordoned => "cordoned",
            Self::Drained => "drained",
            Self::Restarted => "restarted",
            Self::Done => "ready",
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Row {
    pub(super) endpoint: Endpoint,
    pub(super) phase: Phase,
    /// Why the run has stopped here.
    pub(super) error: Option<String>,
}

/// What of a run is done. No token is in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Progress {
    schema_version: String,
    pub(super) options: Options,
    pub(super) hosts: Vec<Row>,
    #[serde(skip)]
    pub(super) file: Option<PathBuf>,
}

impl Progress {
    /// # Errors
    ///
    /// When a host is named twice, or `file` has a run already.
    pub(super) fn new(
        hosts: &[Endpoint],
        options: Options,
        file: Option<PathBuf>,
    ) -> Result<Self, Failure> {
        let mut twice = hosts.iter().enumerate();
        if let Some((_, host)) = twice.find(|(index, it)| hosts[..*index].contains(it)) {
            let what = format!("{host} is named twice");
            return Err(Failure::usage(what, "name each host once"));
        }
        if let Some(file) = file.as_ref().filter(|it| it.exists()) {
            let what = format!("{} has a run that is not over", file.display());
            return Err(Failure::usage(
                what,
                "--resume goes on with it; or remove the file",
            ));
        }
        let row = |endpoint: &Endpoint| Row {
            endpoint: endpoint.clone(),
            phase: Phase::Pending,
            error: None,
        };
        Ok(Self {
            schema_version: SCHEMA.to_owned(),
            options,
            hosts: hosts.iter().map(row).collect(),
            file,
        })
    }

    /// # Errors
    ///
    /// When the file cannot be read, or is none of ours.
    pub(super) fn read(file: &Path) -> Result<Self, Failure> {
        let place = file.display();
        let remedy = "--state names the file that the run has left";
        let text = fs::read_to_string(file);
        let text = text.map_err(|it| Failure::usage(format!("{place}: {it}"), remedy))?;
        let progress: Self = serde_json::from_str(&text)
            .map_err(|it| Failure::usage(format!("{place} is no state of a run: {it}"), remedy))?;
        if progress.schema_version != SCHEMA {
            let what = format!("{place} has the schema {:?}", progress.schema_version);
            return Err(Failure::usage(
                what,
                "go on with the lifecyclectl that wrote it",
            ));
        }
        Ok(Self {
            file: Some(file.to_owned()),
            ..progress
        })
    }

    pub(super) fn document(&self) -> String {
        serde_json::to_string_pretty(self).expect("texts and numbers can be written")
    }

    /// Replaces the file as a whole: whoever reads it finds the old or the new one.
    ///
    /// # Errors
    ///
    /// When it cannot be written; the hosts are as they were.
    pub(super) fn write(&self) -> Result<(), Failure> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let mut new = file.clone().into_os_string();
        new.push(".new");
        let written = fs::write(&new, format!("{}\n", self.document()));
        let written = written.and_then(|()| fs::rename(&new, file));
        written.map_err(|it| Self::failure(file, &it))
    }

    /// # Errors
    ///
    /// When the file is there and cannot be removed.
    pub(super) fn remove(&self) -> Result<(), Failure> {
        match &self.file {
            Some(file) if file.exists() => {
                fs::remove_file(file).map_err(|it| Self::failure(file, &it))
            }
            _ => Ok(()),
        }
    }

    fn failure(file: &Path, error: &std::io::Error) -> Failure {
        let what = format!("{} cannot be written: {error}", file.display());
        Failure::new(Exit::Failed, what, "the hosts stay as they are")
    }
}
