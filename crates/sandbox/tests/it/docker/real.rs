//! Against the engine named by `MUSTER_TEST_DOCKER` (`unix:///path`), with an image that it has, named by
//! `MUSTER_TEST_IMAGE` (default: `debian:stable-slim`). Needs `sh`, coreutils, `grep`, `setsid` and a C library at least as
//! new as this machine's in the image.

use super::Fixture;

fn docker_real() -> Fixture {
    let engine =
        std::env::var("MUSTER_TEST_DOCKER").expect("name an engine: MUSTER_TEST_DOCKER=unix:///path/of/the.sock");
    let image = std::env::var("MUSTER_TEST_IMAGE").unwrap_or_else(|_| "debian:stable-slim".to_owned());
    Fixture::new(&image, engine.trim_start_matches("unix://").as_ref())
}

mod docker_real {
    super::super::every_case_on! { super::docker_real }
}
