//! Headers of a call over HTTP, and the path and metadata of one over gRPC.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    dispatcher::fuzzing::headers(bytes);
    dispatcher::fuzzing::metadata(bytes);
});
