//! The `arterial` command: thin; everything it does is in the library.

fn main() {}
