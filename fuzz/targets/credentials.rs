//! Files of tokens and of keys of gossip.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    diagnostics::fuzzing::tokens(bytes);
    mesh::gossip::fuzzing::keys(bytes);
});
