//! Prints the table of what the engine does, or writes it to the docs with `--write`.

#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

#[expect(dead_code, reason = "the table needs a part of the driver")]
#[path = "../tests/engine/support.rs"]
mod support;
#[path = "../tests/semantics/table.rs"]
mod table;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/semantics.md");

fn main() -> std::io::Result<()> {
    let page = table::render();
    if std::env::args().any(|it| it == "--write") {
        std::fs::write(PAGE, page)?;
    } else {
        print!("{page}");
    }
    Ok(())
}
