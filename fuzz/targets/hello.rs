//! The first message of TLS in a tunnel; what has to hold of every reading is in `egress::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| egress::fuzzing::hello(bytes).unwrap());
