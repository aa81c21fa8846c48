//! Hands pyo3's `Py_3_12`-like cfg flags to this crate: behaviour follows the running Python's version.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "python")]
    pyo3_build_config::use_pyo3_cfgs();
}
