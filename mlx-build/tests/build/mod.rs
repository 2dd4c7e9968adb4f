// SPDX-License-Identifier: EUPL-1.2
//! Good builds, and every kind of bad one.

mod fixture;

use std::fs;
use std::process::Stdio;

use fixture::{Machine, TRIPLE};
use mlx_build::Error;

/// Not a test of its own: the process that a build starts for a step comes back here.
#[test]
fn helper() {
    fixture::helper();
}

#[test]
fn the_first_build_makes_a_prefix_and_the_second_calls_nothing() {
    let machine = Machine::new();
    let prefix = machine.build().unwrap();
    assert_eq!(prefix.root(), machine.path("target/mlx").join(format!("0.32.2-cpu-{TRIPLE}")));
    for name in
        ["lib/libmlxc.so", "mlx/lib/libmlx.so", "scipy_openblas32/lib/libscipy_openblas.so", "build.log"]
    {
        assert!(prefix.root().join(name).is_file(), "{name}");
    }
    let manifest = fs::read_to_string(prefix.manifest()).unwrap();
    assert!(manifest.contains("\"mlx\": \"0.32.2\"") && manifest.contains("c++ 12.0"), "{manifest}");
    assert_eq!(machine.calls(), ["download", "build"]);

    machine.build().unwrap();
    assert_eq!(machine.calls(), ["download", "build"]);
    assert!(mlx_build::find(&machine.request()).unwrap().is_some());

    let mut clean = machine.request();
    clean.clean = true;
    mlx_build::find_or_build(&clean, &mut |_| {}).unwrap();
    assert_eq!(machine.calls(), ["download", "build", "build"], "what was fetched is kept");
}

#[test]
fn the_sources_that_are_built_have_the_format_fix() {
    let machine = Machine::new();
    let source = machine.path("package/src/mlx-c/mlx/c/ops.cpp");
    fs::write(&source, "mlx_error(e.what());\n").unwrap();
    let message = machine.build().unwrap_err().to_string();
    assert!(message.contains("1 calls") && message.contains("652"), "{message}");
    assert!(machine.calls().iter().all(|call| call != "build"));
}

#[test]
fn without_python_or_pip_it_is_said_how_to_get_them() {
    let machine = Machine::new();
    machine.program(
        "python3",
        "[ \"$*\" = --version ] && echo 'Python 3.12.0' && exit 0\necho 'No module named pip' >&2; exit 1",
    );
    let error = machine.build().unwrap_err();
    assert!(matches!(error, Error::NoPip { .. }), "{error}");
    let message = error.to_string();
    for part in
        ["No module named pip", "mlx_cpu 0.32.2", "apt install python3-pip", "ensurepip", "MLX_PYTHON"]
    {
        assert!(message.contains(part), "{part}: {message}");
    }

    let error = machine.without("python3").build().unwrap_err();
    assert!(matches!(error, Error::NoPython { .. }), "{error}");
    assert!(error.to_string().contains("`python3`, `python`"), "{error}");
}

#[test]
fn a_failing_index_is_told_from_a_missing_pip() {
    let machine = Machine::new();
    machine.program(
        "python3",
        "case \"$*\" in --version|*'pip --version') echo 1;; *) echo 'no route to host' >&2; exit 1;; esac",
    );
    let error = machine.build().unwrap_err();
    assert!(matches!(error, Error::Fetch { .. }), "{error}");
    let message = error.to_string();
    for part in ["no route to host", "pip download", "mlx/downloads", "MLX_PREFIX"] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[test]
fn an_index_that_gives_nothing_is_an_error_too() {
    let machine = Machine::new();
    machine.program("python3", "echo 'Python 3.12.0'");
    let message = machine.build().unwrap_err().to_string();
    assert!(message.contains("no file of that name") && message.contains("mlx_cpu-0.32.2"), "{message}");
}

#[test]
fn without_a_compiler_nothing_is_fetched_and_it_is_said_how_to_get_one() {
    let machine = Machine::new();
    let error = machine.without("c++").build().unwrap_err();
    assert!(matches!(error, Error::NoCompiler { .. }), "{error}");
    let message = error.to_string();
    for part in ["`c++`", "apt install g++", "xcode-select --install", "CXX"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(machine.calls().is_empty());

    let mut request = machine.request();
    request.env.cxx = Some("/nowhere/g++-99".into());
    let message = mlx_build::find_or_build(&request, &mut |_| {}).unwrap_err().to_string();
    assert!(message.contains("/nowhere/g++-99"), "{message}");
}

#[test]
fn a_file_with_another_hash_is_not_used_nor_kept() {
    let machine = Machine::new();
    let name = "mlx_cpu-0.32.2-py3-none-manylinux_2_35_x86_64.whl";
    fs::write(machine.path("index").join(name), "something else").unwrap();
    let error = machine.build().unwrap_err();
    assert!(matches!(error, Error::WrongHash { .. }), "{error}");
    assert!(
        error.to_string().contains(name) && error.to_string().contains("vendor/mlx-c/wheels.txt"),
        "{error}"
    );
    assert_eq!(machine.calls(), ["download"]);

    // One that was damaged where it is kept is found out as well, and fetched again afterwards.
    fs::write(machine.path("index").join(name), "a wheel").unwrap();
    machine.build().unwrap();
    fs::write(machine.path("target/mlx/downloads").join(name), "damaged").unwrap();
    let mut clean = machine.request();
    clean.clean = true;
    assert!(matches!(mlx_build::find_or_build(&clean, &mut |_| {}), Err(Error::WrongHash { .. })));
    mlx_build::find_or_build(&clean, &mut |_| {}).unwrap();
}

#[test]
fn a_compiler_that_fails_is_quoted_and_leaves_no_prefix() {
    let machine = Machine::new();
    fs::write(machine.path("broken"), "").unwrap();
    let error = machine.build().unwrap_err();
    assert!(matches!(error, Error::Build { .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains("ops.cpp does not compile") && message.contains("build.log"), "{message}");
    assert!(mlx_build::find(&machine.request()).unwrap().is_none());

    fs::remove_file(machine.path("broken")).unwrap();
    machine.build().unwrap();
}

#[test]
fn a_build_that_was_killed_is_started_again_once_its_programs_have_ended() {
    let machine = Machine::new();
    let hold = machine.path("hold");
    fs::write(&hold, "").unwrap();
    let mut first = machine.builder().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !machine.path("held").exists() {
        assert!(first.try_wait().unwrap().is_none(), "the build ended before it could be killed");
        std::thread::yield_now();
    }
    first.kill().unwrap();
    first.wait().unwrap();
    let library = machine.path("target/mlx").join(format!("0.32.2-cpu-{TRIPLE}/lib/libmlxc.so"));
    assert_eq!(fs::read_to_string(&library).unwrap(), "half\n");

    // Its CMake lives on, and writes into the same folder: the next build waits for it.
    let mut said = Vec::new();
    mlx_build::find_or_build(&machine.request(), &mut |line| {
        if line.starts_with("waiting") {
            fs::remove_file(&hold).unwrap();
        }
        said.push(line.to_owned());
    })
    .unwrap();
    assert!(said.iter().any(|line| line.starts_with("waiting")), "{said:?}");
    assert!(said.iter().any(|line| line.contains("did not end well")), "{said:?}");
    assert_eq!(fs::read_to_string(&library).unwrap(), "whole\n");
    assert_eq!(machine.calls(), ["download", "build", "build"]);
}

#[test]
fn of_several_processes_one_builds_and_all_get_it() {
    let machine = Machine::new();
    let children: Vec<_> = (0..3).map(|_| machine.builder().stdout(Stdio::null()).spawn().unwrap()).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(machine.calls(), ["download", "build"]);
    assert!(mlx_build::find(&machine.request()).unwrap().is_some());
}

#[test]
fn a_target_directory_that_cannot_be_written_is_named() {
    let machine = Machine::new();
    // Neither a file nor the kernel's own file system can be written into, by the superuser either.
    fs::write(machine.path("target"), "").unwrap();
    let message = machine.build().unwrap_err().to_string();
    assert!(message.contains("target/mlx") && message.contains("CARGO_TARGET_DIR"), "{message}");
    let mut request = machine.request();
    request.target_dir = "/proc/no/target".into();
    let message = mlx_build::find_or_build(&request, &mut |_| {}).unwrap_err().to_string();
    assert!(message.contains("/proc/no/target/mlx") && message.contains("MLX_PREFIX"), "{message}");
}

#[test]
fn a_named_prefix_of_another_version_is_refused_with_both_versions() {
    let machine = Machine::new();
    let prefix = machine.build().unwrap();
    let mut request = machine.request();
    request.env.mlx_prefix = Some(prefix.root().to_path_buf());
    request.target_dir = "/proc/no/target".into();
    assert_eq!(mlx_build::find_or_build(&request, &mut |_| {}).unwrap().root(), prefix.root());

    let manifest = fs::read_to_string(prefix.manifest()).unwrap();
    fs::write(prefix.manifest(), manifest.replace("0.32.2", "0.31.0")).unwrap();
    let error = mlx_build::find_or_build(&request, &mut |_| {}).unwrap_err();
    assert!(matches!(error, Error::Override { variable: "MLX_PREFIX", .. }), "{error}");
    assert!(error.to_string().contains("0.31.0") && error.to_string().contains("0.32.2"), "{error}");
    // Under the target directory the same thing is simply built anew.
    machine.build().unwrap();
    assert_eq!(machine.calls(), ["download", "build", "build"]);
}

#[test]
fn local_sources_and_a_local_mlx_take_the_place_of_the_pins() {
    let machine = Machine::new();
    let pinned = machine.build().unwrap();
    for name in ["local/lib", "local/include/mlx", "c/mlx/c/private"] {
        fs::create_dir_all(machine.path(name)).unwrap();
    }
    fs::write(machine.path("local/lib/libmlx.so"), "").unwrap();
    let version =
        ["MAJOR 0", "MINOR 33", "PATCH 0"].map(|part| format!("#define MLX_VERSION_{part}\n")).concat();
    fs::write(machine.path("local/include/mlx/version.h"), version).unwrap();
    fs::write(machine.path("c/mlx/c/ops.cpp"), "mlx_error(e.what());\n").unwrap();
    let mut request = machine.request();
    request.env.mlx_dir = Some(machine.path("local"));
    request.env.mlx_c_source_dir = Some(machine.path("c"));
    let build = || mlx_build::find_or_build(&request, &mut |_| {}).unwrap();

    let local = build();
    assert!(local.root().ends_with(format!("0.33.0-cpu-{TRIPLE}-local")), "{}", local.root().display());
    assert!(!local.root().join("mlx/lib/libmlx.so").exists(), "the wheel is not unpacked");
    let count = machine.calls().len();
    build();
    assert_eq!(machine.calls().len(), count);
    fs::write(machine.path("c/mlx/c/ops.cpp"), "mlx_error(e.what()); // changed\n").unwrap();
    build();
    assert_eq!(machine.calls().len(), count + 1, "changed sources are built");
    assert!(mlx_build::find(&machine.request()).unwrap().is_some(), "{} stays", pinned.root().display());
}
