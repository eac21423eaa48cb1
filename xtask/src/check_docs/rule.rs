//! The rules by id, what each says, and what to do about a violation.

use std::fmt;

/// One rule of the documents. Its id is printed, so it must never change its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    TestUnlisted,
    TestRowUnknown,
    TestNotRun,
    TestMissing,
    TestMisplaced,
    RowUnproved,
    RowNumbering,
    LinkBroken,
    PathMissing,
    AdrNumbering,
    CommandUnknown,
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
            Self::TestUnlisted => Wording {
                id: "test-unlisted",
                says: "a test that is named for a row is listed in it",
                remedy: "run `cargo xtask check-docs --write`, and correct the row's Open column",
            },
            Self::TestRowUnknown => Wording {
                id: "test-row-unknown",
                says: "museum_ and contract_ are followed by the number of a row that exists",
                remedy: "give the test the number of its row, or another name",
            },
            Self::TestNotRun => Wording {
                id: "test-not-run",
                says: "a function that is named for a row is a test, and no ignored one",
                remedy: "put the test attribute above it, or give the helper another name",
            },
            Self::TestMissing => Wording {
                id: "test-missing",
                says: "every test that a page names is in the file that is named before it",
                remedy: "run `cargo xtask check-docs --write`; in docs/requirements.md, name the test that replaces it",
            },
            Self::TestMisplaced => Wording {
                id: "test-misplaced",
                says: "a row lists the tests that are named for it alone",
                remedy: "run `cargo xtask check-docs --write`, or rename the test",
            },
            Self::RowUnproved => Wording {
                id: "row-unproved",
                says: "a row names a test, or says in its Open column what will close it",
                remedy: "write the test, or say what it waits for",
            },
            Self::RowNumbering => Wording {
                id: "row-numbering",
                says: "the rows of a page are numbered as agreed, each once",
                remedy: "restore the row; what no longer holds is struck by a decision, not removed",
            },
            Self::LinkBroken => Wording {
                id: "link-broken",
                says: "every relative link leads to a file, and its fragment to a heading",
                remedy: "correct the target, or add the file in the same change",
            },
            Self::PathMissing => Wording {
                id: "path-missing",
                says: "every path from the root that a document names exists",
                remedy: "correct the path; for what is planned, name the crate without a path",
            },
            Self::AdrNumbering => Wording {
                id: "adr-numbering",
                says: "decisions are numbered from 0001 without a gap, one file each",
                remedy: "take the next free number, or add the decision that is missing",
            },
            Self::CommandUnknown => Wording {
                id: "command-unknown",
                says: "a command of cargo in a document is one that cargo, or xtask's own command line, takes here",
                remedy: "correct the command; what is known of cargo is in xtask/src/check_docs/commands/cargo.rs",
            },
        }
    }
}

/// One place where a rule is broken.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    path: String,
    line: usize,
    rule: Rule,
    /// The name, link or number that is wrong.
    what: String,
}

impl Violation {
    pub(crate) fn new(rule: Rule, path: &str, line: usize, what: String) -> Self {
        Self {
            path: path.to_owned(),
            line,
            rule,
            what,
        }
    }

    #[cfg(test)]
    pub(crate) fn rule(&self) -> Rule {
        self.rule
    }

    /// `file:line: what`.
    #[cfg(test)]
    pub(crate) fn place(&self) -> String {
        let Self {
            path, line, what, ..
        } = self;
        format!("{path}:{line}: {what}")
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Wording { id, says, remedy } = self.rule.wording();
        writeln!(f, "error[{id}]: {}", self.what)?;
        writeln!(f, "  where:  {}:{}", self.path, self.line)?;
        writeln!(f, "  rule:   {says}")?;
        writeln!(f, "  remedy: {remedy}")
    }
}
