//! The image as `Containerfile` says it is built: what it copies, names and installs is what the repository has and the
//! binary needs.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Instructions of the file: the word in capitals, and the rest of it, with continued lines joined.
fn instructions() -> Vec<(String, String)> {
    let text = read("Containerfile");
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    let split = |line: &str| {
        let (word, rest) = line.trim().split_once(' ')?;
        Some((word.to_owned(), rest.split_whitespace().collect::<Vec<_>>().join(" ")))
    };
    joined.lines().filter_map(split).collect()
}

fn all(word: &str) -> Vec<String> {
    instructions().into_iter().filter(|(found, _)| found == word).map(|(_, rest)| rest).collect()
}

fn only(word: &str) -> String {
    let found = all(word);
    let [one] = &found[..] else { panic!("{word}: {found:?}") };
    one.clone()
}

fn manifest() -> String {
    read("Cargo.toml")
}

/// What an argument is unless it is given.
fn default_of(name: &str) -> String {
    let found = all("ARG").into_iter().find_map(|line| line.strip_prefix(&format!("{name}=")).map(str::to_owned));
    found.unwrap_or_else(|| panic!("no ARG {name}"))
}

/// What the build stage copies out of the repository.
fn copied() -> Vec<String> {
    let copies = all("COPY").into_iter().filter(|line| !line.starts_with("--from"));
    let sources = |line: String| {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        words[..words.len() - 1].to_vec()
    };
    copies.flat_map(sources).collect()
}

#[test]
fn everything_that_the_image_copies_is_there_and_is_enough_to_build_the_binary() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let copied = copied();
    for path in &copied {
        assert!(root.join(path).exists(), "there is no {path}");
    }
    let held = |path: &str| copied.iter().any(|one| path == one || path.starts_with(&format!("{one}/")));
    for needed in ["Cargo.toml", "Cargo.lock", "src/main.rs", "connectors/Cargo.toml", "scripts/apt.sh"] {
        assert!(held(needed), "{needed} is not copied");
    }
    // The manifest names a README, and the code takes schemas in.
    let named = manifest().lines().find_map(|line| line.strip_prefix("readme = ").map(str::to_owned));
    assert!(named.is_some_and(|file| held(file.trim_matches('"'))));
    let included = read("src/schema.rs");
    let included = included.split("include_str!(\"../").skip(1).filter_map(|rest| rest.split('"').next());
    let included: Vec<&str> = included.collect();
    assert!(included.len() > 10 && included.iter().all(|path| held(path)), "{included:?}");
}

#[test]
fn base_images_are_of_a_version_of_one_debian_and_the_toolchain_is_one_that_builds_it() {
    let (rust, runtime) = (default_of("RUST_IMAGE"), default_of("RUNTIME_IMAGE"));
    assert_eq!(all("FROM"), ["${RUST_IMAGE} AS build", "${RUNTIME_IMAGE}"]);
    let version = rust.strip_prefix("docker.io/library/rust:").and_then(|tag| tag.strip_suffix("-slim-bookworm"));
    let parts: Vec<u32> = version.expect("a tag").split('.').map(|part| part.parse().expect("a number")).collect();
    assert_eq!(parts.len(), 3, "{rust} is no exact version");
    let least = manifest().lines().find_map(|line| line.strip_prefix("rust-version = ").map(str::to_owned)).unwrap();
    let least: Vec<u32> = least.trim_matches('"').split('.').map(|part| part.parse().unwrap()).collect();
    assert!(parts >= least, "{rust} is older than {least:?}");
    // Bookworm is Debian 12.
    let point = runtime.strip_prefix("docker.io/library/debian:12.").and_then(|tag| tag.strip_suffix("-slim"));
    assert!(point.is_some_and(|point| point.parse::<u32>().is_ok()), "{runtime} is no exact version of Debian 12");
}

#[test]
fn binary_features_port_signal_and_user_of_the_image_are_those_of_the_program_and_of_its_page() {
    let manifest = manifest();
    let bin = manifest.split("[[bin]]\nname = \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert_eq!(only("ENTRYPOINT"), format!("[\"{bin}\"]"));
    assert!(all("COPY").contains(&format!("--from=build /src/target/release/{bin} /usr/local/bin/{bin}")));
    let build = all("RUN").into_iter().find(|line| line.contains("cargo build")).expect("a build");
    assert!(
        build.contains(&format!("--locked --release --bin {bin} "))
            && build.contains(&format!("strip target/release/{bin}"))
    );
    let features = manifest.split("[features]").nth(1).and_then(|rest| rest.split("\n[").next()).unwrap();
    for feature in default_of("FEATURES").split(',') {
        assert!(features.contains(&format!("\n{feature} = ")), "there is no feature {feature}");
    }
    let user = only("USER");
    assert!(user.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)), "{user}: not root, and by number");
    assert_eq!(only("STOPSIGNAL"), "SIGTERM");
    let port = only("EXPOSE");
    let page = read("docs/operations.md");
    assert!(page.contains(&format!("\"127.0.0.1:{port}\"")) && page.contains(&format!("\"0.0.0.0:{port}\"")), "{port}");
    assert!(
        page.contains("podman build -t arterial .")
            && page.contains(&format!("user {}", user.split(':').next().unwrap()))
    );
    let help =
        Command::new(env!("CARGO_BIN_EXE_arterial")).arg(only("CMD").trim_matches(['[', ']', '"'])).output().unwrap();
    assert!(help.status.success());
}

/// Libraries of a Debian without any package of ours, and those that packages of the image bring along.
const LIBRARIES: [(&str, &str); 4] =
    [("libssl.so", "libssl3"), ("libcrypto.so", "libssl3"), ("libz.so", "zlib1g"), ("libcurl.so", "libcurl4")];
const BASE: [&str; 7] = ["linux-vdso", "libgcc_s", "libm.so", "libc.so", "ld-linux", "libdl.so", "libpthread"];

#[test]
fn image_installs_the_libraries_that_the_binary_is_linked_with() {
    let listed = Command::new("ldd").arg(env!("CARGO_BIN_EXE_arterial")).output().expect("ldd runs");
    let listed = String::from_utf8(listed.stdout).expect("text");
    let install = all("RUN").into_iter().find(|line| line.contains("ca-certificates")).expect("packages");
    let installed: BTreeSet<&str> = install.split(' ').collect();
    let mut needed = 0;
    for line in listed.lines().map(str::trim).filter(|line| !BASE.iter().any(|base| line.contains(base))) {
        let package = LIBRARIES.iter().find(|(library, _)| line.starts_with(library));
        let (_, package) = package.unwrap_or_else(|| panic!("nobody knows which package has {line}"));
        assert!(installed.contains(package), "{line} is of {package}, which is not installed");
        needed += 1;
    }
    assert!(needed >= 3, "{listed}");
}
