//! Log output for hosts that have none.

use std::io::{self, IsTerminal};
use std::panic::{self, PanicHookInfo};
use std::time::Duration;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use super::log_filter;
use super::stderr::{self, Lines};
use super::traces::Traces;

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LogFormat {
    /// For people; in colours on a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What log output a host installs on standard error, unless some is installed already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// The form of lines; text unless set.
    pub format: LogFormat,
    /// Which lines are written, as `tracing_subscriber::EnvFilter` reads it; `info` unless set. What cannot be read is
    /// left out.
    pub filter: String,
    /// The environment variable that overrides the filter when it is set; `RUST_LOG` unless set, `None` for none.
    pub filter_variable: Option<String>,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            filter: "info".to_owned(),
            filter_variable: Some("RUST_LOG".to_owned()),
        }
    }
}

impl LogConfig {
    /// The filter to begin with.
    fn filter(&self) -> String {
        let variable = self.filter_variable.as_deref();
        let text = variable.and_then(|it| std::env::var(it).ok());
        text.filter(|it| !it.is_empty())
            .unwrap_or_else(|| self.filter.clone())
    }
}

/// How long the end of the process waits for what is still to be written.
pub(super) const LAST_LINES: Duration = Duration::from_millis(500);

/// Installs log output, unless there is some, and with it what spans go to.
pub(super) fn install(config: &LogConfig, traces: Option<&dyn Traces>) {
    match traces {
        None => install_alone(config),
        Some(traces) => install_beside(config, traces.layer()),
    }
}

/// Installs log output whose filter decides for everything: what is not written costs nothing.
fn install_alone(config: &LogConfig) {
    let filter = config.filter();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&filter))
        .with_writer(Lines)
        .with_ansi(io::stderr().is_terminal());
    // An error says that somebody was here before: theirs is used, and its filter is not ours to change.
    match config.format {
        LogFormat::Text => {
            let subscriber = subscriber.with_filter_reloading();
            let reload = subscriber.reload_handle();
            if subscriber.try_init().is_ok() {
                log_filter::installed(filter, move |it| reload.reload(it));
            }
        }
        LogFormat::Json => {
            let subscriber = subscriber.json().with_filter_reloading();
            let reload = subscriber.reload_handle();
            if subscriber.try_init().is_ok() {
                log_filter::installed(filter, move |it| reload.reload(it));
            }
        }
    }
}

/// Installs log output whose filter decides for the log alone, beside what `spans` go to.
fn install_beside(config: &LogConfig, spans: Box<dyn Layer<Registry> + Send + Sync>) {
    let filter = config.filter();
    let (reloading, reload) = reload::Layer::new(EnvFilter::new(&filter));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(Lines)
        .with_ansi(io::stderr().is_terminal());
    let lines = match config.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    let subscriber = tracing_subscriber::registry()
        .with(spans)
        .with(lines.with_filter(reloading));
    if subscriber.try_init().is_ok() {
        log_filter::installed(filter, move |it| reload.reload(it));
    }
}

/// Logs panics from now on. Without anybody who listens, the hook from before writes them.
pub(super) fn install_panic_hook() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !tracing::enabled!(target: "lifecycle", tracing::Level::ERROR) {
            before(info);
            return;
        }
        log_panic(info);
        if cfg!(panic = "abort") {
            // There is nobody afterwards.
            stderr::flush(LAST_LINES);
        }
    }));
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    tracing::error!(
        target: "lifecycle",
        event = "panic",
        thread = thread.name().unwrap_or("unnamed"),
        location = info.location().map(tracing::field::display),
        error = info.payload_as_str().unwrap_or("a panic without a text"),
        "a thread panicked",
    );
}
