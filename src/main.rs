//! The `affilitrack` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    affilitrack::program::main()
}
