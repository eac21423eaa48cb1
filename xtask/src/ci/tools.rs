//! The tools of the gate: found by asking them, installed by package name when missing.

use anyhow::Result;

use crate::check_deploy::KUBERNETES;
use crate::ci::Args;
use crate::ci::stage::Outcome;
use crate::process::{self, say};

/// A program that a stage runs.
#[derive(Debug)]
struct Tool {
    name: &'static str,
    /// The oldest that will do, and the one that is installed.
    version: &'static str,
    /// Prints the version.
    detect: &'static [&'static str],
    install: &'static [&'static str],
}

const TOOLS: &[Tool] = &[
    Tool {
        name: "cargo-deny",
        version: "0.20.2",
        detect: &["cargo", "deny", "--version"],
        install: &["cargo", "install", "--locked", "cargo-deny@0.20.2"],
    },
    Tool {
        name: "cargo-machete",
        version: "0.9.2",
        detect: &["cargo", "machete", "--version"],
        install: &["cargo", "install", "--locked", "cargo-machete@0.9.2"],
    },
    Tool {
        name: "cargo-nextest",
        version: "0.9.143",
        detect: &["cargo", "nextest", "--version"],
        install: &["cargo", "install", "--locked", "cargo-nextest@0.9.143"],
    },
    Tool {
        name: "etcd",
        version: "3.4",
        detect: &["etcd", "--version"],
        install: &["sh", "-c", INSTALL_ETCD],
    },
    Tool {
        name: "etcdctl",
        version: "3.4",
        detect: &["etcdctl", "version"],
        install: &["sh", "-c", INSTALL_ETCD],
    },
    Tool {
        name: "grpcio",
        version: "1.85.3",
        detect: &["target/python/bin/python", "-c", PRINT_GRPCIO],
        install: &["sh", "-c", INSTALL_GRPCIO],
    },
    Tool {
        name: "haproxy",
        version: "2.6",
        detect: &["haproxy", "-v"],
        install: &["sh", "-c", INSTALL_HAPROXY],
    },
    Tool {
        name: "h2load",
        version: "1.52",
        detect: &["h2load", "--version"],
        install: &["sh", "-c", INSTALL_H2LOAD],
    },
    // Commands of the quickstart, which a test runs, make keys and certificates with it.
    Tool {
        name: "openssl",
        version: "3.0",
        detect: &["openssl", "version"],
        install: &["sh", "-c", INSTALL_OPENSSL],
    },
    Tool {
        name: "promtool",
        version: "2.42",
        detect: &["sh", "-c", "promtool --version 2>&1"],
        install: &["sh", "-c", INSTALL_PROMTOOL],
    },
    // Behind grpcio, whose installation makes the folder anew.
    Tool {
        name: "schemathesis",
        version: "4.32.5",
        detect: &["target/python/bin/python", "-c", PRINT_SCHEMATHESIS],
        install: &["sh", "-c", INSTALL_SCHEMATHESIS],
    },
    // Wanted by the build script of etcd's client.
    Tool {
        name: "protoc",
        version: "3.21",
        detect: &["protoc", "--version"],
        install: &["sh", "-c", INSTALL_PROTOC],
    },
    Tool {
        name: "systemd-analyze",
        version: "252",
        detect: &["systemd-analyze", "--version"],
        install: &["sh", "-c", INSTALL_SYSTEMD],
    },
    // It tells its version together with how it is used, which it takes for a failure.
    Tool {
        name: "wrk",
        version: "4.1",
        detect: &["sh", "-c", "wrk -v 2>&1 || true"],
        install: &["sh", "-c", INSTALL_WRK],
    },
    Tool {
        name: "kubernetes-validate",
        version: "1.37.0",
        detect: &[KUBERNETES, "--version"],
        install: &["sh", "-c", INSTALL_KUBERNETES],
    },
];

/// Fails where a test would: when anything of it is missing.
const PRINT_GRPCIO: &str = "import grpc, grpc_health.v1.health, grpc_reflection.v1alpha.reflection; print(grpc.__version__)";

/// Into a folder of its own, which is made anew: one from another interpreter is of no use.
const INSTALL_GRPCIO: &str = "python3 -m venv --clear target/python && \
    target/python/bin/pip install --quiet --requirement crates/dispatcher/tests/foreign/requirements.txt \
    --requirement crates/control-plane-host/tests/foreign/requirements.txt";

const PRINT_SCHEMATHESIS: &str = "import schemathesis.cli, prometheus_client, importlib.metadata as it; print(it.version('schemathesis'))";

/// Beside grpcio, in a folder that is there by now, if only it could be made.
const INSTALL_SCHEMATHESIS: &str = "target/python/bin/python -m pip install --quiet \
    --requirement crates/feature-tests/tests/conformance/requirements.txt";

/// As the system's administrator, whoever that is here.
const INSTALL_H2LOAD: &str = "as=; test \"$(id -u)\" = 0 || as=sudo; \
    $as apt-get update --quiet && $as apt-get install --yes --quiet nghttp2-client";

const INSTALL_HAPROXY: &str = "as=; test \"$(id -u)\" = 0 || as=sudo; \
    $as apt-get update --quiet && $as apt-get install --yes --quiet --no-install-recommends haproxy";

const INSTALL_WRK: &str = "as=; test \"$(id -u)\" = 0 || as=sudo; \
    $as apt-get update --quiet && $as apt-get install --yes --quiet wrk";

const INSTALL_OPENSSL: &str = "as=; test \"$(id -u)\" = 0 || as=sudo; \
    $as apt-get update --quiet && $as apt-get install --yes --quiet openssl";

/// It has no package of its own: the server comes with it, without the exporters that are recommended beside that.
const INSTALL_PROMTOOL: &str = "as=; test \"$(id -u)\" = 0 || as=sudo; $as apt-get update --quiet && \
    $as apt-get install --yes --quiet --no-install-recommends prometheus";

const INSTALL_ETCD: &str = "as=; test \"$(id -u)\" = 0 || as=sudo; \
    $as apt-get update --quiet && $as apt-get install --yes --quiet etcd-server etcd-client";

const INSTALL_PROTOC: &str = "as=; test \"$(id -u)\" = 0 || as=sudo; \
    $as apt-get update --quiet && $as apt-get install --yes --quiet protobuf-compiler";

const INSTALL_SYSTEMD: &str = "as=; test \"$(id -u)\" = 0 || as=sudo; \
    $as apt-get update --quiet && $as apt-get install --yes --quiet --no-install-recommends systemd";

/// It brings the schemas of Kubernetes along.
const INSTALL_KUBERNETES: &str = "python3 -m venv --clear target/kubernetes-validate && \
    target/kubernetes-validate/bin/pip install --quiet kubernetes-validate==1.37.0";

/// Finds every tool, and installs what is missing unless the caller said not to.
pub(crate) fn check(args: &Args) -> Result<Outcome> {
    let mut wanting = Vec::new();
    for tool in TOOLS {
        let there = tool.is_there()? || (!args.no_install && tool.install()? && tool.is_there()?);
        if !there {
            wanting.push(tool.name);
        }
    }
    if wanting.is_empty() {
        return Ok(Outcome::Passed);
    }
    Ok(Outcome::Failed(format!("missing: {}", wanting.join(", "))))
}

impl Tool {
    fn is_there(&self) -> Result<bool> {
        let Self { name, version, .. } = self;
        let found = process::output_of(self.detect);
        let Some(found) = found.as_deref().and_then(printed_version) else {
            say(format_args!(
                "{name}: missing, {version} is wanted; to install: {}",
                self.install.join(" ")
            ))?;
            return Ok(false);
        };
        let enough = parts(found) >= parts(version);
        let remark = if enough { "" } else { ", too old" };
        say(format_args!(
            "{name}: {found}{remark} ({version} is wanted)"
        ))?;
        Ok(enough)
    }

    fn install(&self) -> Result<bool> {
        process::succeeds(self.install)
    }
}

/// The first word that begins with a digit: tools print `cargo-deny 0.20.2`, `h2load nghttp2/1.52.0` or `0.9.2`.
fn printed_version(output: &str) -> Option<&str> {
    output
        .split(|it: char| it.is_whitespace() || it == '/')
        .find(|it| it.starts_with(|it: char| it.is_ascii_digit()))
}

fn parts(version: &str) -> Vec<u32> {
    version.split('.').map_while(|it| it.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_in_what_a_tool_prints() {
        assert_eq!(
            printed_version("cargo-nextest 0.9.143 (60fa45f63 2026-08-04)\n"),
            Some("0.9.143")
        );
        assert_eq!(printed_version("h2load nghttp2/1.52.0\n"), Some("1.52.0"));
        assert_eq!(
            printed_version("promtool, version 2.42.0+ds (branch: debian/sid)\n"),
            Some("2.42.0+ds")
        );
        assert_eq!(printed_version("0.9.2\n"), Some("0.9.2"));
        assert_eq!(printed_version("no such command\n"), None);
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(parts("0.9.143") > parts("0.9.99"));
        assert!(parts("1.0.0") > parts("0.20.2"));
        assert!(parts("0.20.2") >= parts("0.20.2"));
        assert!(parts("2.42.0+ds") >= parts("2.42"));
    }

    /// Else a newer tool would be asked for than is installed.
    #[test]
    fn what_is_installed_is_what_is_wanted() {
        for tool in TOOLS.iter().filter(|it| it.install[0] == "cargo") {
            let package = format!("{}@{}", tool.name, tool.version);
            assert!(tool.install.contains(&package.as_str()), "{package}");
        }
        for (name, owner) in [
            ("grpcio", "dispatcher/tests/foreign"),
            ("grpcio", "control-plane-host/tests/foreign"),
            ("schemathesis", "feature-tests/tests/conformance"),
        ] {
            let path = format!("crates/{owner}/requirements.txt");
            let tool = TOOLS.iter().find(|it| it.name == name).unwrap();
            assert!(tool.install.iter().any(|it| it.contains(&path)), "{path}");
            let requirements = std::fs::read_to_string(process::root().join(&path)).unwrap();
            let package = format!("{name}=={}", tool.version);
            assert!(
                requirements.lines().any(|it| it == package),
                "{path}: {package}"
            );
        }
    }
}
