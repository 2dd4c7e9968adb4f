// SPDX-License-Identifier: EUPL-1.2
fn main() {
    println!("cargo:rerun-if-env-changed=MLX_PREFIX");
    let prefix = std::env::var("MLX_PREFIX").expect("MLX_PREFIX");
    println!("cargo:rustc-link-search=native={prefix}/lib");
    println!("cargo:rustc-link-lib=dylib=mlxc");
}
