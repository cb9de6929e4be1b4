//! Gives the binary an rpath to libtorch, so that nobody has to set LD_LIBRARY_PATH, and builds the shim to those of
//! libtorch's operators that its Rust binding doesn't have.

use std::path::Path;

/// The shim's folder.
const OPERATORS: &str = "src/vision/operators";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={OPERATORS}");
    // torch-sys (`links = "tch"`) exports its library folder to direct dependents only: hence torch-sys in Cargo.toml.
    if let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
        println!("cargo:rustc-env=TOPGRAFT_LIBTORCH_LIB={lib}");
        shim(&Path::new(&lib).with_file_name("include"));
    }
    // An installed copy (the container's /opt/topgraft) keeps the libraries beside the binary's folder.
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib");
}

/// libtorch's headers lie beside its libraries, in `include/`.
fn shim(include: &Path) {
    compiled("topgraft_shim", include, &["shim.cpp", "winograd.cpp"], &[]);
    // Steps are rounded as oneDNN rounds them, product by product.
    compiled("topgraft_int8", include, &["winograd_int8.cpp"], &["-ffp-contract=off"]);
    println!("cargo:rustc-link-lib=gomp");
}

fn compiled(library: &str, include: &Path, files: &[&str], flags: &[&str]) {
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .flag("-D_GLIBCXX_USE_CXX11_ABI=1")
        // libtorch's threads, by the same library.
        .flag("-fopenmp")
        .flags(flags)
        .include(include)
        // Debugging information is 28 of its 29 MB otherwise, of libtorch's headers above all.
        .debug(false)
        // Warnings in libtorch's own headers are not ours to mend.
        .warnings(false)
        // Vectors are passed in functions that are compiled into others only.
        .flag_if_supported("-Wno-psabi")
        .files(files.iter().map(|file| Path::new(OPERATORS).join(file)))
        .compile(library);
}
