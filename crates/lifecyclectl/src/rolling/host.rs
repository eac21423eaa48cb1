//! [`Host`]: the phases of one host.

use std::fmt;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::argv::Argv;
use super::progress::Phase;
use super::{Options, Roll};
use crate::documents::{Operation, Upgrade};
use crate::endpoint::Endpoint;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::node::{self, DrainArgs, Outcome};
use crate::session::{Patience, Session};
use crate::text::span;
use crate::wait::{self, Goal};
use crate::{follow, operate};

/// How much longer than its deadline a drain is waited for.
const GRACE: Duration = Duration::from_secs(10);

/// One host of a run.
pub(super) struct Host {
    endpoint: Endpoint,
    pub(super) session: Session,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.endpoint.fmt(f)
    }
}

impl Host {
    /// # Errors
    ///
    /// When TLS is spoken there, and nobody is trusted.
    pub(super) fn new(session: &Session, endpoint: Endpoint) -> Result<Self, Failure> {
        let client = session.client.to(endpoint.clone())?;
        Ok(Self {
            endpoint,
            session: Session::new(client, session.screen, session.timeout),
        })
    }

    /// In front of what is said of it.
    fn place(&self) -> String {
        format!("{self}: ")
    }

    async fn upgrade(&self) -> Result<Upgrade, Failure> {
        self.session
            .client
            .get("/control/upgrade")
            .await?
            .document()
    }

    /// Whether it can be restarted as it is asked; touches nothing.
    ///
    /// # Errors
    ///
    /// When it does not answer, or there is nothing to restart.
    pub(super) async fn check(&self, by_command: bool) -> Result<(), Failure> {
        let upgrade = self.upgrade().await?;
        match by_command || !upgrade.participants.is_empty() {
            true => Ok(()),
            false => Err(Failure::new(
                Exit::Failed,
                "it has no drain participants that could be restarted in place",
                "say by --restart-command how its process is restarted",
            )),
        }
    }

    /// Goes through the phases that remain.
    ///
    /// # Errors
    ///
    /// What stopped it; the phases before that are written down.
    pub(super) async fn restart(&self, roll: &Roll<'_>, index: usize) -> Result<(), Failure> {
        let options = roll.options();
        if roll.phase(index) < Phase::Cordoned {
            self.cordon(&options).await?;
            roll.reached(index, Phase::Cordoned)?;
        }
        if roll.phase(index) < Phase::Drained {
            // Also where a run goes on: how much of it had passed is not written down.
            tokio::time::sleep(options.settle).await;
            self.drain(&options).await?;
            roll.reached(index, Phase::Drained)?;
        }
        if roll.phase(index) < Phase::Restarted {
            match &roll.argv {
                Some(argv) => self.run(argv, options.restart_timeout).await?,
                None => self.restart_in_place(&options).await?,
            }
            roll.reached(index, Phase::Restarted)?;
        }
        let patience = Patience::of(options.ready_timeout);
        wait::until(&self.session, &self.place(), Goal::Ready, patience).await?;
        roll.reached(index, Phase::Done)
    }

    async fn cordon(&self, options: &Options) -> Result<(), Failure> {
        if self.upgrade().await?.cordoned {
            return Ok(());
        }
        let body = node::Args::because(&options.reason).body();
        self.end(
            node::begin(&self.session, node::Verb::Cordon, body)
                .await?
                .1,
            options,
        )
        .await
    }

    /// A drain that somebody else has begun is waited for.
    async fn drain(&self, options: &Options) -> Result<(), Failure> {
        if self.upgrade().await?.state != "draining" {
            let drain = DrainArgs {
                deadline: Some(options.drain_deadline),
                force_after: options.force_after,
                node: node::Args::because(&options.reason),
            };
            node::begin(&self.session, node::Verb::Drain, drain.body()).await?;
        }
        let patience = Patience::of(options.drain_deadline + GRACE);
        wait::until(&self.session, &self.place(), Goal::Drained, patience).await
    }

    /// What the command prints goes to standard error. It ends with the client.
    async fn run(&self, argv: &Argv, limit: Duration) -> Result<(), Failure> {
        let (program, arguments) = argv.filled(&self.endpoint);
        let failed = |what: String| {
            Failure::new(
                Exit::Failed,
                what,
                "run it by hand, and look at what it prints",
            )
        };
        let mut child = Command::new(&program)
            .args(&arguments)
            .stdin(Stdio::null())
            .stdout(std::io::stderr())
            .kill_on_drop(true)
            .spawn()
            .map_err(|it| failed(format!("{program} cannot be run: {it}")))?;
        let status = timeout(limit, child.wait()).await;
        let status = status.map_err(|_| {
            failed(format!(
                "{program} did not end within {} and was killed",
                span(limit)
            ))
        })?;
        let status = status.map_err(|it| failed(format!("{program} is lost: {it}")))?;
        match status.success() {
            true => Ok(()),
            false => Err(failed(format!("{program} failed: {status}"))),
        }
    }

    async fn restart_in_place(&self, options: &Options) -> Result<(), Failure> {
        let because = node::Args::because(&options.reason);
        for participant in self.upgrade().await?.participants {
            let body = because.body();
            let name = &participant.name;
            let begun = operate::begin(&self.session, operate::Verb::Restart, name, body).await;
            let (_, operation) = begun.map_err(|it| it.at(name))?;
            self.follow(operation, options).await?;
        }
        let body = because.body();
        self.end(
            node::begin(&self.session, node::Verb::Resume, body)
                .await?
                .1,
            options,
        )
        .await
    }

    async fn end(&self, outcome: Outcome, options: &Options) -> Result<(), Failure> {
        match outcome.begun {
            Some(operation) => self.follow(operation, options).await,
            None => Ok(()),
        }
    }

    async fn follow(&self, operation: Operation, options: &Options) -> Result<(), Failure> {
        let patience = Patience::of(options.restart_timeout);
        let ended = follow::ended(&self.session, &self.place(), operation, patience).await;
        let (_, operation) = ended?;
        follow::failed(&operation).map_or(Ok(()), Err)
    }
}
