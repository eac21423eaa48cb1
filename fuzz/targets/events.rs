//! Server-sent events of an upstream, as the dispatcher reads them.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    dispatcher::fuzzing::events(bytes);
});
