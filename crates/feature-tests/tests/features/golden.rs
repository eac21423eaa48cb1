//! What the command line prints of real hosts, compared with files.

use std::path::Path;
use std::{env, fs};

use crate::shell::{Outcome, Shell};
use crate::transcript::says_the_same;

/// Whether files are to be written where they differ: look at what has changed then.
pub(crate) fn writes() -> bool {
    env::var("FEATURE_TESTS_GOLDEN").is_ok_and(|it| it == "write")
}

/// Runs `lifecyclectl` with these words and compares what it prints with the file of that name.
#[track_caller]
pub(crate) fn check(name: &str, shell: &Shell, words: &str, exit: i32) -> Outcome {
    let outcome = shell.ctl(words).ended(exit);
    compare(name, words, &outcome);
    outcome
}

/// Compares what was printed.
#[track_caller]
pub(crate) fn compare(name: &str, words: &str, outcome: &Outcome) {
    let page = format!("$ lifecyclectl {words}\n{}", outcome.page());
    compare_by(name, &page, says_the_same);
}

/// Compares a page of which nothing differs from run to run.
#[track_caller]
pub(crate) fn compare_exactly(name: &str, page: &str) {
    compare_by(name, page, |expected, page| expected == page);
}

#[track_caller]
fn compare_by(name: &str, page: &str, is_same: fn(&str, &str) -> bool) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/features/golden");
    let file = folder.join(format!("{name}.txt"));
    let expected = fs::read_to_string(&file).unwrap_or_default();
    if is_same(&expected, page) {
        return;
    }
    if writes() {
        fs::write(&file, page).expect("it is written");
        return;
    }
    panic!("{} differs:\n{expected}\n-- is\n{page}", file.display());
}
