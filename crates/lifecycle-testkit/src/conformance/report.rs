//! [`Report`]: what a component was tried on, and what was found.

use std::fmt;

use super::Check;

/// Something that the contract asks for and the component does not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where it showed.
    pub check: Check,
    /// What happened.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.what)
    }
}

/// What a component was tried on, and everything that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Report {
    /// The component's name.
    pub component: String,
    /// The checks without a finding.
    pub passed: Vec<Check>,
    /// The checks that were left out, or had no prospect.
    pub skipped: Vec<Check>,
    /// Everything that was found.
    pub findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(component: String) -> Self {
        Self {
            component,
            passed: Vec::new(),
            skipped: Vec::new(),
            findings: Vec::new(),
        }
    }

    pub(super) fn enter(&mut self, check: Check, found: Vec<String>) {
        if found.is_empty() {
            self.passed.push(check);
        }
        let findings = found.into_iter().map(|what| Finding { check, what });
        self.findings.extend(findings);
    }

    pub(super) fn found_in(&self, check: Check) -> bool {
        self.findings.iter().any(|it| it.check == check)
    }

    /// Asserts that nothing was found.
    ///
    /// # Panics
    ///
    /// Otherwise, with the list.
    #[track_caller]
    pub fn assert_ok(&self) {
        assert!(self.findings.is_empty(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (passed, findings) = (self.passed.len(), self.findings.len());
        write!(
            f,
            "\"{}\": {passed} checks passed, {findings} findings",
            self.component
        )?;
        self.findings
            .iter()
            .try_for_each(|it| write!(f, "\n  - {it}"))?;
        self.skipped
            .iter()
            .try_for_each(|it| write!(f, "\n  - {it}: skipped"))
    }
}
