//! `rolling-restart HOST…`: hosts one after another, or a few at a time, up to the first regression.
//!
//! Each host is cordoned, drained, restarted and waited for. Before each step all hosts are asked: no more than the budget
//! allows may be away at once, whoever's doing it is. What is done is written down after each phase of each host, so that a
//! run that was stopped can go on.

mod argv;
mod gate;
mod host;
mod progress;

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use self::argv::Argv;
use self::gate::{Gate, Rate, Share};
use self::host::Host;
use self::progress::{Phase, Progress};
use crate::cli::duration;
use crate::client::REQUEST;
use crate::endpoint::Endpoint;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::{Patience, Session};
use crate::text::{Facts, counted, listed, span};
use crate::wait;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The hosts, in this order: HOST, HOST:PORT, http://HOST:PORT or https://HOST:PORT.
    #[arg(value_name = "HOST", required_unless_present = "resume")]
    hosts: Vec<Endpoint>,
    #[command(flatten)]
    options: Options,
    /// Write down here what is done; the file is gone when all is.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Go on with the run that is written down there, with its hosts and options.
    #[arg(long, requires = "state", conflicts_with_all = ["hosts", "Options"])]
    resume: bool,
    /// Print the plan, look at the hosts, and touch nothing.
    #[arg(long)]
    dry_run: bool,
}

/// How hosts are restarted.
#[derive(Clone, Debug, PartialEq, clap::Args, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Options {
    /// Restart a host by this command, with {host}, {port} and {endpoint}; unset, its drain participants restart in place.
    ///
    /// Words are separated by blanks; '…' and "…" keep blanks within a word. No shell is involved, and nothing else is special.
    #[arg(long, value_name = "COMMAND")]
    restart_command: Option<String>,
    /// Why; it is kept and shown.
    #[arg(long, value_name = "TEXT", default_value = "rolling restart")]
    reason: String,
    /// How many of the hosts may be unready at once, whatever the reason.
    #[arg(long, value_name = "COUNT", default_value = "1")]
    max_unavailable: NonZeroUsize,
    /// How long a cordoned host is still served before it is drained: as a load balancer needs to see that it is unready.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    // A state of a run that knew nothing of it.
    #[serde(default)]
    settle: Duration,
    /// How long the work in flight of a host may take to finish.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5m")]
    drain_deadline: Duration,
    /// Give up what is still in flight after this time.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    force_after: Option<Duration>,
    /// How long the command, or the restart of one component, may take.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5m")]
    restart_timeout: Duration,
    /// How long a restarted host may take to be ready.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "2m")]
    ready_timeout: Duration,
    /// How long a host must stay ready before the next one: as a load balancer needs to see it.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    pause: Duration,
    /// Stop when more than this share of calls fail meanwhile, as 0.01 or 1%.
    #[arg(long, value_name = "SHARE")]
    max_error_rate: Option<Share>,
    /// Count calls in these metrics; unset, in those of the hosts that remain.
    #[arg(long, value_name = "URL", requires = "max_error_rate")]
    error_rate_url: Vec<Endpoint>,
    /// The counter of calls.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "omnirelay_rpc_requests_total"
    )]
    error_rate_metric: String,
    /// The label that a good call has.
    #[arg(long, value_name = "LABEL=VALUE", default_value = "code=OK")]
    error_rate_good: String,
}

pub(crate) async fn run(session: &Session, args: &Args) -> Result<Exit, Failure> {
    let roll = Roll::new(session, args)?;
    session.screen.progress(&roll.plan())?;
    if args.dry_run {
        return roll.look().await;
    }
    session.goes_on(match &args.state {
        Some(file) => format!(
            "the hosts stay as they are; `rolling-restart --resume --state {}` goes on",
            file.display()
        ),
        None => "the hosts stay as they are; `status` and `resume` of each one help".to_owned(),
    });
    let outcome = roll.go().await;
    if session.screen.is_json() {
        session
            .screen
            .print(&format!("{}\n", roll.progress.borrow().document()))?;
    }
    outcome
}

/// One run.
struct Roll<'a> {
    session: &'a Session,
    argv: Option<Argv>,
    gate: Option<Gate>,
    hosts: Vec<Host>,
    /// Never borrowed across a wait: the hosts of one step run side by side.
    progress: RefCell<Progress>,
}

impl<'a> Roll<'a> {
    /// # Errors
    ///
    /// When the command line makes no sense, or the file is not to be had.
    fn new(session: &'a Session, args: &Args) -> Result<Self, Failure> {
        let progress = match (args.resume, &args.state) {
            (true, Some(file)) => Progress::read(file)?,
            (_, file) => Progress::new(&args.hosts, args.options.clone(), file.clone())?,
        };
        let options = &progress.options;
        let argv = options.restart_command.as_deref().map(Argv::parse);
        let remedy = "--restart-command 'systemctl restart dispatcher@{host}'";
        let argv = argv.transpose().map_err(|it| Failure::usage(it, remedy))?;
        let endpoints: Vec<_> = progress
            .hosts
            .iter()
            .map(|it| it.endpoint.clone())
            .collect();
        let hosts = endpoints.iter().map(|it| Host::new(session, it.clone()));
        let roll = Self {
            session,
            argv,
            gate: Gate::new(options)?,
            hosts: hosts.collect::<Result<_, _>>()?,
            progress: RefCell::new(progress),
        };
        if let Some(gate) = &roll.gate {
            gate.clients(&session.client)?;
        }
        roll.check_gate()?;
        roll.check_limits()?;
        Ok(roll)
    }

    /// A gate that reads nothing would let everything through.
    fn check_gate(&self) -> Result<(), Failure> {
        let most = self.options().max_unavailable.get();
        let blind = |it: &Gate| it.urls.is_empty() && self.hosts.len() <= most;
        match self.gate.as_ref().is_some_and(blind) {
            true => Err(Failure::usage(
                "no host remains whose calls could be counted for --max-error-rate",
                "name other metrics by --error-rate-url, or leave it out",
            )),
            false => Ok(()),
        }
    }

    /// A host refuses what can never come to pass, but only once it is cordoned.
    fn check_limits(&self) -> Result<(), Failure> {
        let options = self.options();
        match options
            .force_after
            .is_some_and(|it| it >= options.drain_deadline)
        {
            true => Err(Failure::usage(
                "--force-after is not less than --drain-deadline",
                "after its deadline a drain has failed: force it before",
            )),
            false => Ok(()),
        }
    }

    fn options(&self) -> Options {
        self.progress.borrow().options.clone()
    }

    fn plan(&self) -> String {
        let options = self.options();
        let progress = self.progress.borrow();
        let open = progress.hosts.iter().filter(|it| it.phase != Phase::Done);
        let open: Vec<_> = open.map(|it| it.endpoint.to_string()).collect();
        let mut facts = Facts::default();
        facts.add("hosts", listed(&open, usize::MAX));
        if let done @ 1.. = progress.hosts.len() - open.len() {
            facts.add("hosts", format!("{done} done already"));
        }
        let most = options.max_unavailable;
        facts.add(
            "at once",
            format!("at most {most} unready, whatever the reason"),
        );
        if !options.settle.is_zero() {
            let settle = span(options.settle);
            facts.add("settle", format!("{settle} between cordon and drain"));
        }
        let forced = options.force_after;
        let forced = forced.map(|it| format!(", by force after {}", span(it)));
        let drain = format!("within {}", span(options.drain_deadline));
        facts.add("drain", drain + &forced.unwrap_or_default());
        let in_place = "the drain participants, in place";
        let restart = options.restart_command.as_deref().unwrap_or(in_place);
        facts.add("restart", restart);
        facts.add("ready", format!("within {}", span(options.ready_timeout)));
        if !options.pause.is_zero() {
            facts.add("pause", format!("{} of readiness", span(options.pause)));
        }
        if let Some(gate) = &self.gate {
            facts.add("errors", gate.to_string());
        }
        facts.render(&self.session.screen)
    }

    /// Looks at each host, and says what would stand in the way.
    async fn look(&self) -> Result<Exit, Failure> {
        let mut exit = Exit::Done;
        let looks = join_all(self.hosts.iter().map(|it| self.seen(it))).await;
        for (host, seen) in self.hosts.iter().zip(looks) {
            let line = match seen {
                Ok(None) => format!("{host}: ready"),
                Ok(Some(why)) => format!("{host}: not ready: {why}"),
                Err(failure) => {
                    exit = Exit::Failed;
                    format!("{host}: {}", failure.what)
                }
            };
            self.session.screen.progress(&line)?;
        }
        if self.session.screen.is_json() {
            let document = self.progress.borrow().document();
            self.session.screen.print(&format!("{document}\n"))?;
        }
        Ok(exit)
    }

    /// Why a host is not ready.
    async fn seen(&self, host: &Host) -> Result<Option<String>, Failure> {
        host.check(self.argv.is_some()).await?;
        wait::unready(&host.session, Patience::of(REQUEST)).await
    }

    async fn go(&self) -> Result<Exit, Failure> {
        self.check_hosts().await?;
        loop {
            let batch = self.next_batch().await?;
            if batch.is_empty() {
                break;
            }
            let before = self.count(&batch).await?;
            let restarts = batch.iter().map(|index| self.restart(*index));
            for outcome in join_all(restarts).await {
                outcome?;
            }
            self.stay_ready(&batch).await?;
            self.compare(&batch, before).await?;
        }
        let count = counted(self.hosts.len(), "host");
        self.progress.borrow().remove()?;
        self.session
            .screen
            .progress(&format!("{count} restarted"))?;
        Ok(Exit::Done)
    }

    /// Nothing is touched while a host cannot be restarted as it is asked.
    async fn check_hosts(&self) -> Result<(), Failure> {
        for (index, host) in self.hosts.iter().enumerate() {
            if self.phase(index) == Phase::Pending {
                let checked = host.check(self.argv.is_some()).await;
                checked.map_err(|it| it.at(&host.to_string()))?;
            }
        }
        Ok(())
    }

    /// What may be restarted now: those that a run has left in the middle first, then in the order that was given, as many
    /// as the budget allows beside those that are away already.
    async fn next_batch(&self) -> Result<Vec<usize>, Failure> {
        let mut open: Vec<_> = (0..self.hosts.len())
            .filter(|index| self.phase(*index) != Phase::Done)
            .collect();
        if open.is_empty() {
            return Ok(open);
        }
        open.sort_by_key(|index| self.phase(*index) == Phase::Pending);
        let looks = self
            .hosts
            .iter()
            .map(|it| wait::unready(&it.session, Patience::of(REQUEST)));
        let mut away = Vec::new();
        for (index, look) in join_all(looks).await.into_iter().enumerate() {
            let why = look.map_err(|it| it.at(&self.hosts[index].to_string()))?;
            away.extend(why.map(|why| (index, why)));
        }
        let most = self.options().max_unavailable.get();
        let mut batch: Vec<usize> = Vec::new();
        for index in open {
            let others = away
                .iter()
                .filter(|(it, _)| !batch.contains(it) && *it != index);
            if others.count() + batch.len() < most {
                batch.push(index);
            }
        }
        match batch.is_empty() {
            false => Ok(batch),
            true => Err(self.no_budget(&away)),
        }
    }

    fn no_budget(&self, away: &[(usize, String)]) -> Failure {
        let away: Vec<_> = away
            .iter()
            .map(|(index, why)| format!("{} ({why})", self.hosts[*index]))
            .collect();
        let what = format!(
            "stopped: as many hosts are unready as --max-unavailable allows: {}",
            listed(&away, 5)
        );
        Failure::new(Exit::Failed, what, self.remedy())
    }

    async fn restart(&self, index: usize) -> Result<(), Failure> {
        let host = &self.hosts[index];
        let done = host.restart(self, index).await;
        done.map_err(|failure| {
            let failure = Failure {
                exit: match failure.exit {
                    Exit::TimedOut => Exit::Failed,
                    other => other,
                },
                ..failure
            };
            self.progress.borrow_mut().hosts[index].error = Some(failure.what.clone());
            // The first error counts; that it cannot be written down comes second.
            let _ = self.progress.borrow().write();
            let remedy = format!("{}; then {}", failure.remedy, self.remedy());
            Failure { remedy, ..failure }.at(&format!("stopped at {host}"))
        })
    }

    fn remedy(&self) -> String {
        let progress = self.progress.borrow();
        let done = progress.hosts.iter().filter(|it| it.phase == Phase::Done);
        let done = format!("{} of {} done", done.count(), progress.hosts.len());
        match &progress.file {
            Some(file) => format!("--resume --state {} goes on ({done})", file.display()),
            None => format!("name those that remain ({done})"),
        }
    }

    fn phase(&self, index: usize) -> Phase {
        self.progress.borrow().hosts[index].phase
    }

    /// Writes down that a host has come so far.
    fn reached(&self, index: usize, phase: Phase) -> Result<(), Failure> {
        let mut progress = self.progress.borrow_mut();
        progress.hosts[index].phase = phase;
        progress.hosts[index].error = None;
        progress.write()?;
        let line = format!("{}: {}", self.hosts[index], phase.as_str());
        self.session.screen.progress(&line)
    }

    /// What comes up and goes down again is a regression, too.
    async fn stay_ready(&self, batch: &[usize]) -> Result<(), Failure> {
        let pause = self.options().pause;
        if pause.is_zero() {
            return Ok(());
        }
        tokio::time::sleep(pause).await;
        for index in batch {
            let host = &self.hosts[*index];
            if let Some(why) = wait::unready(&host.session, Patience::of(REQUEST)).await? {
                let what = format!("stopped: {host} did not stay ready: {why}");
                return Err(Failure::new(Exit::Failed, what, self.remedy()));
            }
        }
        Ok(())
    }

    async fn count(&self, batch: &[usize]) -> Result<Option<gate::Reading>, Failure> {
        let Some(gate) = &self.gate else {
            return Ok(None);
        };
        let remaining = (0..self.hosts.len()).filter(|it| !batch.contains(it));
        let remaining = remaining.map(|it| self.hosts[it].session.client.clone());
        Ok(Some(
            gate.read(&self.session.client, remaining.collect()).await?,
        ))
    }

    async fn compare(&self, batch: &[usize], before: Option<gate::Reading>) -> Result<(), Failure> {
        let after = self.count(batch).await?;
        let (Some(gate), Some(before), Some(after)) = (&self.gate, before, after) else {
            return Ok(());
        };
        let rate = Rate::between(&before, &after);
        self.session.screen.progress(&rate.to_string())?;
        match gate.allows(&rate) {
            true => Ok(()),
            false => {
                let what = format!("stopped: {rate}, and {} is allowed", gate.most);
                Err(Failure::new(Exit::Failed, what, self.remedy()))
            }
        }
    }
}
