//! The `fusewire` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    fusewire::cli::main()
}
