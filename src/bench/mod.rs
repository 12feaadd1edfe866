//! Measuring backends against each other, as a library for the command line and the benches.
