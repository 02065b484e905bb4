//! The head of a request to the proxy; what has to hold of every reading is in `egress::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| egress::fuzzing::head(bytes).unwrap());
