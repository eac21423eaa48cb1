//! The page of the engine's semantics says what the engine does.

#[expect(dead_code, reason = "the table needs a part of the driver")]
#[path = "../engine/support.rs"]
mod support;
mod table;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/semantics.md");

#[test]
fn the_table_in_the_docs_is_what_the_engine_does() {
    let page = std::fs::read_to_string(PAGE).expect("docs/semantics.md is there");
    let made = table::render();
    let changed = page.lines().zip(made.lines()).find(|(old, new)| old != new);
    assert_eq!(
        changed, None,
        "run `cargo xtask semantics --write` and look at what changed"
    );
    assert_eq!(
        page.lines().count(),
        made.lines().count(),
        "run `cargo xtask semantics --write`"
    );
}
