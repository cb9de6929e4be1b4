//! Gives the binary an rpath to libtorch, so that nobody has to set LD_LIBRARY_PATH.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // torch-sys (`links = "tch"`) exports its library folder to direct dependents only: hence torch-sys in Cargo.toml.
    if let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
        println!("cargo:rustc-env=TOPGRAFT_LIBTORCH_LIB={lib}");
    }
    // An installed copy (the container's /opt/topgraft) keeps the libraries beside the binary's folder.
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib");
}
