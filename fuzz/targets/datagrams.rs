//! Datagrams of gossip, plain and sealed, and what nodes say of themselves in them.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    mesh::gossip::fuzzing::datagram(bytes);
    mesh::gossip::fuzzing::metadata(bytes);
});
