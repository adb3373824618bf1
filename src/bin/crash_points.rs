//! The `affilitrack` binary with the feature `crash-points`, for the kill test: see `store/src/crash.rs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    affilitrack::program::main()
}
