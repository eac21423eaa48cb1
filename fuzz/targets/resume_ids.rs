//! `Last-Event-ID`, by which a reader of events comes back.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    diagnostics::fuzzing::resume_id(bytes);
});
