//! Units of systemd: the deadline that the host is told, and what it may do.

use crate::check_deploy::rule::{Rule, Violation};
use crate::check_deploy::{File, Host, seconds};

/// What every unit of a host says. The rest is a matter of taste, and has its figure in [`tools`](super::tools).
const SETTINGS: [(&str, &str); 8] = [
    ("Type", "notify"),
    ("Restart", "on-failure"),
    ("RestartPreventExitStatus", "64 78"),
    ("DynamicUser", "yes"),
    ("NoNewPrivileges", "yes"),
    ("ProtectSystem", "strict"),
    ("CapabilityBoundingSet", ""),
    ("MemoryDenyWriteExecute", "yes"),
];

/// What must be there, whatever it is.
const NUMBERS: [&str; 3] = ["WatchdogSec", "TimeoutStartSec", "TimeoutStopSec"];

/// How long a unit gives a start.
pub(crate) fn start_limit(unit: &File) -> Option<u64> {
    seconds::parse(setting(unit, "TimeoutStartSec")?)
}

pub(crate) fn violations(host: &Host) -> Vec<Violation> {
    let unit = &host.unit;
    let wrong = SETTINGS
        .iter()
        .filter(|(key, value)| setting(unit, key) != Some(value))
        .map(|(key, value)| unit.violation(Rule::UnitSetting, format!("{key}={value}")));
    let missing = NUMBERS
        .iter()
        .filter(|key| setting(unit, key).and_then(seconds::parse).is_none())
        .map(|key| unit.violation(Rule::UnitSetting, format!("{key}= in seconds")));
    let mut violations: Vec<_> = wrong.chain(missing).collect();
    violations.extend(untold_stop(host));
    violations
}

/// The host is told the manager's limit, by its environment, so that both are in one file.
fn untold_stop(host: &Host) -> Option<Violation> {
    let prefix = host.name.to_ascii_uppercase().replace('-', "_");
    let variable = format!("Environment={prefix}__KILL_TIMEOUT=");
    let told = lines(&host.unit).find_map(|it| it.strip_prefix(&variable));
    let granted = setting(&host.unit, "TimeoutStopSec").and_then(seconds::parse);
    let fits = granted.is_some() && told.and_then(seconds::parse) == granted;
    (!fits).then(|| host.unit.violation(Rule::StopUnknown, variable))
}

/// The value of a key that is there once.
fn setting<'f>(unit: &'f File, key: &str) -> Option<&'f str> {
    lines(unit).find_map(|it| it.strip_prefix(key)?.strip_prefix('='))
}

fn lines(unit: &File) -> impl Iterator<Item = &str> {
    let lines = unit.content.lines().map(str::trim);
    lines.filter(|it| !it.starts_with(['#', ';']))
}
