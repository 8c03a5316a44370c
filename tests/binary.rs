//! The binary as a file: the libraries that it needs, and what shells learn from it.

use std::{collections::BTreeSet, process::Command};

/// What bash offers after `line`, which ends in the word that is being typed.
fn bash_offers(line: &str) -> BTreeSet<String> {
    let script = format!(
        r#"source <("$0" completions bash); COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _sensorpipe sensorpipe "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD - 1]}}"
        printf '%s\n' "${{COMPREPLY[@]}}""#
    );
    let output = Command::new("bash")
        .args(["-euc", &script, env!("CARGO_BIN_EXE_sensorpipe")])
        .output()
        .expect("bash runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_flags_and_values() {
    assert_eq!(bash_offers("sensorpipe wor"), BTreeSet::from(["worker".to_owned()]));
    assert_eq!(bash_offers("sensorpipe worker --cons"), BTreeSet::from(["--consumers".to_owned()]));
    let values = bash_offers("sensorpipe worker --start ''");
    assert_eq!(values, BTreeSet::from(["earliest".to_owned(), "latest".to_owned()]));
}

#[test]
fn other_shells_get_a_script_that_knows_every_command() {
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let output = Command::new(env!("CARGO_BIN_EXE_sensorpipe"))
            .args(["completions", shell])
            .output()
            .expect("the binary starts");
        assert!(output.status.success(), "{shell}");
        let script = String::from_utf8(output.stdout).expect("UTF-8");
        for command in ["migrate", "api", "worker", "completions"] {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
}

/// The C library comes with every image; what else there is, the image has to install.
#[test]
fn it_needs_no_library_but_those_of_the_image() {
    let output = Command::new("ldd").arg(env!("CARGO_BIN_EXE_sensorpipe")).output().expect("ldd runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let mut needed: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter_map(|path| path.rsplit('/').next())
        .collect();
    needed.retain(|name| !["linux-vdso", "ld-linux"].iter().any(|prefix| name.starts_with(prefix)));
    for of_the_c_library in ["libc.so.6", "libm.so.6", "libgcc_s.so.1"] {
        needed.remove(of_the_c_library);
    }
    assert_eq!(needed, BTreeSet::from(["libcrypto.so.3", "libssl.so.3", "libz.so.1"]), "{text}");
    let dockerfile = include_str!("../Dockerfile");
    let (_, image) = dockerfile.rsplit_once("\nFROM ").expect("the last stage is the image");
    for package in ["libssl3", "zlib1g"] {
        assert!(image.contains(package), "{package} provides one of them");
    }
}

#[test]
fn load_says_that_it_is_a_program_of_its_own() {
    for arguments in [
        &["load", "--verify"][..],
        &["load", "--help"],
        &["--log-level", "debug", "load", "--rate", "5"],
        &["--log-format=json", "load"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_sensorpipe")).args(arguments).output();
        let output = output.expect("the binary starts");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("--package sensorpipe-load"), "{arguments:?}: {said}");
    }
}
