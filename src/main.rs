//! The `affilitrack` binary.

use std::process::ExitCode;

/// Records are taken apart on other threads than the ones that received them. The system's allocator spent a fifth of the
/// process on that and kept what was freed in per-thread arenas.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    affilitrack::program::main()
}
