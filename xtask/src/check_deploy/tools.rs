//! The programs that read the kit, each on its own files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::check_deploy::HOSTS;
use crate::check_deploy::rule::{Rule, Violation};
use crate::process::{output_of, succeeds};

pub(crate) const RULES: &str = "deploy/prometheus/lifecycle-rules.yaml";
pub(crate) const RULE_TESTS: &str = "deploy/prometheus/lifecycle-rules.test.yaml";

/// Where `cargo xtask ci` installs it: schemas of Kubernetes, in the package.
pub(crate) const KUBERNETES: &str = "target/kubernetes-validate/bin/kubernetes-validate";

/// What a service may be exposed to, of 100 by systemd's own count; below 20 it is called protected.
const EXPOSURE: &str = "--threshold=15";

/// Runs each program on what it reads.
pub(crate) fn violations(root: &Path) -> Result<Vec<Violation>> {
    let mut violations = Vec::new();
    violations.extend(run("promtool", &["check", "rules", RULES], RULES)?);
    violations.extend(run("promtool", &["test", "rules", RULE_TESTS], RULE_TESTS)?);
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
    Ok(violations)
}

/// A copy of a unit that names a program which is there: `verify` looks for it.
fn runnable(root: &Path, unit: &str, host: &str) -> Result<PathBuf> {
    let text =
        fs::read_to_string(root.join(unit)).with_context(|| format!("cannot read {unit}"))?;
    let text = text.replace(&format!("/usr/local/bin/{host}"), "/bin/true");
    let folder = root.join("target/check-deploy");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let copy = folder.join(format!("{host}.service"));
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

/// All three answer to this.
fn is_there(program: &str) -> bool {
    output_of(&[program, "--version"]).is_some()
}
