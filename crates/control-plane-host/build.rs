//! Makes code of our protocols, and keeps their descriptors for reflection. Needs no `protoc`.

use std::error::Error;
use std::path::PathBuf;

use prost::Message as _;

const PROTOCOLS: [&str; 2] = [
    "controlplane/v1/leadership.proto",
    "controlplane/v1/lifecycle.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(PROTOCOLS, ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    // What a client connects by is its own affair.
    tonic_prost_build::configure()
        .build_transport(false)
        .compile_fds(descriptors)?;
    Ok(())
}
