//! The one binary: the library's command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    topgraft::cli::main()
}
