// SPDX-License-Identifier: EUPL-1.2
//! A machine that pretends: programs as shell scripts, two small files as wheels.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use mlx_build::{Backend, Platform, Prefix, Request, Result, Use, Wheel, sha256_of};

pub(crate) const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// Names the folder of a [`Machine`] to a process of this test program that shall build in it.
const VARIABLE: &str = "MLX_BUILD_TEST_MACHINE";

/// What `calls` in the machine's folder has one line for, in the order of the calls.
const PYTHON: &str = r#"
case "$*" in
--version) echo "Python 3.12.0" ;;
"-m pip --version") echo "pip 24" ;;
"-m pip download"*)
    echo download >> "$HERE/calls"
    while [ "$1" != "--dest" ]; do shift; done
    cp "$HERE"/index/* "$2" ;;
"-m zipfile -e"*)
    mkdir -p "$5/mlx/lib" "$5/scipy_openblas32/lib"
    case "$4" in
    *mlx_cpu*) echo mlx > "$5/mlx/lib/libmlx.so" ;;
    *) echo openblas > "$5/scipy_openblas32/lib/libscipy_openblas.so" ;;
    esac ;;
esac
"#;

/// Configures and installs; while a file `hold` is there, the installation hangs in the middle.
const CMAKE: &str = r#"
case "$*" in
--version) echo "cmake version 3.30.0" ;;
*--build*)
    echo build >> "$HERE/calls"
    echo "[1/1] Building nothing"
    prefix=$(cat prefix)
    mkdir -p "$prefix/lib" "$prefix/include/mlx/c"
    echo half > "$prefix/lib/libmlxc.so"
    while [ -f "$HERE/hold" ]; do touch "$HERE/held"; sleep 0.02; done
    if [ -f "$HERE/broken" ]; then echo "error: ops.cpp does not compile" >&2; exit 1; fi
    echo whole > "$prefix/lib/libmlxc.so" ;;
*)
    for argument in "$@"; do
        case "$argument" in -DMLXC_PREFIX=*) printf %s "${argument#-DMLXC_PREFIX=}" > prefix ;; esac
    done ;;
esac
"#;

const CARGO: &str =
    r#"printf '{"packages":[{"name":"mlx-sys","manifest_path":"%s/package/Cargo.toml"}]}' "$HERE""#;

pub(crate) struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    /// One that has everything.
    pub(crate) fn new() -> Machine {
        let machine = Machine { folder: tempfile::tempdir().unwrap() };
        for name in ["bin", "index", "package/src/mlx-c/mlx/c/private"] {
            fs::create_dir_all(machine.path(name)).unwrap();
        }
        fs::write(machine.path("calls"), "").unwrap();
        for (name, text) in [("python3", PYTHON), ("cmake", CMAKE), ("cargo", CARGO)] {
            machine.program(name, text);
        }
        for name in ["ninja", "c++", "cc"] {
            machine.program(name, &format!("[ \"$*\" = --version ] && echo '{name} 12.0'; exit 0"));
        }
        for (file, text) in FILES {
            fs::write(machine.path("index").join(file), text).unwrap();
        }
        // As many calls as mlx-c 0.7.0 has.
        let source = "mlx_error(e.what());\n".repeat(652);
        fs::write(machine.path("package/src/mlx-c/mlx/c/ops.cpp"), source).unwrap();
        machine
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a program, or another in its place. It alone sees the usual `PATH`.
    pub(crate) fn program(&self, name: &str, text: &str) {
        let path = self.path("bin").join(name);
        let head = format!("#!/bin/sh\nPATH=/usr/bin:/bin\nHERE='{}'\n", self.folder.path().display());
        fs::write(&path, head + text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn without(&self, program: &str) -> &Machine {
        fs::remove_file(self.path("bin").join(program)).unwrap();
        self
    }

    /// A request that finds these programs and no others, and runs its steps through [`helper`].
    pub(crate) fn request(&self) -> Request {
        request(self.folder.path())
    }

    pub(crate) fn build(&self) -> Result<Prefix> {
        mlx_build::find_or_build(&self.request(), &mut |_| {})
    }

    /// What the machine's programs were called for.
    pub(crate) fn calls(&self) -> Vec<String> {
        fs::read_to_string(self.path("calls")).unwrap().lines().map(str::to_owned).collect()
    }

    /// A process of its own that builds here.
    pub(crate) fn builder(&self) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(HELPER).env(VARIABLE, self.folder.path());
        command
    }
}

/// The wheels in the index of a fresh machine: name and content.
const FILES: [(&str, &str); 2] = [
    ("mlx_cpu-0.32.2-py3-none-manylinux_2_35_x86_64.whl", "a wheel"),
    ("scipy_openblas32-0.3.34-py3-none-manylinux_2_28_x86_64.whl", "another wheel"),
];

/// Runs the test [`helper`] and no other.
const HELPER: [&str; 3] = ["--exact", "build::helper", "--nocapture"];

fn request(folder: &Path) -> Request {
    let mut request = Request::new(folder.join("target"), TRIPLE, Backend::Cpu);
    request.env.path = folder.join("bin").into();
    request.env.cargo = folder.join("bin/cargo");
    request.env.step.extend(HELPER.map(Into::into));
    (request.env.cxx, request.env.python, request.env.mlx_prefix) = (None, None, None);
    (request.env.mlx_dir, request.env.mlx_c_source_dir) = (None, None);
    // One for each process: another may be reading its own while this one writes.
    let hashes = folder.join(format!("hashes-{}", std::process::id()));
    fs::create_dir_all(&hashes).unwrap();
    let wheels = FILES.map(|(file, text)| {
        let path = hashes.join(file);
        fs::write(&path, text).unwrap();
        Wheel {
            platform: Platform::LinuxX86_64,
            role: Use::Backend(Backend::Cpu),
            sha256: sha256_of(&path).unwrap(),
            file: file.to_owned(),
        }
    });
    request.wheels = Some(wheels.into());
    request
}

/// What a process does that was started by a build step or by [`Machine::builder`]; in the test run itself, nothing.
pub(crate) fn helper() {
    mlx_build::run_step_if_asked();
    if let Some(folder) = std::env::var_os(VARIABLE) {
        mlx_build::find_or_build(&request(Path::new(&folder)), &mut |_| {}).unwrap();
    }
}
