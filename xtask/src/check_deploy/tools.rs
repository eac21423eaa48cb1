//! The programs that read the kit, each on its own files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::check_deploy::HOSTS;
use crate::check_deploy::rule::{Rule, Violation};
use crate::process::{output_of, succeeds};

pub(crate) const RULES: &str = "deploy/prometheus/lifecycle-rules.yaml";
pub(crate) const RULE_TESTS: &str = "deploy/prometheus/lifecycle-rules.test.yaml";

/// What a load balancer in front of dispatchers is told.
const BALANCER: &str = "deploy/haproxy/haproxy.cfg";

/// What systemd opens for the dispatcher, if it is asked to.
const SOCKETS: [&str; 2] = ["dispatcher-grpc.socket", "dispatcher-http.socket"];

/// Where `cargo xtask ci` installs it: schemas of Kubernetes, in the package.
pub(crate) const KUBERNETES: &str = "target/kubernetes-validate/bin/kubernetes-validate";

/// What a service may be exposed to, of 100 by systemd's own count; below 20 it is called protected.
const EXPOSURE: &str = "--threshold=15";

/// Runs each program on what it reads.
pub(crate) fn violations(root: &Path) -> Result<Vec<Violation>> {
    let mut violations = Vec::new();
    violations.extend(run("promtool", &["check", "rules", RULES], RULES)?);
    violations.extend(run("promtool", &["test", "rules", RULE_TESTS], RULE_TESTS)?);
    violations.extend(run("haproxy", &["-c", "-q", "-f", BALANCER], BALANCER)?);
    for host in HOSTS {
        let unit = format!("deploy/systemd/{host}.service");
        let copy = runnable(root, &unit, host)?;
        let copy = copy.to_str().context("the path of a unit is no text")?;
        let verify = ["verify", "--man=no", copy];
        violations.extend(run("systemd-analyze", &verify, &unit)?);
        let secure = ["security", "--offline=true", "--no-pager", EXPOSURE, copy];
        violations.extend(quietly("systemd-analyze", &secure, &unit)?);
        let manifests = format!("deploy/kubernetes/{host}/{host}.yaml");
        let validate = ["--strict", "--quiet", manifests.as_str()];
        violations.extend(run(KUBERNETES, &validate, &manifests)?);
    }
    // They name a service, whose copy is there by now.
    for socket in SOCKETS {
        let unit = format!("deploy/systemd/{socket}");
        let copy = copied(root, &unit, |it| it)?;
        let copy = copy.to_str().context("the path of a unit is no text")?;
        let verify = ["verify", "--man=no", copy];
        violations.extend(run("systemd-analyze", &verify, &unit)?);
    }
    Ok(violations)
}

/// A copy of a unit that names a program which is there: `verify` looks for it.
fn runnable(root: &Path, unit: &str, host: &str) -> Result<PathBuf> {
    let program = format!("/usr/local/bin/{host}");
    copied(root, unit, |text| text.replace(&program, "/bin/true"))
}

/// A copy of a unit beside those of the others, changed.
fn copied(root: &Path, unit: &str, change: impl Fn(String) -> String) -> Result<PathBuf> {
    let source = root.join(unit);
    let text = fs::read_to_string(&source).with_context(|| format!("cannot read {unit}"))?;
    let text = change(text);
    let folder = root.join("target/check-deploy");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let copy = folder.join(source.file_name().context("a unit is a file")?);
    fs::write(&copy, text).with_context(|| format!("cannot write {}", copy.display()))?;
    Ok(copy)
}

fn run(program: &str, args: &[&str], path: &str) -> Result<Option<Violation>> {
    let line = [&[program], args].concat();
    judge(program, path, || succeeds(&line))
}

/// One that prints a page also when all is well.
fn quietly(program: &str, args: &[&str], path: &str) -> Result<Option<Violation>> {
    let line = [&[program], args].concat();
    judge(program, path, || {
        Ok(output_of(&line).is_some() || succeeds(&line)?)
    })
}

fn judge(
    program: &str,
    path: &str,
    passes: impl FnOnce() -> Result<bool>,
) -> Result<Option<Violation>> {
    let violation = |rule| Violation {
        path: path.to_owned(),
        rule,
        what: program.to_owned(),
    };
    if !is_there(program) {
        return Ok(Some(violation(Rule::ToolMissing)));
    }
    Ok((!passes()?).then(|| violation(Rule::ToolRefuses)))
}

/// Each answers to one of these.
fn is_there(program: &str) -> bool {
    let mut flags = ["--version", "-v"].into_iter();
    flags.any(|flag| output_of(&[program, flag]).is_some())
}
