#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sigchain_fuzz::targets::apart::mirror(data));
