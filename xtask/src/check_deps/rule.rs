//! The rules by id, what each says, and what to do about a violation.

use std::fmt;

/// One rule of the boundary. Its id is printed, so it must never change its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    LayerUnlisted,
    LayerUpward,
    LayerSideways,
    LayerTransitive,
    DevOnly,
    XtaskUsed,
    CoreDependency,
    CoreCrateCount,
    CoreTokioFeatures,
    ExternalUnlisted,
    WorkspaceInherited,
    ForbiddenWord,
    Sequencing,
}

/// What a rule prints about itself.
struct Wording {
    id: &'static str,
    says: &'static str,
    remedy: &'static str,
}

impl Rule {
    const fn wording(self) -> Wording {
        match self {
            Self::LayerUnlisted => Wording {
                id: "layer-unlisted",
                says: "every member of the workspace has a row in the layer table",
                remedy: "add the crate to TABLE in xtask/src/check_deps/layers.rs and to docs/architecture.md",
            },
            Self::LayerUpward => Wording {
                id: "layer-upward",
                says: "a crate uses only crates of the layers below its own",
                remedy: "move what is shared down, or let the upper crate pass it in as a value or a trait",
            },
            Self::LayerSideways => Wording {
                id: "layer-sideways",
                says: "crates of one layer do not know each other",
                remedy: "move what both need to a lower layer, or join the two in a host",
            },
            Self::LayerTransitive => Wording {
                id: "layer-transitive",
                says: "a crate does not reach its own layer or an upper one through another package either",
                remedy: "drop the first dependency of the path, or what leads on from it",
            },
            Self::DevOnly => Wording {
                id: "dev-only",
                says: "the test kit is used by tests alone",
                remedy: "move the entry to [dev-dependencies]",
            },
            Self::XtaskUsed => Wording {
                id: "xtask-used",
                says: "no crate depends on xtask",
                remedy: "move the code that is wanted into a crate of its own",
            },
            Self::CoreDependency => Wording {
                id: "core-dependency",
                says: "lifecycle-core depends on serde, thiserror and tokio-util, and on nothing else",
                remedy: "write the few lines in plain code or keep the need in lifecycle-runtime; otherwise an ADR and a change of TABLE",
            },
            Self::CoreCrateCount => Wording {
                id: "core-crate-count",
                says: "lifecycle-core and all it builds stay within 16 crates, with every feature on",
                remedy: "drop the dependency or the feature that brought the new crates",
            },
            Self::CoreTokioFeatures => Wording {
                id: "core-tokio-features",
                says: "lifecycle-core builds tokio with its `sync` feature alone, so without a runtime",
                remedy: "drop the feature of tokio-util that turns the others on",
            },
            Self::ExternalUnlisted => Wording {
                id: "external-unlisted",
                says: "what a crate takes from outside is listed, with its reason in docs/architecture.md",
                remedy: "do without it, or give the reason there, a line in docs/dependencies.md and a place in TABLE",
            },
            Self::WorkspaceInherited => Wording {
                id: "workspace-inherited",
                says: "every dependency is declared once, in [workspace.dependencies] of the root manifest",
                remedy: "declare it there and write `workspace = true` here",
            },
            Self::ForbiddenWord => Wording {
                id: "forbidden-word",
                says: "a lifecycle crate does not name who uses it, nor a transport it has no part in",
                remedy: "say it in the terms of components, or move it to the crate that may know",
            },
            Self::Sequencing => Wording {
                id: "sequencing",
                says: "a crate whose parts are components leaves it to the orchestrator to start, stop and look after them",
                remedy: "make it a component with its edges and policies, and give its tasks to the scope of its generation",
            },
        }
    }
}

/// One place where a rule is broken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) package: String,
    pub(crate) rule: Rule,
    /// The edge, the whole path of a transitive one, or `file:line`.
    pub(crate) place: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Wording { id, says, remedy } = self.rule.wording();
        writeln!(f, "error[{id}]: {}", self.package)?;
        writeln!(f, "  where:  {}", self.place)?;
        writeln!(f, "  rule:   {says}")?;
        writeln!(f, "  remedy: {remedy}")
    }
}
