//! What the program refuses; by running it, this test also has cargo build it with the other tests.
//!
//! Python's tests start that build: building it by itself would choose other features of the crates
//! that it stands on, and compile them once more.

use std::process::Command;

#[test]
fn a_command_line_it_does_not_know_is_refused() {
    for arguments in [&["sns"][..], &["kinesis", "--prot", "1"], &[]] {
        let done = Command::new(env!("CARGO_BIN_EXE_penstock-servers"))
            .args(arguments)
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains("usage: penstock-servers"), "{said}");
        assert!(done.stdout.is_empty(), "{arguments:?}");
    }
}
