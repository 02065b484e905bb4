//! Files of a repository before anybody trusts them: whatever they say, what comes out of one that asks for nothing leads to no path, program,
//! key or address outside.
#![no_main]

#[path = "../../crates/api/tests/it/untrusted.rs"]
mod untrusted;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| untrusted::check(bytes));
